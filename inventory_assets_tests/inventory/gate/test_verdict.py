"""Which dates are held: the figures of a date against the bounds."""

import math
from collections.abc import Sequence
from datetime import date, timedelta
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inventory_assets.inventory.gate.verdict import (
    DateFigures,
    GateBounds,
    Measure,
    Verdict,
    judge,
)
from inventory_assets.inventory.growth.bounds import GrowthBounds
from inventory_assets.s3.latency_histogram import LatencyHistogram, bucket_of, upper_bound

DAY = date(2026, 11, 29)
BOUNDS = GateBounds(failed_percent=0.8, slower_ms=150)
NARROW = GrowthBounds(
    fell_percent=50,
    rose_percent=100,
    prefix_percent=50,
    modified_percent=90,
    deleted_percent=90,
    stopped_after_dates=0,
    min_objects=10,
)


def figures(
    days_ago: int = 0,
    requests: int = 10_000,
    failed: int = 0,
    ms: float = 100,
    latencies: int = 1_000,
    objects: int = 1_000,
    object_bytes: int = 1_000_000,
) -> DateFigures:
    """Figures of a date, all of whose requests took equally long."""
    histogram = LatencyHistogram({bucket_of(ms / 1000): latencies} if latencies else {})
    day = DAY - timedelta(days=days_ago)
    return DateFigures(day, requests, failed, histogram, objects, object_bytes)


def before(*ms: float) -> list[DateFigures]:
    """Dates before, the newest first."""
    return [figures(number, ms=each) for number, each in enumerate(ms, 1)]


def crossed(verdict: Verdict) -> list[Measure]:
    return [each.measure for each in verdict.crossings]


def test_an_ordinary_date_is_published() -> None:
    verdict = judge(figures(failed=80), before(100, 110, 120), BOUNDS)
    assert (verdict.crossings, verdict.not_judged) == ((), ())


def test_more_than_0_8_percent_failed_requests_hold_a_date_and_the_sentence_has_both_numbers() -> (
    None
):
    verdict = judge(figures(failed=93), before(100, 100, 100), BOUNDS)
    assert crossed(verdict) == [Measure.FAILED_REQUESTS]
    assert verdict.sentences == [
        "93 of 10,000 requests failed, 0.93% of them; the bound is 0.8 %",
    ]


@pytest.mark.parametrize(("failed", "requests"), [(1, 20), (9, 10), (9, 100)])
def test_a_few_failures_hold_nothing_and_the_verdict_says_so(failed: int, requests: int) -> None:
    verdict = judge(figures(requests=requests, failed=failed), before(100, 100, 100), BOUNDS)
    assert verdict.crossings == ()
    assert verdict.not_judged == (
        f"{failed} of {requests} requests failed, which is not judged with fewer than 10 failures",
    )


@given(st.integers(0, 5_000), st.integers(1, 100_000), st.integers(0, 1_000))
def test_requests_are_judged_exactly(failed: int, requests: int, tenths: int) -> None:
    failed = min(failed, requests)
    bounds = GateBounds(failed_percent=tenths / 10, slower_ms=150)
    verdict = judge(figures(requests=requests, failed=failed), before(100, 100, 100), bounds)
    is_above = Fraction(failed, requests) > Fraction(tenths, 1_000)
    assert bool(crossed(verdict)) == (is_above and failed >= 10)


def test_a_bound_of_100_percent_holds_nothing() -> None:
    bounds = GateBounds(failed_percent=100, slower_ms=150)
    assert judge(figures(requests=50, failed=50), before(100, 100, 100), bounds).crossings == ()


def test_a_date_much_slower_than_the_median_of_those_before_is_held() -> None:
    verdict = judge(figures(ms=400), before(100, 90, 110, 100, 5_000, 100, 95), BOUNDS)
    assert crossed(verdict) == [Measure.LATENCY]
    slow, usual = (round(upper_bound(bucket_of(ms / 1000)) * 1000) for ms in (400, 100))
    sentence = (
        f"P95 of the page latency is {slow} ms, {slow - usual} ms above the median of 7 dates "
        f"before ({usual} ms); the bound is 150 ms"
    )
    assert verdict.sentences == [sentence]


def test_one_slow_date_before_neither_hides_nor_makes_a_slow_one() -> None:
    assert judge(figures(ms=100), before(9_000, 100, 100), BOUNDS).crossings == ()
    assert crossed(judge(figures(ms=9_000), before(9_000, 100, 100), BOUNDS)) == [Measure.LATENCY]


