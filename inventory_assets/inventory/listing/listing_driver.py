"""Run a scan of a bucket, and pass its events to the sinks that write files.

A store that lists in byte order is scanned in parallel, and one that lists in directory order by
one request after the other. A snapshot of a shard and a listing into a folder are both written from
the same events, so each is a `ListingSink`.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from datetime import datetime, timedelta
from typing import Generic, Protocol, TypeVar

import pyarrow as pa

from inventory_assets.errors import InventoryError
from inventory_assets.inventory.listing.directory_order_events import directory_events
from inventory_assets.s3.page_source import PageSource
from inventory_assets.s3.request_stats import RequestStats
from inventory_assets.s3.store_profile import KeyEncoding
from inventory_assets.scan.engine.events import (
    Event,
    JobFailed,
    ListingJob,
    ObjectsListed,
    RangeCompleted,
    RangeCutShort,
    RangeNarrowed,
    RangeSplit,
)
from inventory_assets.scan.engine.observer import UNOBSERVED, ScanObserver
from inventory_assets.scan.engine.parallel_scan import ParallelScan, utc_now
from inventory_assets.scan.engine.progress import Report
from inventory_assets.scan.errors import NamesMisread
from inventory_assets.scan.key_encoding import corrected
from inventory_assets.scan.store_probe import contradicted
from inventory_assets.scan.validation.range_evidence import RangeEvidence

DIRECTORY_PART_INTERVAL = timedelta(minutes=1)
"""How often a listing in directory order publishes a part; a kill loses at most the listing of this
time."""

Result = TypeVar("Result")
ResultT_co = TypeVar("ResultT_co", covariant=True)


class ListingSink(Protocol[ResultT_co]):
    """Writes the objects of one job to files."""

    @property
    def is_complete(self) -> bool:
        """Whether all ranges of the job are listed, including those that were split off."""

    def write(self, index: int, objects: pa.RecordBatch) -> None:
        """Append objects to a range; see `ObjectsListed`."""

    def split(self, split: RangeSplit) -> None:
        """Begin a new range with the upper part of another."""

    def narrow(self, narrowed: RangeNarrowed) -> None:
        """Move the beginning of a range that was completed, or resumed."""

    def cut_short(self, cut: RangeCutShort) -> None:
        """Note that another scan lists the upper part of a range."""

    def complete(self, index: int, evidence: RangeEvidence) -> None:
        """End a range."""

    def finish_part(self, index: int) -> None:
        """Publish the records written to a range so far."""

    def finish(self) -> ResultT_co:
        """Publish the result of a complete job."""

    def fail(self, error: Exception) -> None:
        """Remove the checkpoints if, after this error, no run can resume from them."""

    def close(self) -> None:
        """Write a last checkpoint of an unfinished job, and remove scratch files."""


def do_nothing(_scan: ParallelScan) -> None:
    """Give nothing of a scan away."""


def list_in_parallel(
    lister: PageSource,
    jobs: Sequence[ListingJob],
    open_sink: Callable[[ListingJob], ListingSink[Result]],
    report: Report,
    now: Callable[[], datetime] = utc_now,
    observer: ScanObserver = UNOBSERVED,
    between_events: Callable[[ParallelScan], None] = do_nothing,
) -> Generator[tuple[ListingJob, Result | Exception], None, None]:
    """List jobs in parallel from a store that lists in byte order.

    Args:
        lister: The bucket.
        jobs: The jobs to list; a job without ranges is complete.
        open_sink: Opens the sink of a job at its first event.
        report: Receives every event, before the sink does.
        now: The clock.
        observer: Is told which ranges are received.
        between_events: Called after each event; may give keys of the scan away.

    Yields:
        Each job with the result of its sink, or with its `InventoryError` or `OSError`.

    Raises:
        Exception: Any other error; it ends all jobs.
    """
    with closing(_OpenSinks(open_sink)) as sinks:
        for job in jobs:
            if not job.ranges:
                yield job, sinks.finish(job)
        scan = ParallelScan(lister, [job for job in jobs if job.ranges], now, observer=observer)
        for event in scan:
            report(event)
            result = sinks.receive(event)
            if isinstance(result, Exception):
                scan.abandon(event.job)
            if result is not None:
                yield event.job, result
            between_events(scan)
        for job in sinks.open_jobs:
            yield job, sinks.finish(job)  # incomplete, which the sink detects by its evidence


class _OpenSinks(Generic[Result]):
    """The sinks of the jobs in progress.

    Args:
        open_sink: Opens the sink of a job.
    """

    def __init__(self, open_sink: Callable[[ListingJob], ListingSink[Result]]) -> None:
        self._open_sink = open_sink
        self._sinks: dict[ListingJob, ListingSink[Result]] = {}

    @property
    def open_jobs(self) -> list[ListingJob]:
        return [*self._sinks]

    def _sink(self, job: ListingJob) -> ListingSink[Result]:
        if job not in self._sinks:
            self._sinks[job] = self._open_sink(job)
        return self._sinks[job]

    def receive(self, event: Event) -> Result | Exception | None:
        """Pass an event to its sink; return the result or the error of a job that has ended."""
        sink = self._sink(event.job)
        try:
            _pass_on(event, sink)
        except (InventoryError, OSError) as error:  # the other jobs continue
            return self.finish(event.job, error)
        return self.finish(event.job) if sink.is_complete else None

    def finish(self, job: ListingJob, error: Exception | None = None) -> Result | Exception:
        """End a job, successfully or with an error."""
        sink = self._sink(job)
        try:
            if error is not None:
                raise error
            result: Result | Exception = sink.finish()
        except (InventoryError, OSError) as failure:
            sink.fail(failure)
            result = failure
        self._sinks.pop(job).close()
        return result

    def close(self) -> None:
        for sink in self._sinks.values():
            sink.close()


def list_in_directory_order(
    lister: PageSource,
    job: ListingJob,
    sink: ListingSink[Result],
    report: Report,
    now: Callable[[], datetime] = utc_now,
    observer: ScanObserver = UNOBSERVED,
) -> Result:
    """List a job from a store that lists in directory order, one request after the other.

    Args:
        lister: The bucket.
        job: The job to list.
        sink: Its sink, which is closed at the end.
        report: Receives every event, before the sink does.
        now: The clock.
        observer: Is told that the job is received, as one range.

    Raises:
        VersionsNotListed: Versions are wanted.
        ScanError: The store keeps to no order.
        S3Error: A request failed for good.
        IncompleteListing: The listing does not prove that it is complete.
        StoreError: A part cannot be written.
    """
    with closing(sink), observer.receiving(job, 0):
        try:
            finished_at = now()
            for event in directory_events(lister, job):
                report(event)
                _pass_on(event, sink)
                is_due = now() - finished_at >= DIRECTORY_PART_INTERVAL
                if is_due and isinstance(event, ObjectsListed):
                    sink.finish_part(event.index)
                    finished_at = now()
            return sink.finish()
        except Exception as error:
            sink.fail(error)
            raise


def _pass_on(event: Event, sink: ListingSink[object]) -> None:
    """Call the method of a sink for an event; raise the error of a failed job."""
    match event:
        case ObjectsListed(index=index, objects=objects):
            sink.write(index, objects)
        case RangeSplit():
            sink.split(event)
        case RangeNarrowed():
            sink.narrow(event)
        case RangeCutShort():
            sink.cut_short(event)
        case RangeCompleted(index=index, evidence=evidence):
            sink.complete(index, evidence)
        case JobFailed(error=error):
            raise error


class ProfileCorrector:
    """Corrects the profile of a store after errors that contradict it, a limited number of times.

    Args:
        lister: The bucket, whose profile is corrected.
    """

    def __init__(self, lister: PageSource) -> None:
        self._lister = lister
        self._corrections_left = len(KeyEncoding)

    def correct(self, failed: Mapping[str, Exception], stats: RequestStats) -> bool:
        """Correct the profile.

        Args:
            failed: The `NamesMisread` or `KeysOutOfOrder` of each prefix, at least one.
            stats: Counts the requests.

        Returns:
            Whether the profile changed, so that listing again in the same order may succeed.

        Raises:
            ListingUnsupported: No way to list more than one page works.
            S3Error: A request failed for good.
        """
        if not self._corrections_left:
            return False
        self._corrections_left -= 1
        misread = [error for error in failed.values() if isinstance(error, NamesMisread)]
        if misread:
            self._lister.profile = corrected(self._lister.profile, misread[0])
            return True
        return contradicted(self._lister, min(failed, key=len), stats)
