from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import dagster as dg
import pytest

from inventory_assets.config import Schedule, Shards
from inventory_assets.scan.errors import TooManyShards
from inventory_assets_tests.assets.world import REMAINDER, TODAY, Buckets, World


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
    assert buckets.keys
    world = World(tmp_path, instance, {"bucket": "memory", "shards": Shards(max_shards=3)})
    yield world
    world.forget_shards()


def tick(world: World, at: datetime | None = None) -> list[dg.RunRequest]:
    repository = world.definitions.get_repository_def()
    schedule = repository.get_schedule_def(f"{world.source.name}_daily")
    with dg.build_schedule_context(
        world.instance, at or datetime.combine(TODAY, time(1), UTC), world.resources(), repository
    ) as context:
        return list(schedule.evaluate_tick(context).run_requests or [])


def bounds(request: dg.RunRequest) -> tuple[str, str]:
    start, end = (
        request.tags[f"dagster/asset_partition_range_{name}"] for name in ("start", "end")
    )
    return start, end


def test_one_run_is_requested_for_all_shards_of_the_day(world: World) -> None:
    (request,) = tick(world)
    assert request.run_key == str(TODAY)
    assert bounds(request) == (f"{TODAY}|{REMAINDER}", f"{TODAY}|b/")
    assert world.shard_keys == [REMAINDER, "a/", "b/"]


def test_that_run_lists_them_all(world: World) -> None:
    (request,) = tick(world)
    outcome = world.run("object_listing", tags=request.tags)
    assert outcome.success
    assert sum(event.is_step_materialization for event in outcome.events) == 3


def test_a_prefix_that_is_new_is_in_the_range(world: World, buckets: Buckets) -> None:
    tick(world)
    buckets.keys["memory"].add("0/1")
    (request,) = tick(world)
    assert world.shard_keys[-1] == "0/"
    assert bounds(request) == (f"{TODAY}|{REMAINDER}", f"{TODAY}|0/")


def test_a_tick_that_is_repeated_asks_for_the_same_run(world: World) -> None:
    assert tick(world) == tick(world)


def test_too_many_prefixes_leave_the_new_ones_to_the_remainder(
    world: World, buckets: Buckets
) -> None:
    tick(world)
    buckets.keys["memory"] |= {"c/1", "d/1"}
    (request,) = tick(world)
    assert bounds(request) == (f"{TODAY}|{REMAINDER}", f"{TODAY}|b/")


def test_too_many_prefixes_without_a_shard_are_an_error(world: World, buckets: Buckets) -> None:
    buckets.keys["memory"] |= {"c/1", "d/1"}
    with pytest.raises(dg.DagsterError) as caught:
        tick(world)
    assert isinstance(caught.value.__cause__, TooManyShards)


def test_the_day_is_that_of_the_sources_time_zone(
    tmp_path: Path, instance: dg.DagsterInstance, buckets: Buckets
) -> None:
    assert buckets.keys
    schedule = Schedule(timezone="Asia/Tokyo", start_date=TODAY - timedelta(days=5))
    fields = {"name": "tokyo", "bucket": "memory", "schedule": schedule}
    world = World(tmp_path, instance, fields)
    (request,) = tick(world, datetime.combine(TODAY, time(1), ZoneInfo("Asia/Tokyo")))
    assert request.run_key == str(TODAY)


def test_the_schedule_is_as_configured(world: World) -> None:
    schedule = world.definitions.get_repository_def().get_schedule_def("src_daily")
    assert (schedule.cron_schedule, schedule.execution_timezone) == ("0 1 * * *", "UTC")
