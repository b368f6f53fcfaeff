"""Write the checkpoints of a listing, and resume an unfinished listing from them.

Every few seconds, a listing writes a small record of the ranges whose records are in published
parts. A record is written atomically, and after the parts that it names. So whenever a run is
killed, the existing records are correct, and nothing has to be repaired: keys that no record covers
are listed again.
"""

import logging
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from hashlib import sha256
from uuid import uuid4

import pyarrow as pa

from inventory_assets.errors import InventoryError
from inventory_assets.inventory.errors import CorruptRecord
from inventory_assets.inventory.listing.checkpoint_record import (
    CHECKPOINT,
    Checkpoint,
    CompletedRange,
    ResumedWork,
    listing_of,
    run_of,
)
from inventory_assets.inventory.listing.draft_recovery import RangeInProgress, recover_drafts
from inventory_assets.inventory.listing.listing_observer import UNOBSERVED, ListingObserver
from inventory_assets.inventory.listing.part_stream import OpenRange
from inventory_assets.inventory.manifest.unreadable_records import (
    UnreadableRecord,
    UnreadableRecords,
    unreadable_of,
)
from inventory_assets.inventory.parts.drafts import Drafts, is_in_use, remove_old
from inventory_assets.inventory.parts.part import Part, part_exists
from inventory_assets.inventory.storage.commit import publish_new
from inventory_assets.inventory.storage.layout import Layout
from inventory_assets.inventory.storage.store import Store
from inventory_assets.s3.request_stats import RequestStats
from inventory_assets.scan.keyspace.key_range import KeyRange

LOG = logging.getLogger(__name__)

RECORD_INTERVAL = timedelta(seconds=5)
"""Minimum time between two records of published parts."""

MAX_UNRECORDED = timedelta(seconds=8)
"""Time after which buffered objects are recorded, too. A kill loses at most the objects listed in
this time and while the record is written."""

MAX_AGE = timedelta(hours=24)
"""An older listing is not resumed: an inventory must not mix the states of different days."""


