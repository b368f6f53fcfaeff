"""Tell a range as ended only when its seams agree, and have listed again what does not."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Protocol

from inventory_assets.scan.engine.events import RangeCompleted, RangeNarrowed, RangeSplit
from inventory_assets.scan.engine.range_task import RangeTask
from inventory_assets.scan.errors import SeamDisagrees
from inventory_assets.scan.keyspace.key_range import KeyRange, prefix_lower_bound
from inventory_assets.scan.validation.seams import (
    Action,
    Beyond,
    ListedRange,
    next_action,
    seam_of,
)

SeamEvent = RangeSplit | RangeNarrowed | RangeCompleted


class RangeLister(Protocol):
    """Lists ranges, as `parallel_scan.ParallelScan` does."""

    def list_again(self, task: RangeTask, after: str) -> None:
        """Go on with a range that was listed to its end, behind a key."""

    def add_range(self, left: RangeTask, key_range: KeyRange, start_after: str) -> RangeTask:
        """List another range, right of one."""

    def probe(self, left: RangeTask, right: ListedRange) -> None:
        """Ask what the range on the right begins with now, and call `SeamKeeper.probed`."""


class SeamKeeper:
    """Watches the seams of a scan.

    Args:
        lister: Lists ranges.
        where: The bucket, for messages.
    """

    def __init__(self, lister: RangeLister, where: str) -> None:
        self._lister = lister
        self._display_name = where

    def moved(self, task: RangeTask) -> Iterator[SeamEvent]:
        """A range has shown its first key, or was listed to its end.

        Raises:
            SeamDisagrees: The store contradicts itself about what lies around the range's ends.
        """
        if isinstance(task.left, RangeTask) and not task.left.is_settled:
            yield from self._settle(task.left)
        if not task.is_settled:
            yield from self._settle(task)

    def probed(self, left: RangeTask, right: ListedRange, now: Beyond) -> Iterator[SeamEvent]:
        """The store has shown what the range on the right begins with now; raises as `moved`."""
        if now == left.beyond:
            left.accepted = (left.beyond, right.head)
        yield from self._settle(left)

    def _settle(self, task: RangeTask) -> Iterator[SeamEvent]:
        following: ListedRange | None = task
        while isinstance(following, RangeTask) and not following.is_settled:
            task = following
            match next_action(task):
                case Action.SETTLE if task.rows or task.left is None or task.left.is_settled:
                    yield self._ended(task)
                    following = task.right  # it may have waited for this, if it is empty
                    continue
                case Action.SETTLE:
                    following = task.left  # it is empty, and the one on its left may say otherwise
                    continue
                case Action.ASK_LEFT:
                    task.asked_rows = task.rows
                    self._lister.list_again(task, task.resume_after)
                case Action.ASK_RIGHT if isinstance(task.right, RangeTask):
                    self._begin_round(task)
                    task.right.start_after = task.resume_after
                    self._lister.list_again(task.right, task.resume_after)
                case Action.LIST_HEAD if task.right:
                    self._begin_round(task)
                    yield from self._list_head(task, task.right)
                case Action.PROBE if task.right:
                    self._begin_round(task)
                    self._lister.probe(task, task.right)
                case Action.FAIL:
                    raise self._disagreement(task)
                case _:
                    pass  # it waits for its neighbour
            return

    @staticmethod
    def _begin_round(task: RangeTask) -> None:
        task.rounds += 1
        task.asked_rows = -1  # what is beyond it is asked again, if the seam disagrees still

    @staticmethod
    def _ended(task: RangeTask) -> RangeCompleted:
        if task.ending is None or task.beyond is None:
            raise RuntimeError("a range is settled before it was listed")
        task.is_settled = True
        # Of a past moment, keys are listed that were not there then; they are no evidence.
        is_past = task.job.versions is not None and task.job.versions.as_of is not None
        next_key = None if is_past else task.beyond.key
        task.evidence.close(task.ending, next_key, seam_of(task))
        evidence = replace(task.evidence.closed[0], key_range=task.key_range)
        return RangeCompleted(task.job, task.index, evidence)

    def _list_head(self, left: RangeTask, right: ListedRange) -> Iterator[SeamEvent]:
        """Take what lies before the first key of a range away from it, and have it listed."""
        was, first_key = right.key_range, right.first_key or ""
        bound = prefix_lower_bound(first_key)
        if bound <= was.after:
            raise self._disagreement(left)
        touches = left.key_range.until == was.after
        right.key_range = KeyRange(bound, was.until)
        head = self._lister.add_range(left, KeyRange(was.after, bound), left.resume_after)
        if right.is_settled:
            yield RangeNarrowed(left.job, was, bound)
        yield RangeSplit(left.job, left.index, head.index, was.after, touches)

    def _disagreement(self, left: RangeTask) -> SeamDisagrees:
        beyond, right = left.beyond, left.right
        head = right.head if right else None
        shown = f"{beyond.key!r}" if beyond and beyond.key is not None else "nothing"
        listed = f"{head.key!r}" if head and head.key is not None else "nothing"
        return SeamDisagrees(
            f"{self._display_name}: the store lists {shown} next after {left.resume_after!r}, but "
            f"{listed} when asked for the keys after {left.key_range.until!r}, again and again: "
            "it lists in another order than that of bytes, ends listings too early, or loses keys"
        )
