"""The checks of what changed between dates."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster import AssetCheckEvaluation

from inventory_assets.config import Gate, Growth
from inventory_assets_tests.assets.world import (
    TODAY,
    YESTERDAY,
    Buckets,
    Outcome,
    World,
    check_results,
    table_of,
)

DAY = str(TODAY)
NARROW = Growth(
    fell_percent=50,
    rose_percent=100,
    prefix_percent=20,
    modified_percent=50,
    deleted_percent=50,
    stopped_after_dates=2,
    min_objects=1,
)
USAGE_CHECKS = ("total_steady", "prefixes_steady", "prefixes_still_grow")
CHANGE_CHECKS = ("no_mass_overwrite", "no_mass_delete")


@pytest.fixture
def make(tmp_path: Path, buckets: Buckets) -> Iterator[Callable[[Growth], World]]:
    """Makes a world over a bucket in memory, with bounds of growth."""
    buckets.keys["memory"] = {f"a/{number}" for number in range(8)} | {"b/1", "root"}
    with dg.DagsterInstance.ephemeral() as instance:

        def make(growth: Growth) -> World:
            fields = {"bucket": "memory", "growth": growth, "gate": Gate(growth=False)}
            return World(tmp_path, instance, fields)

        yield make


def used(world: World, days_before: int = 0) -> Outcome:
    day = TODAY - timedelta(days=days_before)
    world.pass_day(day)
    outcome = world.run("prefix_usage", str(day))
    assert outcome.success
    return outcome


def results(outcome: Outcome) -> dict[str, AssetCheckEvaluation]:
    return {name: event for (name, _), event in check_results(outcome).items()}


def test_a_first_date_has_nothing_to_compare_and_passes(make: Callable[[Growth], World]) -> None:
    world = make(NARROW)
    found = results(used(world)) | results(world.run("change_log", DAY))
    for name in (*USAGE_CHECKS, *CHANGE_CHECKS):
        assert found[name].passed
        assert found[name].description == "there is no earlier date to compare with"


def test_a_loss_is_a_warning_with_numbers_prefix_and_dates(
    make: Callable[[Growth], World], buckets: Buckets
) -> None:
    world = make(NARROW)
    used(world, 1)
    buckets.keys["memory"] = {"b/1", "root", "c/\u202e/1"}
    outcome = used(world)
    found = results(outcome)
    total = found["total_steady"]
    assert not total.passed
    assert total.severity == dg.AssetCheckSeverity.WARN
    assert (
        f"the whole inventory fell by 70.0 % in objects, from 10 on {YESTERDAY} to 3 on {DAY}, "
        "mostly in 'a/'; the whole inventory fell by "
    ) in str(total.description)
    assert table_of(total, "changes")[0] == {
        "prefix": "(all)",
        "measure": "objects",
        str(YESTERDAY): 10,
        DAY: 3,
    }
    assert not found["prefixes_steady"].passed
    assert f"'a/' fell by 100.0 % in objects, from 8 on {YESTERDAY} to 0 on {DAY}" in str(
        found["prefixes_steady"].description
    )
    deleted = results(world.run("change_log", DAY))["no_mass_delete"]
    assert not deleted.passed
    assert deleted.description == (
        f"8 of the 10 objects of {YESTERDAY} are deleted on {DAY}: 80.0 %"
    )
    assert deleted.metadata["deleted"].value == 8


def test_an_error_fails_no_run(make: Callable[[Growth], World], buckets: Buckets) -> None:
    world = make(NARROW.model_copy(update={"severity": "error"}))
    used(world, 1)
    buckets.keys["memory"] = {"root"}
    found = results(used(world))
    assert found["total_steady"].severity == dg.AssetCheckSeverity.ERROR
    assert not found["total_steady"].blocking


def test_the_defaults_tell_nothing_of_a_small_bucket(
    make: Callable[[Growth], World], buckets: Buckets
) -> None:
    world = make(Growth())
    used(world, 1)
    buckets.keys["memory"] = {f"c/{number}" for number in range(500)}
    found = results(used(world)) | results(world.run("change_log", DAY))
    assert all(found[name].passed for name in (*USAGE_CHECKS, *CHANGE_CHECKS))
    assert found["total_steady"].metadata["compared_with"].value == str(YESTERDAY)


def test_a_feed_that_stopped_is_told(make: Callable[[Growth], World], buckets: Buckets) -> None:
    world = make(NARROW)
    assert results(used(world, 6))["prefixes_still_grow"].passed
    for days_before in (5, 2, 1):  # two dates are missing
        buckets.keys["memory"] |= {f"a/feed/{days_before}", f"b/feed/{days_before}"}
        used(world, days_before)
    buckets.keys["memory"].add("b/feed/0")
    check = results(used(world))["prefixes_still_grow"]
    assert not check.passed
    assert [row["prefix"] for row in table_of(check, "prefixes")] == ["a/", "a/feed/"]
    first = TODAY - timedelta(days=2)
    assert check.description == (
        f"'a/' grew on each of 2 dates from {first} to {YESTERDAY}, and not on {DAY}, when it "
        "holds 11 objects"
    )


def test_a_check_on_its_own_is_the_only_one_of_growth_that_runs(
    make: Callable[[Growth], World], buckets: Buckets
) -> None:
    world = make(NARROW)
    used(world, 1)
    buckets.keys["memory"] = {"root"}
    used(world)
    found = results(world.run_check("prefix_usage", "prefixes_steady", DAY))
    assert not found["prefixes_steady"].passed
    assert "total_steady" not in found
    found = results(world.run_check("change_log", "no_mass_delete", DAY))
    assert not found["no_mass_delete"].passed
    assert "no_mass_overwrite" not in found
