"""A range that is being listed; each part of its state has one writer."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf

from inventory_assets.scan.engine.events import ListingJob
from inventory_assets.scan.engine.range_latencies import RangeTimes
from inventory_assets.scan.keyspace.key_range import (
    KeyRange,
    prefix_of_upper_bound,
    prefix_upper_bound,
)
from inventory_assets.scan.validation.object_versions import OpenKey
from inventory_assets.scan.validation.range_evidence import Ending, EvidenceBuilder
from inventory_assets.scan.validation.seams import KnownRange, ListedRange, OpenRange, link

PAGES_BEFORE_SPLIT = 2
"""Minimum pages received of a range before it is split: a range of one or two pages is not worth
the request that a split costs."""

MAX_PAGES_BEFORE_SPLIT = 8
"""Upper limit of the pages to receive before the next split, after any number of failed splits."""

PAGES_REMEMBERED = 16
"""Number of recent pages whose first keys are stored, to recognise a repeated page."""


class FetchState:
    """The received pages of a range. `Fetcher` writes it.

    Attributes:
        cursor: The greatest key received.
        pages: The number of pages with keys received.
        first_page_key: The last key of the first page; "" before there is one.
        milestones: Two earlier cursors, each with `pages` at that time.
        times: How long the pages took since the range began, or was restarted after its end.
    """

    __slots__ = ("cursor", "first_page_key", "milestones", "pages", "times")

    def __init__(self, cursor: str) -> None:
        self.cursor = cursor
        self.pages = 0
        self.first_page_key = ""
        self.milestones = ((cursor, 0), (cursor, 0))
        self.times = RangeTimes()

    def advance(self, key: str) -> None:
        """Count a page, and set the cursor to its last key."""
        self.pages += 1
        self.first_page_key = self.first_page_key or key
        self.cursor = key
        _, (_, pages) = self.milestones
        if self.pages <= 2 or self.pages >= 2 * pages:
            self.milestones = self.milestones[1], (key, self.pages)

    @property
    def history(self) -> tuple[tuple[str, int], tuple[str, int]]:
        """Two earlier cursors, a recent one and the first, each with the number of pages since."""
        since, pages = self.milestones[0]
        return (since, self.pages - pages), (self.first_page_key, self.pages - 1)


@dataclass(slots=True)
class DensityState:
    """Measurements of a range's key density. `Splitter` writes it.

    Attributes:
        measured_key: The cursor at the last measurement; "" before the first.
        measured_pages: The number of pages received at that time.
        estimate: The last estimate of the pages left.
        estimated_at: The cursor and the end of the range for which `estimate` is valid.
    """

    measured_key: str = ""
    measured_pages: int = 0
    estimate: float = inf
    estimated_at: tuple[str, str] = ("", "")


@dataclass(slots=True)
class SplitState:
    """Whether a range can be split, and the results of its splits. `Scheduler` writes it.

    Attributes:
        is_splittable: Whether more pages are expected, and no split is in progress.
        pages: Pages received since the start of the range, or since the last attempt to split it.
        failed_splits: The number of consecutive recent splits that gained little.
        parent: The range from which this one was split off, until the gain of that split is known;
            else None.
        parent_failed_splits: `failed_splits` of the parent at that split.
    """

    is_splittable: bool = False
    pages: int = 0
    failed_splits: int = 0
    parent: "RangeTask | None" = None
    parent_failed_splits: int = 0

    @property
    def pages_before_next_split(self) -> int:
        """Pages to receive before the next split; doubled by each failed split."""
        return min(PAGES_BEFORE_SPLIT << self.failed_splits, MAX_PAGES_BEFORE_SPLIT)


@dataclass(slots=True)
class ReadState:
    """The decoded pages of a range. `Reader` writes it.

    Attributes:
        after: The last key read; a restarted listing begins after it.
        evidence: Collects the evidence of the range.
        resume_token: The token for a restart, if one by StartAfter would not do.
        ending: How the last page ended the range; None while the range is being listed.
        page_starts: The first keys of the latest pages.
        empty_pages: The number of consecutive empty pages.
        corrupt_pages: The number of pages that were damaged, or responses to another request,
            since the last page with a new key.
        unreadable_keys: The XML of records that cannot be decoded, in a page that is requested
            again.
        open_key: Versions of the last key, until a page shows that it has no more; else None.
    """

    after: str
    evidence: EvidenceBuilder
    resume_token: str | None = None
    ending: Ending | None = None
    page_starts: deque[str] = field(default_factory=lambda: deque(maxlen=PAGES_REMEMBERED))
    empty_pages: int = 0
    corrupt_pages: int = 0
    unreadable_keys: set[bytes] = field(default_factory=set)
    open_key: OpenKey | None = None


class RangeTask(OpenRange):
    """A range that is being listed.

    Writers of attributes other than `fetch`, `density`, `split` and `read`: `Scheduler` writes
    `key_range`, `left`, `right`, `attempt` and `is_gap`; `Reader` writes `first_key`, `last_key`,
    `rows` and `beyond`; its `SeamKeeper` writes `seam`, `start_after` and `is_settled`.

    Attributes:
        job: The job that the range belongs to.
        index: The number of the range in its job.
        has_arbitrary_start: Whether the lower bound was chosen without knowledge of the store's
            order, for example by a split.
        is_gap: Whether the range is probably empty, so that its first request is for few keys.
        attempt: How often the range was restarted; pages of earlier attempts are discarded.
        fetch: Its received pages.
        density: Measurements of its key density.
        split: Whether it can be split, and the results of its splits.
        read: Its decoded pages.

    Args:
        job: The job that the range belongs to.
        index: The number of the range in its job.
        key_range: Its keys.
        start_after: The StartAfter of its first request; None to derive it from the lower bound.
        parent: The range from which it was split off, if the gain of that split is evaluated.
        has_arbitrary_start: See the attribute.
        is_gap: See the attribute; None for a range that is a gap if it ends before the end of
            the job's prefix.
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
    """The ranges of the jobs, linked to their neighbours, including those of earlier runs."""
    tasks: list[RangeTask] = []
    for job in jobs:
        neighbours: list[ListedRange] = [KnownRange(each) for each in job.resumed_evidence]
        for index, key_range in enumerate(job.ranges):
            task = RangeTask(job, index, key_range)
            # At a boundary from an earlier run, the store's order is not proven.
            is_edge = prefix_of_upper_bound(key_range.after) is not None or not task.start_after
            task.has_arbitrary_start = bool(job.resumed_evidence) or not is_edge
            tasks.append(task)
            neighbours.append(task)
        link(sorted(neighbours, key=lambda each: each.key_range))
    return tasks
