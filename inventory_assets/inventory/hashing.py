"""A file that is hashed on its way to the disk."""

from hashlib import md5, sha256
from pathlib import Path


class HashingFile:
    """A file to write to, front to back, that knows the hashes of what it holds."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self.sha256 = sha256()
        self.md5 = md5(usedforsecurity=False)
        self.size = 0

    @property
    def closed(self) -> bool:
        return self._file.closed

    def write(self, data: bytes) -> int:
        view = memoryview(data)
        self.sha256.update(view)
        self.md5.update(view)
        self.size += view.nbytes
        return self._file.write(view)

    def tell(self) -> int:
        return self.size

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.close()
