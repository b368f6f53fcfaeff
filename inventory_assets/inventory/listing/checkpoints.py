"""What of an unfinished listing is safe already, so that another run goes on where it stopped.

While a listing is under way, each stretch of keys whose records lie in published parts is noted in
a small record of its own, at most one every few seconds. A record appears whole or not at all, and
after the parts that it names. So whatever kills a run, and whenever, the records that are there
tell the truth, and what they do not cover is listed again: nothing has to be repaired.
"""

import hashlib
import json
import logging
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from hashlib import sha256
from uuid import uuid4

import pyarrow as pa
from pydantic import TypeAdapter, ValidationError

from inventory_assets.errors import InventoryError
from inventory_assets.inventory.listing.draft_recovery import RangeInProgress, recover_drafts
from inventory_assets.inventory.listing.part_assembler import OpenRun
from inventory_assets.inventory.manifest.snapshot import key_of_bound, written_bound
from inventory_assets.inventory.manifest.unreadable_records import (
    NOTHING_UNREADABLE,
    UnreadableRecord,
    UnreadableRecords,
    unreadable_of,
)
from inventory_assets.inventory.parts.drafts import Drafts, is_in_use, remove_old
from inventory_assets.inventory.parts.part import Part, part_exists
from inventory_assets.inventory.parts.schema import record_schema
from inventory_assets.inventory.storage.encodings import Encodings
from inventory_assets.inventory.storage.layout import Layout
from inventory_assets.inventory.storage.store import Store
from inventory_assets.inventory.storage.tombstones import clear_tombstones
from inventory_assets.s3.bucket_config import BucketConfig
from inventory_assets.s3.list_client import RequestStats
from inventory_assets.scan.keyspace.key_order import KeyOrder
from inventory_assets.scan.keyspace.key_range import KeyRange
from inventory_assets.scan.validation.object_versions import Versions
from inventory_assets.scan.validation.range_evidence import Ending, RangeEvidence

LOG = logging.getLogger(__name__)

SECONDS_BETWEEN = timedelta(seconds=5)
"""How often what is published is noted at most."""

SECONDS_UNRECORDED = timedelta(seconds=8)
"""For how long something may be listed that no record tells of: a kill costs so much, and the time
that it takes to write the record."""

MAX_AGE = timedelta(hours=24)
"""An inventory shall not mix what was seen on different days."""

_CODE = 2
"""Raised when the same configuration would be listed otherwise than before."""