def test_dates_older_than_the_seventh_do_not_count() -> None:
    earlier = before(*[1_000] * 7, *[100] * 20)
    assert judge(figures(ms=1_000), earlier, BOUNDS).crossings == ()


@pytest.mark.parametrize("known", [0, 1, 2])
def test_latency_is_not_judged_by_fewer_than_three_dates(known: int) -> None:
    earlier = [*before(*[100] * known), *(figures(9 + n, latencies=0) for n in range(9))]
    verdict = judge(figures(ms=9_000), earlier, BOUNDS)
    assert verdict.crossings == ()
    assert f"is known of {known} of the last 7 published dates" in verdict.not_judged[0]


@pytest.mark.parametrize("latencies", [0, 1, 199])
def test_latency_of_few_requests_is_not_judged(latencies: int) -> None:
    verdict = judge(figures(ms=9_000, latencies=latencies), before(100, 100, 100), BOUNDS)
    assert verdict.crossings == ()
    assert f"{latencies} latencies are known" in verdict.not_judged[0]


@given(
    st.integers(1, 3_000),
    st.lists(st.tuples(st.integers(1, 3_000), st.sampled_from([0, 150, 200, 999])), max_size=10),
    st.integers(1, 500),
)
def test_latency_is_judged_as_a_plain_median_says(
    ms: int, earlier: list[tuple[int, int]], bound: int
) -> None:
    dates = [figures(n, ms=each, latencies=many) for n, (each, many) in enumerate(earlier, 1)]
    verdict = judge(figures(ms=ms), dates, GateBounds(failed_percent=0.8, slower_ms=bound))
    known = sorted(rounded(each) for each, many in earlier[:7] if many >= 200)
    is_slow = len(known) >= 3 and rounded(ms) - plain_median(known) > bound
    assert bool(verdict.crossings) == is_slow
    assert bool(verdict.not_judged) == (len(known) < 3)


def rounded(ms: int) -> int:
    """The upper bound of the latency's bucket, as the histogram tells it."""
    return round(2 ** ((math.floor(math.log2(ms / 1000) * 8) + 1) / 8) * 1000)


def plain_median(ascending: Sequence[int]) -> float:
    middle = len(ascending) // 2
    if len(ascending) % 2:
        return ascending[middle]
    return (ascending[middle - 1] + ascending[middle]) / 2


def test_broken_evidence_holds_a_date_and_the_first_places_are_named() -> None:
    broken = [f"shard '{n}/': counts add up: 3 records listed, 2 written" for n in range(5)]
    verdict = judge(figures(), before(100, 100, 100), BOUNDS, broken)
    assert crossed(verdict) == [Measure.COMPLETENESS]
    assert verdict.sentences[0].endswith(f"{broken[2]}; and 2 more")


@pytest.mark.parametrize(
    ("objects", "verb", "bound"), [(300, "fell by 70.0 %", 50), (3_000, "rose by 200.0 %", 100)]
)
def test_a_fall_or_rise_beyond_its_bound_holds_a_date_where_growth_does(
    objects: int, verb: str, bound: int
) -> None:
    bounds = GateBounds(failed_percent=0.8, slower_ms=150, growth=NARROW)
    verdict = judge(figures(objects=objects), before(100, 100, 100), bounds)
    assert crossed(verdict) == [Measure.GROWTH]
    assert verb in verdict.sentences[0]
    assert verdict.sentences[0].endswith(f"; the bound is {bound} %")
    assert judge(figures(objects=objects), before(100, 100, 100), BOUNDS).crossings == ()


def test_a_first_date_has_no_growth() -> None:
    bounds = GateBounds(failed_percent=0.8, slower_ms=150, growth=NARROW)
    assert judge(figures(objects=0), [], bounds).crossings == ()


def test_all_crossed_bounds_are_told() -> None:
    bounds = GateBounds(failed_percent=0.8, slower_ms=150, growth=NARROW)
    date_at_hand = figures(failed=500, ms=900, objects=1)
    verdict = judge(date_at_hand, before(100, 100, 100), bounds, ["seams agree: at 'x'"])
    assert crossed(verdict) == list(Measure)


def test_a_gate_that_is_switched_off_holds_nothing_and_says_so() -> None:
    bounds = GateBounds(failed_percent=0.8, slower_ms=150, growth=NARROW, is_enabled=False)
    date_at_hand = figures(failed=500, ms=900, objects=1)
    verdict = judge(date_at_hand, before(100, 100, 100), bounds, ["seams agree: at 'x'"])
    assert verdict.crossings == ()
    assert verdict.not_judged == ("the gate is switched off (`gate.enabled`)",)
