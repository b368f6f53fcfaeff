"""List a bucket into a plain folder of sorted Parquet files, without dates or shards.

The keys are split into ranges while they are listed. The ranges are listed in parallel, and their
parts, in key order, form one sorted sequence.
"""

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from inventory_assets.inventory.errors import IncompleteListing, RecordsUnreadable, StoreError
from inventory_assets.inventory.folder_listing.folder_lock import WORK_FOLDER, FolderLock, locked
from inventory_assets.inventory.folder_listing.folder_records import (
    BegunListing,
    FinishedListing,
    FolderRecords,
    Listing,
    remove_finished_folder,
    request_of,
)
from inventory_assets.inventory.folder_listing.process_pool import list_by_processes
from inventory_assets.inventory.folder_listing.range_listing import (
    CHECKPOINTS,
    FolderWork,
    list_by_directories,
    list_by_ranges,
    open_checkpoint_log,
)
from inventory_assets.inventory.listing.listing_driver import ProfileCorrector
from inventory_assets.inventory.listing.listing_observer import UNOBSERVED, ListingObserver
from inventory_assets.inventory.manifest.unreadable_records import (
    MAX_TOLERATED,
    NOTHING_UNREADABLE,
    UnreadableRecords,
    require_readable,
)
from inventory_assets.inventory.storage.encodings import Encodings
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets.s3.page_source import PageSource
from inventory_assets.s3.request_stats import RequestStats
from inventory_assets.scan.engine.parallel_scan import utc_now
from inventory_assets.scan.engine.progress import Report, ignore_events
from inventory_assets.scan.errors import KeysOutOfOrder, NamesMisread
from inventory_assets.scan.keyspace.key_order import KeyOrder
from inventory_assets.scan.keyspace.key_range import KeyRange
from inventory_assets.scan.prefix_discovery import discover
from inventory_assets.scan.prefix_search import ShardBounds
from inventory_assets.scan.validation.object_versions import Versions

LOG = logging.getLogger(__name__)

_BOUNDS = ShardBounds(depth=0)
"""Discovery without prefixes, which only detects the key order of the store."""


@dataclass(frozen=True, slots=True)
class FolderListing:
    """The result of listing into a folder.

    Attributes:
        files: The Parquet files, in key order.
        rows: The number of objects in the files.
        object_bytes: The sum of the sizes of the objects, in bytes.
        requests: Requests sent.
        faults: Transient errors, by kind.
        unreadable: Records that could not be decoded, and are in no file.
    """

    files: tuple[Path, ...]
    rows: int
    object_bytes: int
    requests: int
    faults: dict[str, int]
    unreadable: UnreadableRecords = NOTHING_UNREADABLE


def list_into_folder(
    lister: PageSource,
    prefix: str,
    folder: Path,
    processes: int = 1,
    report: Report = ignore_events,
    arguments: Sequence[str] = (),
    versions: Versions | None = None,
    *,
    encodings: Encodings = Encodings.COMPACT,
    key_order: KeyOrder | None = None,
    resume: bool = False,
    now: Callable[[], datetime] = utc_now,
    observer: ListingObserver = UNOBSERVED,
) -> FolderListing:
    """List all keys under `prefix` into `folder` as `part-00000.parquet` and so on.

    The files appear when the listing is complete; before that, or after a failure, there are none.
    An unfinished listing of the same keys by an earlier call is resumed. An exception that ends the
    listing carries a note (PEP 678) that says how much of it was kept.

    Args:
        lister: The bucket.
        prefix: The prefix of the keys.
        folder: The folder for the files; it is locked while the bucket is listed.
        processes: The number of processes, which share the requests in flight.
        report: Receives every event of this process, and the progress of the others.
        arguments: The arguments of the command, which `interrupted_listing` returns.
        versions: The versions to list; None for the current objects.
        encodings: The encodings of the files.
        key_order: The order in which the store lists; None to detect it.
        resume: Whether to finish a complete listing in the folder even if it is old.
        now: The clock.
        observer: Is told what this process does.

    Raises:
        FolderInUse: Another process is listing into the folder.
        OtherListing: The folder holds an unfinished listing of other keys, or one too old.
        StoreError: The folder already holds Parquet files, cannot be written, or was removed or
            renamed meanwhile.
        IncompleteListing: The listing does not prove that it is complete.
        RecordsUnreadable: Most records, or all of them, cannot be decoded.
        WorkerDied: A process was killed.
        S3Error: A request failed for good.
        ScanError: The store keeps to no order.
        VersionsNotListed: The store lists in directory order, so versions cannot be listed.
    """
    with locked(folder, now) as lock:
        remove_finished_folder(lock.folder)
        store = LocalStore(lock.folder / WORK_FOLDER)
        work = FolderWork(
            lister,
            prefix,
            processes,
            store,
            report,
            versions,
            lock,
            encodings,
            key_order,
            observer,
        )
        wanted, records = request_of(work), FolderRecords(folder, store)
        finished = records.finished()
        if finished is not None:
            if not resume:
                records.require_same(finished, wanted, now())
            moment = finished.finished_at.isoformat(timespec="seconds")
            LOG.info("the listing was finished at %s: moving its files", moment)
            return _move_files(records, lock, finished.found)
        if any(lock.folder.glob("*.parquet")):
            raise StoreError(
                f"{folder} holds Parquet files already; choose another folder, or remove them"
            )
        records.require_no_other(wanted)
        return _list_into(records, work, lock, BegunListing(tuple(arguments), wanted, now()), now)


