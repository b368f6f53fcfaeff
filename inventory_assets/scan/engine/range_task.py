"""A range that is being listed, and its state: small parts with one writer each."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf

import pyarrow as pa

from inventory_assets.scan.engine.events import ListingJob
from inventory_assets.scan.keyspace.key_range import (
    KeyRange,
    prefix_of_upper_bound,
    prefix_upper_bound,
)
from inventory_assets.scan.validation.range_evidence import Ending, EvidenceBuilder
from inventory_assets.scan.validation.seams import KnownRange, ListedRange, OpenRange, link

PAGES_BEFORE_SPLIT = 2
"""Pages that a range must have received before it is split.

A range that ends after a page or two is not worth the request that a split costs."""

MAX_PAGES_BEFORE_SPLIT = 8
"""The limit of the pages that a range must receive before it is split once more, however many of
its splits failed."""

PAGES_REMEMBERED = 16
"""Pages of a range whose first keys are remembered, to recognize a page that comes again."""


class FetchState:
    """How far the pages of a range have been received. `Fetcher` writes it.

    Attributes:
        cursor: The greatest key received.
        pages: How many pages with keys were received.
        first_page_key: The last key of the first page; "" before there is one.
        milestones: Two earlier cursors, each with the number of pages received by then.
    """

    __slots__ = ("cursor", "first_page_key", "milestones", "pages")

    def __init__(self, cursor: str) -> None:
        self.cursor = cursor
        self.pages = 0
        self.first_page_key = ""
        self.milestones = ((cursor, 0), (cursor, 0))

    def advance(self, key: str) -> None:
        """Count a page, and move the cursor to its last key."""
        self.pages += 1
        self.first_page_key = self.first_page_key or key
        self.cursor = key
        _, (_, pages) = self.milestones
        if self.pages <= 2 or self.pages >= 2 * pages:
            self.milestones = self.milestones[1], (key, self.pages)

    @property
    def history(self) -> tuple[tuple[str, int], tuple[str, int]]:
        """Two earlier cursors, each with the number of pages since: a recent one, and the first."""
        since, pages = self.milestones[0]
        return (since, self.pages - pages), (self.first_page_key, self.pages - 1)


@dataclass(slots=True)
class DensityState:
    """What was measured of a range's key density. `Splitter` writes it.

    Attributes:
        measured_key: The cursor at the last measurement; "" before there was one.
        measured_pages: The pages received by then.
        estimate: The pages left, as estimated for `estimated_at`.
        estimated_at: The cursor and the end of the range at that estimate.
    """

    measured_key: str = ""
    measured_pages: int = 0
    estimate: float = inf
    estimated_at: tuple[str, str] = ("", "")


@dataclass(slots=True)
class SplitState:
    """Whether a range can be split, and how its splits went. `Scheduler` writes it.

    Attributes:
        is_splittable: Whether more pages are expected, and no split is under way.
        pages: Pages received since the range began, or since it was last considered for a split.
        failed_splits: The number of its latest splits in a row that gained little.
        parent: The range that this one was split from, until it is known whether that split
            gained anything; None otherwise.
        parent_failed_splits: The parent's `failed_splits` at that split.
    """

    is_splittable: bool = False
    pages: int = 0
    failed_splits: int = 0
    parent: "RangeTask | None" = None
    parent_failed_splits: int = 0

    @property
    def pages_before_next_split(self) -> int:
        """Pages to receive before the next split: each split in vain doubles them."""
        return min(PAGES_BEFORE_SPLIT << self.failed_splits, MAX_PAGES_BEFORE_SPLIT)


@dataclass(slots=True)
class ReadState:
    """How far the pages of a range have been read. `Reader` writes it.

    Attributes:
        after: The last key read; a listing that starts over begins after it.
        evidence: Collects the proof that the range was listed completely.
        resume_token: The token to start over with, where a store ignores StartAfter.
        ending: How the last page ended the range; None while the range is being listed.
        page_starts: The first keys of the latest pages.
        empty_pages: Empty pages in a row.
        corrupt_pages: Pages in a row that were damaged, or answers to another request.
        unreadable_keys: Records that could not be decoded, in a page that was requested again.
        pending_versions: Versions of the last key of the last page, until the next page shows
            whether the key has more; with `VERSION_SCHEMA`.
    """

    after: str
    evidence: EvidenceBuilder
    resume_token: str | None = None
    ending: Ending | None = None
    page_starts: deque[str] = field(default_factory=lambda: deque(maxlen=PAGES_REMEMBERED))
    empty_pages: int = 0
    corrupt_pages: int = 0
    unreadable_keys: set[bytes] = field(default_factory=set)
    pending_versions: pa.RecordBatch | None = None


class RangeTask(OpenRange):
    """A range that is being listed.

    Besides the parts named below, `Scheduler` writes `key_range`, `left`, `right`, `attempt` and
    `is_gap`; `Reader` writes what was found (`first_key`, `last_key`, `rows`, `beyond`), and
    `SeamKeeper`, which works for it, `seam`, `start_after` and `is_settled`.

    Attributes:
        job: The job that the range belongs to.
        index: The number of the range in its job.
        has_arbitrary_start: Whether the range begins at a key that was chosen without knowledge of
            the store's order, as by a split.
        is_gap: Whether the range may well be empty, so that its first request asks for few keys.
        attempt: How often the listing of the range was started over; pages of earlier attempts are
            void.
        fetch: How far its pages have been received.
        density: What was measured of its key density.
        split: Whether it can be split, and how its splits went.
        read: How far its pages have been read.

    Args:
        job: The job that the range belongs to.
        index: The number of the range in its job.
        key_range: Its keys.
        start_after: The StartAfter of its first request; None for the one that its lower bound
            needs.
        parent: The range that it was split from, where the gain of that split is to be judged.
        has_arbitrary_start: As the attribute.
        is_gap: As the attribute; None for whether the range ends before its prefix does.
    """

    def __init__(
        self,
        job: ListingJob,
        index: int,
        key_range: KeyRange,
        *,
        start_after: str | None = None,
        parent: "RangeTask | None" = None,
        has_arbitrary_start: bool = False,
        is_gap: bool | None = None,
    ) -> None:
        first = start_after
        if first is None:
            # A StartAfter below the prefix would exclude nothing.
            first = key_range.start_after if key_range.after >= job.prefix else ""
        super().__init__(key_range, first)
        self.job = job
        self.index = index
        self.has_arbitrary_start = has_arbitrary_start
        ends_early = key_range.until != prefix_upper_bound(job.prefix)
        self.is_gap = ends_early if is_gap is None else is_gap
        self.attempt = 0
        self.fetch = FetchState(first)
        self.density = DensityState()
        self.split = SplitState()
        if parent:
            self.split.parent = parent
            self.split.parent_failed_splits = parent.split.failed_splits
        self.read = ReadState(first, EvidenceBuilder([key_range]))


def linked_tasks(jobs: Sequence[ListingJob]) -> list[RangeTask]:
    """The ranges of some jobs, linked to their neighbours, which earlier runs may have listed."""
    tasks: list[RangeTask] = []
    for job in jobs:
        neighbours: list[ListedRange] = [KnownRange(each) for each in job.resumed_evidence]
        for index, key_range in enumerate(job.ranges):
            task = RangeTask(job, index, key_range)
            # Where an earlier run stopped, nothing is known of the store's order.
            is_edge = prefix_of_upper_bound(key_range.after) is not None or not task.start_after
            task.has_arbitrary_start = bool(job.resumed_evidence) or not is_edge
            tasks.append(task)
            neighbours.append(task)
        link(sorted(neighbours, key=lambda each: each.key_range))
    return tasks
