"""Check the seams between ranges: both sides must agree on the first key beyond the boundary.

Splitting a range assumes an order in which the store lists. The last page of the left range usually
contains the first key beyond the boundary. That key must be the first key of the next range to the
right that has keys. If the store reported that no keys follow, all ranges to the right must be
empty. If all seams of a job agree, its ranges form one unbroken listing in any order of the store,
so no key is missing between them.

Objects are created and deleted during a listing. If a seam disagrees, both sides are therefore
listed again from the last key on which they agree. Only a disagreement that persists is an error.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from itertools import pairwise

from inventory_assets.fast_values import value
from inventory_assets.scan.keyspace.key_range import KeyRange, prefix_lower_bound
from inventory_assets.scan.validation.range_evidence import RangeEvidence, Seam

MAX_ROUNDS = 6
"""How often both sides of a seam are listed again before the disagreement is an error: an object
may be created or deleted at the seam in each round."""


@value
class Beyond:
    """The first key after a position, as the store listed it.

    Attributes:
        key: The key; None if the store reported that no keys follow.
    """

    key: str | None


class ListedRange:
    """A range of a job, with what its neighbours are compared with.

    Attributes:
        key_range: Its keys.
        left: The range before it in the job, or None.
        right: The range after it in the job, or None.
        first_key: The first key found in it; None if none was found yet.
        last_key: The last key found in it so far; None if there is none.
        rows: The number of objects found in it so far.
        beyond: The first key beyond it in its last page; None until it is listed to its end.
        is_settled: Whether it is completed.
    """

    def __init__(self, key_range: KeyRange) -> None:
        self.key_range = key_range
        self.left: ListedRange | None = None
        self.right: ListedRange | None = None
        self.first_key: str | None = None
        self.last_key: str | None = None
        self.rows = 0
        self.beyond: Beyond | None = None
        self.is_settled = False

    @property
    def head(self) -> Beyond | None:
        """The first key in or beyond the range; None while it is unknown."""
        return Beyond(self.first_key) if self.first_key is not None else self.beyond

    def insert_right(self, new: "ListedRange") -> None:
        """Insert a range between this one and the next."""
        new.left, new.right = self, self.right
        if self.right:
            self.right.left = new
        self.right = new


class KnownRange(ListedRange):
    """A range that an earlier run has listed."""

    def __init__(self, evidence: RangeEvidence) -> None:
        super().__init__(evidence.key_range)
        self.first_key, self.last_key = evidence.first_key, evidence.last_key
        self.rows = evidence.rows
        self.is_settled = True


@dataclass(slots=True)
class SeamState:
    """The checks of the seam on the right of a range.

    Attributes:
        asked_rows: `rows` of the range when the store was last asked for keys after its last key;
            -1 if it must be asked (again).
        rounds: How often both sides of the seam were listed again.
        accepted: `beyond` of the range and `head` of its neighbour, if a probe showed that they
            differ because an object was created or deleted; else None.
    """

    asked_rows: int = -1
    rounds: int = 0
    accepted: tuple[Beyond | None, Beyond | None] | None = None


class OpenRange(ListedRange):
    """A range that is being listed.

    Attributes:
        start_after: The StartAfter of its first request.
        seam: The checks of the seam on its right.
    """

    def __init__(self, key_range: KeyRange, start_after: str) -> None:
        super().__init__(key_range)
        self.start_after = start_after
        self.seam = SeamState()

    @property
    def resume_after(self) -> str:
        """The StartAfter to continue with: the last key, or the first request's StartAfter."""
        return self.start_after if self.last_key is None else self.last_key


def link(ranges: Sequence[ListedRange]) -> None:
    """Link the ranges of a job, given in key order, as neighbours.

    A range that an earlier run found empty is left out, so it is treated as a gap.
    """
    with_keys = [each for each in ranges if not isinstance(each, KnownRange) or each.rows]
    for left, right in pairwise(with_keys):
        left.right, right.left = right, left


class Action(Enum):
    """The next step for a seam."""

    WAIT = auto()
    """The neighbour has no key yet, or it is empty and has not been listed to its end."""
    SETTLE = auto()
    """The seam agrees."""
    ASK_LEFT = auto()
    """Request again what follows the last key of the range on the left."""
    ASK_RIGHT = auto()
    """List the range on the right again, from the last key of the one on the left."""
    LIST_HEAD = auto()
    """List the keys between the boundary and the first key of the range on the right."""
    PROBE = auto()
    """Request the first key of the range on the right again."""
    FAIL = auto()
    """The store contradicts itself."""


