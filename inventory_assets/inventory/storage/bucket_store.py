"""Results in a bucket, on S3 or a compatible store.

A part's name is the SHA-256 of its content and is known only when the part is whole: files are
written to a folder of this machine first and uploaded from there. PutObject and
CompleteMultipartUpload are atomic, so a reader sees the old object or the new one.
"""

import io
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import Any

import pyarrow as pa

from inventory_assets.inventory.errors import StoreError, superseded
from inventory_assets.inventory.storage.claims import Claim
from inventory_assets.inventory.storage.destination import Destination
from inventory_assets.inventory.storage.scratch import ScratchSpace
from inventory_assets.inventory.storage.store import (
    NO_ETAG,
    Permission,
    Store,
    StoredFile,
    always_permitted,
)
from inventory_assets.s3.bucket_config import BucketConfig
from inventory_assets.s3.conditional_writes import (
    CONFLICT_ATTEMPTS,
    ConditionalWrites,
    probe_conditional_writes,
    wait_before_retry,
)
from inventory_assets.s3.errors import S3Error
from inventory_assets.s3.object_client import (
    ObjectClient,
    ObjectMetadata,
    ObjectRequestFailed,
    PreconditionFailed,
)

READ_AHEAD_BYTES = 4 * 2**20
"""The least size of a read request: about a row group with all its columns."""

_SCRATCH = ".scratch"
"""The folder of temporary objects, as in a local store; readers ignore such names."""


class BucketStore(Store):
    """Results in a bucket.

    Args:
        bucket_config: The bucket and how to reach it.
        prefix: The prefix of all keys there, with or without a `/` at its end.
        permission: Asked before a record is written.
    """

    def __init__(
        self,
        bucket_config: BucketConfig,
        prefix: str = "",
        permission: Permission = always_permitted,
    ) -> None:
        self._require_permission = permission
        with _as_store_error():
            self._objects = ObjectClient(bucket_config)
        arn = f"arn:{self._objects.partition}:s3:::{bucket_config.bucket}"
        self._destination = Destination(arn, prefix.strip("/"))
        self._habit = _ConditionalWriteHabit(self._objects, self._key(f"{_SCRATCH}/conditions"))
        self._space = ScratchSpace(lambda: Path(tempfile.gettempdir()), "inventory-")

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
            metadata = self._objects.head(object_key)
        if metadata is None:
            return None

        return pa.PythonFile(
            _RangedFile(_Ranges(self._objects, object_key, metadata), metadata.size), "r"
        )

    def size(self, key: str) -> int | None:
        with _as_store_error():
            metadata = self._objects.head(self._key(key))
        return metadata.size if metadata else None

    def etag(self, key: str) -> str:
        with _as_store_error():
            metadata = self._objects.head(self._key(key))
        return metadata.etag if metadata else NO_ETAG

    def list_names(self, folder: str) -> list[str]:
        object_key = self._key(folder)
        with _as_store_error():
            return sorted(set(self._objects.list_names(f"{object_key}/" if object_key else "")))

    def files(self, folder: str) -> Iterator[StoredFile]:
        prefix = self._key("")
        start = len(prefix) + 1 if prefix else 0
        with _as_store_error():
            for key, size in self._objects.list_objects(f"{self._key(folder)}/"):
                yield StoredFile(key[start:], size)

    def publish(self, key: str, data: bytes) -> None:
        self._require_permission()
        with _as_store_error():
            self._objects.write(self._key(key), data)

    def put_if_match(self, key: str, data: bytes, etag: str) -> str:
        """See `Store`. Uses If-Match and If-None-Match, or a claim where the store ignores them.

        The store is probed once, before the first such write.
        """
        if self.conditional_writes.are_honoured:
            return self._write_on_condition(key, data, etag)
        return self._write_with_a_claim(key, data, etag)

    @property
    def conditional_writes(self) -> ConditionalWrites:
        """How the store treats conditional writes.

        Raises:
            StoreError: It cannot be written to.
        """
        with _as_store_error():
            return self._habit.found

    def _write_on_condition(self, key: str, data: bytes, expected_etag: str) -> str:
        object_key, habit = self._key(key), self.conditional_writes
        for attempt in range(CONFLICT_ATTEMPTS):
            if self.etag(key) != expected_etag:
                raise superseded(self.where(key))
            self._require_permission()
            try:
                return self._objects.write(object_key, data, habit.if_match(expected_etag))
            except ObjectRequestFailed as error:
                failure = error
            # The cause may be this very write, sent again after its response was lost.
            if failure.status is not None and self.read(key) == data:
                return self.etag(key)
            if not isinstance(failure, PreconditionFailed):
                if failure.status is not None and self.etag(key) != expected_etag:
                    raise superseded(self.where(key))
                raise StoreError(str(failure))
            wait_before_retry(attempt)
        if self.etag(key) != expected_etag:
            raise superseded(self.where(key))
        raise StoreError(
            f"cannot write {self.where(key)}: the store refused it {CONFLICT_ATTEMPTS} times "
            f"(status {failure.status}), although nothing there has changed; run it again, and if "
            "the error stays, keep results on another store, or in a folder"
        )

    def _write_with_a_claim(self, key: str, data: bytes, expected_etag: str) -> str:
        folder = self._key(f"{_SCRATCH}/claims/{sha256(key.encode()).hexdigest()}")
        claim = Claim(self._objects, folder, self.where(key))
        with _as_store_error():
            while not claim.acquire():
                if self.etag(key) != expected_etag:
                    raise superseded(self.where(key))
            with claim:
                if self.etag(key) != expected_etag:
                    raise superseded(self.where(key))
                self._require_permission()
                claim.require_time()
                etag = self._objects.write(self._key(key), data)
                claim.require_held()
                return etag

    def publish_file(self, key: str, file: Path, digest: str | None = None) -> None:
        """See `Store`. The write is unconditional.

        A file is named for its content, so another run writes the same bytes there.
        """
        object_key = self._key(key)
        with _as_store_error():
            metadata = self._objects.head(object_key) if digest else None
            if metadata is None or (metadata.size, metadata.digest) != (
                file.stat().st_size,
                digest,
            ):
                self._objects.write_file(object_key, file, digest)

    def remove_key(self, key: str) -> None:
        with _as_store_error():
            self._objects.remove(self._key(key))

    def drafts(self, name: str) -> Path | None:
        """See `Store`. Another machine cannot read it, and lists unpublished keys again."""
        folder = Path(tempfile.gettempdir()) / f"inventory-drafts-{os.getuid()}"
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            is_ours = folder.lstat().st_uid == os.getuid() and not folder.is_symlink()
        except OSError:
            return None
        here = f"{self._objects.bucket_config.endpoint_url} {self.where('x')}"
        return folder / sha256(here.encode()).hexdigest()[:16] / name if is_ours else None

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """See `Store`. The folder is in TMPDIR."""
        with ExitStack() as stack:
            try:
                folder = stack.enter_context(self._space.folder())
            except OSError as error:
                raise StoreError(
                    f"cannot write to the folder for temporary files: {error}; name another in "
                    "TMPDIR"
                ) from error
            yield folder

    def _key(self, key: str) -> str:
        if ".." in key.split("/"):
            raise StoreError(f"the key {key!r} leads out of the store at {self._objects.url('')}")
        return self._destination.key(key.strip("/"))


