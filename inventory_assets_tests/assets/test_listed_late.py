"""Yesterday, listed again after today was listed."""

from datetime import date, datetime, time, timedelta

import pytest
from dagster import DagsterInstance

from inventory_assets.definitions import build_definitions
from inventory_assets.defs.source.resources import Clock
from inventory_assets.inventory.query.dataset import Dataset
from inventory_assets_tests.assets.world import TODAY, YESTERDAY, Buckets, Outcome, World, noon

WARNING = "the next date was listed before this listing"
BY_DATE = ("inventory_manifest", "change_log")


@pytest.fixture
def listed(world: World, buckets: Buckets) -> World:
    """Two dates; at noon of the second, an object came after it was listed."""
    world.pass_day(YESTERDAY - timedelta(days=1))
    world.pass_day(YESTERDAY)
    world.pass_day(TODAY)
    buckets.keys["memory"].add("a/late")
    return world


def at(world: World, hour: int) -> None:
    """Let the clock stand at an hour of today."""
    clock = Clock(fixed=datetime.combine(TODAY, time(hour), noon(TODAY).tzinfo).isoformat())
    world.definitions = build_definitions(world.config, clock)


def list_late(world: World, day: date, hour: int) -> Outcome:
    """List one shard again at an hour of today, and publish the date again."""
    at(world, hour)
    outcome = world.run("object_listing", world.key("a/", day))
    assert outcome.success
    assert world.run("object_changes", world.key("a/", day)).success
    for name in BY_DATE:
        assert world.run(name, str(day)).success
    return outcome


def told(world: World, day: date) -> list[tuple[str, str]]:
    found = Dataset.of_date(world.store, world.layout, day).changes(day).collect()
    return sorted(zip(found["key"].to_list(), found["change"].to_list(), strict=True))


def compare_all(world: World, day: date) -> None:
    assert world.run("object_changes", tags=world.range_tags(day)).success
    assert world.run("change_log", str(day)).success


def warned(instance: DagsterInstance, outcome: Outcome) -> bool:
    return any(WARNING in entry.user_message for entry in instance.all_logs(outcome.run_id))


def test_an_object_that_came_in_between_is_told_twice_and_the_run_warns(listed: World) -> None:
    outcome = list_late(listed, YESTERDAY, 15)
    assert warned(listed.instance, outcome)
    compare_all(listed, TODAY)
    assert told(listed, YESTERDAY) == [("a/late", "created")]
    assert told(listed, TODAY) == [("a/late", "deleted")]


def test_it_is_told_once_if_today_is_listed_again_afterwards(listed: World) -> None:
    list_late(listed, YESTERDAY, 15)
    at(listed, 16)
    assert listed.run("object_listing", listed.key("a/", TODAY)).success
    assert listed.run("inventory_manifest", str(TODAY)).success
    compare_all(listed, TODAY)
    assert [told(listed, day) for day in (YESTERDAY, TODAY)] == [[("a/late", "created")], []]


def test_today_listed_again_warns_of_nothing(listed: World) -> None:
    assert not warned(listed.instance, list_late(listed, TODAY, 15))
