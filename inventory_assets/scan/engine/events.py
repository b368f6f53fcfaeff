"""The input of a scan, jobs, and its output, events."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

import pyarrow as pa

from inventory_assets.fast_values import value
from inventory_assets.s3.concurrency.activity import ActivityTotals
from inventory_assets.s3.request_stats import RequestStats
from inventory_assets.scan.engine.range_latencies import RangeLatencies
from inventory_assets.scan.keyspace.key_range import KeyRange
from inventory_assets.scan.validation.object_versions import Versions
from inventory_assets.scan.validation.range_evidence import RangeEvidence


@dataclass(slots=True)
class JobState:
    """The mutable state of a job. Only the scan that lists the job writes it.

    Attributes:
        began_at: When the first request of the job was about to be sent; None before.
        began_with: The activity of the lister at that time; None before.
        failed: Whether the job failed or was abandoned.
    """

    began_at: datetime | None = None
    began_with: ActivityTotals | None = None
    failed: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class ListingJob:
    """Key ranges that share their statistics and fail together.

    Attributes:
        prefix: The prefix of all keys in the ranges.
        ranges: Disjoint, in key order.
        stats: Counts requests and transient errors.
        initial_splits: Ascending keys at which the ranges are split before the scan starts.
        split_hints: Ascending keys at which ranges are split during the scan. If a range contains
            none, the scan chooses the key.
        resumed_objects: The number of objects that earlier runs found outside the ranges.
        resumed_evidence: Evidence of earlier runs, for ranges outside `ranges`.
        versions: Which versions to list; None for the current objects.
        latencies: Collects how long the pages of the ranges take.
        state: The mutable state of the job.
    """

    prefix: str
    ranges: Sequence[KeyRange]
    stats: RequestStats = field(default_factory=RequestStats)
    initial_splits: Sequence[str] = ()
    split_hints: Sequence[str] = ()
    resumed_objects: int = 0
    resumed_evidence: Sequence[RangeEvidence] = ()
    versions: Versions | None = None
    latencies: RangeLatencies = field(default_factory=RangeLatencies, repr=False)
    state: JobState = field(default_factory=JobState, repr=False)

    @property
    def began_at(self) -> datetime | None:
        """When the first request of the job was about to be sent; None before."""
        return self.state.began_at

    @property
    def failed(self) -> bool:
        """Whether the job failed or was abandoned; a scan yields no more events of it."""
        return self.state.failed


@value
class ObjectsListed:
    """Objects of a range, in key order; they follow those of its earlier events.

    Attributes:
        job: The job of the range.
        index: The number of the range in its job.
        objects: A batch with `OBJECT_SCHEMA`, not empty; or with `VERSION_SCHEMA`, each key with
            all its versions.
    """

    job: ListingJob
    index: int
    objects: pa.RecordBatch


@dataclass(frozen=True, slots=True)
class RangeSplit:
    """The upper part of a range became a new range, between it and its right neighbour.

    Attributes:
        job: The job of the range.
        index: The number of the range in its job.
        upper: The number of the new range; all its events follow this one.
        boundary: The greatest key that stays with the range.
        touches: Whether the new range begins at `boundary`; otherwise a gap is between them.
    """

    job: ListingJob
    index: int
    upper: int
    boundary: str
    touches: bool = True


@dataclass(frozen=True, slots=True)
class RangeNarrowed:
    """The lower bound of a completed range was raised; the keys below are listed by a new range.

    It may be a range that an earlier run completed.

    Attributes:
        job: The job of the range.
        was: The key range as it was completed.
        after: The new lower bound, exclusive.
    """

    job: ListingJob
    was: KeyRange
    after: str


@dataclass(frozen=True, slots=True)
class RangeCutShort:
    """The upper part of a range was taken out of the job, as another scan lists it.

    Attributes:
        job: The job of the range.
        index: The number of the range in its job.
        given: The keys that were taken out; the range ends before them.
    """

    job: ListingJob
    index: int
    given: KeyRange


@dataclass(frozen=True, slots=True)
class RangeCompleted:
    """The range with number `index` is completely listed."""

    job: ListingJob
    index: int
    evidence: RangeEvidence


@dataclass(frozen=True, slots=True)
class JobFailed:
    """A job failed; the other jobs continue."""

    job: ListingJob
    error: Exception


Event = ObjectsListed | RangeSplit | RangeNarrowed | RangeCutShort | RangeCompleted | JobFailed
