import math
from dataclasses import replace
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.scale_model import (
    COSTS,
    Bucket,
    Division,
    Fleet,
    Limit,
    estimate,
    expected_most,
    largest_slice,
    overload_workers,
)
from benchmarks.scale_records import (
    INVENTORY_BYTES_PER_PART,
    INVENTORY_BYTES_PER_SHARD,
    MANIFEST_BYTES_PER_PART,
    MAX_PARTITIONS,
    MEMORY_BYTES_PER_PART,
    RUNS_A_DAY,
    SQLITE_BYTES_PER_RUN,
    WINDOW_DAYS,
    history_of,
    measure,
    records_of,
)
from benchmarks.scale_store import StoreLimits

NO_RATE = StoreLimits(spread=0, rate=None)
BUCKETS = st.builds(
    Bucket,
    objects=st.integers(1, 10**11),
    shards=st.integers(1, 10_000),
    largest_share=st.floats(0, 1),
)
FLEETS = st.builds(
    Fleet,
    workers=st.integers(1, 1_000),
    in_flight=st.integers(1, 100_000),
    shares_limit=st.booleans(),
    division=st.sampled_from(Division),
    failures_per_hour=st.floats(0, 5),
    takeover_seconds=st.floats(0, 600),
    keeps_disk=st.booleans(),
)
LIMITS = st.builds(
    StoreLimits,
    latency=st.floats(0.005, 1),
    spread=st.floats(0, 1),
    rate=st.none() | st.floats(10, 100_000),
    split_seconds=st.floats(60, 3_600),
    partitions=st.integers(1, 1_000),
)


@given(BUCKETS, FLEETS, LIMITS, st.integers(1, 10**10))
def test_more_objects_never_take_less_time(
    bucket: Bucket, fleet: Fleet, limits: StoreLimits, more: int
) -> None:
    larger = replace(bucket, objects=bucket.objects + more)
    here, there = estimate(bucket, fleet, limits), estimate(larger, fleet, limits)
    assert there.seconds >= here.seconds * (1 - 1e-9)
    assert there.requests >= here.requests


@given(BUCKETS, FLEETS, LIMITS, st.integers(1, 1_000))
def test_more_workers_that_do_not_fail_never_take_more_time(
    bucket: Bucket, fleet: Fleet, limits: StoreLimits, more: int
) -> None:
    fleet = replace(fleet, failures_per_hour=0.0, shares_limit=True)
    larger = replace(fleet, workers=fleet.workers + more)
    assert (
        estimate(bucket, larger, limits).seconds <= estimate(bucket, fleet, limits).seconds + 1e-6
    )


@given(BUCKETS, FLEETS, LIMITS, st.floats(0.001, 10))
def test_machines_that_fail_more_often_never_take_less_time(
    bucket: Bucket, fleet: Fleet, limits: StoreLimits, more: float
) -> None:
    worse = replace(fleet, failures_per_hour=fleet.failures_per_hour + more)
    here, there = estimate(bucket, fleet, limits), estimate(bucket, worse, limits)
    assert there.seconds >= here.seconds * (1 - 1e-9)


@given(BUCKETS, FLEETS, LIMITS)
def test_a_listing_is_never_faster_than_any_of_its_limits(
    bucket: Bucket, fleet: Fleet, limits: StoreLimits
) -> None:
    found = estimate(bucket, fleet, limits)
    requests = bucket.pages * COSTS.requests_per_page
    core = 1_000 / COSTS.cpu_seconds_per_million
    assert found.seconds >= requests / (core * fleet.workers) * (1 - 1e-9)
    assert found.seconds >= requests * limits.mean_latency / fleet.in_flight * (1 - 1e-9)
    if limits.rate is not None:
        assert found.seconds >= requests / (limits.rate * found.partitions) * (1 - 1e-9)
    slowest = requests * largest_slice(bucket, fleet) / core
    assert found.seconds >= slowest * (1 - 1e-9)
    assert found.partitions >= limits.partitions


