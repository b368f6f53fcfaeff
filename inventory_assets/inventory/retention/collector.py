"""Remove the dates that are not to be kept, and the files that nothing needs (docs/retention.md).

A collection is planned first, which changes nothing, and then carried out, one removal after the
other: whenever that is broken off, what is left is whole, and the next one goes on.
"""

import json
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial
from uuid import uuid4

from inventory_assets.inventory.errors import ConflictError
from inventory_assets.inventory.listing.checkpoint_record import listing_of
from inventory_assets.inventory.manifest.manifest_merge import read_manifest
from inventory_assets.inventory.retention.policy import DateState, Retention, dates_kept
from inventory_assets.inventory.retention.references import (
    Kind,
    Names,
    References,
    classify_path,
    read_references,
)
from inventory_assets.inventory.storage.layout import Layout
from inventory_assets.inventory.storage.store import NO_ETAG, Store, StoredFile
from inventory_assets.inventory.storage.tombstones import tombstone_key

LOG = logging.getLogger(__name__)

GRACE = timedelta(hours=47)
"""For so long a run may have taken a file that no record names yet; two days, less what daily runs
differ by. Also how long a date counts as being worked on after its last record."""

READS_AT_ONCE = 10
"""Records read at the same time: as many connections as botocore keeps open."""

_FOUND, _CONFIRMED, _REMOVED = "found", "confirmed", "removed"

# What is published last goes first: what readers start from, before what it leads to.
_ORDER = (
    (Kind.EXPORT, False),
    (Kind.CHECKSUM, True),
    (Kind.SYMLINK, True),
    (Kind.S3_MANIFEST, True),
    (Kind.CHANGE_LOG_SYMLINK, False),
    (Kind.CHANGE_LOG, False),
    (Kind.CHECKSUM, False),
    (Kind.S3_MANIFEST, False),
    (Kind.SYMLINK, False),
    (Kind.MANIFEST, False),
    (Kind.CHANGES, False),
    (Kind.SNAPSHOT, False),
    (Kind.CHECKPOINT, False),
)
"""Kinds of files, and whether they are of the inventory in CSV."""


@dataclass(frozen=True, slots=True)
class ExpiredDate:
    """A date that goes.

    Attributes:
        day: Which.
        files: Its files, in the order in which they are removed; data files are not among them.
    """

    day: date
    files: tuple[StoredFile, ...]


@dataclass(frozen=True, slots=True)
class _Tombstone:
    """What a mark says of its file.

    Attributes:
        state: `found` not to be named; `confirmed` by a later look; `removed`.
        since: When it came to be so.
        etag: The mark's own, in the store.
    """

    state: str
    since: datetime
    etag: str


_NO_TOMBSTONE = _Tombstone("", datetime.fromtimestamp(0, UTC), NO_ETAG)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a collection does.

    Attributes:
        kept: The dates that stay.
        expired: The dates that go, oldest first.
        abandoned: Checkpoints of listings that nobody goes on with.
        removable: Data files that nothing names, and that nobody can have taken.
        waiting: Data files that nothing names, of which that is not certain yet.
        needed: How many data files are named by what stays.
        tombstone_updates: The marks to be written: by the key of the file, the state, and the
            version of the mark that it takes the place of.
        tombstones_to_clear: The marks to be removed.
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
        """All files that are removed, in that order."""
        of_dates = [file for each in self.expired for file in each.files]
        return (*of_dates, *self.abandoned, *self.removable)

    @property
    def bytes(self) -> int:
        """Their bytes."""
        return sum(file.size for file in self.removed)


def plan_collection(
    store: Store, layout: Layout, retention: Retention, today: date, now: datetime
) -> Plan:
    """Look at everything that a source has in the store; nothing is changed.

    Each record is read once. Held in memory are the names of all files and, for each record, which
    data files it names; equal names are held once (`Names`).

    Args:
        store: Where.
        layout: The source's.
        retention: Which dates are kept.
        today: The date where the source is.
        now: The time.

    Raises:
        CorruptRecord: A record cannot be read, so what it needs is not known.
        StoreError: The store cannot be used.
    """
    survey = _StoreScan(store, layout, now)
    kept = dates_kept(retention, today, survey.states(with_manifests=bool(retention)))
    going = tuple(
        ExpiredDate(day, tuple(sorted(files, key=survey.rank)))
        for day, files in sorted(survey.dated.items())
        if day not in kept
    )
    abandoned = tuple(survey.abandoned(kept))
    gone = {file.key for each in going for file in each.files} | {file.key for file in abandoned}
    names = {
        name for key, reach in survey.references.items() if key not in gone for name in reach.names
    }
    return _with_data(survey, names, tuple(sorted(kept)), going, abandoned)


def execute(
    store: Store,
    plan: Plan,
    now: Callable[[], datetime],
) -> None:
    """Do what was planned.

    Args:
        store: Where the plan was made.
        plan: What; not older than `GRACE`.
        now: The clock.

    Raises:
        StoreError: Something could not be removed; the next collection goes on.
    """
    for mark in plan.tombstones_to_clear:
        store.remove_key(mark)
    for each in plan.expired:
        LOG.info("removing %s: %s files", each.day, f"{len(each.files):,}")
        for file in each.files:
            _remove(store, file)
    for file in plan.abandoned:
        LOG.info("removing %s, which nobody goes on with", file.key)
        _remove(store, file)
    for file in plan.removable:
        LOG.info("removing %s, which nothing needs", file.key)
        store.remove_key(file.key)
    for key, (state, version) in plan.tombstone_updates.items():
        says = {"state": state, "since": now().isoformat(), "run": uuid4().hex}
        # A mark that was removed in the meantime shall not come back.
        with suppress(ConflictError):
            store.put_if_match(tombstone_key(key), json.dumps(says).encode(), version)


