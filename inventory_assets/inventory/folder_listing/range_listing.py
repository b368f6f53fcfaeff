"""List ranges of a bucket into parts, without dates or shards."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import pyarrow as pa

from inventory_assets.inventory.errors import IncompleteListing
from inventory_assets.inventory.folder_listing.folder_lock import FolderLock
from inventory_assets.inventory.listing.checkpoint_record import (
    checkpoint_name,
    listing_fingerprint,
)
from inventory_assets.inventory.listing.checkpoints import CheckpointLog
from inventory_assets.inventory.listing.listing_driver import (
    list_in_directory_order,
    list_in_parallel,
)
from inventory_assets.inventory.listing.part_assembler import PartAssembler
from inventory_assets.inventory.listing.part_stream import RowBuffer
from inventory_assets.inventory.parts.part import Part
from inventory_assets.inventory.storage.encodings import Encodings
from inventory_assets.inventory.storage.layout import Layout
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets.s3.list_client import ListClient, RequestStats
from inventory_assets.scan.engine.events import (
    ListingJob,
    RangeNarrowed,
    RangeSplit,
)
from inventory_assets.scan.engine.parallel_scan import utc_now
from inventory_assets.scan.engine.progress import Report, ignore_events
from inventory_assets.scan.keyspace.key_order import KeyOrder
from inventory_assets.scan.keyspace.key_range import KeyRange, coalesce, tiling_fault
from inventory_assets.scan.validation.object_versions import Versions
from inventory_assets.scan.validation.range_evidence import RangeEvidence
from inventory_assets.scan.validation.seams import seam_faults

CHECKPOINTS = "checkpoints"
"""The folder of the store that holds the checkpoints."""


@dataclass(frozen=True, slots=True)
class Work:
    """The keys to list, and the store to list them into.

    Attributes:
        lister: The bucket.
        prefix: The prefix of the keys.
        processes: The number of processes.
        store: The store to publish parts and checkpoints to.
        report: Receives every event.
        versions: The versions to list; None for the current objects.
        lock: The lock of the folder that holds the store, for child processes; None without one.
        encodings: The encodings of parts.
        key_order: The order in which the store lists; None to detect it.
    """

    lister: ListClient
    prefix: str
    processes: int
    store: LocalStore
    report: Report = ignore_events
    versions: Versions | None = None
    lock: FolderLock | None = None
    encodings: Encodings = Encodings.COMPACT
    key_order: KeyOrder | None = None

    @property
    def layout(self) -> Layout:
        return Layout(self.lister.connection.bucket, "list", self.encodings)


def open_checkpoint_log(
    work: Work, key_order: KeyOrder, started_at: datetime | None = None
) -> CheckpointLog:
    """Open the checkpoints of a listing.

    Args:
        work: The keys to list.
        key_order: The order in which the store lists.
        started_at: When the listing began, for a child process, which reads no earlier checkpoints;
            None for the process that began it.
    """
    return CheckpointLog(
        work.store,
        CHECKPOINTS,
        checkpoint_name("listing", key_order),
        listing_fingerprint(
            work.lister.connection, work.prefix, (), key_order, work.versions, work.encodings
        ),
        utc_now,
        names=None if started_at is None else (),
        started_at=started_at,
        layout=work.layout,
        for_manifest=False,
    )


@dataclass(frozen=True, slots=True)
class RangesListed:
    """Ranges that were listed completely.

    Attributes:
        parts: The parts that hold their records, in key order.
        evidence: The evidence of each range, in key order.
    """

    parts: tuple[Part, ...]
    evidence: tuple[RangeEvidence, ...]


def list_by_ranges(
    work: Work, checkpoints: CheckpointLog, wanted: Sequence[KeyRange], stats: RequestStats
) -> RangesListed:
    """List some ranges in parallel.

    Raises:
        IncompleteListing: The listing does not prove that it is complete.
        S3Error: A request failed for good.
        ScanError: The store does not list in byte order.
        StoreError: A part cannot be written.
    """
    resumed = checkpoints.resumed
    job = ListingJob(
        work.prefix,
        wanted,
        stats,
        resumed_objects=resumed.rows,
        resumed_evidence=resumed.evidence,
        versions=work.versions,
    )

    def open_builder(job: ListingJob) -> RangesBuilder:
        return RangesBuilder(work, checkpoints, job)

    # Read to the end, also after a failure: leaving early would cancel the lister.
    ((_, result),) = list_in_parallel(work.lister, [job], open_builder, work.report)
    if isinstance(result, Exception):
        raise result
    return result


def list_by_directories(
    work: Work, checkpoints: CheckpointLog, wanted: Sequence[KeyRange], stats: RequestStats
) -> RangesListed:
    """List some ranges of a store that lists in directory order.

    Raises:
        IncompleteListing: The listing does not prove that it is complete.
        S3Error: A request failed for good.
        ScanError: The store keeps to no order, or versions are wanted.
        StoreError: A part cannot be written.
    """
    job = ListingJob(
        work.prefix, wanted, stats, resumed_objects=checkpoints.resumed.rows, versions=work.versions
    )
    builder = RangesBuilder(work, checkpoints, job)
    return list_in_directory_order(work.lister, job, builder, work.report)


class RangesBuilder:
    """The sink that writes parts of some ranges, and proves that they are complete.

    Args:
        work: The keys to list, and the store.
        checkpoints: The checkpoints of the listing.
        job: The ranges.
    """

    def __init__(self, work: Work, checkpoints: CheckpointLog, job: ListingJob) -> None:
        self._work = work
        self._checkpoints = checkpoints
        self._stats = job.stats
        self._evidence: dict[KeyRange, RangeEvidence] = {}
        self._expected = [*job.ranges]
        self._ranges = len(job.ranges)
        self._assembler = PartAssembler(
            work.store,
            work.layout,
            job.ranges,
            RowBuffer(),
            for_manifest=False,
            on_published=self._record_completed,
            drafts=checkpoints.drafts,
            on_tick=self._on_tick,
        )
        checkpoints.track_open_ranges(self._assembler.open_ranges)

    def _record_completed(self, key_range: KeyRange, parts: Sequence[Part]) -> None:
        self._checkpoints.record_completed(key_range, parts, self._stats)

    def _on_tick(self) -> None:
        self._checkpoints.tick(self._stats)

    @property
    def is_complete(self) -> bool:
        """Whether all ranges are listed."""
        return len(self._evidence) == self._ranges

    def write(self, index: int, objects: pa.RecordBatch) -> None:
        """Append objects to a range."""
        self._assembler.write(index, objects)

    def split(self, split: RangeSplit) -> None:
        """Begin a new range with the upper part of another."""
        self._ranges += 1
        self._assembler.split(split.index, split.upper, split.boundary, touches=split.touches)

    def narrow(self, narrowed: RangeNarrowed) -> None:
        """Move the beginning of a range that was completed, or resumed."""
        was, after = narrowed.was, narrowed.after
        if found := self._evidence.pop(was, None):
            later = KeyRange(after, was.until)
            self._evidence[later] = replace(found, key_range=later)
        else:  # it was resumed; its head is listed in this run
            self._expected.append(KeyRange(was.after, after))

    def complete(self, index: int, evidence: RangeEvidence) -> None:
        """End a range."""
        self._evidence[evidence.key_range] = evidence
        self._assembler.end(index, evidence.key_range.until)

    def finish_part(self, index: int) -> None:
        """Publish the records written to a range so far."""
        self._assembler.finish_part(index)

    def finish(self) -> RangesListed:
        """End all parts.

        Raises:
            IncompleteListing: The evidence does not prove that the listing is complete.
            StoreError: A part cannot be written.
        """
        parts = self._assembler.finish()
        self._checkpoints.flush(self._stats)
        ranges = sorted(self._evidence)
        evidence = tuple(self._evidence[key_range] for key_range in ranges)
        fault = tiling_fault(ranges, coalesce(sorted(self._expected)))
        fault = fault or next(iter(seam_faults(evidence)), None)
        rows = sum(each.rows for each in evidence)
        written = sum(part.rows for part in parts)
        if fault or rows != written:
            raise IncompleteListing(
                f"{self._work.lister.connection.display_name}: the listing of "
                f"{self._work.prefix!r} does not prove that it is complete: "
                f"{fault or f'{rows:,} objects seen, {written:,} written'}; list it again"
            )
        return RangesListed(parts, evidence)

    def fail(self, error: Exception) -> None:
        """Keep the checkpoints: the caller removes them if no run can resume from them."""

    def close(self) -> None:
        """Write a last checkpoint, and remove scratch files."""
        try:
            self._checkpoints.save_drafts(self._stats)
        finally:
            self._assembler.close()
            self._checkpoints.close()