@given(BUCKETS, FLEETS, LIMITS)
def test_ranges_that_change_hands_are_never_slower_than_runs_if_nothing_fails(
    bucket: Bucket, fleet: Fleet, limits: StoreLimits
) -> None:
    fleet = replace(fleet, failures_per_hour=0.0)
    runs = estimate(bucket, replace(fleet, division=Division.RUNS), limits)
    join = estimate(bucket, replace(fleet, division=Division.JOIN), limits)
    assert join.seconds <= runs.seconds + 1e-6


def test_what_is_slowest_sets_the_pace() -> None:
    bucket = Bucket(10**9, shards=64)
    assert estimate(bucket, Fleet(1, 512), NO_RATE).limited_by is Limit.CPU
    assert estimate(bucket, Fleet(8, 64), NO_RATE).limited_by is Limit.IN_FLIGHT
    assert estimate(bucket, Fleet(64, 4096), StoreLimits()).limited_by is Limit.PARTITIONS
    skewed = replace(bucket, largest_share=0.5)
    assert estimate(skewed, Fleet(64, 4096), NO_RATE).limited_by is Limit.SHARD
    assert estimate(Bucket(100_000), Fleet(1, 64), NO_RATE).limited_by is Limit.RAMP


def test_partitions_double_while_they_are_under_load() -> None:
    limits = StoreLimits(spread=0, rate=1_000, split_seconds=100)
    fleet = Fleet(1_000, 400)  # 3,720 requests a second
    costs = replace(COSTS, rate_used=1.0, requests_per_page=1.0, in_flight_used=1.0)
    assert estimate(Bucket(50_000_000), fleet, limits, costs).partitions == 1
    # 100 s at 1,000, 100 s at 2,000, then 4,000 would be answered and 4,000 are asked.
    found = estimate(Bucket(700_000_000), fleet, limits, costs)
    ramp = costs.ramp_fixed_seconds + costs.ramp_latencies * 0.1
    assert found.partitions == 4
    assert found.seconds == pytest.approx(100 + 100 + 400_000 / 4_000 + ramp)
    few = estimate(Bucket(700_000_000), Fleet(1_000, 70), limits, costs)  # 700 a second
    assert (few.partitions, few.limited_by) == (1, Limit.IN_FLIGHT)


def test_a_machine_cannot_list_less_than_a_shard() -> None:
    assert largest_slice(Bucket(1, shards=10), Fleet(4)) == 0.3
    assert largest_slice(Bucket(1, shards=2), Fleet(4)) == 0.5
    assert largest_slice(Bucket(1, shards=10, largest_share=0.6), Fleet(4)) == 0.6
    assert largest_slice(Bucket(1, 10, 0.6), Fleet(4, division=Division.JOIN)) == 0.25


def test_machines_that_fail_faster_than_they_continue_never_end() -> None:
    fleet = Fleet(4, 64, failures_per_hour=40, takeover_seconds=90)
    for division in Division:
        found = estimate(Bucket(10**9), replace(fleet, division=division), NO_RATE)
        assert found.seconds == math.inf


def test_what_is_lost_with_a_disk_is_half_a_part_of_each_range() -> None:
    fleet = Fleet(4, 256, failures_per_hour=0.1, takeover_seconds=60, part_pages=4_000)
    kept = estimate(Bucket(10**10), fleet, NO_RATE)
    lost = estimate(Bucket(10**10), replace(fleet, keeps_disk=False), NO_RATE)
    ramp = COSTS.ramp_fixed_seconds + COSTS.ramp_latencies * 0.1
    assert kept.lost_seconds == pytest.approx(4 + 60 + ramp)
    assert lost.lost_seconds == pytest.approx(4_000 * 0.1 / 2 + 60 + ramp)
    assert lost.requests > kept.requests > 10**7


