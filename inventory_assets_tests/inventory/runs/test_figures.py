"""The figures of a run are those of what was counted, and bounded."""

from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inventory_assets.inventory.runs.figures import (
    EXCLUSIVE,
    MAX_BUCKETS,
    RunFigures,
    TimeSpent,
    bucket_width,
    time_spent,
    timeline_of,
)
from inventory_assets.inventory.runs.merged_figures import merge_figures
from inventory_assets.inventory.storage.record_type import encode_json
from inventory_assets.s3.concurrency.activity import ActivityTotals
from inventory_assets.s3.latency_histogram import LatencyHistogram
from inventory_assets.scan.engine.range_latencies import (
    MAX_DEPTH,
    MAX_PREFIX_CHARACTERS,
    SLOWEST_RANGES,
    SlowRange,
)
from inventory_assets_tests.fakes.limited_store import StoreLimits
from inventory_assets_tests.inventory.runs.samples import figures, shard_run
from inventory_assets_tests.inventory.runs.simulated_runs import Situation, simulated_run

SECONDS = st.floats(0, 1000)


@given(*[SECONDS] * 6)
def test_every_second_of_a_run_counts_once(
    waiting: float,
    receiving_cpu: float,
    reading_cpu: float,
    blocked: float,
    lost: float,
    limit: float,
) -> None:
    passed = ActivityTotals(
        at_maximum=limit,
        alone=waiting + receiving_cpu,
        receiving=waiting + receiving_cpu,
        receiving_cpu=receiving_cpu,
        reading=reading_cpu + blocked + 0.001,
        reading_cpu=reading_cpu,
        seconds=waiting + receiving_cpu + reading_cpu + blocked + 0.001,
        core_wait=lost,
    )
    spent = time_spent(passed)
    assert spent.total == pytest.approx(passed.seconds, abs=0.01)
    assert all(getattr(spent, name) >= 0 for name in EXCLUSIVE)
    if lost == 0:
        assert spent.blocked == pytest.approx(blocked, abs=0.01)
        assert spent.computing == pytest.approx(receiving_cpu + reading_cpu, abs=0.01)


@given(
    st.lists(
        st.tuples(st.floats(0.001, 500), st.integers(0, 50), st.integers(0, 5), st.floats(0, 64)),
        min_size=1,
        max_size=80,
    )
)
def test_a_timeline_has_all_requests_and_errors_in_a_bounded_number_of_buckets(
    steps: list[tuple[float, int, int, float]],
) -> None:
    points = [ActivityTotals()]
    for seconds, succeeded, failed, in_flight in steps:
        last = points[-1]
        points.append(
            ActivityTotals(
                seconds=last.seconds + seconds,
                succeeded=last.succeeded + succeeded,
                failed={"reset": last.failed.get("reset", 0) + failed},
                request_seconds=last.request_seconds + seconds * in_flight,
                limit_seconds=last.limit_seconds + seconds * 64,
            )
        )
    timeline, end = timeline_of(points), points[-1]
    buckets = len(timeline.requests)
    assert len(timeline.in_flight) == len(timeline.limit) == buckets <= MAX_BUCKETS
    assert (buckets - 1) * timeline.width < end.seconds <= buckets * timeline.width * (1 + 1e-6)
    assert sum(timeline.requests) == end.succeeded
    assert sum(timeline.failed.get("reset", ())) == end.failed["reset"]
    assert all(count >= 0 for count in timeline.requests)
    assert max(timeline.in_flight) <= max(step[3] for step in steps) + 0.1
    assert set(timeline.limit) == {64.0}


def test_the_width_of_buckets_doubles() -> None:
    assert [bucket_width(each) for each in (0.1, 60, 61, 121, 3600, 86_400)] == [
        *(1, 1, 2, 4, 64),
        2048,
    ]


def test_a_record_of_any_run_takes_a_few_kilobytes() -> None:
    timeline = timeline_of(
        [
            ActivityTotals(
                seconds=number * 7.0,
                succeeded=number * 99_999,
                request_seconds=number * 7 * 63.7,
                limit_seconds=number * 7 * 64,
                failed={"throttled": number * 7, "server error": number, "timed out": number},
            )
            for number in range(500)
        ]
    )
    largest = figures(
        latency=LatencyHistogram(dict.fromkeys(range(-80, 80), 10**7)),
        timeline=timeline,
        cells=tuple(
            cell
            for depth in range(MAX_DEPTH + 1)
            for cell in (figures().cells[0].__class__(depth, band, 10**6) for band in range(3))
        ),
        slowest=(SlowRange("é" * MAX_PREFIX_CHARACTERS, 1, 2.0, 1.0),) * SLOWEST_RANGES,
    )
    assert len(encode_json(largest)) < 12_000


def test_the_heat_map_shows_where_the_store_is_slow() -> None:
    slow = simulated_run(Situation(StoreLimits(slow_prefix="data/0003/"), pages=400))
    bands = {cell.band for cell in slow.cells}
    assert 2 in bands
    assert 0 in bands
    assert all("data/" in each.prefix for each in slow.slowest[:3])
    healthy = simulated_run(Situation(pages=400))
    assert {cell.band for cell in healthy.cells} == {0}


def test_the_pages_of_the_heat_map_are_those_that_were_received() -> None:
    run = simulated_run(Situation(StoreLimits(refused=0.05), pages=300))
    assert sum(cell.pages for cell in run.cells) <= run.latency.total
    assert sum(cell.pages for cell in run.cells) >= 300
    assert sum(run.timeline.requests) == run.latency.total
    assert sum(run.timeline.failed["throttled"]) == run.faults["throttled"]


# Merged runs


def numbers(found: RunFigures) -> dict[str, float]:
    return {each.name: getattr(found.spent, each.name) for each in fields(TimeSpent)}


def test_one_run_merges_to_itself() -> None:
    run = shard_run()
    merged = merge_figures([run])
    assert merged == run.figures


def test_shards_of_one_process_share_its_requests_in_flight() -> None:
    merged = merge_figures([shard_run("a/"), shard_run("b/")])
    assert merged.seconds == 30
    assert set(merged.timeline.in_flight) == {8.0}
    assert (merged.rows, merged.requests, merged.faults) == (20_000, 24, {"throttled": 4})
    assert numbers(merged)["at_maximum"] == 48
    assert [cell.pages for cell in merged.cells] == [16, 4]


def test_the_requests_of_several_processes_add_up() -> None:
    merged = merge_figures([shard_run("a/"), shard_run("b/", run_id="two")])
    assert set(merged.timeline.in_flight) == {16.0}
    assert set(merged.timeline.limit) == {16.0}


def test_the_duration_of_several_runs_is_the_time_that_they_cover() -> None:
    merged = merge_figures([shard_run(), shard_run("b/", after=20), shard_run("c/", after=1000)])
    assert merged.seconds == 80
    assert merged.timeline.width == 32
    assert merged.timeline.in_flight[0] == 8.0
    assert merged.timeline.in_flight[10] == 0.0
