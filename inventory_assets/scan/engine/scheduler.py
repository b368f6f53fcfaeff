"""Decide which ranges are listed at the same time, and which of them are split.

As many ranges are listed as requests may be in flight. If fewer ranges are left, the one with the
most pages left is split: its upper part becomes a new range to its right. The ranges of a job are
disjoint, and always cover all its keys.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Coroutine, Sequence
from datetime import datetime
from itertools import pairwise

from inventory_assets.s3.page_source import PageSource
from inventory_assets.s3.store_profile import StartAfter
from inventory_assets.scan.engine.events import ListingJob
from inventory_assets.scan.engine.fetcher import Fetcher
from inventory_assets.scan.engine.observer import UNOBSERVED, ScanObserver
from inventory_assets.scan.engine.page_queue import (
    FetchStopped,
    PageQueue,
    PageReceived,
    RangeSplitOff,
)
from inventory_assets.scan.engine.range_task import PAGES_BEFORE_SPLIT, RangeTask, linked_tasks
from inventory_assets.scan.engine.splitter import Splitter
from inventory_assets.scan.keyspace.key_range import KeyRange
from inventory_assets.scan.validation.seams import ListedRange

PAGES_WORTH_A_SPLIT = 6
"""Minimum estimated pages left of a range to split it; a split costs at least half a page."""

IDLE_RATIO = 16
"""If at most one in this many of the allowed requests is in flight, ranges are split whatever the
estimate of the pages left: estimates are not reliable enough to leave nearly all workers idle."""


class Scheduler:
    """Runs a worker for each range that is being received, each split and each probe.

    It writes `split`, `attempt`, `is_gap`, `key_range`, `left` and `right` of `RangeTask`.

    Args:
        lister: The bucket.
        jobs: The jobs, in the order in which they start.
        fetcher: Requests the pages of a range.
        queue: Receives the pages, and the ranges that were split off.
        now: The clock.
        can_split: Whether ranges may be split while they are listed.
        observer: Is told which ranges are received.

    Attributes:
        splitter: Chooses the keys at which ranges are split.
    """

    def __init__(
        self,
        lister: PageSource,
        jobs: Sequence[ListingJob],
        fetcher: Fetcher,
        queue: PageQueue,
        now: Callable[[], datetime],
        *,
        can_split: bool,
        observer: ScanObserver = UNOBSERVED,
    ) -> None:
        self._lister = lister
        self._fetcher = fetcher
        self._queue = queue
        self._now = now
        self._can_split = can_split
        self._observer = observer
        self.splitter = Splitter(lister)
        self._waiting = deque(linked_tasks(jobs))
        """Ranges to receive, the next one first."""
        self._active: set[RangeTask] = set()
        """Ranges of which at least one page was received and more are expected."""
        self._probes: deque[tuple[RangeTask, ListedRange]] = deque()
        """Seams to probe: the ranges on the left and on the right."""
        self._workers: set[asyncio.Task[None]] = set()
        self._pending_splits = 0
        """Ranges expected from the splits in progress."""
        self._open_ranges = {job: len(job.ranges) for job in jobs if job.ranges}
        """Per job that has not ended: the number of its ranges that are not completed."""
        self._range_count = Counter({job: len(job.ranges) for job in jobs})
        """Per job: the number of its ranges so far, completed or not."""
        self._is_closed = False
        if not self._ignores_start_after:
            for task in [*self._waiting]:
                splits = [split for split in task.job.initial_splits if split in task.key_range]
                self._waiting.extend(reversed(self._split_off(task, splits)))

    @property
    def has_open_ranges(self) -> bool:
        """Whether a job has ranges that are not completed."""
        return bool(self._open_ranges)

    @property
    def is_idle(self) -> bool:
        """Whether no worker is running."""
        return not self._workers

    def close(self) -> None:
        """Start no more workers."""
        self._is_closed = True

    def start_workers(self) -> None:
        """Start workers while there is work, at most as many as requests may be in flight.

        More would wait for each other, and each needs an open file and rows in memory.
        """
        while not self._is_closed and (free := self._max_workers - len(self._workers)) > 0:
            work = self._next_work(free)
            if work is None:
                return
            worker = asyncio.create_task(work)
            self._workers.add(worker)
            worker.add_done_callback(self._on_worker_done)

    # Called by the reader and the seam keeper.

    def retry(self, task: RangeTask) -> None:
        """Restart a range after the last key read; its pages in progress are discarded."""
        task.attempt += 1
        self._active.discard(task)
        self._waiting.appendleft(task)

    def list_again(self, task: RangeTask) -> None:
        """Continue a range that was listed to its end, like `retry`, with full pages."""
        task.is_gap = False
        self.retry(task)

    def split_head_off(
        self, left: RangeTask, right: ListedRange, bound: str, start_after: str
    ) -> RangeTask:
        """Split the keys up to `bound` off `right` as a new range, and list it.

        Args:
            left: The range to the left of the new one.
            right: The range that begins after `bound` afterwards.
            bound: A key within `right`.
            start_after: The StartAfter of the new range.
        """
        head = self._new_range(
            left, KeyRange(right.key_range.after, bound), start_after=start_after
        )
        right.key_range = KeyRange(bound, right.key_range.until)
        self._waiting.appendleft(head)
        return head

    def probe(self, left: RangeTask, right: ListedRange) -> None:
        """Request the current first key of the range on the right; the queue receives it."""
        self._probes.append((left, right))

    def complete_range(self, job: ListingJob) -> bool:
        """Count a completed range; return whether it was the job's last one."""
        self._open_ranges[job] -= 1
        if self._open_ranges[job]:
            return False
        del self._open_ranges[job]
        return True

    def open_tasks(self, job: ListingJob) -> set[RangeTask]:
        """The ranges of a job that are being received or wait for it; none after its end."""
        is_open = job in self._open_ranges and not job.state.failed
        return {task for task in (*self._active, *self._waiting) if is_open and task.job is job}

    def drop_job(self, job: ListingJob) -> None:
        """Stop waiting for the ranges of a failed job."""
        self._open_ranges.pop(job, None)

    # Workers.

    @property
    def _max_workers(self) -> int:
        return self._lister.in_flight[1]

    @property
    def _ignores_start_after(self) -> bool:
        return self._lister.profile.start_after is StartAfter.IGNORED

    def _next_work(self, free: int) -> Coroutine[None, None, None] | None:
        """The work of the next worker, or None; `free` is the number of idle workers."""
        if self._probes:
            return self._probe(*self._probes.popleft())
        if self._waiting:
            task = self._waiting.popleft()
            state = task.job.state
            if state.began_at is None:
                state.began_at, state.began_with = self._now(), self._lister.activity.totals()
            return self._receive(task)
        wanted = free - self._pending_splits
        candidates = self._steal_candidates(wanted)
        if not candidates:
            return None
        victim = candidates[0]
        victim.split.is_splittable = False
        share = -(-wanted // len(candidates))
        worthwhile = self.splitter.pages_left(victim) / PAGES_WORTH_A_SPLIT - 1
        parts = max(1, int(min(share, worthwhile)))
        self._pending_splits += parts
        return self._split(victim, parts)

    def _on_worker_done(self, worker: asyncio.Task[None]) -> None:
        self._workers.discard(worker)
        self.start_workers()

    async def _receive(self, task: RangeTask) -> None:
        """Fetch the pages of a range, to its end or an error, and queue them."""
        attempt = task.attempt
        ending = None
        try:
            with self._observer.receiving(task.job, task.index):
                async for received in self._fetcher.pages(task):
                    ending = received.ending
                    self._on_page(received)
                    await self._queue.put(received)
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - the reader raises or reports it
            await self._queue.put(FetchStopped(task, attempt, error))
        else:
            if ending is None:
                await self._queue.put(FetchStopped(task, attempt))
        if task.attempt == attempt:
            self._active.discard(task)

    def _on_page(self, received: PageReceived) -> None:
        """Update the split state of a page's range."""
        task, ending = received.task, received.ending
        if task.attempt != received.attempt:
            return
        split = task.split
        has_keys = received.raw_page.last_key is not None
        if has_keys:
            split.pages += 1
            self.splitter.observe_page(task)
        if split.parent and (ending or has_keys):
            # A range that ends with its first page gained little: delay the parent's next split.
            split.parent.split.failed_splits = split.parent_failed_splits + 1 if ending else 0
            split.parent = None
        if ending:
            self._active.discard(task)
        elif task not in self._active:
            self._active.add(task)
            split.is_splittable = True
        elif split.is_splittable and split.pages >= PAGES_BEFORE_SPLIT:
            self.start_workers()

    async def _probe(self, left: RangeTask, right: ListedRange) -> None:
        attempt = left.attempt
        try:
            probed = await self._fetcher.probe(left, right)
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - the reader raises or reports it
            await self._queue.put(FetchStopped(left, attempt, error))
        else:
            await self._queue.put(probed)

    # Splits.

    def _steal_candidates(self, count: int) -> list[RangeTask]:
        """Up to `count` ranges that are worth splitting, those with the most pages left first."""
        if count <= 0 or not self._can_split or self._ignores_start_after:
            return []
        is_mostly_idle = len(self._workers) * IDLE_RATIO <= self._max_workers
        left = {
            task: self.splitter.pages_left(task)
            for task in self._active
            if task.split.is_splittable
            and task.split.pages
            >= (PAGES_BEFORE_SPLIT if is_mostly_idle else task.split.pages_before_next_split)
            and not task.job.state.failed
        }
        worthwhile = [task for task in left if is_mostly_idle or left[task] >= PAGES_WORTH_A_SPLIT]
        return sorted(worthwhile, key=left.__getitem__, reverse=True)[:count]

    async def _split(self, victim: RangeTask, parts: int) -> None:
        """Split up to `parts` ranges off a range, and queue them for workers."""
        try:
            boundaries = await self.splitter.split_points(victim, parts)
        except asyncio.CancelledError:
            raise
        except Exception:  # noqa: BLE001 - the range's own requests report it
            boundaries = []
        self._pending_splits -= parts
        victim.split.pages = 0
        if victim not in self._active:
            return
        victim.split.is_splittable = True
        until = victim.key_range.until
        boundaries = [boundary for boundary in boundaries if victim.fetch.cursor < boundary < until]
        if boundaries:
            self._waiting.extendleft(self._split_off(victim, boundaries, may_fail=True))
        else:
            victim.split.failed_splits += 1

    def _split_off(
        self, victim: RangeTask, boundaries: Sequence[str], *, may_fail: bool = False
    ) -> list[RangeTask]:
        """Split a range at some keys.

        Args:
            victim: The range; it keeps the keys up to the first boundary.
            boundaries: Ascending keys within the range.
            may_fail: Whether the first pages of the new ranges decide if the split has failed.

        Returns:
            The new ranges, the rightmost first.
        """
        until = victim.key_range.until
        parts: list[RangeTask] = []
        if victim.job not in self._open_ranges:
            return parts
        for after, upto in reversed([*pairwise([*boundaries, until])]):
            if after == until:
                continue
            parent = victim if may_fail else None
            task = self._new_range(
                victim, KeyRange(after, upto), parent=parent, has_arbitrary_start=True
            )
            self._queue.add(RangeSplitOff(victim, task))
            parts.append(task)
        if parts:
            victim.key_range = KeyRange(victim.key_range.after, boundaries[0])
            victim.is_gap = False
        return parts

    def _new_range(
        self,
        left: RangeTask,
        key_range: KeyRange,
        *,
        start_after: str | None = None,
        parent: RangeTask | None = None,
        has_arbitrary_start: bool = False,
    ) -> RangeTask:
        """Add a range to a job, to the right of another one."""
        job = left.job
        task = RangeTask(
            job,
            self._range_count[job],
            key_range,
            start_after=start_after,
            parent=parent,
            has_arbitrary_start=has_arbitrary_start,
            is_gap=False,
        )
        self._range_count[job] += 1
        self._open_ranges[job] += 1
        left.insert_right(task)
        return task