class _StoreScan:
    """All that a source has in the store.

    Attributes:
        dated: The files of each date, data files left out.
        data: The data files, by key.
        marks: The marks, by the keys of their files.
        references: What each record names, by its key.
    """

    def __init__(self, store: Store, layout: Layout, now: datetime) -> None:
        self.store, self.layout, self.now = store, layout, now
        self.dated: dict[date, list[StoredFile]] = defaultdict(list)
        self.data: dict[str, StoredFile] = {}
        self._kinds: dict[str, tuple[Kind, bool]] = {}
        self._names = Names()
        tombstones: list[str] = []
        for base in (layout.base, layout.csv.base):
            for file in store.files(base):
                kind, day = classify_path(file.key.removeprefix(f"{base}/")) or (None, None)
                if kind is Kind.DATA:
                    self.data[file.key] = file
                elif kind is Kind.MARK:
                    tombstones.append(_is_marked(file.key))
                elif kind is not None and day is not None:
                    rank = kind, base != layout.base
                    if rank in _ORDER:
                        self.dated[day].append(file)
                        self._kinds[file.key] = rank
        with ThreadPoolExecutor(READS_AT_ONCE, thread_name_prefix="record") as pool:
            reach = pool.map(self._references_of, self._kinds)
            self.references: dict[str, References] = dict(zip(self._kinds, reach, strict=True))
            found = pool.map(partial(_read_tombstone, store), tombstones)
            self.marks = {key: mark for key, mark in zip(tombstones, found, strict=True) if mark}

    def _references_of(self, key: str) -> References:
        return read_references(self.store, key, self._kinds[key][0], self._names)

    def rank(self, file: StoredFile) -> tuple[int, str]:
        """When a file goes, among those of its date."""
        return _ORDER.index(self._kinds[file.key]), file.key

    def states(self, *, with_manifests: bool) -> dict[date, DateState]:
        """How far each date has come; only `with_manifests` whether it is complete."""
        days = list(self.dated)
        complete: set[date] = set()
        if with_manifests:
            with ThreadPoolExecutor(READS_AT_ONCE, thread_name_prefix="manifest") as pool:
                found = pool.map(partial(read_manifest, self.store, self.layout), days)
                complete = {day for day, each in zip(days, found, strict=True) if each is not None}
        return {day: DateState(day in complete, self._is_at_work(day)) for day in days}

    def _is_at_work(self, day: date) -> bool:
        return any(self._is_recent(file) for file in self.dated[day])

    def _is_recent(self, file: StoredFile) -> bool:
        written_at = self.references[file.key].written_at
        return written_at is not None and written_at > self.now - GRACE

    def abandoned(self, days: Iterable[date]) -> list[StoredFile]:
        """The checkpoints of listings that have noted nothing for long; none goes on with them."""
        listings: dict[str, list[StoredFile]] = defaultdict(list)
        for file in (file for day in sorted(days) for file in self.dated[day]):
            if self._kinds[file.key][0] is Kind.CHECKPOINT:
                listings[listing_of(file.key)].append(file)
        return [
            file
            for files in listings.values()
            if not any(map(self._is_recent, files))
            for file in files
        ]

    def is_old(self, mark: _Tombstone) -> bool:
        """Whether whoever took the file before the mark came to be so has said so."""
        return self.now - mark.since >= GRACE


def _with_data(
    survey: _StoreScan,
    names: set[str],
    kept: tuple[date, ...],
    going: tuple[ExpiredDate, ...],
    abandoned: tuple[StoredFile, ...],
) -> Plan:
    """The plan, once it is known which names of data files are needed."""
    removable, waiting, pardoned = [], [], []
    becoming: dict[str, tuple[str, str]] = {}
    needed = 0
    for key, file in sorted(survey.data.items()):
        mark = survey.marks.get(key, _NO_TOMBSTONE)
        is_old = survey.is_old(mark)
        if key.rpartition("/")[2] in names:
            needed += 1
            pardoned += [tombstone_key(key)] if key in survey.marks else []
        elif mark.state == _CONFIRMED and is_old:
            removable.append(file)
            becoming[key] = _REMOVED, mark.etag
        else:
            waiting.append(file)
            if mark.state not in (_FOUND, _CONFIRMED):
                becoming[key] = _FOUND, mark.etag
            elif mark.state == _FOUND and is_old:
                becoming[key] = _CONFIRMED, mark.etag
    # The mark of a file that was removed stays for a while: another collection, planned before,
    # may still be about to remove whatever has this name.
    for key in sorted(survey.marks.keys() - survey.data.keys()):
        mark = survey.marks[key]
        if mark.state != _REMOVED:
            becoming[key] = _REMOVED, mark.etag
        elif survey.is_old(mark):
            pardoned.append(tombstone_key(key))
    return Plan(
        kept, going, abandoned, tuple(removable), tuple(waiting), needed, becoming, tuple(pardoned)
    )


def _remove(store: Store, file: StoredFile) -> None:
    store.remove_key(file.key)
    store.remove_folder(file.key.rpartition("/")[0])


def _is_marked(mark: str) -> str:
    """The key of the file that a mark is of."""
    bucket, source, _, rest = mark.split("/", 3)
    return f"{bucket}/{source}/{rest}"


def _read_tombstone(store: Store, key: str) -> _Tombstone | None:
    version = store.etag(tombstone_key(key))
    data = store.read(tombstone_key(key))
    if data is None:
        return None
    try:
        document = json.loads(data)
        since = datetime.fromisoformat(document["since"]).astimezone(UTC)
        return _Tombstone(document["state"], since, version)
    except (ValueError, KeyError, TypeError):
        return _Tombstone("damaged", _NO_TOMBSTONE.since, version)  # to begin anew
