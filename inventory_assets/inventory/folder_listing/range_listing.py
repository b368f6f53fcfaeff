"""List ranges of a bucket into parts, without dates or shards."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from inventory_assets.inventory.errors import IncompleteListing
from inventory_assets.inventory.folder_listing.folder_lock import FolderLock
from inventory_assets.inventory.listing.baseline_segment import BaselineSegment
from inventory_assets.inventory.listing.checkpoint_record import (
    checkpoint_name,
    listing_fingerprint,
)
from inventory_assets.inventory.listing.checkpointed_sink import CheckpointedSink
from inventory_assets.inventory.listing.checkpoints import CheckpointLog
from inventory_assets.inventory.listing.listing_driver import (
    do_nothing,
    list_in_directory_order,
    list_in_parallel,
)
from inventory_assets.inventory.listing.listing_observer import UNOBSERVED, ListingObserver
from inventory_assets.inventory.listing.part_stream import RowBuffer
from inventory_assets.inventory.parts.part import Part
from inventory_assets.inventory.storage.encodings import Encodings
from inventory_assets.inventory.storage.layout import Layout
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets.inventory.storage.store import Store
from inventory_assets.s3.page_source import PageSource
from inventory_assets.s3.request_stats import RequestStats
from inventory_assets.scan.engine.events import (
    ListingJob,
    RangeCutShort,
    RangeNarrowed,
)
from inventory_assets.scan.engine.parallel_scan import ParallelScan, utc_now
from inventory_assets.scan.engine.progress import Report, ignore_events
from inventory_assets.scan.engine.splitter import pick_evenly
from inventory_assets.scan.keyspace.key_order import KeyOrder
from inventory_assets.scan.keyspace.key_range import KeyRange, coalesce, tiling_violation
from inventory_assets.scan.validation.object_versions import Versions
from inventory_assets.scan.validation.range_evidence import RangeEvidence
from inventory_assets.scan.validation.seams import seam_violations

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
        observer: Is told what this process does.
        folder: The name of the folder of the parts, below that of the bucket.
        results: The layout of the source to which the parts belong; None if they belong to none.
    """

    lister: PageSource
    prefix: str
    processes: int
    store: Store
    report: Report = ignore_events
    versions: Versions | None = None
    lock: FolderLock | None = None
    encodings: Encodings = Encodings.COMPACT
    key_order: KeyOrder | None = None
    observer: ListingObserver = UNOBSERVED
    folder: str = "list"
    results: Layout | None = None

    @property
    def layout(self) -> Layout:
        """The keys and encodings of the parts."""
        if self.results is not None:
            return self.results
        return Layout(self.lister.bucket_config.bucket, self.folder, self.encodings)


@dataclass(frozen=True, slots=True)
class FolderWork(Work):
    """The keys to list into a folder."""

    store: LocalStore


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
            work.lister.bucket_config, work.prefix, (), key_order, work.versions, work.encodings
        ),
        utc_now,
        names=None if started_at is None else (),
        started_at=started_at,
        layout=work.layout,
        for_manifest=False,
        observer=work.observer,
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
    work: Work,
    checkpoints: CheckpointLog,
    wanted: Sequence[KeyRange],
    stats: RequestStats,
    open_builder: "OpenBuilder | None" = None,
    between_events: Callable[[ParallelScan], None] = do_nothing,
    split_hints: Sequence[str] = (),
) -> RangesListed:
    """List some ranges in parallel.

    Args:
        work: The bucket, and the store.
        checkpoints: The checkpoints of the ranges.
        wanted: The ranges, in key order.
        stats: Counts the requests.
        open_builder: Opens the sink; None for a `RangesBuilder`.
        between_events: See `list_in_parallel`.
        split_hints: See `ListingJob`.

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
        initial_splits=pick_evenly(split_hints, work.lister.bucket_config.max_in_flight),
        split_hints=split_hints,
    )

    def open_sink(job: ListingJob) -> RangesBuilder:
        return (open_builder or RangesBuilder)(work, checkpoints, job)

    # Read all results, also after a failure: leaving early would cancel the lister.
    ((_, result),) = list_in_parallel(
        work.lister,
        [job],
        open_sink,
        work.report,
        observer=work.observer,
        between_events=between_events,
    )
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
    return list_in_directory_order(work.lister, job, builder, work.report, observer=work.observer)


class RangesBuilder(CheckpointedSink):
    """The sink that writes parts of some ranges, and proves that they are complete.

    Args:
        work: The keys to list, and the store.
        checkpoints: The checkpoints of the listing.
        job: The ranges.
        segments: See `PartAssembler`, for parts that a manifest will name; None for others.
    """

    def __init__(
        self,
        work: Work,
        checkpoints: CheckpointLog,
        job: ListingJob,
        segments: Sequence[BaselineSegment] | None = None,
    ) -> None:
        super().__init__(
            job,
            checkpoints,
            work.store,
            work.layout,
            RowBuffer(),
            for_manifest=segments is not None,
            segments=segments or (),
        )
        self._work = work
        self._expected = [*job.ranges]

    def cut_short(self, cut: RangeCutShort) -> None:
        """See `CheckpointedSink`; the keys given away need not be proven here."""
        super().cut_short(cut)
        self._expected = [left for each in self._expected for left in each.difference([cut.given])]

    def narrow(self, narrowed: RangeNarrowed) -> None:
        """Move the beginning of a range that was completed, or resumed."""
        was, after = narrowed.was, narrowed.after
        for index, each in self.evidence.items():
            if each.key_range == was:
                self.evidence[index] = replace(each, key_range=KeyRange(after, was.until))
                return
        # The range was resumed; its beginning is listed in this run.
        self._expected.append(KeyRange(was.after, after))

    def finish(self) -> RangesListed:
        """Publish all parts.

        Raises:
            IncompleteListing: The evidence does not prove that the listing is complete.
            StoreError: A part cannot be written.
        """
        parts = self.assembler.finish()
        self._checkpoints.flush(self.stats)
        evidence = tuple(sorted(self.evidence.values(), key=lambda each: each.key_range))
        ranges = [each.key_range for each in evidence]
        violation = tiling_violation(ranges, coalesce(sorted(self._expected)))
        violation = violation or next(iter(seam_violations(evidence)), None)
        rows = sum(each.rows for each in evidence)
        written = sum(part.rows for part in parts)
        if violation or rows != written:
            raise IncompleteListing(
                f"{self._work.lister.bucket_config.display_name}: the listing of "
                f"{self._work.prefix!r} does not prove that it is complete: "
                f"{violation or f'{rows:,} objects listed, {written:,} written'}; list it again"
            )
        return RangesListed(parts, evidence)

    def fail(self, error: Exception) -> None:
        """Do nothing: the caller removes the checkpoints if no run can resume from them."""


OpenBuilder = Callable[[Work, CheckpointLog, ListingJob], RangesBuilder]
"""Opens the sink of some ranges."""
