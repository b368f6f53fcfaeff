"""Results in a bucket, on S3 or any store that speaks like it.

A part's name is the SHA-256 of its content and is known only when the part is whole: files are
written to a folder of this machine first and uploaded from there. PutObject and
CompleteMultipartUpload are atomic, so a reader sees the old object or the new one.
"""

import io
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow as pa

from inventory_assets.inventory.errors import StoreError, superseded
from inventory_assets.inventory.s3_inventory import Destination
from inventory_assets.inventory.store import ABSENT, Store, StoredFile
from inventory_assets.s3.connection import Connection
from inventory_assets.s3.errors import S3Error
from inventory_assets.s3.objects import NOTHING, BucketObjects, PreconditionFailed

READ_AHEAD_BYTES = 4 * 2**20
"""Asked for at once, at least, where a file is read: about a row group with all its columns."""

_CONFLICTS = 5
"""Tries of a conditional write that the store refuses although nothing has changed (409)."""


class BucketStore(Store):
    """Results in a bucket.

    Args:
        connection: The bucket and how to reach it.
        prefix: What all keys start with there; a `/` at its end changes nothing.
    """

    def __init__(self, connection: Connection, prefix: str = "") -> None:
        with _as_store_error():
            self._objects = BucketObjects(connection)
        arn = f"arn:{self._objects.partition}:s3:::{connection.bucket}"
        self._destination = Destination(arn, prefix.strip("/"))

    @property
    def destination(self) -> Destination:
        return self._destination

    def where(self, key: str) -> str:
        return self._objects.url(self._key(key))

    def uri(self, key: str) -> str:
        return self.where(key)

    def read(self, key: str) -> bytes | None:
        with _as_store_error():
            return self._objects.read(self._key(key))

    def open(self, key: str) -> pa.NativeFile | None:
        object_key = self._key(key)
        with _as_store_error():
            facts = self._objects.facts(object_key)
        if facts is None:
            return None

        def read(start: int, stop: int) -> bytes:
            with _as_store_error():
                return self._objects.read_range(object_key, facts.etag, start, stop)

        return pa.PythonFile(_RangedFile(read, facts.size), mode="r")

    def size(self, key: str) -> int | None:
        with _as_store_error():
            facts = self._objects.facts(self._key(key))
        return facts.size if facts else None

    def version(self, key: str) -> str:
        with _as_store_error():
            facts = self._objects.facts(self._key(key))
        return facts.etag if facts else ABSENT

    def names(self, folder: str) -> list[str]:
        object_key = self._key(folder)
        with _as_store_error():
            return sorted(set(self._objects.names(f"{object_key}/" if object_key else "")))

    def files(self, folder: str) -> Iterator[StoredFile]:
        prefix = self._key("")
        start = len(prefix) + 1 if prefix else 0
        with _as_store_error():
            for key, size in self._objects.under(f"{self._key(folder)}/"):
                yield StoredFile(key[start:], size)

    def publish(self, key: str, data: bytes) -> None:
        with _as_store_error():
            self._objects.write(self._key(key), data)

    def publish_unless_changed(self, key: str, data: bytes, version: str) -> str:
        """As `Store` has it, by If-Match and If-None-Match.

        A store that does not know them is only looked at before: of two runs that publish within
        the same moment there, the later stands, and the other does not learn of it.
        """
        for _ in range(_CONFLICTS):
            if self.version(key) != version:
                break
            try:
                with _as_store_error():
                    return self._objects.write(self._key(key), data, version or NOTHING)
            except _Changed:
                # It may have been this very write, sent again after its answer was lost.
                if self.read(key) == data:
                    return self.version(key)
        raise superseded(self.where(key))

    def publish_file(self, key: str, file: Path, digest: str | None = None) -> None:
        object_key = self._key(key)
        try:
            with _as_store_error():
                if digest is None:
                    self._objects.write_file(object_key, file)
                    return
                facts = self._objects.facts(object_key)
                if facts is None:
                    self._objects.write_file(object_key, file, NOTHING, digest)
                elif (facts.size, facts.digest) != (file.stat().st_size, digest):
                    self._objects.write_file(object_key, file, facts.etag, digest)
        except _Changed:
            # Another run was faster; what it wrote under this name is the same.
            self._expect(object_key, file, digest)

    def remove_key(self, key: str) -> None:
        with _as_store_error():
            self._objects.remove(self._key(key))

    def drafts(self, name: str) -> Path | None:
        """A folder of this machine, too: another one lists again what is not in the bucket yet."""
        folder = Path(tempfile.gettempdir()) / f"inventory-drafts-{os.getuid()}"
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            is_ours = folder.lstat().st_uid == os.getuid() and not folder.is_symlink()
        except OSError:
            return None
        here = f"{self._objects.connection.endpoint_url} {self.where('x')}"
        return folder / sha256(here.encode()).hexdigest()[:16] / name if is_ours else None

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A folder of this machine, where TMPDIR says."""
        try:
            folder = tempfile.TemporaryDirectory(prefix="inventory-", ignore_cleanup_errors=True)
        except OSError as error:
            raise StoreError(
                f"cannot write to the folder for temporary files: {error}; name another in TMPDIR"
            ) from error
        with folder as path:
            yield Path(path)

    def _key(self, key: str) -> str:
        if ".." in key.split("/"):
            raise StoreError(f"the key {key!r} leads out of the store at {self._objects.url('')}")
        return self._destination.key(key.strip("/"))

    def _expect(self, object_key: str, file: Path, digest: str | None) -> None:
        with _as_store_error():
            facts = self._objects.facts(object_key)
        if facts is None or (facts.size, facts.digest) != (file.stat().st_size, digest):
            raise StoreError(
                f"cannot publish {self._objects.url(object_key)}: something else is written there "
                "at the same time; see who else writes to this bucket, and run it again"
            )


class _Changed(StoreError):
    """A conditional write was refused."""


@contextmanager
def _as_store_error() -> Iterator[None]:
    try:
        yield
    except PreconditionFailed as error:
        raise _Changed(str(error)) from None
    except S3Error as error:
        raise StoreError(str(error)) from None


class _RangedFile(io.RawIOBase):
    """An object as a file, read by ranges, each as long as the read-ahead at least.

    Args:
        read: The bytes from one position up to another.
        size: The object's bytes.
    """

    def __init__(self, read: Callable[[int, int], bytes], size: int) -> None:
        super().__init__()
        self._read = read
        self._size = size
        self._position = 0
        self._start = 0
        self._window = b""

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = origin + offset
        return self._position

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        wanted = max(0, min(len(view), self._size - self._position))
        done = 0
        while done < wanted:
            offset = self._position - self._start
            if not 0 <= offset < len(self._window):
                length = max(wanted - done, READ_AHEAD_BYTES)
                stop = min(self._size, self._position + length)
                self._start, self._window = self._position, self._read(self._position, stop)
                offset = 0
            piece = self._window[offset : offset + wanted - done]
            view[done : done + len(piece)] = piece
            done += len(piece)
            self._position += len(piece)
        return done
