"""Read which data files the records of a source name."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from inventory_assets.inventory.changes.change_log import CHANGE_LOG, CHANGE_LOG_SYMLINK
from inventory_assets.inventory.changes.shard_changes import CHANGES
from inventory_assets.inventory.errors import OtherFormat
from inventory_assets.inventory.gate.held_date import HELD
from inventory_assets.inventory.listing.checkpoint_record import CHECKPOINT
from inventory_assets.inventory.listing.shared_work import SHARED_LISTING, SHARED_RANGE
from inventory_assets.inventory.manifest.manifest import MANIFEST, SUPERSEDED
from inventory_assets.inventory.manifest.s3_inventory_format import S3_MANIFEST, SYMLINK
from inventory_assets.inventory.manifest.snapshot import SNAPSHOT
from inventory_assets.inventory.metadata.shard_metadata import METADATA
from inventory_assets.inventory.storage.layout import FileKind, Layout
from inventory_assets.inventory.storage.record_type import FileType
from inventory_assets.inventory.storage.store import Store
from inventory_assets.inventory.usage.date_usage import USAGE

RECORD_TYPES: dict[FileKind, FileType] = {
    each.kind: each
    for each in (
        MANIFEST,
        S3_MANIFEST,
        SYMLINK,
        SUPERSEDED,
        HELD,
        SNAPSHOT,
        CHANGES,
        CHANGE_LOG,
        CHANGE_LOG_SYMLINK,
        CHECKPOINT,
        USAGE,
        METADATA,
        SHARED_LISTING,
        SHARED_RANGE,
    )
}
RECORD_TYPES[FileKind.SHARED_CHECKPOINT] = CHECKPOINT


@dataclass(frozen=True, slots=True)
class References:
    """The data files that a record names.

    Attributes:
        names: The names of the data files, ascending, without folder: the name of a data file is a
            hash of its content.
        written_at: When the record was written; None if it does not say.
    """

    names: tuple[str, ...]
    written_at: datetime | None = None


class NamePool:
    """Names of data files, each held in memory only once.

    Dates share files, and several records of a date name the same files. Threads may share a pool.
    """

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._tuples: dict[tuple[str, ...], tuple[str, ...]] = {}

    def of(self, keys: Iterable[str]) -> tuple[str, ...]:
        """The names of files, ascending; equal tuples are one object."""
        found = sorted({key.rpartition("/")[2] for key in keys})
        names = tuple(self._names.setdefault(name, name) for name in found)
        return self._tuples.setdefault(names, names)


def read_references(store: Store, key: str, kind: FileKind, pool: NamePool) -> References:
    """Read which data files a record names; none if it is missing or of a kind that names none.

    Args:
        store: The store with the record.
        key: The key of the file.
        kind: Its kind.
        pool: Holds the names of all records that are read.

    Raises:
        CorruptRecord: The record cannot be read, so the files that it names are unknown.
        OtherFormat: It has a format that this version does not read.
    """
    file_type = RECORD_TYPES.get(kind)
    data = store.read(key) if file_type else None
    if file_type is None or data is None:
        return References(())
    file_type.require_known_format(store, key, data)
    try:
        found = file_type.references_in(data)
    except ValueError:
        raise file_type.unreadable(
            store,
            key,
            ", so the files that it needs are unknown and nothing is removed",
            "; or remove the record if its date is not needed any more",
        ) from None
    return References(pool.of(found.keys), found.written_at)


def require_known_kind(store: Store, layout: Layout, key: str) -> None:
    """Check that a file of no known kind is no record, which may name data files.

    Args:
        store: The store with the file.
        layout: The layout of the source.
        key: The key of the file.

    Raises:
        OtherFormat: It may be a record of a newer version.
    """
    if key.endswith(".json") and not key.startswith(layout.iceberg("")):
        raise OtherFormat(
            f"{store.where(key)} is of no kind that this version of inventory-assets knows: a "
            "newer version may have written it, so the files that it needs are unknown; upgrade "
            "inventory-assets, or move the file elsewhere if it is your own"
        )
