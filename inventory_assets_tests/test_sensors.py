import json
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.sensor_definition import SensorExecutionData

from inventory_assets.defs.sensors import NEW_SHARDS_PER_TICK
from inventory_assets.inventory.listing.shard_retirement import Retirement, record_retirement
from inventory_assets_tests.assets.world import REMAINDER, TODAY, YESTERDAY, Buckets, World


@pytest.fixture(scope="module")
def instance() -> Iterator[dg.DagsterInstance]:
    """An instance on the disk: a tick opens it by its reference."""
    with dg.DagsterInstance.local_temp() as instance:
        yield instance


@pytest.fixture
def buckets(monkeypatch: pytest.MonkeyPatch) -> Buckets:
    found = Buckets(monkeypatch)
    found.keys["memory"] = {"a/1", "b/1"}
    return found


@pytest.fixture
def world(tmp_path: Path, instance: dg.DagsterInstance, buckets: Buckets) -> Iterator[World]:
    """A world with known shards and one new prefix."""
    world = World(tmp_path, instance, {"bucket": "memory"})
    world.discover()
    buckets.keys["memory"].add("new/1")
    yield world
    world.forget_shards()


def tick(world: World, cursor: str | None = None) -> SensorExecutionData:
    """One tick, whose result is thrown away unless `keep` is called with it."""
    repository = world.definitions.get_repository_def()
    sensor = repository.get_sensor_def("src_new_prefixes")
    with dg.build_sensor_context(
        instance_ref=world.instance.get_ref(),
        cursor=cursor,
        repository_def=repository,
        resources=world.resources(),
    ) as context:
        return sensor.evaluate_tick(context)


def keep(world: World, data: SensorExecutionData) -> str | None:
    """Apply a tick's result like the daemon: add the partitions, and store the cursor."""
    for request in data.dynamic_partitions_requests or []:
        world.instance.add_dynamic_partitions(request.partitions_def_name, request.partition_keys)
    return data.cursor


def requested(data: SensorExecutionData) -> dict[str, str]:
    """The partitions requested, by run key."""
    return {str(r.run_key): str(r.partition_key) for r in data.run_requests or []}


def added(data: SensorExecutionData) -> list[str]:
    requests = data.dynamic_partitions_requests or []
    return [key for request in requests for key in request.partition_keys]


def test_a_new_prefix_gets_a_partition_and_only_it_is_listed(world: World) -> None:
    data = tick(world)
    assert requested(data) == {f"{TODAY}|new/": f"{TODAY}|new/"}
    assert added(data) == ["new/"]
    keep(world, data)
    assert world.shard_keys == [REMAINDER, "a/", "b/", "new/"]
    assert world.run("object_listing", f"{TODAY}|new/").success


def test_it_is_requested_once(world: World) -> None:
    cursor = keep(world, tick(world))
    again = tick(world, cursor)
    assert requested(again) == {}
    assert again.skip_message == "no new prefix among 3"


def test_a_tick_that_was_lost_is_repeated_with_the_same_run_key(world: World) -> None:
    assert requested(tick(world)) == requested(tick(world)) != {}


def test_a_tick_that_died_after_the_partition_was_added_asks_for_no_other_run(
    world: World,
) -> None:
    first = tick(world, json.dumps([REMAINDER, "a/", "b/"]))
    keep(world, first)
    again = tick(world, json.dumps([REMAINDER, "a/", "b/"]))
    assert requested(again) == requested(first) != {}
    assert added(again) == []


def test_a_prefix_that_was_listed_today_is_not_listed_again(world: World) -> None:
    world.discover()
    world.list_all()
    assert requested(tick(world, json.dumps([REMAINDER, "a/", "b/"]))) == {}


def test_one_tick_starts_a_bounded_number_of_runs_and_the_next_continues(
    world: World, buckets: Buckets
) -> None:
    buckets.keys["memory"] = {f"{number:03}/x" for number in range(NEW_SHARDS_PER_TICK + 3)}
    first = tick(world)
    assert len(requested(first)) == len(added(first)) == NEW_SHARDS_PER_TICK
    second = tick(world, keep(world, first))
    assert len(requested(second)) == 3
    assert requested(tick(world, keep(world, second))) == {}
    assert not requested(first).keys() & requested(second).keys()


@pytest.mark.parametrize("cursor", ["{", "", "null", "7", "no json"])
def test_a_cursor_that_cannot_be_read_is_ignored(world: World, cursor: str) -> None:
    assert requested(tick(world, cursor)) == {f"{TODAY}|new/": f"{TODAY}|new/"}


def test_a_prefix_whose_shard_was_retired_is_new_again(world: World) -> None:
    cursor = json.dumps([REMAINDER, "a/", "b/", "new/"])
    assert requested(tick(world, cursor)) == {}
    record_retirement(world.store, world.layout, Retirement("new/", TODAY, YESTERDAY))
    data = tick(world, cursor)
    assert (list(requested(data)), added(data)) == ([f"{TODAY}|new/"], ["new/"])
    assert requested(tick(world, keep(world, data))) == {}


def test_a_source_without_shards_waits_for_its_first_discovery(world: World) -> None:
    world.forget_shards()
    data = tick(world)
    assert requested(data) == {}
    assert "materialize `shards`" in str(data.skip_message)


def test_a_source_whose_first_run_is_still_to_search_waits_for_it(
    world: World, buckets: Buckets, tmp_path: Path
) -> None:
    assert buckets.keys
    fresh = World(tmp_path / "fresh", world.instance, {"bucket": "memory"})
    world.forget_shards()
    fresh.instance.add_dynamic_partitions(fresh.assets.partitions.shards_name, [REMAINDER])
    assert requested(tick(fresh)) == {}


def test_too_many_prefixes_are_left_to_the_remainder(world: World, buckets: Buckets) -> None:
    buckets.keys["memory"] = {f"{number:03}/x" for number in range(300)}
    data = tick(world)
    assert requested(data) == {}
    assert "the remainder covers prefixes without a shard" in str(data.skip_message)
