"""A run is compared with the last runs of its shard."""

import pytest

from inventory_assets.inventory.runs.cause import Cause
from inventory_assets.inventory.runs.regressions import (
    COMPARED_RUNS,
    LEAST_RUNS,
    RunSummary,
    regression_of,
)
from inventory_assets_tests.inventory.runs.samples import summary

USUAL = [summary(60.0 + number) for number in range(COMPARED_RUNS)]


@pytest.mark.parametrize(
    ("run", "words"),
    [
        (summary(200.0), "took 200 s, 3.2 times as long for an object"),
        (summary(60.0, rows=200_000), "4.8 times as long for an object"),
        (summary(60.0, p95=0.3), "had a P95 latency of 300 ms instead of 100 ms"),
        (summary(60.0, errors=20), "had errors in 2.0 % of its requests instead of 0.0 %"),
    ],
)
def test_what_is_worse_is_named_with_its_numbers(run: RunSummary, words: str) -> None:
    found = regression_of(run, USUAL)
    assert found is not None
    assert words in found.sentence
    assert found.sentence.startswith("'a/' ")


@pytest.mark.parametrize(
    "run",
    [
        summary(60.0),
        summary(85.0),
        summary(600.0, rows=10_000_000),
        summary(5.0, p95=0.2),
        summary(60.0, errors=7),
        summary(30.0, rows=0),
        summary(60.0, p95=None),
    ],
)
def test_what_is_within_its_bounds_is_no_regression(run: RunSummary) -> None:
    assert regression_of(run, USUAL) is None


@pytest.mark.parametrize(
    "run",
    [
        pytest.param(summary(requests=199, p95=0.9), id="latency of 199 requests"),
        pytest.param(summary(requests=300, errors=9), id="nine errors"),
    ],
)
def test_what_few_requests_carry_is_no_regression(run: RunSummary) -> None:
    assert regression_of(run, USUAL) is None


def test_seconds_that_nobody_waits_for_are_no_regression() -> None:
    assert regression_of(summary(9.0), [summary(1.0)] * COMPARED_RUNS) is None


def test_few_earlier_runs_are_not_compared() -> None:
    assert regression_of(summary(999.0), USUAL[: LEAST_RUNS - 1]) is None
    assert regression_of(summary(999.0), USUAL[:LEAST_RUNS]) is not None


def test_one_bad_run_among_the_earlier_ones_hides_nothing() -> None:
    assert regression_of(summary(200.0), [summary(5000.0), *USUAL[:4]]) is not None


def test_runs_before_the_last_seven_do_not_count() -> None:
    assert regression_of(summary(200.0), [*USUAL, *[summary(5000.0)] * 20]) is not None


@pytest.mark.parametrize("cause", [each for each in Cause if each is not Cause.NOTHING])
def test_the_root_cause_is_what_took_more_time_than_before(cause: Cause) -> None:
    usual = {Cause.LIMIT: 50.0, Cause.CPU: 10.0}
    earlier = [summary(60.0, by_cause=usual)] * COMPARED_RUNS
    now = {**usual, cause: usual.get(cause, 0.0) + 100}
    found = regression_of(summary(160.0, by_cause=now), earlier)
    assert found is not None
    assert found.root_cause is cause
    assert f"mostly by {cause} (+100 s)" in found.sentence


def test_a_larger_shard_has_the_cause_of_each_of_its_objects() -> None:
    usual = {Cause.LIMIT: 50.0, Cause.CPU: 10.0}
    earlier = [summary(60.0, by_cause=usual)] * COMPARED_RUNS
    now = {Cause.LIMIT: 100.0, Cause.CPU: 120.0}
    found = regression_of(summary(220.0, rows=2_000_000, by_cause=now), earlier)
    assert found is not None
    assert found.root_cause is Cause.CPU
