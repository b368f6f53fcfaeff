"""Complete ranges whose seams agree, and list again the keys on which seams disagree."""

from collections.abc import Iterator
from dataclasses import replace

from inventory_assets.scan.engine.events import RangeCompleted, RangeNarrowed, RangeSplit
from inventory_assets.scan.engine.range_task import RangeTask
from inventory_assets.scan.engine.scheduler import Scheduler
from inventory_assets.scan.errors import SeamDisagrees
from inventory_assets.scan.keyspace.key_range import prefix_lower_bound
from inventory_assets.scan.validation.seams import (
    Action,
    Beyond,
    ListedRange,
    next_action,
    seam_of,
)

SeamEvent = RangeSplit | RangeNarrowed | RangeCompleted


class SeamKeeper:
    """Settles the seams between the ranges of a scan, for the reader.

    It writes `RangeTask.seam`, `start_after` and `is_settled`.

    Args:
        scheduler: Lists ranges again, and probes seams.
        display_name: The bucket, for messages.
    """

    def __init__(self, scheduler: Scheduler, display_name: str) -> None:
        self._scheduler = scheduler
        self._display_name = display_name

    def update(self, task: RangeTask) -> Iterator[SeamEvent]:
        """Update the seams of a range whose first key was found, or that was listed to its end.

        Raises:
            SeamDisagrees: The store contradicts itself about the keys at a bound of the range.
        """
        if isinstance(task.left, RangeTask) and not task.left.is_settled:
            yield from self._settle(task.left)
        if not task.is_settled:
            yield from self._settle(task)

    def on_probed(self, left: RangeTask, right: ListedRange, shown: Beyond) -> Iterator[SeamEvent]:
        """Update a seam after a probe.

        Args:
            left: The range on the left of the seam.
            right: The range on the right.
            shown: The first key after the lower bound of `right`, as the store lists it now.

        Raises:
            SeamDisagrees: The store contradicts itself about the keys at the seam.
        """
        if shown == left.beyond:
            left.seam.accepted = (left.beyond, right.head)
        yield from self._settle(left)

    def list_again(self, task: RangeTask, after: str) -> None:
        """Continue a range that was listed to its end, after the key `after`."""
        task.read.after, task.read.ending, task.beyond = after, None, None
        self._scheduler.list_again(task)

    def distrust_end(self, task: RangeTask) -> None:
        """Require that the end of a range is confirmed (again) before its seam is settled."""
        task.seam.asked_rows = -1

    def _settle(self, task: RangeTask) -> Iterator[SeamEvent]:
        following: ListedRange | None = task
        while isinstance(following, RangeTask) and not following.is_settled:
            task = following
            match next_action(task):
                case Action.SETTLE if task.rows or task.left is None or task.left.is_settled:
                    yield self._completed(task)
                    following = task.right  # an empty one may have waited for this range
                    continue
                case Action.SETTLE:
                    following = task.left  # as this range is empty, the left one's `beyond` decides
                    continue
                case Action.ASK_LEFT:
                    task.seam.asked_rows = task.rows
                    self.list_again(task, task.resume_after)
                case Action.ASK_RIGHT if isinstance(task.right, RangeTask):
                    self._begin_round(task)
                    task.right.start_after = task.resume_after
                    self.list_again(task.right, task.resume_after)
                case Action.LIST_HEAD if task.right:
                    self._begin_round(task)
                    yield from self._list_head(task, task.right)
                case Action.PROBE if task.right:
                    self._begin_round(task)
                    self._scheduler.probe(task, task.right)
                case Action.FAIL:
                    raise self._disagreement(task)
                case _:
                    pass  # it waits for its neighbour
            return

    def _begin_round(self, task: RangeTask) -> None:
        task.seam.rounds += 1
        self.distrust_end(task)

    @staticmethod
    def _completed(task: RangeTask) -> RangeCompleted:
        ending, evidence = task.read.ending, task.read.evidence
        if ending is None or task.beyond is None:
            raise RuntimeError("a range was settled before it was listed to its end")
        task.is_settled = True
        # A listing of a past time also sees keys that did not exist then: they are no evidence.
        is_past = task.job.versions is not None and task.job.versions.as_of is not None
        next_key = None if is_past else task.beyond.key
        evidence.close(ending, next_key, seam_of(task))
        closed = replace(evidence.closed[0], key_range=task.key_range)
        return RangeCompleted(task.job, task.index, closed)

    def _list_head(self, left: RangeTask, right: ListedRange) -> Iterator[SeamEvent]:
        """Split off the keys of a range before its first key, and list them as a new range."""
        was, bound = right.key_range, prefix_lower_bound(right.first_key or "")
        if bound <= was.after:
            raise self._disagreement(left)
        touches = left.key_range.until == was.after
        head = self._scheduler.split_head_off(left, right, bound, left.resume_after)
        if right.is_settled:
            yield RangeNarrowed(left.job, was, bound)
        yield RangeSplit(left.job, left.index, head.index, was.after, touches)

    def _disagreement(self, left: RangeTask) -> SeamDisagrees:
        beyond, right = left.beyond, left.right
        head = right.head if right else None
        shown = f"{beyond.key!r}" if beyond and beyond.key is not None else "nothing"
        listed = f"{head.key!r}" if head and head.key is not None else "nothing"
        return SeamDisagrees(
            f"{self._display_name}: after {left.resume_after!r} the store lists {shown}, "
            f"but {listed} after {left.key_range.until!r}, repeatedly: it does not list in byte "
            "order, ends listings too early, or omits keys"
        )
