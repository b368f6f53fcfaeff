"""Where results are kept: a folder of this machine, or a bucket (`bucket_store.py`).

A key is a relative path with `/`. What is published appears whole or not at all.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from inventory_assets.inventory.storage.destination import Destination

NO_ETAG = ""
"""The version of what was not published."""


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file of a store.

    Attributes:
        key: Where it lies.
        size: Its bytes.
    """

    key: str
    size: int


class Store(ABC):
    """Results by key; every method raises `StoreError` where the store cannot be used."""

    @property
    @abstractmethod
    def destination(self) -> Destination:
        """Where readers of S3 Inventory look for what is published here."""

    @abstractmethod
    def where(self, key: str) -> str:
        """Where `key` lies, or would lie, as people and metadata name it."""

    @abstractmethod
    def uri(self, key: str) -> str:
        """The address of `key` for readers outside; as Hadoop has it, nothing is escaped in it."""

    @abstractmethod
    def read(self, key: str) -> bytes | None:
        """The bytes of `key`, or None where nothing was published."""

    @abstractmethod
    def open(self, key: str) -> pa.NativeFile | None:
        """The file of `key`, to be read at any place in it, or None where nothing was published."""

    @abstractmethod
    def size(self, key: str) -> int | None:
        """How many bytes `key` has, or None where nothing was published."""

    @abstractmethod
    def etag(self, key: str) -> str:
        """What tells the content of `key` from any other; `NO_ETAG` where nothing was published."""

    @abstractmethod
    def list_names(self, folder: str) -> list[str]:
        """The names right under a folder, in order; none where nothing was published there."""

    @abstractmethod
    def files(self, folder: str) -> Iterator[StoredFile]:
        """All files in a folder and in those within it, in no order that could be relied upon.

        What is published or removed meanwhile may be among them or not.
        """

    @abstractmethod
    def publish(self, key: str, data: bytes) -> None:
        """Make `data` the content of `key`, replacing what was there."""

    @abstractmethod
    def put_if_match(self, key: str, data: bytes, etag: str) -> str:
        """Make `data` the content of `key`, if what is there is still at `etag`.

        Returns:
            The version of `data`.

        Raises:
            ConflictError: It is not; nothing was written.
        """

    @abstractmethod
    def publish_file(self, key: str, file: Path, digest: str | None = None) -> None:
        """Make a file from `scratch` the content of `key`, replacing what was there.

        Args:
            key: Where to.
            file: What; it may be gone afterwards.
            digest: The SHA-256 of the file, where `key` is named for it: what is there with this
                digest needs no second copy.
        """

    @abstractmethod
    def remove_key(self, key: str) -> None:
        """Remove `key`, if it is there."""

    def remove_folder(self, folder: str) -> None:  # noqa: B027 - a bucket has none
        """Remove a folder that has become empty, where the store has folders of their own."""

    def drafts(self, name: str) -> Path | None:  # noqa: ARG002 - others have no such place
        """A folder of this machine that outlives this process; None where there is none.

        Args:
            name: Of what it is for; it may not be there yet.
        """
        return None

    @abstractmethod
    def scratch(self) -> AbstractContextManager[Path]:
        """A new folder for files that are to be published, gone with the block."""
