"""A store in memory whose conditional writes may fail, before or after they arrive."""

import hashlib
from collections import deque
from collections.abc import Iterator
from contextlib import AbstractContextManager
from enum import Enum, auto
from pathlib import Path

import pyarrow as pa

from inventory_assets.inventory.errors import StoreError, superseded
from inventory_assets.inventory.storage.destination import Destination
from inventory_assets.inventory.storage.store import NO_ETAG, Store, StoredFile


class Fate(Enum):
    """What happens to a conditional write."""

    ARRIVES = auto()
    IS_LOST = auto()
    """It does not arrive."""
    RESPONSE_IS_LOST = auto()
    """It arrives, if its condition holds, but its writer does not learn that."""


class MemoryStore(Store):
    """Keeps small records.

    Attributes:
        data: Their content.
        fates: What happens to the next conditional writes; after these, all arrive.
    """

    def __init__(self) -> None:
        self.data: dict[str, bytes] = {}
        self.fates: deque[Fate] = deque()

    @property
    def destination(self) -> Destination:
        return Destination("arn:aws:s3:::memory")

    def where(self, key: str) -> str:
        return f"memory:{key}"

    def uri(self, key: str) -> str:
        return f"memory:{key}"

    def read(self, key: str) -> bytes | None:
        return self.data.get(key)

    def open(self, key: str) -> pa.NativeFile | None:
        data = self.data.get(key)
        return None if data is None else pa.BufferReader(data)

    def size(self, key: str) -> int | None:
        return len(self.data[key]) if key in self.data else None

    def etag(self, key: str) -> str:
        return hashlib.sha256(self.data[key]).hexdigest() if key in self.data else NO_ETAG

    def list_names(self, folder: str) -> list[str]:
        start = f"{folder}/" if folder else ""
        inside = (key.removeprefix(start) for key in self.data if key.startswith(start))
        return sorted({name.partition("/")[0] for name in inside})

    def files(self, folder: str) -> Iterator[StoredFile]:
        for key in [*self.data]:
            if key.startswith(f"{folder}/"):
                yield StoredFile(key, len(self.data[key]))

    def publish(self, key: str, data: bytes) -> None:
        self.data[key] = data

    def put_if_match(self, key: str, data: bytes, etag: str) -> str:
        fate = self.fates.popleft() if self.fates else Fate.ARRIVES
        if fate is Fate.IS_LOST:
            raise StoreError(f"cannot write {key}: the connection was reset")
        is_unchanged = self.etag(key) == etag
        if is_unchanged:
            self.data[key] = data
        if fate is Fate.RESPONSE_IS_LOST:
            raise StoreError(f"cannot write {key}: no response")
        if not is_unchanged:
            raise superseded(key)
        return self.etag(key)

    def publish_file(self, key: str, file: Path, digest: str | None = None) -> None:  # noqa: ARG002
        self.data[key] = file.read_bytes()

    def remove_key(self, key: str) -> None:
        self.data.pop(key, None)

    def scratch(self) -> AbstractContextManager[Path]:
        raise NotImplementedError