class _ConditionalWriteHabit:
    """How a bucket treats conditional writes; probed by the first thread that asks."""

    def __init__(self, objects: ObjectClient, folder: str) -> None:
        self._objects = objects
        self._folder = folder
        self._lock = Lock()
        self._found: ConditionalWrites | None = None

    @property
    def found(self) -> ConditionalWrites:
        with self._lock:
            if self._found is None:
                self._found = probe_conditional_writes(self._objects, self._folder)
            return self._found


@contextmanager
def _as_store_error() -> Iterator[None]:
    try:
        yield
    except S3Error as error:
        raise StoreError(str(error)) from None


class _Ranges:
    """Reads ranges of an object; an error if other content replaced the object meanwhile.

    A concurrent run may upload the same file again while it is read, and some stores then change
    its ETag. This is not an error: the SHA-256 in the metadata is still the same.
    """

    def __init__(self, objects: ObjectClient, key: str, metadata: ObjectMetadata) -> None:
        self._objects = objects
        self._key = key
        self._metadata = metadata

    def __call__(self, start: int, stop: int) -> bytes:
        with _as_store_error():
            try:
                return self._objects.read_range(self._key, self._metadata.etag, start, stop)
            except PreconditionFailed:
                found = self._objects.head(self._key)
                if found is None or not found.digest or found.digest != self._metadata.digest:
                    raise
                self._metadata = found
                return self._objects.read_range(self._key, found.etag, start, stop)


class _RangedFile(io.RawIOBase):
    """An object as a file, read in ranges of at least the read-ahead size.

    Args:
        read: Returns the bytes from one position up to another.
        size: The size of the object in bytes.
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
