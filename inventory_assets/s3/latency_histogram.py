"""How long requests took: counts of latencies in buckets whose bounds grow by a constant ratio.

Histograms of several requests, runs or shards merge exactly, unlike their quantiles. The buckets
follow the exponential histograms of OpenTelemetry, with eight buckets to each doubling
(https://opentelemetry.io/docs/specs/otel/metrics/data-model/#exponentialhistogram).
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

BUCKETS_PER_DOUBLING = 8
"""A bucket is 9 % wide, which is the greatest error of a quantile."""

WITNESSES = 10
"""A figure that fewer requests carry says little. One lost connection fails a request or more, so 1
of 20 is an accident. Of a count of ten, the 95 % interval (Poisson) begins at 4.8: the rate is then
at least half of what was measured."""

MIN_REQUESTS_FOR_P95 = 20 * WITNESSES
"""From so many requests on, the slowest 5 % are `WITNESSES`."""

_LEAST_SECONDS = 1e-6


def bucket_of(seconds: float) -> int:
    """The number of the bucket of a latency: `2**(n / 8) <= seconds < 2**((n + 1) / 8)`."""
    return math.floor(math.log2(max(seconds, _LEAST_SECONDS)) * BUCKETS_PER_DOUBLING)


def upper_bound(bucket: int) -> float:
    """The upper bound of a bucket, in seconds."""
    return math.exp2((bucket + 1) / BUCKETS_PER_DOUBLING)


@dataclass(frozen=True, slots=True)
class LatencyHistogram:
    """The latencies of successful requests.

    Attributes:
        counts: The number of requests in each bucket, by the bucket's number.
    """

    counts: Mapping[int, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """The number of requests."""
        return sum(self.counts.values())

    def quantile(self, share: float) -> float | None:
        """The latency in seconds that `share` of the requests do not exceed; None without requests.

        It is the upper bound of a bucket, so at most 9 % too long.
        """
        rank = max(1, math.ceil(share * self.total))
        seen = 0
        for bucket, count in sorted(self.counts.items()):
            seen += count
            if seen >= rank:
                return upper_bound(bucket)
        return None


NO_LATENCIES = LatencyHistogram()


def merged(histograms: Iterable[LatencyHistogram]) -> LatencyHistogram:
    """The latencies of all the histograms' requests."""
    total: Counter[int] = Counter()
    for each in histograms:
        total.update(each.counts)
    return LatencyHistogram(dict(sorted(total.items())))
