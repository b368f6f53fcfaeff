"""What of an unfinished listing is safe already, so that another run goes on where it stopped.

While a listing is under way, each stretch of keys whose records lie in published parts is noted in
a small record of its own, at most one every few seconds. A record appears whole or not at all, and
after the parts that it names. So whatever kills a run, and whenever, the records that are there
tell the truth, and what they do not cover is listed again: nothing has to be repaired.
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
from inventory_assets.inventory.listing.checkpoint_record import (
    CHECKPOINT,
    Checkpoint,
    CompletedRange,
    ResumedWork,
    listing_of,
    run_of,
)
from inventory_assets.inventory.listing.draft_recovery import RangeInProgress, recover_drafts
from inventory_assets.inventory.listing.part_stream import OpenRun
from inventory_assets.inventory.manifest.unreadable_records import (
    UnreadableRecord,
    UnreadableRecords,
    unreadable_of,
)
from inventory_assets.inventory.parts.drafts import Drafts, is_in_use, remove_old
from inventory_assets.inventory.parts.part import Part, part_exists
from inventory_assets.inventory.storage.commit import publish
from inventory_assets.inventory.storage.layout import Layout
from inventory_assets.inventory.storage.store import Store
from inventory_assets.s3.list_client import RequestStats
from inventory_assets.scan.keyspace.key_range import KeyRange

LOG = logging.getLogger(__name__)

SECONDS_BETWEEN = timedelta(seconds=5)
"""How often what is published is noted at most."""

SECONDS_UNRECORDED = timedelta(seconds=8)
"""For how long something may be listed that no record tells of: a kill costs so much, and the time
that it takes to write the record."""

MAX_AGE = timedelta(hours=24)
"""An inventory shall not mix what was seen on different days."""


class CheckpointLog:
    """The records of one listing: those of earlier runs are read, this run's are written.

    Args:
        store: Where they are published.
        folder: The folder that holds them, perhaps with those of other listings.
        name: From `name_of`.
        identity: From `listing_fingerprint`.
        now: The clock.
        names: The names in the folder, where the caller knows them; none where another process of
            this listing has read its records. Left out, the folder is this listing's own.
        published_at: When the same was published last; what began before is no concern any more.
        started_at: When the listing began, where another process of it knows.
        layout: Under which keys parts are published; without it only those that are count.
        for_manifest: Whether a manifest will state fingerprints and MD5s of the parts.

    Attributes:
        resumed: What earlier runs left.
        discarded: Whether earlier runs left only what cannot be continued; it was removed.
        drafts: Where files are written that another run can go on with; None where nowhere.
        started_at: When the listing began, over all runs.
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
    ) -> None:
        self._store = store
        self._layout = layout
        self._for_manifest = for_manifest
        self._open_ranges: Callable[[], Sequence[OpenRun]] = tuple
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
        self._waiting: list[CompletedRange] = []
        self._recorded_at = RequestStats()
        self._last = now()
        if self._drafts_root and self._is_first:
            remove_old(self._drafts_root.parent, 2 * MAX_AGE.total_seconds())
        self.resumed = self._read()
        self.started_at = started_at or self.resumed.started_at or self._last

    def log_resumption(self, listing: str = "") -> None:
        """Log what became of the work of earlier runs, if there was any.

        Args:
            listing: What to call the listing at the beginning of the message.
        """
        if self.discarded:
            LOG.info(
                "%san unfinished listing was found, but it is a day old, older than what was "
                "published since, damaged, or of another configuration: it is listed afresh",
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
        """Some keys are listed whole, and their parts are published."""
        self._waiting.append(CompletedRange(key_range, tuple(parts)))
        if self._now() - self._last >= SECONDS_BETWEEN:
            self.flush(stats)

    def follow(self, unfinished: Callable[[], Sequence[OpenRun]]) -> None:
        """From now on records tell of what is written, but not published, too."""
        self._open_ranges = unfinished

    def tick(self, stats: RequestStats) -> None:
        """Something may have been written: note it, if the last record is old enough."""
        is_urgent = self.drafts is not None and self.drafts.is_urgent and self._waiting
        if is_urgent or self._now() - self._last >= SECONDS_UNRECORDED:
            self.flush(stats)

    def save_drafts(self, stats: RequestStats) -> None:
        """The listing ends before its time: write down as much as can be, whatever ended it."""
        try:
            self.flush(stats)
        except (InventoryError, OSError, pa.ArrowException):
            if self.drafts is not None:  # perhaps the disk is full, and there is room for this
                self.drafts.free_reserved_space()
            with suppress(InventoryError, OSError):
                self.flush(stats, is_brief=True)

    def flush(self, stats: RequestStats, *, is_brief: bool = False) -> None:
        """Write down what was noted, and what is written.

        Args:
            stats: What all has cost.
            is_brief: Leave out what is in memory, for which there is no room.
        """
        begun: list[RangeInProgress] = []
        batches: list[pa.RecordBatch] = []
        for each in self._open_ranges() if self.drafts is not None else ():
            after, until = each.key_range.after, each.key_range.until
            if each.parts:
                self._waiting.append(
                    CompletedRange(KeyRange(after, each.parts[-1].last_key), each.parts)
                )
                after = each.parts[-1].last_key
            if is_brief:
                until = each.drafts[-1].last_key if each.drafts else after
            waiting = () if is_brief else each.buffered
            if after < until:
                begun.append(RangeInProgress(KeyRange(after, until), each.drafts, len(waiting)))
                batches += waiting
        if not self._waiting and not begun:
            return
        spool = self.drafts.spool(batches) if self.drafts is not None else ""
        now = self._now()
        record = Checkpoint(
            self._identity,
            self.started_at,
            now,
            tuple(self._waiting),
            stats.requests - self._recorded_at.requests,
            stats.response_bytes - self._recorded_at.response_bytes,
            {
                fault.value: count
                for fault, count in (stats.faults - self._recorded_at.faults).items()
            },
            unreadable_of(stats.unreadable).within(_ranges_of([*self._waiting, *begun])),
            tuple(begun),
            spool,
        )
        self._write(record)
        self._last, self._waiting = now, []
        self._recorded_at = RequestStats(
            stats.requests, stats.response_bytes, Counter(stats.faults)
        )
        if self.drafts is not None:
            self.drafts.take_recorded()

    def _write(self, record: Checkpoint) -> None:
        name = f"{self._name}.{self._run_id}-{self._written:06}.json"
        publish(self._store, CHECKPOINT.file(f"{self._folder}/{name}", record))
        self._written += 1
        self._records.append(name)

    def close(self) -> None:
        """What is left is for another run."""
        if self.drafts is not None:
            self.drafts.keep()

    @property
    def is_empty(self) -> bool:
        """Whether another run would find nothing."""
        return not self._records

    def clear(self) -> None:
        """The listing is published, or of no use: another run shall not go on with it."""
        if self._has_folder:  # other processes of the listing have noted as well
            self._records = self._of_listing(self._store.list_names(self._folder))
        for name in self._records:
            self._store.remove_key(f"{self._folder}/{name}")
        self._records, self._waiting, self._open_ranges = [], [], tuple
        self._remove_drafts()

    def _remove_drafts(self) -> None:
        """Remove what this run wrote, and what others wrote that are no more."""
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
        ours = [record for record in found.values() if record]
        if self._records and not ours:
            self.discarded = True
            self.clear()
        if not ours:
            return ResumedWork()
        faults: Counter[str] = Counter()
        for record in ours:
            faults.update(record.faults)
        completed_ranges = [completed for record in ours for completed in record.completed]
        rescued = [*self._recover_drafts(found)]
        disjoint = self._disjoint([*completed_ranges, *rescued])
        resumed = ResumedWork(
            disjoint,
            min(record.started_at for record in ours),
            sum(record.requests for record in ours),
            sum(record.response_bytes for record in ours),
            dict(faults),
            _unreadable_of_runs(found).within(_ranges_of(disjoint)),
        )
        if rescued:
            self._gather(resumed, rescued)
        return resumed

    def _recover_drafts(self, found: Mapping[str, Checkpoint | None]) -> Iterator[CompletedRange]:
        """What the last record of each run that is no more says to be written, as parts."""
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

    def _gather(self, resumed: ResumedWork, rescued: Sequence[CompletedRange]) -> None:
        """Note what was rescued, after which what it was rescued from is of no use."""
        started_at = resumed.started_at or self._last
        completed_ranges = tuple(rescued)
        unreadable = resumed.unreadable.within(_ranges_of(rescued), with_others=False)
        self._write(
            Checkpoint(
                self._identity, started_at, self._last, completed_ranges, 0, 0, {}, unreadable
            )
        )
        self._remove_drafts()

    def _record(self, name: str) -> Checkpoint | None:
        """A record, if it can be gone on with."""
        data = self._store.read(f"{self._folder}/{name}")
        try:
            record = CHECKPOINT.decode(data or b"")
        except ValueError:
            return None
        is_ours = record.identity == self._identity
        is_of_today = self._now() - record.started_at < MAX_AGE
        is_newest = self._published_at is None or record.started_at > self._published_at
        return record if is_ours and is_of_today and is_newest else None

    def _disjoint(self, completed_ranges: Iterable[CompletedRange]) -> tuple[CompletedRange, ...]:
        """Those whose parts are there; of two that overlap, as of two runs at once, one."""
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
    """What all records tell; each repeats what the one before it told of the same keys."""
    records: set[UnreadableRecord] = set()
    others: dict[str, int] = {}
    for name, record in found.items():
        if record is not None:
            run, unreadable = run_of(name), record.unreadable
            records.update(unreadable.first)
            others[run] = max(others.get(run, 0), unreadable.others)
    in_order = sorted(records, key=lambda each: each.sort_key)
    return UnreadableRecords(len(records) + sum(others.values()), tuple(in_order))
