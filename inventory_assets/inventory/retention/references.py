"""What the records of a source are, which date each belongs to, and which files it names."""

import re
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum
from functools import cache
from typing import Any, TypeVar

from pydantic import AwareDatetime, TypeAdapter, ValidationError

from inventory_assets.inventory.changes import shard_changes
from inventory_assets.inventory.errors import CorruptRecord
from inventory_assets.inventory.manifest import snapshot
from inventory_assets.inventory.storage.store import Store


class Kind(StrEnum):
    """What a file in the folder of a source is; the values say it to users."""

    MANIFEST = "inventory.json"
    S3_MANIFEST = "manifest of S3 Inventory"
    CHECKSUM = "manifest.checksum"
    SYMLINK = "list of data files"
    SNAPSHOT = "snapshot"
    CHANGES = "record of changes"
    CHANGE_LOG = "change log"
    CHANGE_LOG_SYMLINK = "list of a change log's files"
    CHECKPOINT = "checkpoint of an unfinished listing"
    EXPORT = "export"
    DATA = "data file"
    MARK = "mark"


_DAY = r"(?P<day>\d{4}-\d\d-\d\d)"
_PATHS = {
    Kind.MANIFEST: rf"{_DAY}T00-00Z/inventory\.json",
    Kind.S3_MANIFEST: rf"{_DAY}T00-00Z/manifest\.json",
    Kind.CHECKSUM: rf"{_DAY}T00-00Z/manifest\.checksum",
    Kind.SYMLINK: rf"hive/dt={_DAY}-00-00/symlink\.txt",
    Kind.SNAPSHOT: rf"snapshots/dt={_DAY}/[^/]+\.json",
    Kind.CHANGE_LOG: rf"changes/dt={_DAY}/change_log\.json",
    Kind.CHANGES: rf"changes/dt={_DAY}/[^/]+\.json",
    Kind.CHANGE_LOG_SYMLINK: rf"changes/hive/dt={_DAY}-00-00/symlink\.txt",
    Kind.CHECKPOINT: rf"checkpoints/dt={_DAY}/[^/]+\.json",
    Kind.EXPORT: rf"exports/dt={_DAY}/[^/]+",
    Kind.DATA: r"(changes/)?data/[^/]+",
    Kind.MARK: r"tombstones/(changes/)?data/[^/]+",
}
"""Where in the folder of a source each kind lies (`Layout`); the first that fits."""


def classify_path(path: str) -> tuple[Kind, date | None] | None:
    """What a file is, and of which date.

    Args:
        path: Its key, from the folder of its source on.

    Returns:
        None for what is none of these: it belongs to no date, and names nothing.
    """
    for kind, pattern in _PATHS.items():
        found = re.fullmatch(pattern, path, re.DOTALL)
        if found:
            try:
                day = found.groupdict().get("day")
                return kind, date.fromisoformat(day) if day else None
            except ValueError:
                return None
    return None


@dataclass(frozen=True, slots=True)
class References:
    """What a record tells of other files.

    Attributes:
        names: The names of the data files that it names, ascending; each is named for its content.
        written_at: When it was made, as far as it says so.
    """

    names: tuple[str, ...]
    written_at: datetime | None = None


class Names:
    """Names of data files, each held once however many records name it.

    Dates share files, and several records of a date name the same ones. Threads may share it.
    """

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._tuples: dict[tuple[str, ...], tuple[str, ...]] = {}

    def of(self, keys: Iterable[str]) -> tuple[str, ...]:
        """The names of files, ascending; equal ones are one tuple."""
        found = sorted({key.rpartition("/")[2] for key in keys})
        names = tuple(self._names.setdefault(name, name) for name in found)
        return self._tuples.setdefault(names, names)


def read_references(store: Store, key: str, kind: Kind, names: Names) -> References:
    """What a record names; nothing where it is gone.

    Args:
        store: Where.
        key: The record's.
        kind: What it is.
        names: Holds the names, for all records that are looked at.

    Raises:
        CorruptRecord: It cannot be read, so what it names is not known.
    """
    read = _READERS.get(kind)
    data = store.read(key) if read else None
    if read is None or data is None:
        return References(())
    try:
        keys, written_at = read(data)
    except (ValidationError, ValueError, OverflowError):
        raise CorruptRecord(
            f"{store.where(key)} is no {kind} that this version can read, so which files it needs "
            f"is not known and nothing is removed; {_REMEDIES[kind]}, or remove it if its date is "
            "of no use any more"
        ) from None
    return References(names.of(keys), written_at)


