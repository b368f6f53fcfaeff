"""A range being listed."""

from collections import deque
from math import inf

import pyarrow as pa

from inventory_assets.scan.engine.events import ListingJob
from inventory_assets.scan.keyspace.key_range import KeyRange, prefix_upper_bound
from inventory_assets.scan.validation.range_evidence import Ending, EvidenceBuilder
from inventory_assets.scan.validation.seams import OpenRange

PAGES_BEFORE_SPLIT = 2
"""Pages that a range must have received before its upper part is taken away.

A range that ends after a page or two is not worth the request that splitting costs."""

MAX_PAGES_BEFORE_SPLIT = 8
"""Pages that a range must receive at most, however often splitting it was in vain."""

PAGES_WORTH_A_SPLIT = 6
"""Pages that a range must have left, as far as can be told; to split costs half a page or more."""

PAGES_REMEMBERED = 16
"""Pages of a range by whose first key it is known that one comes again."""

PAGES_MEASURED = 8
"""How densely keys lie is measured over each of a range's first so many pages, then over so many at
a time, as little is learnt from one more and each costs."""


class RangeTask(OpenRange):
    """A range being listed. The receiver that holds it asks, the reader reads.

    Attributes:
        key_range: Its keys; narrowed when its upper part is taken away.
        parent: What it was taken from, until it is clear whether that was worth it; or None.
        is_gap: Whether it may well be empty.
        cursor: The greatest key received.
        is_splittable: Whether more is to be received, so that it can be split.
        pages: Pages received since it began or was split.
        milestones: Two keys reached lately, and after how many pages: how densely keys lie is
            counted from the earlier one.
        failed_splits: How often in a row it was split in vain.
        parent_failed_splits: How often its parent had been when it was taken away.
        after: Up to where the reader has read; listing starts over from here after a damaged page.
        attempt: How often it has been started over; pages of earlier generations are void.
        corrupt_pages: Damaged pages in a row.
        resume_token: The token to ask again with, where a store ignores StartAfter.
        is_made_up: Whether it begins where no shard does.
        page_starts: The first keys of the pages read lately.
        ending: How its last page ended it; None while it is being listed.
        unreadable_keys: Records that could not be read, in a page that was asked for again.
        pending_versions: Versions of the last key read, which may have more.
        estimate: Pages left, when its cursor and its end were `estimated_at`.
    """

    def __init__(
        self,
        job: ListingJob,
        index: int,
        key_range: KeyRange,
        parent: "RangeTask | None" = None,
        *,
        is_gap: bool | None = None,
    ) -> None:
        # Before the prefix there is nothing to start after.
        super().__init__(key_range, key_range.start_after if key_range.after >= job.prefix else "")
        self.job = job
        self.index = index
        self.parent = parent
        self.is_gap = (
            key_range.until != prefix_upper_bound(job.prefix) if is_gap is None else is_gap
        )
        self.after = self.start_after
        self.cursor = self.after
        self.is_splittable = False
        self.pages = 0
        self.milestones = ((self.cursor, 0), (self.cursor, 0))
        self.failed_splits = 0
        self.parent_failed_splits = parent.failed_splits if parent else 0
        self.attempt = 0
        self.corrupt_pages = 0
        self.unreadable_keys: set[bytes] = set()
        self.ending: Ending | None = None
        self.resume_token: str | None = None
        self.is_made_up = False
        self.page_starts: deque[str] = deque(maxlen=PAGES_REMEMBERED)
        self.empty_pages = 0
        self.pending_versions: pa.RecordBatch | None = None
        self.estimate, self.estimated_at = inf, ("", "")
        self.evidence = EvidenceBuilder([key_range])
        self._received = 0
        self._first = ""
        self._measured = ("", 0)

    def advance_cursor(self, key: str) -> None:
        """A page has brought the cursor to a key."""
        self._received += 1
        self._first = self._first or key
        self.cursor = key
        _, (_, pages) = self.milestones
        if self._received <= 2 or self._received >= 2 * pages:
            self.milestones = self.milestones[1], (key, self._received)

    def take_measurement(self) -> tuple[str, int] | None:
        """A key reached before and the pages since, once there are enough; then never again."""
        since, pages = self._measured
        count = self._received - pages
        if count < PAGES_MEASURED < self._received:
            return None
        self._measured = self.cursor, self._received
        return (since, count) if pages else None

    @property
    def pages_before_next_split(self) -> int:
        """Pages it must receive before it is split (again)."""
        return min(PAGES_BEFORE_SPLIT << self.failed_splits, MAX_PAGES_BEFORE_SPLIT)

    @property
    def history(self) -> tuple[tuple[str, int], tuple[str, int]]:
        """Two keys, and how many pages were received since: lately, and all but the first."""
        since, pages = self.milestones[0]
        return (since, self._received - pages), (self._first, self._received - 1)
