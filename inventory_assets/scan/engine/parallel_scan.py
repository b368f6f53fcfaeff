"""List many key ranges at once, in one thread.

Three parts work on the ranges, each with its own state:

- `Scheduler` decides which ranges are listed at a time, and splits those with most pages left where
  fewer requests are in flight than allowed.
- `Fetcher` requests the pages of one range after the other. It finds what the next request needs
  without decoding a page.
- `Reader` decodes a batch of pages in one call, validates every page, has ranges listed again where
  a page is damaged or a seam disagrees, and yields events.

Scheduler and fetcher run in an event loop; the caller who iterates runs that loop while the reader
has nothing to read, so no lock is needed, and the kernel receives while pages are decoded. Between
them stands `PageQueue`: fetchers wait while it is full, so memory is bounded by its pages and one
page for each range that is listed, however fast the store or slow the disk.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime

from inventory_assets.s3.page_source import PageSource
from inventory_assets.scan.engine.events import Event, ListingJob
from inventory_assets.scan.engine.fetcher import Fetcher
from inventory_assets.scan.engine.page_queue import PageQueue, QueueItem
from inventory_assets.scan.engine.reader import Reader
from inventory_assets.scan.engine.scheduler import Scheduler


def utc_now() -> datetime:
    """The time; the one clock that production code reads."""
    return datetime.now(UTC)


class ParallelScan:
    """The objects of some jobs: in key order within a range, in no order between ranges.

    It is iterated once, by one thread, and leaves no task behind. If the iteration is left early,
    by an error or otherwise, it cancels the lister.

    Args:
        lister: The bucket.
        jobs: Begun in this order; as many ranges at a time as requests may be in flight.
        now: The clock.
        can_split: Whether ranges may be split while they are listed.
    """

    def __init__(
        self,
        lister: PageSource,
        jobs: Sequence[ListingJob],
        now: Callable[[], datetime] = utc_now,
        *,
        can_split: bool = True,
    ) -> None:
        self._lister = lister
        self._queue = PageQueue()
        self._fetcher = Fetcher(lister)
        self._scheduler = Scheduler(
            lister, jobs, self._fetcher, self._queue, now, can_split=can_split
        )

    def __iter__(self) -> Iterator[Event]:
        """Yield events as soon as they are known.

        A job ends with one `JobFailed`, or with a `RangeCompleted` for each of its ranges and for
        each that was split off. The error of `JobFailed` is `KeysOutOfOrder` (a page does not
        ascend, or goes back behind the page before it), `SeamDisagrees` (ranges contradict each
        other where they meet), `KeyOutsideRequest`, `ListingStuck` (a token is repeated, or empty
        pages do not end) or an `S3Error`.

        Raises:
            Cancelled: `lister.cancel` was called.
        """
        with asyncio.Runner() as runner:
            # `runner.run` would set and reset signal handlers for every batch.
            run = runner.get_loop().run_until_complete
            reader = Reader(self._lister, self._scheduler, self._fetcher, run)
            try:
                while self._scheduler.has_open_ranges:
                    yield from reader.read(run(self._next_items()))
            except BaseException:
                self._lister.cancel()
                raise
            finally:
                self._scheduler.close()  # the runner cancels the tasks that are left

    def abandon(self, job: ListingJob) -> None:
        """Stop listing a job: no more of its requests are sent, and no more events yielded."""
        job.state.failed = True

    async def _next_items(self) -> list[QueueItem]:
        self._scheduler.start_workers()
        if self._scheduler.is_idle and self._queue.is_empty:
            raise RuntimeError("the ranges of a scan wait for each other")
        return await self._queue.take()