# Of each record as much as is needed here: what other code adds to it changes nothing.


@dataclass(frozen=True, slots=True)
class _Part:
    key: str


@dataclass(frozen=True, slots=True)
class _Parts:
    parts: tuple[_Part, ...]


@dataclass(frozen=True, slots=True)
class _Manifest:
    format: int
    created_at: AwareDatetime
    shards: tuple[_Parts, ...]


@dataclass(frozen=True, slots=True)
class _S3Manifest:
    creationTimestamp: str  # noqa: N815 - as S3 Inventory has it
    files: tuple[_Part, ...]


@dataclass(frozen=True, slots=True)
class _Snapshot:
    format: int
    finished_at: AwareDatetime
    parts: tuple[_Part, ...]


@dataclass(frozen=True, slots=True)
class _Changes:
    format: int
    created_at: AwareDatetime
    file: str


@dataclass(frozen=True, slots=True)
class _Entry:
    file: str


@dataclass(frozen=True, slots=True)
class _ChangeLog:
    format: int
    created_at: AwareDatetime
    entries: tuple[_Entry, ...]


@dataclass(frozen=True, slots=True)
class _Checkpoint:
    written_at: AwareDatetime
    completed: tuple[_Parts, ...]


_Record = TypeVar("_Record", bound=Hashable)
_Read = tuple[list[str], datetime | None]


def _manifest(data: bytes) -> _Read:
    manifest = _validated(_Manifest, data, snapshot.FORMAT_OF_VERSIONS)
    return [part.key for shard in manifest.shards for part in shard.parts], manifest.created_at


def _s3_manifest(data: bytes) -> _Read:
    manifest = _validated(_S3Manifest, data)
    created_at = datetime.fromtimestamp(int(manifest.creationTimestamp) / 1000, UTC)
    return [file.key for file in manifest.files], created_at


def _symlink(data: bytes) -> _Read:
    return data.decode().splitlines(), None


def _snapshot(data: bytes) -> _Read:
    found = _validated(_Snapshot, data, snapshot.FORMAT_OF_VERSIONS)
    return [part.key for part in found.parts], found.finished_at


def _changes(data: bytes) -> _Read:
    found = _validated(_Changes, data, shard_changes.FORMAT)
    return [found.file], found.created_at


def _change_log(data: bytes) -> _Read:
    log = _validated(_ChangeLog, data, shard_changes.FORMAT)
    return [entry.file for entry in log.entries], log.created_at


def _checkpoint(data: bytes) -> _Read:
    checkpoint = _validated(_Checkpoint, data)
    keys = [part.key for each in checkpoint.completed for part in each.parts]
    return keys, checkpoint.written_at


_READERS: dict[Kind, Callable[[bytes], _Read]] = {
    Kind.MANIFEST: _manifest,
    Kind.S3_MANIFEST: _s3_manifest,
    Kind.SYMLINK: _symlink,
    Kind.SNAPSHOT: _snapshot,
    Kind.CHANGES: _changes,
    Kind.CHANGE_LOG: _change_log,
    Kind.CHANGE_LOG_SYMLINK: _symlink,
    Kind.CHECKPOINT: _checkpoint,
}

_REMEDIES = {
    Kind.MANIFEST: "materialize inventory_manifest for its date again",
    Kind.S3_MANIFEST: "materialize inventory_manifest, or inventory_exports, for its date again",
    Kind.SYMLINK: "materialize inventory_manifest, or inventory_exports, for its date again",
    Kind.SNAPSHOT: "materialize object_listing for its date and shard again",
    Kind.CHANGES: "materialize object_changes for its date and shard again",
    Kind.CHANGE_LOG: "materialize change_log for its date again",
    Kind.CHANGE_LOG_SYMLINK: "materialize change_log for its date again",
    Kind.CHECKPOINT: "materialize object_listing for its date and shard again",
}


def _validated(kind: type[_Record], data: bytes, newest_format: int = 0) -> _Record:
    record: _Record = _adapter(kind).validate_json(data, strict=False)
    if getattr(record, "format", 0) > newest_format:
        raise ValueError("written by newer code")
    return record


@cache
def _adapter(kind: type[Any]) -> TypeAdapter[Any]:
    return TypeAdapter(kind)