def next_action(left: OpenRange) -> Action:
    """The next step for the seam on the right of a range."""
    beyond, right = left.beyond, left.right
    if beyond is None:
        return Action.WAIT
    is_asked = left.seam.asked_rows == left.rows
    if beyond.key is None and not is_asked and (left.rows or not left.left):
        return Action.ASK_LEFT  # an end must be confirmed by a request after the last key
    head = _head_right_of(left, beyond)
    if head is None:
        return Action.WAIT
    if _agrees(left, head):
        return Action.SETTLE if _empty_ones_agree(left.right) else Action.WAIT
    if not is_asked:
        return Action.ASK_LEFT
    if left.seam.rounds >= MAX_ROUNDS or right is None:
        return Action.FAIL
    if head.key is None or (beyond.key is not None and beyond.key < head.key):
        # The right side lacks a key that the left side has listed.
        return Action.ASK_RIGHT if right.first_key is None else Action.LIST_HEAD
    return Action.PROBE


def seam_of(left: OpenRange) -> Seam:
    """How the end of a range agrees with the ranges to its right, once no step is left."""
    beyond = left.beyond
    if left.seam.accepted and left.seam.accepted[0] == beyond:
        return Seam.CHANGED
    if beyond is not None and beyond.key is None:
        return Seam.END_CONFIRMED
    if left.right is None or not beyond or (beyond.key or "") <= left.right.key_range.after:
        return Seam.NOT_COMPARED
    is_seen = not isinstance(left.right, KnownRange) or left.right.first_key == beyond.key
    return Seam.AGREES if is_seen else Seam.NOT_COMPARED


def seam_violations(evidence: Iterable[RangeEvidence]) -> list[str]:
    """Describe where the evidence of neighbouring ranges is contradictory.

    Args:
        evidence: Evidence of a job's ranges, in key order.
    """
    violations = []
    following: RangeEvidence | None = None
    is_known = True
    ranges: list[KeyRange] = []
    for row in reversed(list(evidence)):
        shown, first = row.next_key, following.first_key if following else None
        is_listed = any(shown in key_range for key_range in ranges) if shown else True
        if is_known and row.seam is Seam.AGREES and is_listed and shown and shown != first:
            violations.append(
                f"{shown!r} was listed next after {row.key_range.until!r}, but the next range "
                f"begins with {first!r}"
            )
        if is_known and row.seam is Seam.END_CONFIRMED and following is not None:
            violations.append(f"the listing ended after {row.last_key!r}, but {first!r} follows")
        ranges.append(row.key_range)
        if row.rows:
            following, is_known = row, True
        elif row.seam in (Seam.CHANGED, Seam.NOT_COMPARED):
            is_known = False  # it was compared with keys that may have been deleted
    return violations[::-1]


def unseen_between(evidence: Sequence[RangeEvidence]) -> list[tuple[KeyRange, str | None]]:
    """The keys on which ranges that different processes listed disagree.

    Args:
        evidence: Evidence of the ranges, in key order.

    Returns:
        For each disagreement, the range to list again, from the last key on which both sides agree
        to just before the first key of the right side; and that key, or None if there is none.
    """
    found = []
    following: RangeEvidence | None = None
    empty: list[KeyRange] = []
    for row in reversed(evidence):
        after = row.last_key if row.last_key is not None else row.key_range.after
        first = following.first_key if following else None
        # A key between the ranges of a resumed listing was compared by the run that listed it.
        is_compared = row.next_key is None or not following
        if following and row.next_key is not None:
            is_compared = row.next_key > following.key_range.after
            is_compared |= any(row.next_key in each for each in empty)
        # A process has asked again about a seam of its own; parts of it may reach across.
        is_compared &= row.seam is not Seam.CHANGED
        if is_compared and row.next_key != first:
            until = prefix_lower_bound(first) if first is not None else evidence[-1].key_range.until
            if after < until and (first is not None or (row.next_key or "") <= until):
                found.append((KeyRange(after, until), first))
        if row.rows:
            following, empty = row, []
        else:
            empty.append(row.key_range)
    return found[::-1]


def _agrees(left: OpenRange, head: Beyond | None) -> bool:
    """Whether `beyond` of a range is the first key to its right, or the difference is accepted."""
    return head is not None and (head == left.beyond or left.seam.accepted == (left.beyond, head))


def _empty_ones_agree(each: ListedRange | None) -> bool:
    """Whether all consecutive empty ranges from `each` to the right agree with their successors.

    The `beyond` of an empty range comes only from its own last page, and it may be listed again.
    """
    while isinstance(each, OpenRange) and each.first_key is None and not each.is_settled:
        if each.beyond is None or not _agrees(each, _head_right_of(each, each.beyond)):
            return False
        each = each.right
    return True


def _head_right_of(left: OpenRange, beyond: Beyond) -> Beyond | None:
    """The first key to the right of a range according to its neighbour; None while it is unknown.

    In a gap to the neighbour, the range's own `beyond` counts, as nothing else lists the gap.
    """
    right = left.right
    if right is None or (beyond.key is not None and beyond.key <= right.key_range.after):
        return beyond
    return right.head
