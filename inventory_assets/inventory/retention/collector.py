"""Remove expired dates, and the files that no record names (docs/retention.md).

A collection is planned first, which changes nothing, and then executed, one removal after the
other. If it is interrupted, the remaining files are consistent, and the next collection continues.
"""

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import partial

from inventory_assets.inventory.errors import ConflictError
from inventory_assets.inventory.listing.checkpoint_record import listing_of
from inventory_assets.inventory.listing.shared_work import SHARED_KINDS
from inventory_assets.inventory.listing.source_record import SOURCE
from inventory_assets.inventory.manifest.manifest_merge import read_manifest
from inventory_assets.inventory.retention.policy import DateState, Retention, dates_kept
from inventory_assets.inventory.retention.references import (
    NamePool,
    References,
    read_references,
    require_known_kind,
)
from inventory_assets.inventory.retention.shared_leftovers import shared_leftovers
from inventory_assets.inventory.retention.tombstone_state import (
    CONFIRMED,
    FOUND,
    NO_STATE,
    REMOVED,
    TombstoneState,
    read_state,
    write_state,
)
from inventory_assets.inventory.storage.layout import (
    FileKind,
    Layout,
    folder_of,
    parse_path,
    path_in_source,
)
from inventory_assets.inventory.storage.parallel_reads import read_each
from inventory_assets.inventory.storage.store import Store, StoredFile
from inventory_assets.inventory.storage.tombstones import marked_key, tombstone_key

LOG = logging.getLogger(__name__)

GRACE = timedelta(hours=47)
"""How long a run may use a file that no record names yet. It is an hour less than two days, so that
the start of daily collections may vary. A date counts as in progress for the same time after its
last record."""

SUPERSEDED_KEPT = timedelta(days=7)
"""How long an inventory is kept after it was merged, if its date was published again since. Until
then, an asset downstream that has read it can continue with what differs from it."""

# The file that is published last is removed first: readers start from it.
_ORDER = (
    (FileKind.REPORT, False),
    (FileKind.HYGIENE, False),
    (FileKind.LIFECYCLE, False),
    (FileKind.EXPORT, False),
    (FileKind.USAGE, False),
    (FileKind.DATE_RUN, False),
    (FileKind.METADATA, False),
    (FileKind.CHECKSUM, True),
    (FileKind.SYMLINK, True),
    (FileKind.S3_MANIFEST, True),
    (FileKind.CHANGE_LOG_SYMLINK, False),
    (FileKind.CHANGE_LOG, False),
    (FileKind.CHECKSUM, False),
    (FileKind.S3_MANIFEST, False),
    (FileKind.SYMLINK, False),
    (FileKind.MANIFEST, False),
    (FileKind.HELD, False),
    (FileKind.SUPERSEDED, False),
    (FileKind.CHANGES, False),
    (FileKind.SHARD_RUN, False),
    (FileKind.SNAPSHOT, False),
    (FileKind.CHECKPOINT, False),
    *((kind, False) for kind in SHARED_KINDS),
)
"""Kinds of files, and whether they are of the inventory in CSV."""

_DATA = (
    FileKind.DATA,
    FileKind.CHANGED_RECORDS,
    FileKind.USAGE_DATA,
    FileKind.PART_USAGE,
    FileKind.PART_FINDINGS,
    FileKind.METADATA_DATA,
    # No record names the answers of an unfinished run: they are removed if no run continues it.
    FileKind.FETCHED_METADATA,
)
"""Kinds of files that are needed while a record names a file with the same name. What is computed
of a part has the name of the part."""


