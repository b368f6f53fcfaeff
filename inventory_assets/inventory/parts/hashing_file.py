"""A file that hashes the bytes written to it."""

from hashlib import md5, sha256
from pathlib import Path

from inventory_assets.inventory.storage.disk import full_disk


class HashingFile:
    """A file for sequential writing that computes hashes of its content.

    Args:
        path: The file to create.
        with_md5: Whether to compute MD5, which takes more than twice the time of SHA-256.
    """

    def __init__(self, path: Path, *, with_md5: bool = True) -> None:
        self._path = path
        self._file = path.open("wb")
        self.sha256 = sha256()
        self._md5 = md5(usedforsecurity=False) if with_md5 else None
        self.size = 0

    @property
    def md5(self) -> str:
        """The MD5 of the content, hexadecimal; "" without MD5."""
        return self._md5.hexdigest() if self._md5 else ""

    @property
    def closed(self) -> bool:
        return self._file.closed

    def write(self, data: bytes) -> int:
        view = memoryview(data)
        self.sha256.update(view)
        if self._md5:
            self._md5.update(view)
        self.size += view.nbytes
        try:
            return self._file.write(view)
        except OSError as error:
            raise full_disk(error, self._path, self.size) from error

    def tell(self) -> int:
        return self.size

    def flush(self) -> None:
        try:
            self._file.flush()
        except OSError as error:
            raise full_disk(error, self._path, self.size) from error

    def close(self) -> None:
        try:
            self._file.close()
        except OSError as error:
            raise full_disk(error, self._path, self.size) from error