class CheckpointLog:
    """The checkpoints of one listing: reads those of earlier runs, and writes those of this run.

    Args:
        store: The store that holds the records.
        folder: Their folder, which may hold the records of other listings, too.
        name: From `checkpoint_name`.
        identity: From `listing_fingerprint`.
        now: The clock.
        names: The file names in the folder, if the caller knows them; empty if another process of
            this listing has read the records. None if the folder is for this listing only.
        published_at: When the same keys were published last; a listing that began before is not
            resumed.
        started_at: When the listing began, if another process of this listing knows.
        layout: The keys of parts; None to resume from published parts only.
        for_manifest: Whether a manifest will state fingerprints and MD5s of the parts.
        observer: Is told of every record that is written.

    Attributes:
        resumed: The work of earlier runs.
        discarded: Whether there were records, but none could be resumed, and they were removed.
        drafts: Writes files with which another run can resume; None if the store has none.
        started_at: When the first run of the listing began.
    """

    def __init__(
        self,
        store: Store,
        folder: str,
        name: str,
        identity: str,
        now: Callable[[], datetime],
        names: Sequence[str] | None = None,
        published_at: datetime | None = None,
        started_at: datetime | None = None,
        layout: Layout | None = None,
        *,
        for_manifest: bool = True,
        observer: ListingObserver = UNOBSERVED,
    ) -> None:
        self._store = store
        self._observer = observer
        self._layout = layout
        self._for_manifest = for_manifest
        self._open_ranges: Callable[[], Sequence[OpenRange]] = tuple
        self._folder = folder
        self._name = name
        self._identity = identity
        self._now = now
        self._published_at = published_at
        self._has_folder = names is None
        self._records = self._of_listing(store.list_names(folder) if names is None else names)
        self._run_id = uuid4().hex
        self._is_first = names is None or started_at is None
        self._drafts_root = store.drafts(sha256(f"{folder}/{name}".encode()).hexdigest()[:16])
        self.drafts = (
            Drafts(self._drafts_root / self._run_id) if layout and self._drafts_root else None
        )
        self._written = 0
        self.discarded = False
        self._unrecorded: list[CompletedRange] = []
        self._recorded_at = RequestStats()
        self._last = now()
        if self._drafts_root and self._is_first:
            remove_old(self._drafts_root.parent, 2 * MAX_AGE.total_seconds())
        self.resumed = self._read()
        self.started_at = started_at or self.resumed.started_at or self._last

    def log_resumption(self, listing: str = "") -> None:
        """Log whether the work of earlier runs is resumed, if there was any.

        Args:
            listing: A name of the listing, with which the message begins.
        """
        if self.discarded:
            LOG.info(
                "%san unfinished listing was found, but it is more than a day old, older than the "
                "published one, damaged, or of another configuration: listing from the beginning",
                listing,
            )
        elif self.resumed.started_at is not None:
            LOG.info(
                "%scontinuing an unfinished listing: %s objects of it are kept",
                listing,
                f"{self.resumed.rows:,}",
            )

    def record_completed(
        self, key_range: KeyRange, parts: Sequence[Part], stats: RequestStats
    ) -> None:
        """Record that a range is listed completely and its parts are published."""
        self._unrecorded.append(CompletedRange(key_range, tuple(parts)))
        if self._now() - self._last >= RECORD_INTERVAL:
            self.flush(stats)

    def track_open_ranges(self, open_ranges: Callable[[], Sequence[OpenRange]]) -> None:
        """Also record open ranges, those with unpublished records, in all later checkpoints."""
        self._open_ranges = open_ranges

    def tick(self, stats: RequestStats) -> None:
        """Write a checkpoint if the last one is old enough."""
        is_urgent = self.drafts is not None and self.drafts.is_urgent and self._unrecorded
        if is_urgent or self._now() - self._last >= MAX_UNRECORDED:
            self.flush(stats)

    def save_drafts(self, stats: RequestStats) -> None:
        """Write a last checkpoint of a listing that ends early; ignore errors."""
        try:
            self.flush(stats)
        except (InventoryError, OSError, pa.ArrowException):
            if self.drafts is not None:  # the disk may be full
                self.drafts.free_reserved_space()
            with suppress(InventoryError, OSError):
                self.flush(stats, is_brief=True)

    def flush(self, stats: RequestStats, *, is_brief: bool = False) -> None:
        """Write a checkpoint.

        Args:
            stats: The requests of the listing so far.
            is_brief: Omit buffered objects, for which a full disk has no space.
        """
        in_progress: list[RangeInProgress] = []
        batches: list[pa.RecordBatch] = []
        for each in self._open_ranges() if self.drafts is not None else ():
            after, until = each.key_range.after, each.key_range.until
            if each.parts:
                self._unrecorded.append(
                    CompletedRange(KeyRange(after, each.parts[-1].last_key), each.parts)
                )
                after = each.parts[-1].last_key
            if is_brief:
                until = each.drafts[-1].last_key if each.drafts else after
            buffered = () if is_brief else each.buffered
            if after < until:
                in_progress.append(
                    RangeInProgress(KeyRange(after, until), each.drafts, len(buffered))
                )
                batches += buffered
        if not self._unrecorded and not in_progress:
            return
        spool = self.drafts.spool(batches) if self.drafts is not None else ""
        now = self._now()
        record = Checkpoint(
            self._identity,
            self.started_at,
            now,
            tuple(self._unrecorded),
            stats.requests - self._recorded_at.requests,
            stats.response_bytes - self._recorded_at.response_bytes,
            {
                fault.value: count
                for fault, count in (stats.faults - self._recorded_at.faults).items()
            },
            unreadable_of(stats.unreadable).within(_ranges_of([*self._unrecorded, *in_progress])),
            tuple(in_progress),
            spool,
        )
        self._write(record)
        self._last, self._unrecorded = now, []
        self._recorded_at = RequestStats(
            stats.requests, stats.response_bytes, Counter(stats.faults)
        )
        if self.drafts is not None:
            self.drafts.remove_recorded()

    def _write(self, record: Checkpoint) -> None:
        name = f"{self._name}.{self._run_id}-{self._written:06}.json"
        publish_new(self._store, CHECKPOINT.file(f"{self._folder}/{name}", record))
        self._written += 1
        self._records.append(name)
        self._observer.checkpoint_written()

    def close(self) -> None:
        """Unlock the drafts, so that another run can resume from them."""
        if self.drafts is not None:
            self.drafts.keep()

    @property
    def is_empty(self) -> bool:
        """Whether there is no record for another run to resume from."""
        return not self._records

    def clear(self) -> None:
        """Remove all records, as the listing is published or cannot be resumed."""
        if self._has_folder:  # other processes of the listing write records, too
            self._records = self._of_listing(self._store.list_names(self._folder))
        for name in self._records:
            self._store.remove_key(f"{self._folder}/{name}")
        self._records, self._unrecorded, self._open_ranges = [], [], tuple
        self._remove_drafts()

    def _remove_drafts(self) -> None:
        """Remove the drafts of this run, and of runs that have ended."""
        if self.drafts is not None:
            self.drafts.remove()
        if self._drafts_root is None or not self._is_first:
            return
        with suppress(OSError):
            for folder in [*self._drafts_root.iterdir()]:
                if not is_in_use(folder):
                    shutil.rmtree(folder, ignore_errors=True)
            self._drafts_root.rmdir()

    def _of_listing(self, names: Sequence[str]) -> list[str]:
        return [each for each in names if listing_of(each) == self._name]

    def _read(self) -> ResumedWork:
        found = {name: self._record(name) for name in self._records}
        valid = [record for record in found.values() if record]
        if self._records and not valid:
            self.discarded = True
            self.clear()
        if not valid:
            return ResumedWork()
        faults: Counter[str] = Counter()
        for record in valid:
            faults.update(record.faults)
        completed_ranges = [completed for record in valid for completed in record.completed]
        recovered = [*self._recover_drafts(found)]
        disjoint = self._disjoint([*completed_ranges, *recovered])
        resumed = ResumedWork(
            disjoint,
            min(record.started_at for record in valid),
            sum(record.requests for record in valid),
            sum(record.response_bytes for record in valid),
            dict(faults),
            _unreadable_of_runs(found).within(_ranges_of(disjoint)),
        )
        if recovered:
            self._record_recovered(resumed, recovered)
        return resumed

    def _recover_drafts(self, found: Mapping[str, Checkpoint | None]) -> Iterator[CompletedRange]:
        """Publish the drafts that the last record of each ended run names."""
        last = {run_of(name): record for name, record in sorted(found.items())}
        for run, record in last.items():
            if record is None or self._layout is None or self._drafts_root is None:
                continue
            folder = self._drafts_root / run
            if is_in_use(folder):
                continue
            for key_range, parts in recover_drafts(
                self._store,
                self._layout,
                folder,
                record.in_progress,
                record.spool,
                for_manifest=self._for_manifest,
            ):
                yield CompletedRange(key_range, parts)

    def _record_recovered(self, resumed: ResumedWork, recovered: Sequence[CompletedRange]) -> None:
        """Record ranges recovered from drafts, then remove these drafts."""
        started_at = resumed.started_at or self._last
        completed_ranges = tuple(recovered)
        unreadable = resumed.unreadable.within(_ranges_of(recovered), with_others=False)
        self._write(
            Checkpoint(
                self._identity, started_at, self._last, completed_ranges, 0, 0, {}, unreadable
            )
        )
        self._remove_drafts()

    def _record(self, name: str) -> Checkpoint | None:
        """Read a record; None if it cannot be resumed.

        Raises:
            OtherFormat: It has a format that this version does not read.
        """
        try:
            record = CHECKPOINT.read(self._store, f"{self._folder}/{name}")
        except CorruptRecord:
            record = None
        if record is None:
            return None
        is_same_listing = record.identity == self._identity
        is_recent = self._now() - record.started_at < MAX_AGE
        is_newest = self._published_at is None or record.started_at > self._published_at
        return record if is_same_listing and is_recent and is_newest else None

    def _disjoint(self, completed_ranges: Iterable[CompletedRange]) -> tuple[CompletedRange, ...]:
        """The ranges whose parts exist; of overlapping ranges, from concurrent runs, only one."""
        found: list[CompletedRange] = []
        for completed in sorted(completed_ranges, key=lambda each: each.key_range):
            if found and completed.key_range.after < found[-1].key_range.until:
                continue
            if all(part_exists(self._store, part) for part in completed.parts):
                found.append(completed)
        return tuple(found)


def _ranges_of(completed_ranges: Iterable[CompletedRange | RangeInProgress]) -> list[KeyRange]:
    return [completed.key_range for completed in completed_ranges]


def _unreadable_of_runs(found: Mapping[str, Checkpoint | None]) -> UnreadableRecords:
    """Merge the unreadable records of all checkpoints.

    The checkpoints of a run repeat those of keys in progress, and count `others` cumulatively.
    """
    records: set[UnreadableRecord] = set()
    others: dict[str, int] = {}
    for name, record in found.items():
        if record is not None:
            run, unreadable = run_of(name), record.unreadable
            records.update(unreadable.first)
            others[run] = max(others.get(run, 0), unreadable.others)
    in_order = sorted(records, key=lambda each: each.sort_key)
    return UnreadableRecords(len(records) + sum(others.values()), tuple(in_order))
