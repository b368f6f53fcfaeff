from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from threading import Event
from time import monotonic
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg
import pytest

from inventory_assets.config import Schedule, Shards
from inventory_assets.defs.assets.listing import FIND_SHARDS_TAG
from inventory_assets.defs.source.partitions import RUN_OF_DATE_TAG
from inventory_assets.defs.source.repeated_run import LISTED_SINCE_TAG
from inventory_assets.defs.source.resources import SourceBucket
from inventory_assets.inventory.errors import StoreError
from inventory_assets_tests.assets.world import (
    REMAINDER,
    TODAY,
    YESTERDAY,
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


# Several runs for a date.


@pytest.fixture
def wide(tmp_path: Path, instance: dg.DagsterInstance, buckets: Buckets) -> Iterator[World]:
    """A world with six shards, of which one holds most objects, and up to three runs a date."""
    sizes = {"a/": 4, "b/": 3, "c/": 3000, "d/": 2, "e/": 5}
    buckets.keys["memory"] = {f"{prefix}{n}" for prefix, size in sizes.items() for n in range(size)}
    world = several(tmp_path, instance, 3)
    yield world
    world.forget_shards()


def several(
    folder: Path, instance: dg.DagsterInstance, runs: int, objects_per_run: int | None = None
) -> World:
    start = TODAY - timedelta(days=5)
    schedule = Schedule(runs=runs, objects_per_run=objects_per_run, start_date=start)
    return World(folder, instance, {"bucket": "memory", "schedule": schedule})


def partitions_of(world: World, request: dg.RunRequest) -> list[str]:
    """The shards of a requested run, as Dagster derives them."""
    start, end = (each.partition("|")[2] for each in bounds(request))
    keys = world.shard_keys
    return keys[keys.index(start) : keys.index(end) + 1]


def test_several_runs_list_neighbours_alike_in_rows_of_the_last_manifest(wide: World) -> None:
    wide.pass_day(YESTERDAY)
    wide.set_day(TODAY)
    requests = tick(wide)
    assert [partitions_of(wide, each) for each in requests] == [
        [REMAINDER, "a/", "b/"],
        ["c/"],
        ["d/", "e/"],
    ]
    assert [each.tags[RUN_OF_DATE_TAG] for each in requests] == ["1 of 3", "2 of 3", "3 of 3"]


def test_shards_that_no_manifest_has_count_as_the_median(wide: World, buckets: Buckets) -> None:
    wide.pass_day(YESTERDAY)
    wide.set_day(TODAY)
    buckets.keys["memory"] |= {f"{prefix}/{n}" for prefix in "fgh" for n in range(5000)}
    wide.discover()
    parts = [partitions_of(wide, each) for each in tick(wide)]
    assert parts == [[REMAINDER, "a/", "b/"], ["c/", "d/"], ["e/", "f/", "g/", "h/"]]


def test_without_a_manifest_the_runs_have_as_many_shards(wide: World) -> None:
    wide.discover()
    assert [len(partitions_of(wide, each)) for each in tick(wide)] == [2, 2, 2]


def test_only_the_first_run_searches_for_new_prefixes(wide: World) -> None:
    wide.discover()
    assert [FIND_SHARDS_TAG in each.tags for each in tick(wide)] == [True, False, False]


def test_each_run_has_a_key_of_its_own_and_a_repeated_tick_has_the_same(wide: World) -> None:
    wide.discover()
    keys = [each.run_key for each in tick(wide)]
    assert keys == [
        f"{TODAY}|{REMAINDER}..a/",
        f"{TODAY}|b/..c/",
        f"{TODAY}|d/..e/",
    ]
    assert [each.run_key for each in tick(wide)] == keys


def test_of_fewer_shards_than_runs_each_has_a_run(wide: World) -> None:
    """At first there is only the remainder, whose run finds the shards and lists them all."""
    (request,) = tick(wide)
    assert (request.run_key, RUN_OF_DATE_TAG in request.tags) == (str(TODAY), False)
    assert request.tags[FIND_SHARDS_TAG] == "true"


def test_no_more_runs_start_than_there_are_objects_for(
    tmp_path: Path, instance: dg.DagsterInstance, wide: World
) -> None:
    wide.pass_day(YESTERDAY)  # 3,014 objects
    for objects_per_run, expected in ((2_000, 2), (10_000, 1), (100, 3)):
        world = several(tmp_path, instance, 3, objects_per_run=objects_per_run)
        assert len(tick(world)) == expected, objects_per_run


def test_a_store_that_cannot_be_read_does_not_keep_the_runs_from_starting(
    wide: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    wide.discover()

    def fail(*_args: object, **_named: object) -> None:
        raise StoreError("the store is away")

    monkeypatch.setattr("inventory_assets.defs.schedules.newest_manifest", fail)
    assert [len(partitions_of(wide, each)) for each in tick(wide)] == [2, 2, 2]


def test_nor_does_a_store_that_does_not_answer(
    wide: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dagster would end the tick, and the date would have no run."""
    wide.discover()
    is_over = Event()
    monkeypatch.setattr("inventory_assets.defs.schedules.STORE_SECONDS", 0.05)
    monkeypatch.setattr(
        "inventory_assets.defs.schedules.newest_manifest", lambda *_, **__: is_over.wait(30)
    )
    began = monotonic()
    assert [len(partitions_of(wide, each)) for each in tick(wide)] == [2, 2, 2]
    assert monotonic() - began < 10
    is_over.set()


# Shards that runs share


def sharing(folder: Path, instance: dg.DagsterInstance, **shards: Any) -> World:
    """Like `wide`, with three runs that share shards."""
    schedule = Schedule(runs=3, start_date=TODAY - timedelta(days=5))
    fields = {"bucket": "memory", "schedule": schedule, "shards": Shards(shared=True, **shards)}
    return World(folder, instance, fields)


def test_a_shard_that_is_heavier_than_a_run_is_in_several_runs(
    tmp_path: Path, instance: dg.DagsterInstance, wide: World
) -> None:
    wide.pass_day(YESTERDAY)
    wide.set_day(TODAY)
    world = sharing(tmp_path, instance)
    requests = tick(world)
    assert [partitions_of(world, each) for each in requests] == [
        [REMAINDER, "a/", "b/"],
        ["c/"],
        ["c/", "d/", "e/"],
    ]
    assert len({each.run_key for each in requests}) == 3
    assert [FIND_SHARDS_TAG in each.tags for each in requests] == [True, False, False]


def test_runs_of_the_only_shard_have_keys_of_their_own_and_the_time_of_the_tick(
    tmp_path: Path, instance: dg.DagsterInstance, buckets: Buckets
) -> None:
    assert buckets.keys
    world = sharing(tmp_path, instance, depth=0)
    at = datetime.combine(TODAY, time(1), UTC)
    requests = tick(world, at)
    remainder = f"{TODAY}|{REMAINDER}"
    assert [bounds(each) for each in requests] == [(remainder, remainder)] * 3
    key = f"{TODAY}|{REMAINDER}..{REMAINDER}"
    assert [each.run_key for each in requests] == [key, f"{key}|2", f"{key}|3"]
    assert [each.tags[RUN_OF_DATE_TAG] for each in requests] == ["1 of 3", "2 of 3", "3 of 3"]
    since = {datetime.fromisoformat(each.tags[LISTED_SINCE_TAG]) for each in requests}
    assert since == {at}
    assert tick(world, at) == requests
    world.forget_shards()


def test_before_any_prefix_is_known_one_run_searches(
    tmp_path: Path, instance: dg.DagsterInstance, buckets: Buckets
) -> None:
    assert buckets.keys
    world = sharing(tmp_path, instance)
    (request,) = tick(world)
    assert (request.run_key, RUN_OF_DATE_TAG in request.tags) == (str(TODAY), False)
    assert LISTED_SINCE_TAG in request.tags
    world.forget_shards()


def test_ticks_of_several_runs_send_no_request_to_the_bucket_either(
    wide: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    wide.pass_day(YESTERDAY)
    wide.set_day(TODAY)
    monkeypatch.delattr(SourceBucket, "lister")
    assert len(tick(wide)) == 3
