"""Copying one file of a store: as it is, or, if it names places, as it reads at the destination."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import Lock

from inventory_assets.inventory.errors import StoreError
from inventory_assets.inventory.migration.file_table import FileTable
from inventory_assets.inventory.migration.relocation import Relocation, key_in_store
from inventory_assets.inventory.migration.stages import kind_of, sha256_in
from inventory_assets.inventory.retention.references import RECORD_TYPES
from inventory_assets.inventory.storage.layout import FileKind
from inventory_assets.inventory.storage.store import Store, StoredFile

DATA_STAGE = 0
"""The stage of the files that records name."""

_CHUNK_BYTES = 4 * 2**20
_EXAMPLES = 3


@dataclass(slots=True)
class MigrationProgress:
    """What a migration has done so far.

    Attributes:
        copied: Files that were copied.
        bytes: Their bytes.
        present: Files that were there already, and equal.
        gone: Files that were removed from the source meanwhile.
        missing: Data files that records of the source name, and that the source does not have.
        examples: The keys of the first of them.
    """

    copied: int = 0
    bytes: int = 0
    present: int = 0
    gone: int = 0
    missing: int = 0
    examples: list[str] = field(default_factory=list)

    @property
    def files(self) -> int:
        """The files that are done."""
        return self.copied + self.present + self.gone


class FileCopier:
    """Copies the files of a store to another one; threads may share it.

    Args:
        source: The store that is read.
        destination: The store that is written.
        files: The files to copy; those that turn out to be needed are added.

    Attributes:
        progress: What was done so far.
    """

    def __init__(self, source: Store, destination: Store, files: FileTable) -> None:
        self._source, self._destination = source, destination
        self._files = files
        self._relocation = Relocation(source, destination)
        self._lock = Lock()
        self.progress = MigrationProgress()

    def copy(
        self, file: StoredFile, there: int | None, report: Callable[[MigrationProgress], None]
    ) -> None:
        """Copy a file, unless it is there and equal.

        Args:
            file: The file.
            there: The size of the file of that name at the destination; None if there is none.
            report: Is called with the progress afterwards.

        Raises:
            StoreError: The file is damaged, could not be copied, or the destination is in use.
        """
        kind = kind_of(file.key)
        if kind in _BY_VALUE:
            outcome = self._copy_record(kind, file.key)
        else:
            outcome = self._copy_file(file, there)
        with self._lock:
            progress = self.progress
            if outcome is None:
                progress.gone += 1
            elif outcome:
                progress.copied += 1
                progress.bytes += file.size
            else:
                progress.present += 1
            report(progress)

    def _copy_record(self, kind: FileKind, key: str) -> bool | None:
        """Copy a record; whether it was copied, None if it is gone."""
        data = self._source.read(key)
        if data is None:
            return None
        self._copy_named_files(kind, key, data)
        data = self._relocation.relocated(kind, key, data)
        present = self._destination.read(key)
        if present == data:
            return False
        if present is not None and _is_newer(kind, present, data):
            raise destination_in_use(self._source, self._destination, key)
        self._destination.publish(key, data)
        return True

    def _copy_named_files(self, kind: FileKind, key: str, data: bytes) -> None:
        """Copy the files that a record names, if they were published since the plan was made."""
        file_type = RECORD_TYPES.get(kind)
        if file_type is None:
            return
        try:
            named = [key_in_store(key, each) for each in file_type.references_in(data).keys]
        except ValueError:  # it is damaged, and copied as it is
            return
        for each in named:
            if not self._files.has(each):
                size = self._source.size(each)
                if size is not None:
                    self._copy_file(StoredFile(each, size), self._destination.size(each))
                    self._files.add([(DATA_STAGE, StoredFile(each, size))])
                elif self._destination.size(each) is None:
                    self._note_missing(each)

    def _note_missing(self, key: str) -> None:
        with self._lock:
            self.progress.missing += 1
            if len(self.progress.examples) < _EXAMPLES:
                self.progress.examples.append(key)

    def _copy_file(self, file: StoredFile, there: int | None) -> bool | None:
        """Copy a file, or not if it is there and equal; None if it is gone."""
        digest = sha256_in(file.key)
        if there == file.size and digest:
            return False
        with self._destination.scratch() as folder:
            path = folder / "copied"
            found = _download(self._source, file.key, path)
            if found is None:
                return None
            if digest and found != digest:
                raise StoreError(
                    f"{self._source.where(file.key)} is damaged: its content has the SHA-256 "
                    f"{found}, not that of its name; list the dates that need it again, or remove "
                    "it from the source, then migrate again"
                )
            if there == file.size and found == _digest(self._destination, file.key):
                return False
            self._destination.publish_file(file.key, path, digest)
        return True


def destination_in_use(source: Store, destination: Store, key: str) -> StoreError:
    """The error for a file of the destination that a run has written there."""
    return StoreError(
        f"{destination.where(key)} is not from {source.where('')}: the destination "
        "is in use already, and was not changed further; if the migration is to be done again, "
        "remove the folder of the source there first"
    )


_BY_VALUE = frozenset(
    (
        *RECORD_TYPES,
        FileKind.CHECKSUM,
        FileKind.DISCOVERY,
        FileKind.LONG_PREFIX,
        FileKind.RETIREMENT,
        FileKind.SHARD_RUN,
        FileKind.DATE_RUN,
        FileKind.HYGIENE,
        FileKind.LIFECYCLE,
    )
)
"""Kinds of records, which are small enough to be compared in memory."""


def _is_newer(kind: FileKind, present: bytes, data: bytes) -> bool:
    """Whether the record that is there was written after the one to copy."""
    file_type = RECORD_TYPES.get(kind)
    if file_type is None:
        return False
    try:
        times = [file_type.references_in(each).written_at for each in (present, data)]
    except ValueError:
        return False
    return times[0] is not None and times[1] is not None and times[0] > times[1]


def _download(store: Store, key: str, path: Path) -> str | None:
    """Write a file of a store to a path; its SHA-256, None if it is gone."""
    with path.open("wb") as target:
        return _digest(store, key, target.write)


def _digest(store: Store, key: str, write: Callable[[bytes], object] = len) -> str | None:
    """The SHA-256 of a file of a store; None if there is none."""
    opened = store.open(key)
    if opened is None:
        return None
    digest = hashlib.sha256()
    with opened as file:
        for chunk in iter(partial(file.read, _CHUNK_BYTES), b""):
            digest.update(chunk)
            write(chunk)
    return digest.hexdigest()