@dataclass(frozen=True, slots=True)
class ExpiredDate:
    """A date that is removed.

    Attributes:
        day: The date.
        files: Its files in the order of their removal, without data files.
    """

    day: date
    files: tuple[StoredFile, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """The removals and tombstones of a collection.

    Attributes:
        kept: The dates that are kept.
        expired: The dates that are removed, oldest first.
        abandoned: Checkpoints of listings that no run continues, and old superseded inventories.
        removable: Data files that no record names and no run can be using.
        waiting: Data files that no record names, but a run may be using.
        needed: The number of data files that remaining records name.
        tombstone_updates: The tombstones to write: by the key of the file, the state and the ETag
            of the tombstone that is replaced.
        tombstones_to_clear: The keys of the tombstones to remove.
    """

    kept: tuple[date, ...]
    expired: tuple[ExpiredDate, ...]
    abandoned: tuple[StoredFile, ...]
    removable: tuple[StoredFile, ...]
    waiting: tuple[StoredFile, ...]
    needed: int
    tombstone_updates: Mapping[str, tuple[str, str]]
    tombstones_to_clear: tuple[str, ...]

    @property
    def removed(self) -> tuple[StoredFile, ...]:
        """All files that are removed, in the order of their removal."""
        of_dates = [file for each in self.expired for file in each.files]
        return (*of_dates, *self.abandoned, *self.removable)

    @property
    def bytes(self) -> int:
        """The total size of these files, in bytes."""
        return sum(file.size for file in self.removed)


def plan_collection(
    store: Store, layout: Layout, retention: Retention, today: date, now: datetime
) -> Plan:
    """Scan all files of a source in the store and plan a collection; nothing is changed.

    Each record is read once. Memory holds the names of all files and, for each record, the names of
    its data files; equal names are held once (`NamePool`).

    Args:
        store: The store with the results.
        layout: The layout of the source.
        retention: Which dates are kept.
        today: The date in the time zone of the source.
        now: The time.

    Raises:
        CorruptRecord: A record cannot be read, so the files that it needs are unknown.
        OtherFormat: A newer version wrote a record.
        StoreError: The store cannot be used.
    """
    scan = _StoreScan(store, layout, now)
    kept = dates_kept(retention, today, scan.states(with_manifests=bool(retention)))
    expired = tuple(
        ExpiredDate(day, tuple(sorted(files, key=scan.rank)))
        for day, files in sorted(scan.dated.items())
        if day not in kept
    )
    abandoned = tuple(scan.abandoned(kept))
    removed = {file.key for each in expired for file in each.files}
    removed |= {file.key for file in abandoned}
    names = {
        name
        for key, references in scan.references.items()
        if key not in removed
        for name in references.names
    }
    return _with_data(scan, names, tuple(sorted(kept)), expired, abandoned)


def execute(
    store: Store,
    plan: Plan,
    now: Callable[[], datetime],
) -> None:
    """Execute a plan.

    Args:
        store: The store that was scanned for the plan.
        plan: The plan; not older than `GRACE`.
        now: The clock.

    Raises:
        StoreError: A file could not be removed; the next collection continues.
    """
    for tombstone in plan.tombstones_to_clear:
        store.remove_key(tombstone)
    for each in plan.expired:
        LOG.info("removing %s: %s files", each.day, f"{len(each.files):,}")
        for file in each.files:
            _remove(store, file)
    for file in plan.abandoned:
        LOG.info("removing %s, which no run reads any more", file.key)
        _remove(store, file)
    for file in plan.removable:
        LOG.info("removing %s, which no record names", file.key)
        store.remove_key(file.key)
    for key, (state, etag) in plan.tombstone_updates.items():
        # A tombstone that was removed in the meantime must not come back.
        with suppress(ConflictError):
            write_state(store, key, state, now(), etag)


class _StoreScan:
    """All files of a source in the store.

    Attributes:
        dated: The files of each date, without data files.
        data: The data files, by key.
        tombstones: The tombstones, by the keys of their files.
        references: The data files that each record names, by its key.
    """

    def __init__(self, store: Store, layout: Layout, now: datetime) -> None:
        self.store, self.layout, self.now = store, layout, now
        self.dated: dict[date, list[StoredFile]] = defaultdict(list)
        self.data: dict[str, StoredFile] = {}
        self._kinds: dict[str, tuple[FileKind, bool]] = {}
        self._names = NamePool()
        marked_keys: list[str] = []
        for base in (layout.base, layout.csv.base):
            for file in store.files(base):
                marked_file = marked_key(file.key)
                path = parse_path(path_in_source(marked_file or file.key))
                if path is None:
                    if not marked_file:
                        require_known_kind(store, layout, file.key)
                    continue
                if path.kind is FileKind.SOURCE and not marked_file:
                    SOURCE.require_known_format(store, file.key, store.read(file.key) or b"")
                rank = path.kind, base != layout.base
                if path.kind in _DATA:
                    if marked_file:
                        marked_keys.append(marked_file)
                    else:
                        self.data[file.key] = file
                elif not marked_file and path.day and rank in _ORDER:
                    self.dated[path.day].append(file)
                    self._kinds[file.key] = rank
        references = read_each(self._references_of, list(self._kinds))
        self.references: dict[str, References] = dict(zip(self._kinds, references, strict=True))
        read = zip(marked_keys, read_each(partial(read_state, store), marked_keys), strict=True)
        self.tombstones = {key: tombstone for key, tombstone in read if tombstone}

    def _references_of(self, key: str) -> References:
        return read_references(self.store, key, self._kinds[key][0], self._names)

    def rank(self, file: StoredFile) -> tuple[int, str]:
        """The place of a file in the order of removal of its date."""
        return _ORDER.index(self._kinds[file.key]), file.key

    def states(self, *, with_manifests: bool) -> dict[date, DateState]:
        """The state of each date; without manifests no date counts as complete."""
        days = list(self.dated)
        complete: set[date] = set()
        if with_manifests:
            found = zip(days, read_each(self._has_manifest, days), strict=True)
            complete = {day for day, has_manifest in found if has_manifest}
        return {day: DateState(day in complete, self._is_in_progress(day)) for day in days}

    def _has_manifest(self, day: date) -> bool:
        return read_manifest(self.store, self.layout, day) is not None

    def _is_in_progress(self, day: date) -> bool:
        return any(self._is_recent(file) for file in self.dated[day])

    def _is_recent(self, file: StoredFile, age: timedelta = GRACE) -> bool:
        written_at = self.references[file.key].written_at
        return written_at is not None and written_at > self.now - age

    def abandoned(self, days: Iterable[date]) -> list[StoredFile]:
        """The checkpoints of listings that wrote none recently, which no run continues.

        Also what shared listings have left behind, and the inventories that were superseded, and
        are older than `SUPERSEDED_KEPT`.
        """
        listings: dict[str, list[StoredFile]] = defaultdict(list)
        superseded = []
        for file in (file for day in sorted(days) for file in self.dated[day]):
            kind, _ = self._kinds[file.key]
            if kind is FileKind.CHECKPOINT:
                listings[listing_of(file.key)].append(file)
            elif kind is FileKind.SUPERSEDED and not self._is_recent(file, SUPERSEDED_KEPT):
                superseded.append(file)
        checkpoints = [
            file
            for files in listings.values()
            if not any(map(self._is_recent, files))
            for file in files
        ]
        leftovers = [
            file
            for day in days
            for file in shared_leftovers(
                self.store,
                self.layout.shared_work(day),
                [each for each in self.dated[day] if self._kinds[each.key][0] in SHARED_KINDS],
                self._is_recent,
            )
        ]
        return checkpoints + superseded + leftovers

    def is_old(self, tombstone: TombstoneState) -> bool:
        """Whether all runs that used the file before its tombstone have published their records."""
        return self.now - tombstone.since >= GRACE


def _with_data(
    scan: _StoreScan,
    names: set[str],
    kept: tuple[date, ...],
    expired: tuple[ExpiredDate, ...],
    abandoned: tuple[StoredFile, ...],
) -> Plan:
    """Complete the plan from the names of the data files that are needed."""
    removable, waiting, to_clear = [], [], []
    updates: dict[str, tuple[str, str]] = {}
    needed = 0
    for key, file in sorted(scan.data.items()):
        tombstone = scan.tombstones.get(key, NO_STATE)
        is_old = scan.is_old(tombstone)
        if key.rpartition("/")[2] in names:
            needed += 1
            to_clear += [tombstone_key(key)] if key in scan.tombstones else []
        elif tombstone.state == CONFIRMED and is_old:
            removable.append(file)
            updates[key] = REMOVED, tombstone.etag
        else:
            waiting.append(file)
            if tombstone.state not in (FOUND, CONFIRMED):
                updates[key] = FOUND, tombstone.etag
            elif tombstone.state == FOUND and is_old:
                updates[key] = CONFIRMED, tombstone.etag
    # The tombstone of a removed file stays for a while: another collection, planned earlier, may
    # still remove a file with this name.
    for key in sorted(scan.tombstones.keys() - scan.data.keys()):
        tombstone = scan.tombstones[key]
        if tombstone.state != REMOVED:
            updates[key] = REMOVED, tombstone.etag
        elif scan.is_old(tombstone):
            to_clear.append(tombstone_key(key))
    return Plan(
        kept, expired, abandoned, tuple(removable), tuple(waiting), needed, updates, tuple(to_clear)
    )


def _remove(store: Store, file: StoredFile) -> None:
    store.remove_key(file.key)
    store.remove_folder(folder_of(file.key))