@pytest.mark.parametrize(("mean", "workers"), [(0.1, 50), (2.0, 8), (30.0, 4), (900.0, 3)])
def test_the_most_failures_of_a_machine_agree_with_chance(mean: float, workers: int) -> None:
    chances = Random(7)  # noqa: S311

    def failures() -> int:
        count, passed = 0, chances.expovariate(1)
        while passed < mean:
            count, passed = count + 1, passed + chances.expovariate(1)
        return count

    rounds = 400 if mean < 100 else 40
    drawn = [max(failures() for _ in range(workers)) for _ in range(rounds)]
    assert expected_most(mean, workers) == pytest.approx(sum(drawn) / rounds, rel=0.1)


def test_one_worker_has_as_many_failures_as_the_mean() -> None:
    assert expected_most(3.0, 1) == pytest.approx(3.0)
    assert expected_most(0.0, 10) == 0.0
    more = [expected_most(1.0, workers) for workers in (1, 2, 10, 100)]
    assert all(left < right for left, right in pairwise(more))


def test_one_request_each_is_too_much_from_some_number_of_workers_on() -> None:
    assert overload_workers(StoreLimits(spread=0, rate=5_500)) == pytest.approx(550)
    assert overload_workers(StoreLimits(spread=0, rate=5_500), partitions=4) == pytest.approx(2_200)
    assert overload_workers(NO_RATE) == math.inf


def test_the_limits_of_one_source_hold_for_64_workers() -> None:
    assert Fleet.of_sources(8).in_flight == 512
    assert Fleet.of_sources(64).in_flight == 1_024
    assert Fleet.of_sources(65).in_flight == 2_048


def test_the_real_records_have_the_sizes_that_the_model_assumes() -> None:
    few, many = measure(parts=400, shards=2), measure(parts=2, shards=200)
    parts = 2 * 199
    assert few.inventory_bytes == pytest.approx(400 * INVENTORY_BYTES_PER_PART, rel=0.05)
    of_shards = many.inventory_bytes - parts * INVENTORY_BYTES_PER_PART
    assert of_shards == pytest.approx(200 * INVENTORY_BYTES_PER_SHARD, rel=0.1)
    assert few.manifest_bytes == pytest.approx(400 * MANIFEST_BYTES_PER_PART, rel=0.05)
    assert few.memory_bytes == pytest.approx(400 * MEMORY_BYTES_PER_PART, rel=0.25)
    assert few.lookups == 400


def test_parts_are_bounded_by_their_sizes() -> None:
    small, large = records_of(10**9, 256, 64), records_of(10**11, 256, 64)
    assert small.parts == 256 + 64
    assert large.parts == 23_842 + 64
    assert small.parts_later <= 256 * 256
    assert large.parts < large.parts_later < 5 * large.parts
    assert large.memory_mb < 2 * small.memory_mb


@given(st.integers(1, 3_000), st.integers(1, 64))
def test_more_shards_and_runs_make_more_history(shards: int, runs: int) -> None:
    here, more = history_of(shards, runs), history_of(shards + 1, runs)
    assert more.events == here.events + 4
    assert more.bytes_a_day > here.bytes_a_day
    assert history_of(shards, runs + 1).events > here.events
    assert here.partitions <= MAX_PARTITIONS


@pytest.mark.parametrize(("shards", "measured"), [(250, 1_446e6), (1_000, 1_976e6)])
def test_three_years_of_history_are_as_large_as_they_were_measured(
    shards: int, measured: float
) -> None:
    runs_left = (1_095 - WINDOW_DAYS) * (RUNS_A_DAY - 2) * SQLITE_BYTES_PER_RUN
    computed = history_of(shards, 1).bytes_in_window + runs_left
    assert computed == pytest.approx(measured, rel=0.02)
    assert history_of(shards, 1).events == pytest.approx(56 + 4 * shards, rel=0.05)
