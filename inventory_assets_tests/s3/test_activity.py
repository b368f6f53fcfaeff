"""What the requests and the scan did is added up without gaps and without overlaps."""

from dataclasses import fields
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inventory_assets.s3.concurrency.activity import (
    FIRST_INTERVAL,
    MAX_SAMPLES,
    ActivityMeter,
    ActivityTotals,
    core_wait_seconds,
)
from inventory_assets.s3.concurrency.request_outcome import Outcome
from inventory_assets_tests.fakes.virtual_time import VirtualClock

STATES = [each.name for each in fields(ActivityTotals)][:7]


def meter(maximum: int = 8) -> tuple[ActivityMeter, VirtualClock]:
    clock = VirtualClock()
    return ActivityMeter(maximum, clock.clocks), clock


def test_a_moment_counts_as_at_the_maximum_at_the_limit_below_it_or_alone() -> None:
    activity, clock = meter()
    for in_flight, limit, state in (
        (8, 8, "at_maximum"),
        (6, 6, "at_limit"),
        (3, 6, "below_limit"),
        (1, 6, "alone"),
        (0, 6, "idle"),
    ):
        before = activity.totals()
        activity.request_sent(in_flight, limit)
        clock.block(5)
        passed = activity.totals().since(before)
        assert {name: getattr(passed, name) for name in STATES if getattr(passed, name)} == {
            state: 5
        }
        assert (passed.request_seconds, passed.limit_seconds) == (5 * in_flight, 5 * limit)


def test_a_lower_limit_after_a_503_is_throttling_until_it_is_exceeded() -> None:
    activity, clock = meter()
    activity.request_sent(6, 6)
    clock.block(1)
    activity.request_ended(4, 4, Outcome.THROTTLED)
    clock.block(2)
    activity.request_ended(6, 6, Outcome.SUCCEEDED)
    clock.block(3)
    activity.request_ended(7, 7, Outcome.SUCCEEDED)
    clock.block(4)
    found = activity.totals()
    assert (found.at_limit, found.throttled) == (5, 5)
    assert found.succeeded == 2


def test_a_limit_that_the_policy_lowers_by_itself_is_no_throttling() -> None:
    activity, clock = meter()
    activity.request_sent(6, 6)
    activity.request_ended(4, 4, Outcome.SUCCEEDED)
    clock.block(2)
    assert (activity.totals().at_limit, activity.totals().throttled) == (2, 0)


def test_requests_that_wait_to_be_retried_count_in_proportion() -> None:
    activity, clock = meter()
    activity.request_sent(2, 8)
    activity.retry_begins("throttled", is_throttled=True)
    activity.retry_begins("reset", is_throttled=False)
    clock.block(8)
    activity.retry_ends(is_throttled=True)
    activity.retry_ends(is_throttled=False)
    clock.block(1)
    found = activity.totals()
    assert (found.throttled, found.retrying, found.below_limit) == (2, 2, 5)
    assert found.failed == {"reset": 1, "throttled": 1}


def test_the_phases_have_their_cpu_time_also_while_they_last() -> None:
    activity, clock = meter()
    clock.block(1)
    activity.begin_scan()
    clock.block(2)
    clock.compute(3)
    activity.begin_reading()
    clock.compute(4)
    activity.begin_writing()
    clock.block(5)
    within = activity.totals()
    assert (within.receiving, within.receiving_cpu) == (6, 3)
    assert (within.reading, within.reading_cpu, within.writing) == (9, 4, 5)
    activity.end_writing()
    activity.end_reading()
    clock.wait_for_core(2)
    after = activity.totals()
    assert (after.receiving, after.reading, after.writing, after.core_wait) == (8, 9, 5, 2)


def test_time_with_blocked_receivers_is_counted() -> None:
    activity, clock = meter()
    activity.receivers_blocked(2)
    clock.block(3)
    activity.receivers_blocked(0)
    clock.block(4)
    assert activity.totals().queue_full == 3


CALLS = st.lists(
    st.tuples(st.integers(0, 6), st.integers(0, 9), st.integers(1, 9), st.floats(0, 100)),
    max_size=60,
)


@given(CALLS)
def test_every_moment_counts_once_and_totals_only_grow(
    calls: list[tuple[int, int, int, float]],
) -> None:
    activity, clock = meter()
    activity.begin_scan()
    is_reading, waits, before = False, 0, activity.totals()
    for kind, in_flight, limit, seconds in calls:
        if kind == 0:
            activity.request_sent(in_flight, limit)
        elif kind == 1:
            activity.request_ended(in_flight, limit, Outcome.THROTTLED)
        elif kind == 2:
            activity.retry_begins("reset", is_throttled=False)
            waits += 1
        elif kind == 3 and waits:
            activity.retry_ends(is_throttled=False)
            waits -= 1
        elif kind == 4 and not is_reading:
            activity.begin_reading()
            is_reading = True
        elif kind == 5 and is_reading:
            activity.end_reading()
            is_reading = False
        clock.block(seconds)
        found = activity.totals()
        assert found.receiving + found.reading == pytest.approx(found.seconds)
        assert sum(getattr(found, name) for name in STATES) == pytest.approx(found.receiving)
        names = [each.name for each in fields(ActivityTotals) if each.name != "failed"]
        assert all(getattr(found, name) >= getattr(before, name) for name in names)
        before = found


def test_the_memory_of_a_long_run_is_bounded_and_its_samples_are_even() -> None:
    activity, clock = meter()
    start = activity.totals()
    for number in range(40_000):
        clock.block(FIRST_INTERVAL)
        activity.request_sent(number % 8, 8)
    points = activity.between(start, activity.totals())
    assert MAX_SAMPLES / 2 - 1 <= len(points) <= MAX_SAMPLES + 2
    times = [each.seconds for each in points[1:-1]]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert max(gaps) <= 2 * min(gaps[1:])


def test_the_wait_for_a_core_of_this_thread_is_a_growing_number() -> None:
    first = core_wait_seconds()
    assert 0 <= first <= core_wait_seconds()
