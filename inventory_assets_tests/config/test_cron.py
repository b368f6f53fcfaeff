"""Cron expressions of the configuration are ones that Dagster runs."""

import dagster as dg
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from inventory_assets.config.cron import is_cron

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
