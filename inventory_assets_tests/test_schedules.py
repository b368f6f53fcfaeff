from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import dagster as dg
import pytest

from inventory_assets.config import Schedule, Shards
from inventory_assets.defs.source.resources import SourceBucket
from inventory_assets_tests.assets.world import (
    REMAINDER,
    TODAY,
    Buckets,
    World,
    check_results,
    materializations,
)


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


def listed(world: World) -> set[str]:
    """The partitions that the run of a tick lists."""
    (request,) = tick(world)
    outcome = world.run("object_listing", tags=request.tags)
    assert outcome.success
    assert all(check.passed for check in check_results(outcome).values())
    return set(materializations(outcome))


def test_one_run_is_requested_for_all_shards_of_the_day(world: World) -> None:
    world.discover()
    (request,) = tick(world)
    assert request.run_key == str(TODAY)
    assert bounds(request) == (f"{TODAY}|{REMAINDER}", f"{TODAY}|b/")
    assert world.shard_keys == [REMAINDER, "a/", "b/"]


def test_that_run_lists_them_all(world: World) -> None:
    world.discover()
    assert listed(world) == {f"{TODAY}|{key}" for key in (REMAINDER, "a/", "b/")}


def test_a_tick_sends_no_request_to_the_bucket(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(SourceBucket, "lister")
    (request,) = tick(world)
    assert bounds(request) == (f"{TODAY}|{REMAINDER}", f"{TODAY}|{REMAINDER}")


def test_the_first_run_finds_the_shards_and_lists_them_all(world: World) -> None:
    assert listed(world) == {f"{TODAY}|{key}" for key in (REMAINDER, "a/", "b/")}
    assert world.shard_keys == [REMAINDER, "a/", "b/"]
    assert world.run("inventory_manifest", str(TODAY)).success


def test_a_prefix_that_is_new_is_listed_by_the_same_run(world: World, buckets: Buckets) -> None:
    world.discover()
    buckets.keys["memory"].add("0/1")
    assert f"{TODAY}|0/" in listed(world)
    assert world.shard_keys[-1] == "0/"
    (request,) = tick(world)
    assert bounds(request) == (f"{TODAY}|{REMAINDER}", f"{TODAY}|0/")


def test_a_tick_that_is_repeated_asks_for_the_same_run(world: World) -> None:
    assert tick(world) == tick(world)


def test_too_many_prefixes_leave_the_new_ones_to_the_remainder(
    world: World, buckets: Buckets
) -> None:
    world.discover()
    buckets.keys["memory"] |= {"c/1", "d/1"}
    assert listed(world) == {f"{TODAY}|{key}" for key in (REMAINDER, "a/", "b/")}
    assert world.run("inventory_manifest", str(TODAY)).success


def test_too_many_prefixes_at_first_are_all_listed_by_the_remainder(
    world: World, buckets: Buckets
) -> None:
    buckets.keys["memory"] |= {"c/1", "d/1"}
    assert listed(world) == {f"{TODAY}|{REMAINDER}"}
    assert world.run("inventory_manifest", str(TODAY)).success


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
