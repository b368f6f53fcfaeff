"""Take the upper parts of ranges out of a scan, for another scan to list them.

Nothing that was requested is given away, so no page is listed twice. The ranges with the most pages
left are divided first, each near its cursor, so that few ranges lose their ends: each end that is
given away ends a file, and is a seam between two scans.
"""

from collections.abc import Callable, Collection
from math import inf

from inventory_assets.scan.engine.events import RangeCutShort
from inventory_assets.scan.engine.page_queue import PageQueue
from inventory_assets.scan.engine.range_task import RangeTask
from inventory_assets.scan.engine.splitter import Splitter
from inventory_assets.scan.keyspace.key_range import KeyRange

PARTS = 8
"""A range is divided in so many parts where that is possible, of which it keeps at least one."""

MAX_RANGES = 32
"""Maximum ranges that are divided at once."""

MIN_PAGES = 6
"""Minimum estimated pages left of a range to divide it, unless no range has so many."""


class RangeSharing:
    """The ranges of one job, as far as another scan could list them.

    It writes `key_range` and `is_gap` of `RangeTask`, and `SplitState.is_splittable`, between two
    events of the scan.

    Args:
        open_tasks: Returns the ranges that are being received or wait for it.
        splitter: Chooses the keys.
        queue: Receives a `RangeCutShort` for each range that is divided.
    """

    def __init__(
        self,
        open_tasks: Callable[[], Collection[RangeTask]],
        splitter: Splitter,
        queue: PageQueue,
    ) -> None:
        self._open_tasks = open_tasks
        self._splitter = splitter
        self._queue = queue

    @property
    def pages_left(self) -> float:
        """The estimated pages left; infinite if it is unknown for a range."""
        return sum(max(0.0, self._splitter.pages_left(task)) for task in self._open_tasks())

    async def give_away(self, share: float) -> list[KeyRange]:
        """Take about a share of the pages left out of the job; see `ParallelScan.give_away`."""
        weights = self._weights()
        wanted = share * sum(weights.values())
        given: list[KeyRange] = []
        total = 0.0
        for task in sorted(weights, key=weights.__getitem__, reverse=True):
            rest = wanted - total
            is_enough = rest <= 0 or weights[task] < MIN_PAGES or len(given) >= MAX_RANGES
            if given and is_enough:
                break
            bounds = await self._boundaries(task)
            if not bounds:
                continue
            # Of n parts, all but the first k are given away.
            parts = len(bounds) + 1
            keeps = round((1 - min(1.0, rest / weights[task])) * parts) if weights[task] else 1
            keeps = min(max(keeps, 1), parts - 1)
            given.append(self._cut(task, bounds[keeps - 1]))
            total += weights[task] * (parts - keeps) / parts
        return given

    def _weights(self) -> dict[RangeTask, float]:
        """The estimated pages left of each range; where it is unknown, as many as any has."""
        left = {task: self._splitter.pages_left(task) for task in self._open_tasks()}
        most = max((pages for pages in left.values() if pages < inf), default=1.0)
        return {task: max(0.0, min(pages, max(most, 1.0))) for task, pages in left.items()}

    async def _boundaries(self, task: RangeTask) -> list[str]:
        """Ascending keys at which a range can be divided; none if it ends meanwhile."""
        was_splittable, task.split.is_splittable = task.split.is_splittable, False
        try:
            bounds = await self._splitter.split_points(task, PARTS - 1)
        except Exception:  # noqa: BLE001 - the range's own requests report it
            bounds = []
        if task not in self._open_tasks():
            return []
        task.split.is_splittable = was_splittable or task.split.is_splittable
        after = max(task.fetch.cursor, task.key_range.after)
        return [bound for bound in bounds if after < bound < task.key_range.until]

    def _cut(self, task: RangeTask, bound: str) -> KeyRange:
        given = KeyRange(bound, task.key_range.until)
        task.key_range = KeyRange(task.key_range.after, bound)
        task.is_gap = False
        self._queue.add(RangeCutShort(task.job, task.index, given))
        return given
