"""What a scan is asked for, and what it tells."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

import pyarrow as pa

from inventory_assets.s3.list_client import RequestStats
from inventory_assets.scan.keyspace.key_range import KeyRange
from inventory_assets.scan.validation.object_versions import Versions
from inventory_assets.scan.validation.range_evidence import RangeEvidence


@dataclass(slots=True, eq=False)
class ListingJob:
    """Ranges that are listed on one account: they fail together.

    Attributes:
        prefix: What all keys of the ranges start with.
        ranges: Disjoint and in key order.
        stats: Where requests and faults are counted.
        began_at: When its first request was about to be sent.
        failed: Whether it has failed or was given up; nothing more is told of it.
        initial_splits: Ascending keys at which the ranges are split before they begin.
        split_hints: Ascending keys at which they are split rather than elsewhere, once they have
            begun.
        resumed_objects: Objects that were found in an earlier run, outside the ranges.
        resumed_evidence: What earlier runs found in stretches of keys outside the ranges.
        versions: Which versions are wanted; None for the current objects.
    """

    prefix: str
    ranges: Sequence[KeyRange]
    stats: RequestStats = field(default_factory=RequestStats)
    began_at: datetime | None = None
    failed: bool = False
    initial_splits: Sequence[str] = ()
    split_hints: Sequence[str] = ()
    resumed_objects: int = 0
    resumed_evidence: Sequence[RangeEvidence] = ()
    versions: Versions | None = None


@dataclass(frozen=True, slots=True)
class ObjectsListed:
    """Objects of a range, after all found in it before.

    Attributes:
        job: The range's walk.
        index: The range's number in its walk.
        objects: A batch with `OBJECT_SCHEMA`, not empty; or with `VERSION_SCHEMA`, each key with
            all its versions.
    """

    job: ListingJob
    index: int
    objects: pa.RecordBatch


@dataclass(frozen=True, slots=True)
class RangeSplit:
    """The upper part of a range is listed as a range of its own, between it and its neighbour.

    Attributes:
        job: The range's walk.
        index: The range's number in its walk.
        upper: The number of the new range; nothing of it was told before.
        boundary: The greatest key that stays with the range.
        touches: Whether the new range begins there; else it begins beyond a gap.
    """

    job: ListingJob
    index: int
    upper: int
    boundary: str
    touches: bool = True


@dataclass(frozen=True, slots=True)
class RangeNarrowed:
    """A range that was told as ended, or was kept, begins later; another lists what is before.

    Attributes:
        job: The range's walk.
        was: The range as it was told.
        after: What it begins after instead.
    """

    job: ListingJob
    was: KeyRange
    after: str


@dataclass(frozen=True, slots=True)
class RangeCompleted:
    """The range numbered `index` is listed whole."""

    job: ListingJob
    index: int
    evidence: RangeEvidence


@dataclass(frozen=True, slots=True)
class JobFailed:
    """A walk cannot go on; the other walks do."""

    job: ListingJob
    error: Exception


Event = ObjectsListed | RangeSplit | RangeNarrowed | RangeCompleted | JobFailed
