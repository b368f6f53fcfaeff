"""The interface of storage: a folder (`local_store.py`) or a bucket (`bucket_store.py`).

A key is a relative path with `/`. A published file appears completely or not at all.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from inventory_assets.inventory.storage.destination import Destination

NO_ETAG = ""
"""The ETag of a key that has no content."""

Permission = Callable[[], None]
"""Called before a record is written; it raises `StoreError` if that is not permitted any more."""


def always_permitted() -> None:
    """Permit every write."""


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file of a store.

    Attributes:
        key: Its key.
        size: Its size in bytes.
    """

    key: str
    size: int


class Store(ABC):
    """Results by key. Every method raises `StoreError` where the store cannot be used."""

    @property
    @abstractmethod
    def destination(self) -> Destination:
        """Where readers of S3 Inventory find the files that are published here."""

    @abstractmethod
    def where(self, key: str) -> str:
        """The place of `key` for messages and metadata, whether or not it is there."""

    @abstractmethod
    def uri(self, key: str) -> str:
        """The URI of `key` for external readers. As in Hadoop, no character is escaped."""

    @abstractmethod
    def read(self, key: str) -> bytes | None:
        """The content of `key`, or None where there is none."""

    @abstractmethod
    def open(self, key: str) -> pa.NativeFile | None:
        """The file of `key` for random access, or None where there is none."""

    @abstractmethod
    def size(self, key: str) -> int | None:
        """The size of `key` in bytes, or None where there is none."""

    @abstractmethod
    def etag(self, key: str) -> str:
        """A token that differs for different content of `key`; `NO_ETAG` where there is none."""

    @abstractmethod
    def list_names(self, folder: str) -> list[str]:
        """The names directly in a folder, in order; none where the folder does not exist."""

    @abstractmethod
    def files(self, folder: str) -> Iterator[StoredFile]:
        """All files in a folder and its subfolders, in no particular order.

        Files that are published or removed meanwhile may be among them or not.
        """

    @abstractmethod
    def publish(self, key: str, data: bytes) -> None:
        """Make `data` the content of `key`, replacing earlier content."""

    @abstractmethod
    def put_if_match(self, key: str, data: bytes, etag: str) -> str:
        """Make `data` the content of `key`, if the present ETag is still `etag`.

        Returns:
            The ETag of `data`.

        Raises:
            ConflictError: It has changed. Nothing was written.
        """

    @abstractmethod
    def publish_file(self, key: str, file: Path, digest: str | None = None) -> None:
        """Make a file from `scratch` the content of `key`, replacing earlier content.

        Args:
            key: The key.
            file: The file; it may be gone afterwards.
            digest: The SHA-256 of the file, if `key` contains it. Then an equal file that is there
                already is not written again.
        """

    @abstractmethod
    def remove_key(self, key: str) -> None:
        """Remove `key`, if it exists."""

    def remove_folder(self, folder: str) -> None:  # noqa: B027 - a bucket has no folders
        """Remove an empty folder, where the store has real folders."""

    def drafts(self, name: str) -> Path | None:  # noqa: ARG002 - used by subclasses
        """A folder of this machine that outlives this process; None where there is none.

        Args:
            name: The name of its purpose. The folder may not exist yet.
        """
        return None

    @abstractmethod
    def scratch(self) -> AbstractContextManager[Path]:
        """A new folder for files that will be published; it is removed at the end of the block."""
