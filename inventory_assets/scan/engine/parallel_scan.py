"""List many key ranges at once, in one thread.

Three parts work on the ranges, each with its own state:

- `Scheduler` decides which ranges are listed at the same time. If fewer requests are in flight than
  allowed, it splits the ranges with the most pages left.
- `Fetcher` requests the pages of a range in sequence. It finds what the next request needs without
  decoding the page.
- `Reader` decodes a batch of pages in one call, validates every page, restarts ranges if a page is
  damaged or a seam disagrees, and yields events.

Scheduler and fetcher run in an event loop, which the iterating caller runs while the reader has no
input. So no lock is needed, and the kernel receives data while pages are decoded. `PageQueue` is
between fetcher and reader. Fetchers wait while it is full, so memory is bounded by its pages and
one page per range in progress, at any speed of the store and the disk.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

from inventory_assets.s3.page_source import PageSource
from inventory_assets.scan.engine.events import Event, ListingJob
from inventory_assets.scan.engine.fetcher import Fetcher
from inventory_assets.scan.engine.observer import UNOBSERVED, ScanObserver
from inventory_assets.scan.engine.page_queue import PageQueue, QueueItem
from inventory_assets.scan.engine.range_sharing import RangeSharing
from inventory_assets.scan.engine.reader import Reader
from inventory_assets.scan.engine.scheduler import Scheduler
from inventory_assets.scan.keyspace.key_range import KeyRange


def utc_now() -> datetime:
    """The current time, UTC; tests pass another clock."""
    return datetime.now(UTC)


class ParallelScan:
    """The objects of some jobs: in key order within a range, in no order between ranges.

    It can be iterated once, by one thread, and leaves no task behind. If the iteration ends early,
    for example by an error, the lister is cancelled.

    Args:
        lister: The bucket.
        jobs: The jobs, in the order in which they start; at most as many ranges are in progress as
            requests may be in flight.
        now: The clock.
        can_split: Whether ranges may be split while they are listed.
        observer: Is told which ranges are received.
    """

    def __init__(
        self,
        lister: PageSource,
        jobs: Sequence[ListingJob],
        now: Callable[[], datetime] = utc_now,
        *,
        can_split: bool = True,
        observer: ScanObserver = UNOBSERVED,
    ) -> None:
        self._lister = lister
        self._activity = lister.activity
        self._queue = PageQueue(lister.activity)
        self._fetcher = Fetcher(lister)
        self._scheduler = Scheduler(
            lister,
            jobs,
            self._fetcher,
            self._queue,
            now,
            can_split=can_split,
            observer=observer,
        )
        self._run: Callable[[Coroutine[Any, Any, None]], None] | None = None

    def __iter__(self) -> Iterator[Event]:
        """Yield events as soon as they are known.

        A job ends with one `JobFailed`, or with a `RangeCompleted` for each of its ranges and those
        that were split off. The error of `JobFailed` is `KeysOutOfOrder` (the keys of a page
        do not ascend, or are not after the previous page), `SeamDisagrees` (neighbouring ranges
        contradict each other), `KeyOutsideRequest`, `ListingStuck` (a token is repeated, or empty
        pages do not end) or an `S3Error`.

        Raises:
            Cancelled: `lister.cancel` was called.
        """
        with asyncio.Runner() as runner:
            # `runner.run` would set and reset signal handlers for every batch.
            run = self._run = runner.get_loop().run_until_complete
            reader = Reader(self._lister, self._scheduler, self._fetcher, run)
            activity = self._activity
            try:
                activity.begin_scan()
                while self._scheduler.has_open_ranges:
                    items = run(self._next_items())
                    activity.begin_reading()
                    for event in reader.read(items):
                        activity.begin_writing()
                        yield event
                        activity.end_writing()
                    activity.end_reading()
            except BaseException:
                self._lister.cancel()
                raise
            finally:
                self._run = None
                self._scheduler.close()  # the runner cancels the tasks that are left

    def abandon(self, job: ListingJob) -> None:
        """Stop listing a job: no more of its requests are sent, and no more events are yielded."""
        job.state.failed = True

    def pages_left(self, job: ListingJob) -> float:
        """Estimate the pages that a job has left; infinite if nothing is known yet."""
        return self._sharing(job).pages_left

    def give_away(self, job: ListingJob, share: float) -> list[KeyRange]:
        """Take keys that are not requested yet out of a job, for another scan to list them.

        To be called while the iteration is at an event. A `RangeCutShort` follows for each range.

        Args:
            job: The job.
            share: About which part of the pages left to give away, between 0 and 1.

        Returns:
            The ranges that are given away, in key order; none if no range can be divided.
        """
        if self._run is None:
            raise RuntimeError("keys are given away only while a scan is iterated")
        given: list[KeyRange] = []

        async def give() -> None:
            given.extend(await self._sharing(job).give_away(share))

        self._run(give())
        return sorted(given)

    def _sharing(self, job: ListingJob) -> RangeSharing:
        open_tasks = partial(self._scheduler.open_tasks, job)
        return RangeSharing(open_tasks, self._scheduler.splitter, self._queue)

    async def _next_items(self) -> list[QueueItem]:
        self._scheduler.start_workers()
        if self._scheduler.is_idle and self._queue.is_empty:
            raise RuntimeError("deadlock: all ranges of the scan wait for each other")
        return await self._queue.get_batch()