def _list_into(
    records: FolderRecords,
    work: FolderWork,
    lock: FolderLock,
    begun: BegunListing,
    now: Callable[[], datetime],
) -> FolderListing:
    """List the missing ranges and publish the files.

    If it fails, the folder holds all that the next call needs to continue, or nothing.
    """
    store = work.store
    before = records.begun() if any(store.list_names(CHECKPOINTS)) else None
    if before:
        store.remove_scratch()
        begun = replace(begun, began_at=before.began_at)
    else:
        store.remove()  # without checkpoints, parts cannot be resumed
    try:
        records.begin(begun)
        listing = _list(work)
        rows = sum(part.rows for part in listing.parts)
        most = MAX_TOLERATED if rows else 0
        require_readable(work.lister.bucket_config.display_name, rows, listing.unreadable, most)
        lock.check()
        records.finish(FinishedListing(begun.listing, now(), listing))
        return _move_files(records, lock, listing)
    except (IncompleteListing, KeysOutOfOrder, NamesMisread, RecordsUnreadable):
        if lock.is_held():
            store.remove()  # a wrong listing must not be resumed
        raise
    except BaseException as error:
        # After a failure, no note says that nothing was kept; after Ctrl-C, one does.
        if lock.is_held() and (resumed := _describe_resumable(records, work)):
            error.add_note(resumed)
        elif isinstance(error, KeyboardInterrupt):
            error.add_note("nothing was kept")
        raise


def _move_files(records: FolderRecords, lock: FolderLock, found: Listing) -> FolderListing:
    return FolderListing(
        files=records.move(lock, found),
        rows=sum(part.rows for part in found.parts),
        object_bytes=sum(part.object_bytes for part in found.parts),
        requests=found.requests,
        faults=found.faults,
        unreadable=found.unreadable,
    )


def _describe_resumable(records: FolderRecords, work: FolderWork) -> str | None:
    """Describe the work that a failed listing keeps; None if there is none.

    If no work is kept, remaining files are removed.
    """
    if records.is_finished:
        return (
            f"the listing is complete; run {records.resume_command} to give its files their names"
        )
    if any(work.store.root.parent.glob("*.parquet")):
        return "the listing and its files are complete"
    rows = max(open_checkpoint_log(work, key_order).resumed.rows for key_order in KeyOrder)
    if not rows:
        work.store.remove()
        return None
    kind = "versions" if work.versions else "objects"
    return f"{rows:,} {kind} are kept; run {records.resume_command} to continue"


def _list(work: FolderWork) -> Listing:
    stats = RequestStats()
    discovery = discover(work.lister, work.prefix, _BOUNDS, work.key_order)
    stats.requests += discovery.requests
    order = discovery.key_order
    corrector = ProfileCorrector(work.lister)
    while True:
        try:
            return _list_in_order(work, order, stats)
        except (KeysOutOfOrder, NamesMisread) as error:
            is_final = order is KeyOrder.DIRECTORY and isinstance(error, KeysOutOfOrder)
            if is_final or not corrector.correct({work.prefix: error}, stats):
                if work.versions or order is KeyOrder.DIRECTORY:
                    raise
                if work.key_order is not None:
                    raise KeysOutOfOrder(
                        f"{error}; --key-order says {work.key_order}: leave it out to detect the "
                        "order"
                    ) from None
                order = KeyOrder.DIRECTORY
            LOG.info("%s; listing the bucket again with other requests", error)


def _list_in_order(work: FolderWork, key_order: KeyOrder, stats: RequestStats) -> Listing:
    checkpoints = open_checkpoint_log(work, key_order)
    checkpoints.log_resumption()
    resumed = checkpoints.resumed
    missing = resumed.missing([KeyRange.of_prefix(work.prefix)])
    try:
        if key_order is KeyOrder.DIRECTORY:
            parts = list_by_directories(work, checkpoints, missing, stats).parts
        elif work.processes > 1:
            parts = list_by_processes(work, checkpoints, missing, stats)
        else:
            parts = list_by_ranges(work, checkpoints, missing, stats).parts
    except (KeysOutOfOrder, NamesMisread):
        checkpoints.clear()  # a wrong listing must not be resumed
        raise
    parts += tuple(part for completed in resumed.completed for part in completed.parts)
    faults = Counter({fault.value: count for fault, count in stats.faults.items()})
    faults.update(resumed.faults)
    return Listing(
        tuple(sorted(parts, key=lambda part: part.first_key)),
        stats.requests + resumed.requests,
        dict(sorted(faults.items())),
        resumed.unreadable.joined(stats.unreadable),
    )
