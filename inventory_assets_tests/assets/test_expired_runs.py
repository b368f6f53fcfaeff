"""Dates that are gone leave nothing in Dagster's history that Dagster can delete."""

from datetime import timedelta
from pathlib import Path

import dagster as dg

from inventory_assets.config import Retention, Schedule, Shards
from inventory_assets.inventory.manifest.manifest_merge import read_manifest
from inventory_assets_tests.assets.world import QUIET, TODAY, YESTERDAY, Buckets, World

BY_SHARD = ("object_listing", "object_changes")
BY_DATE = ("inventory_manifest", "change_log")


def collect(world: World, later: int, *, dry_run: bool = False) -> int:
    """Run the job some days later; the number of runs that it reports."""
    world.set_day(TODAY + timedelta(days=later))
    config = {"ops": {"src__collect_garbage": {"config": {"dry_run": dry_run}}}}
    job = world.definitions.resolve_job_def("src_collect_garbage")
    result = job.execute_in_process(instance=world.instance, run_config={**QUIET, **config})
    (event,) = [event for event in result.all_events if event.is_successful_output]
    removed = event.step_output_data.metadata["runs_removed"].value
    assert isinstance(removed, int)
    return removed


def dates_of(world: World, names: tuple[str, ...]) -> set[str]:
    keys = (world.instance.get_materialized_partitions(world.assets.key(name)) for name in names)
    return {partition.partition("|")[0] for found in keys for partition in found}


def test_runs_by_shard_are_deleted_when_their_dates_leave_the_window(world: World) -> None:
    world.pass_day(YESTERDAY)
    world.pass_day(TODAY)
    assert collect(world, 29) == 0
    assert collect(world, 30, dry_run=True) == 2
    assert dates_of(world, BY_SHARD) == {str(YESTERDAY), str(TODAY)}
    assert collect(world, 30) == 2
    assert dates_of(world, BY_SHARD) == {str(TODAY)}
    assert dates_of(world, BY_DATE) == {str(YESTERDAY), str(TODAY)}
    assert collect(world, 31) == 2
    assert dates_of(world, BY_SHARD) == set()


def test_a_run_of_the_schedule_and_one_that_failed_are_deleted_too(
    world: World, buckets: Buckets
) -> None:
    world.discover()
    buckets.failing["b/"] = OSError("gone")
    job = world.definitions.resolve_job_def(world.assets.listing_job)
    failed = job.execute_in_process(
        instance=world.instance, run_config=QUIET, tags=world.range_tags(), raise_on_error=False
    )
    assert not failed.success
    assert collect(world, 31) == 1
    assert world.instance.get_run_by_id(failed.run_id) is None


def test_runs_by_date_are_deleted_when_their_dates_are_removed(world: World) -> None:
    fields = {"retention": Retention(keep_days=5), "schedule": Schedule(start_date=YESTERDAY)}
    world = World(world.store.root.parent, world.instance, {"bucket": "memory", **fields})
    world.pass_day(YESTERDAY)
    world.pass_day(TODAY)
    assert collect(world, 4) == 2
    assert dates_of(world, BY_DATE) == {str(TODAY)}
    assert dates_of(world, BY_SHARD) == {str(YESTERDAY), str(TODAY)}


def test_nothing_of_a_deleted_run_is_left_on_sqlite(buckets: Buckets, tmp_path: Path) -> None:
    """Neither its file of events nor its output."""
    buckets.keys["memory"] = {"a/1", "b/1"}
    home = tmp_path / "home"
    home.mkdir()
    with dg.DagsterInstance.local_temp(str(home)) as instance:
        world = World(tmp_path, instance, {"bucket": "memory", "shards": Shards(depth=1)})
        world.pass_day(YESTERDAY)
        world.pass_day(TODAY)
        runs = {
            run.run_id: run.tags["dagster/asset_partition_range_start"][:10]
            for run in instance.get_runs()
            if "dagster/asset_partition_range_start" in run.tags
        }
        collect(world, 30)
        names = "\n".join(str(path) for path in home.rglob("*"))
        assert {day for run_id, day in runs.items() if run_id in names} == {str(TODAY)}


def test_runs_of_other_assets_and_sources_stay(world: World) -> None:
    @dg.asset
    def other() -> None: ...

    assert dg.materialize([other], instance=world.instance, run_config=QUIET).success
    world.pass_day(YESTERDAY)
    fields = {**world.source.model_dump(), "name": "second"}
    second = World(world.store.root.parent, world.instance, fields)
    second.pass_day(YESTERDAY)
    collect(world, 60)
    assert dates_of(second, BY_SHARD) == {str(YESTERDAY)}
    assert world.instance.get_latest_materialization_event(dg.AssetKey("other")) is not None


def test_runs_by_date_are_deleted_when_their_dates_leave_the_history(world: World) -> None:
    """Also without a retention, which keeps the dates themselves."""
    world = World(
        world.store.root.parent, world.instance, {"bucket": "memory", "schedule": Schedule()}
    )
    world.pass_day(TODAY)
    assert collect(world, 31) == 2
    assert dates_of(world, BY_DATE) == {str(TODAY)}
    assert collect(world, 365) == 0, "a year of dates is shown at least"
    assert collect(world, 373) == 2
    assert dates_of(world, BY_DATE) == set()
    assert read_manifest(world.store, world.layout, TODAY) is not None
