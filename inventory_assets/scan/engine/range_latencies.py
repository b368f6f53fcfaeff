"""How long the pages of a job's ranges took, by the depth of their prefixes.

The memory is bounded, whatever the number of ranges: a range is counted when it ends, and only the
slowest ones keep their prefixes.
"""

import heapq
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count

from inventory_assets.s3.latency_histogram import (
    BUCKETS_PER_DOUBLING,
    LatencyHistogram,
    bucket_of,
)
from inventory_assets.scan.keyspace.key_range import DELIMITER

LATENCY_BANDS = (0.2, 0.8)
"""The upper bounds of the first bands of latency, in seconds; the last band has none. They are
those of the original system's heat map."""

MAX_DEPTH = 12
"""Deeper prefixes count as this deep."""

SLOWEST_RANGES = 8
"""The number of ranges that are remembered."""

MAX_PREFIX_CHARACTERS = 200
"""Longer prefixes are cut: ranges are remembered to be found, not to be listed again."""

_HALF_BUCKET = 2 ** (0.5 / BUCKETS_PER_DOUBLING)


def band_of(seconds: float) -> int:
    """The number of the latency band of a quantile, which is the upper bound of its bucket."""
    return sum(seconds / _HALF_BUCKET > bound for bound in LATENCY_BANDS)


@dataclass(frozen=True, slots=True)
class SlowRange:
    """A range whose pages took long.

    Attributes:
        prefix: The prefix of its keys, at most `MAX_PREFIX_CHARACTERS` characters of it.
        pages: Its pages.
        seconds: The time from the first request to the last page, in which it waited for pages.
        p95: The 95th percentile of the time for a page, in seconds.
    """

    prefix: str
    pages: int
    seconds: float
    p95: float


@dataclass(slots=True)
class RangeTimes:
    """The times of the pages of one range, retries included. `Fetcher` writes it.

    Attributes:
        pages: Its pages.
        seconds: The sum of their times.
        buckets: Their number, by the bucket of their time.
    """

    pages: int = 0
    seconds: float = 0.0
    buckets: dict[int, int] = field(default_factory=dict)

    def add(self, seconds: float) -> None:
        """Count a page."""
        self.pages += 1
        self.seconds += seconds
        bucket = bucket_of(seconds)
        self.buckets[bucket] = self.buckets.get(bucket, 0) + 1


class RangeLatencies:
    """The times of a job's ranges.

    Attributes:
        ranges: The number of ranges that ended.
        cells: Pages, by the depth of the prefix of their range and the latency band of its P95.
    """

    def __init__(self) -> None:
        self.ranges = 0
        self.cells: Counter[tuple[int, int]] = Counter()
        self._slowest: list[tuple[float, int, int, SlowRange]] = []
        self._order = count()

    def add(self, times: RangeTimes, first: str, last: str) -> None:
        """Count a range that ended, whose keys lie between two keys."""
        p95 = LatencyHistogram(times.buckets).quantile(0.95)
        if p95 is None:
            return
        prefix = shared_prefix(first, last)
        self.ranges += 1
        self.cells[min(prefix.count(DELIMITER), MAX_DEPTH), band_of(p95)] += times.pages
        if len(self._slowest) == SLOWEST_RANGES and self._slowest[0][0] >= p95:
            return
        shown = prefix[:MAX_PREFIX_CHARACTERS]
        slow = SlowRange(shown, times.pages, round(times.seconds, 3), round(p95, 4))
        entry = p95, times.pages, next(self._order), slow
        if len(self._slowest) < SLOWEST_RANGES:
            heapq.heappush(self._slowest, entry)
        else:
            heapq.heapreplace(self._slowest, entry)

    @property
    def slowest(self) -> tuple[SlowRange, ...]:
        """The slowest ranges by P95, the slowest first."""
        return tuple(entry[-1] for entry in sorted(self._slowest, reverse=True))

    @property
    def pages(self) -> Mapping[tuple[int, int], int]:
        """The cells, in order."""
        return dict(sorted(self.cells.items()))


def shared_prefix(first: str, last: str) -> str:
    """The longest prefix that ends in a delimiter and that all keys between two keys have."""
    length = 0
    for one, other in zip(first, last, strict=False):
        if one != other:
            break
        length += 1
    return first[: first.rfind(DELIMITER, 0, length) + 1]
