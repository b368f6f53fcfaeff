"""List ranges of a bucket into parts, without dates or shards."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime

from inventory_assets.inventory.errors import IncompleteListing
from inventory_assets.inventory.folder_listing.folder_lock import FolderLock
from inventory_assets.inventory.listing.checkpoints import (
    CheckpointLog,
    checkpoint_name,
    listing_fingerprint,
)
from inventory_assets.inventory.listing.directory_order_events import directory_events
from inventory_assets.inventory.listing.part_assembler import PartAssembler, RowBuffer
from inventory_assets.inventory.parts.part import Part
from inventory_assets.inventory.storage.encodings import Encodings
from inventory_assets.inventory.storage.layout import Layout
from inventory_assets.inventory.storage.store import LocalStore
from inventory_assets.s3.list_client import ListClient, RequestStats
from inventory_assets.scan.engine.events import (
    JobFailed,
    ListingJob,
    ObjectsListed,
    RangeCompleted,
    RangeNarrowed,
    RangeSplit,
)
from inventory_assets.scan.engine.parallel_scan import ParallelScan, utc_now
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
    """What is to be listed, and where to.

    Attributes:
        lister: The bucket.
        prefix: What the keys start with.
        processes: How many share the work.
        store: Where the parts and the checkpoints are published.
        report: Told every event.
        versions: Which versions; None for the current objects.
        lock: Of the folder that holds the store, for processes that take part; None without one.
        encodings: How parts are encoded.
    """

    lister: ListClient
    prefix: str
    processes: int
    store: LocalStore
    report: Report = ignore_events
    versions: Versions | None = None
    lock: FolderLock | None = None
    encodings: Encodings = Encodings.COMPACT

    @property
    def layout(self) -> Layout:
        return Layout(self.lister.connection.bucket, "list", self.encodings)


def open_checkpoint_log(
    work: Work, key_order: KeyOrder, started_at: datetime | None = None
) -> CheckpointLog:
    """What is safe of a listing in some order.

    Args:
        work: What is listed.
        key_order: In which order.
        started_at: When the listing began, for a process that takes part in it; what earlier runs
            left is then the concern of the one that began it.
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
    """Ranges that were listed whole.

    Attributes:
        parts: Their records, in key order.
        evidence: What each was found to hold, in key order.
    """

    parts: tuple[Part, ...]
    evidence: tuple[RangeEvidence, ...]


def list_by_ranges(
    work: Work, checkpoints: CheckpointLog, wanted: Sequence[KeyRange], stats: RequestStats
) -> RangesListed:
    """List some ranges side by side.

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
    failure: Exception | None = None
    evidence: dict[KeyRange, RangeEvidence] = {}
    expected = [*wanted]
    assembler = _new_assembler(work, checkpoints, wanted, stats)
    with _resumed(checkpoints, assembler, stats):
        for event in ParallelScan(work.lister, [job]):
            work.report(event)
            match event:
                case ObjectsListed(index=index, objects=objects):
                    assembler.write(index, objects)
                case RangeSplit(index=index, upper=upper, boundary=at, touches=touches):
                    assembler.split(index, upper, at, touches=touches)
                case RangeNarrowed(was=was, after=after):
                    if found := evidence.pop(was, None):
                        narrowed = KeyRange(after, was.until)
                        evidence[narrowed] = replace(found, key_range=narrowed)
                    else:  # it was kept; its head is listed in this run
                        expected.append(KeyRange(was.after, after))
                case RangeCompleted(index=index, evidence=found):
                    evidence[found.key_range] = found
                    assembler.end(index, found.key_range.until)
                case JobFailed(error=error):
                    failure = error
        if failure:
            raise failure
        parts = assembler.finish()
    in_order = [evidence[key_range] for key_range in sorted(evidence)]
    faults = seam_faults(in_order)
    fault = tiling_fault(sorted(evidence), coalesce(sorted(expected))) or next(iter(faults), None)
    rows = sum(each.rows for each in in_order)
    written = sum(part.rows for part in parts)
    if fault or rows != written:
        raise IncompleteListing(
            f"{work.lister.connection.display_name}: the listing of {work.prefix!r} does not "
            "prove that "
            f"it is complete: {fault or f'{rows:,} objects seen, {written:,} written'}; list it "
            "again"
        )
    return RangesListed(parts, tuple(in_order))


def list_by_directories(
    work: Work, checkpoints: CheckpointLog, wanted: Sequence[KeyRange], stats: RequestStats
) -> tuple[Part, ...]:
    """The parts of some ranges of a store that lists in directory order.

    Raises:
        S3Error: A request failed for good.
        ScanError: The store keeps to no order, or versions are wanted.
        StoreError: A part cannot be written.
    """
    job = ListingJob(
        work.prefix, wanted, stats, resumed_objects=checkpoints.resumed.rows, versions=work.versions
    )
    assembler = _new_assembler(work, checkpoints, wanted, stats)
    with _resumed(checkpoints, assembler, stats):
        for event in directory_events(work.lister, job, assembler, utc_now):
            work.report(event)
            match event:
                case ObjectsListed(index=index, objects=objects):
                    assembler.write(index, objects)
                case RangeCompleted(index=index, evidence=evidence):
                    assembler.end(index, evidence.key_range.until)
        return assembler.finish()


@contextmanager
def _resumed(
    checkpoints: CheckpointLog, assembler: PartAssembler, stats: RequestStats
) -> Iterator[None]:
    """However the listing ends, what was received up to then is kept for another run."""
    try:
        yield
        checkpoints.flush(stats)
    except BaseException:
        checkpoints.save_drafts(stats)
        raise
    finally:
        assembler.close()
        checkpoints.close()


def _new_assembler(
    work: Work, checkpoints: CheckpointLog, wanted: Sequence[KeyRange], stats: RequestStats
) -> PartAssembler:
    assembler = PartAssembler(
        work.store,
        work.layout,
        wanted,
        RowBuffer(),
        for_manifest=False,
        published=lambda key_range, parts: checkpoints.record_completed(key_range, parts, stats),
        drafts=checkpoints.drafts,
        ticked=lambda: checkpoints.tick(stats),
    )
    checkpoints.follow(assembler.open_runs)
    return assembler