@dataclass(frozen=True, slots=True)
class CompletedRange:
    """Keys that are listed whole.

    Attributes:
        key_range: Which.
        parts: All records of them, in key order.
    """

    key_range: KeyRange
    parts: tuple[Part, ...]

    @property
    def evidence(self) -> RangeEvidence:
        """What it was found to hold; the pages were counted by the run that is no more."""
        return RangeEvidence(
            self.key_range,
            sum(part.rows for part in self.parts),
            self.parts[0].first_key if self.parts else None,
            self.parts[-1].last_key if self.parts else None,
            0,
            Ending.RESUMED,
        )


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One record.

    Attributes:
        identity: What was listed, and how; another identity is another listing.
        started_at: When the listing began, over all runs.
        written_at: When this was written.
        completed: What is safe, beside what other records say.
        requests: Requests sent since the record before.
        response_bytes: Bytes of their bodies.
        faults: Passing trouble they met, by kind.
        unreadable: Records of these keys that could not be decoded; beside them are counted all of
            this run that are too many to be kept one by one.
        in_progress: What is written, but not published, as of this record: the next one of the same
            process says it anew.
        spool: The file that holds what is not even written.
    """

    identity: str
    started_at: datetime
    written_at: datetime
    completed: tuple[CompletedRange, ...]
    requests: int
    response_bytes: int
    faults: Mapping[str, int]
    unreadable: UnreadableRecords = NOTHING_UNREADABLE
    in_progress: tuple[RangeInProgress, ...] = ()
    spool: str = ""


@dataclass(frozen=True, slots=True)
class ResumedWork:
    """What is left of runs that did not finish.

    Attributes:
        completed: Disjoint and in key order; their parts are there.
        started_at: When the first of the runs began; None where nothing is kept.
        requests: Requests that they sent.
        response_bytes: Bytes of the bodies they received.
        faults: Passing trouble they met, by kind.
        unreadable: Records within the stretches that could not be decoded.
    """

    completed: tuple[CompletedRange, ...] = ()
    started_at: datetime | None = None
    requests: int = 0
    response_bytes: int = 0
    faults: Mapping[str, int] = field(default_factory=dict)
    unreadable: UnreadableRecords = NOTHING_UNREADABLE

    @property
    def parts(self) -> list[Part]:
        """All their parts, in key order."""
        return [part for completed in self.completed for part in completed.parts]

    @property
    def evidence(self) -> list[RangeEvidence]:
        """What they were found to hold, in key order."""
        return [completed.evidence for completed in self.completed]

    @property
    def rows(self) -> int:
        """Objects that need not be listed again."""
        return sum(evidence.rows for evidence in self.evidence)

    def missing(self, ranges: Sequence[KeyRange]) -> tuple[KeyRange, ...]:
        """What is still to be listed of some ranges, in order."""
        covered = [completed.key_range for completed in self.completed]
        return tuple(left for key_range in ranges for left in key_range.difference(covered))


def listing_fingerprint(
    connection: BucketConfig,
    prefix: str,
    excluded: Iterable[str] = (),
    key_order: KeyOrder = KeyOrder.BYTES,
    versions: Versions | None = None,
    encodings: Encodings = Encodings.COMPACT,
) -> str:
    """What must be the same for a listing to be gone on with.

    That is the bucket, the keys and their order, how parts are encoded, and this code.
    """
    identifying = [
        _CODE,
        connection.bucket,
        connection.endpoint_url,
        prefix,
        sorted(excluded),
        key_order,
        str(record_schema(of_versions=versions is not None)),
        *([str(versions.as_of)] if versions else []),
        *([encodings] if encodings is not Encodings.COMPACT else []),
    ]
    return hashlib.sha256(json.dumps(identifying).encode()).hexdigest()[:32]


def checkpoint_name(listing: str, key_order: KeyOrder) -> str:
    """What the names of a listing's records begin with.

    A store's order may turn out to be another than was thought, each time anew. What was listed in
    the one is no concern of who tries the other: it neither goes on with it nor clears it.

    Args:
        listing: A file name of its own; it ends in no `~` and order.
        key_order: In which it is listed.
    """
    return listing if key_order is KeyOrder.BYTES else f"{listing}~{key_order}"


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
        clear_tombstones(
            self._store, [part.key for each in record.completed for part in each.parts]
        )
        self._store.publish(f"{self._folder}/{name}", _serialize(record))
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
            document = json.loads(data or b"")
            for completed in (*document["completed"], *document.get("in_progress", ())):
                bounds = completed["key_range"]
                completed["key_range"] = {side: key_of_bound(bounds[side]) for side in bounds}
            record = _adapter().validate_python(document, strict=False)
        except (ValueError, KeyError, TypeError, AttributeError, ValidationError):
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


def listing_of(name: str) -> str:
    """To which listing a record of this name belongs."""
    return name.rsplit(".", 2)[0]


def run_of(name: str) -> str:
    """Which run wrote a record of this name."""
    return name.rsplit(".", 2)[1].rpartition("-")[0]


def _serialize(record: Checkpoint) -> bytes:
    document = _adapter().dump_python(record, mode="json")
    for completed in (*document["completed"], *document["in_progress"]):
        bounds = completed["key_range"]
        completed["key_range"] = {side: written_bound(bounds[side]) for side in bounds}
    return json.dumps(document).encode()


@cache
def _adapter() -> TypeAdapter[Checkpoint]:
    return TypeAdapter(Checkpoint)
