"""Dates that have left the window of listings."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest

from inventory_assets.config import Schedule
from inventory_assets_tests.assets.world import (
    TODAY,
    YESTERDAY,
    Buckets,
    World,
    check_results,
    failure_text,
    materializations,
    metadata_of,
)

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning")

OLD = TODAY - timedelta(days=5)
DAY = str(OLD)
NARROW = Schedule(start_date=TODAY - timedelta(days=9), listing_window_days=2)


@pytest.fixture
def narrow(world: World, buckets: Buckets, tmp_path: Path) -> World:
    """A world whose window has two days, and whose store holds older dates with changes."""
    world.pass_day(OLD - timedelta(days=1))
    buckets.keys["memory"] ^= {"a/1", "b/2"}
    world.pass_day(OLD)
    later = World(
        tmp_path, world.instance, {**world.source.model_dump(), "schedule": NARROW.model_dump()}
    )
    assert later.store.root == world.store.root
    return later


def test_its_manifest_and_change_log_can_be_materialized_again(narrow: World) -> None:
    assert narrow.run("inventory_manifest", DAY).success
    outcome = narrow.run("change_log", DAY)
    assert outcome.success
    event = materializations(outcome)[DAY]
    assert [metadata_of(event, name) for name in ("created", "deleted")] == [1, 1]
    assert metadata_of(event, "compared_here") == ["", "a/", "b/", "c/"]
    assert check_results(outcome)["change_log_reconciles", DAY].passed


def test_its_shards_are_no_partitions(narrow: World) -> None:
    with pytest.raises(dg.DagsterError):
        narrow.run("object_listing", narrow.key("a/", OLD))


def test_automation_goes_on_for_the_dates_within(narrow: World) -> None:
    narrow.set_day(YESTERDAY)
    before = dg.evaluate_automation_conditions(narrow.definitions, narrow.instance)
    assert narrow.list_all().success
    after = dg.evaluate_automation_conditions(
        narrow.definitions, narrow.instance, cursor=before.cursor
    )
    requested = after.get_requested_partitions(narrow.assets.key("inventory_manifest"))
    assert requested == {str(YESTERDAY)}


def test_the_window_follows_the_clock_of_the_definitions(make_world: Callable[..., World]) -> None:
    world = make_world(["a/1"], schedule=NARROW)
    world.discover()
    world.set_day(YESTERDAY)
    assert world.run("object_listing", world.key("a/", YESTERDAY - timedelta(days=1))).success
    assert failure_text(world.run("object_listing", world.key("a/", TODAY)))
