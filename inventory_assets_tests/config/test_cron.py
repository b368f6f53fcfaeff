"""Cron expressions of the configuration are ones that Dagster runs."""

from datetime import UTC, datetime, timedelta
from itertools import starmap

import dagster as dg
import pytest
from dagster._utils.schedules import reverse_cron_string_iterator
from hypothesis import example, given, settings
from hypothesis import strategies as st

from inventory_assets.config.cron import is_cron, last_tick

_NAMES = ["sun", "mon", "TUE", "sat", "jan", "Feb", "DEC"]
_NUMBERS = st.integers(0, 70).map(str) | st.sampled_from([*_NAMES, "*", "l", "", "05"])
_RANGES = st.builds("{}-{}".format, _NUMBERS, _NUMBERS)
_STEPS = st.builds("{}/{}".format, _NUMBERS | _RANGES, st.integers(0, 70))
_FIELDS = st.lists(_NUMBERS | _RANGES | _STEPS, min_size=1, max_size=2).map(",".join)
_CRONS = st.tuples(*[st.just("*") | _FIELDS] * 5).map(" ".join)


@given(cron=_CRONS)
@example(cron="1,2-4/2,*/5 0-23/2 31 */2,jan-Dec 0-7")
@example(cron="0 0 29 feb 7")
@settings(max_examples=300)
@pytest.mark.filterwarnings("ignore:Found a cron schedule with an interval")
def test_dagster_runs_every_cron_that_is_accepted(cron: str) -> None:
    if is_cron(cron):
        dg.ScheduleDefinition(job_name="any", cron_schedule=cron)


@pytest.mark.parametrize(
    "cron",
    [
        "59 23 31 12 7",
        "0,30 */6 * * *",
        "5/15 0 1-7 jan,APR-jun SUN",
        "0 0 29 2 *",
        "0 0 30 2-3 *",
        "0-59/10  08 * * mon-fri",
    ],
)
def test_a_standard_cron_is_accepted(cron: str) -> None:
    assert is_cron(cron)


@pytest.mark.parametrize(
    "cron",
    [
        "* * 0 * *",
        "* * * 13 *",
        "* 24 * * *",
        "* * * * 8",
        "* * 31 4,6 *",
        "*/0 * * * *",
        "5-1 * * * *",
        "1, * * * *",
        "-1 * * * *",
        "mon * * * *",
        "* * * mon *",
        "* * L * *",
        "\u0661 * * * *",
    ],
)
def test_other_expressions_are_rejected(cron: str) -> None:
    assert not is_cron(cron)


def _ordinary(first: int, last: int) -> st.SearchStrategy[str]:
    """Fields as people write them; a range has two ends, as Dagster reads `0-0` in its own way."""
    number = st.integers(first, last)
    pairs = st.lists(number, min_size=2, max_size=2, unique=True).map(sorted)
    items = number.map(str) | pairs.map(lambda pair: f"{pair[0]}-{pair[1]}")
    some = st.lists(items, min_size=1, max_size=2).map(",".join)
    return st.just("*") | st.integers(2, 15).map("*/{}".format) | some


@given(
    cron=st.tuples(
        *starmap(_ordinary, [(0, 59), (0, 23), (1, 31), (1, 12), (0, 6)]),
    ).map(" ".join),
    until=st.integers(1_577_836_800, 1_893_456_000).map(lambda at: datetime.fromtimestamp(at, UTC)),
)
@example(cron="* * */2 2 0-6", until=datetime(2020, 1, 1, tzinfo=UTC))
@example(cron="0 0 1-31 * */2", until=datetime(2020, 1, 1, tzinfo=UTC))
@example(cron="0 0 3,4 * 0-6", until=datetime(2020, 1, 1, tzinfo=UTC))
@settings(max_examples=300)
@pytest.mark.filterwarnings("ignore:Found a cron schedule with an interval")
def test_the_last_tick_is_that_of_dagster(cron: str, until: datetime) -> None:
    until = until.replace(second=0, microsecond=0)
    if not is_cron(cron):
        return
    ticks = reverse_cron_string_iterator(until.timestamp(), cron, "UTC")
    expected = next(tick for tick in ticks if tick <= until)
    if until - expected < timedelta(days=5 * 365):
        assert last_tick(cron, "UTC", until) == expected


def test_a_tick_is_that_of_the_time_zone() -> None:
    until = datetime(2026, 11, 29, 0, 30, tzinfo=UTC)
    found = last_tick("0 1 * * *", "Europe/Zurich", until)
    assert found is not None
    assert found.isoformat() == "2026-11-29T01:00:00+01:00"
    assert last_tick("0 1 * * *", "America/New_York", until) == datetime(
        2026, 11, 28, 6, tzinfo=UTC
    )
