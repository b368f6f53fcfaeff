"""Histograms of latencies merge exactly, and their quantiles are at most a bucket too long."""

import math

from hypothesis import given
from hypothesis import strategies as st

from inventory_assets.s3.latency_histogram import (
    BUCKETS_PER_DOUBLING,
    NO_LATENCIES,
    LatencyHistogram,
    merged,
)
from inventory_assets.s3.request_stats import RequestStats

LATENCIES = st.lists(st.floats(1e-5, 600), min_size=1, max_size=50)


def histogram_of(latencies: list[float]) -> LatencyHistogram:
    stats = RequestStats()
    for seconds in latencies:
        stats.succeeded(seconds)
    return stats.latency


@given(LATENCIES, st.floats(0, 1))
def test_a_quantile_is_less_than_a_bucket_above_the_exact_one(
    latencies: list[float], share: float
) -> None:
    exact = sorted(latencies)[max(1, math.ceil(share * len(latencies))) - 1]
    found = histogram_of(latencies).quantile(share)
    assert found is not None
    # The logarithm of a latency on a bound may be rounded to either side of it.
    assert exact * (1 - 1e-9) <= found <= exact * 2 ** (1 / BUCKETS_PER_DOUBLING) * (1 + 1e-9)


@given(st.lists(LATENCIES, max_size=4))
def test_merged_histograms_are_the_histogram_of_all_requests(parts: list[list[float]]) -> None:
    together = histogram_of([each for part in parts for each in part])
    assert merged(histogram_of(part) for part in parts) == together


def test_a_histogram_of_no_requests_has_no_quantiles() -> None:
    assert NO_LATENCIES.quantile(0.95) is None
    assert NO_LATENCIES.total == 0


def test_a_latency_of_zero_is_counted() -> None:
    assert histogram_of([0.0, 0.0]).total == 2
