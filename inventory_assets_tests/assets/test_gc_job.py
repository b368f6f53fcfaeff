import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from inventory_assets.config import Retention
from inventory_assets.inventory.changes.change_log import read_change_log
from inventory_assets.inventory.errors import InventoryNotFound
from inventory_assets.inventory.query.dataset import Dataset
from inventory_assets_tests.assets.world import (
    QUIET,
    TODAY,
    Buckets,
    World,
)

DAYS = [TODAY - timedelta(days=age) for age in (8, 7, 6)]
KEYS = {"a/1", "a/2", "b/1", "c/1", "root"}


@pytest.fixture(scope="module")
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture(scope="module")
def three_days(
    tmp_path_factory: pytest.TempPathFactory, instance: dg.DagsterInstance
) -> Iterator[World]:
    """Three days, a week ago."""
    with pytest.MonkeyPatch.context() as patch:
        buckets = Buckets(patch)
        world = World(tmp_path_factory.mktemp("days"), instance, {"bucket": "memory"})
        for day in DAYS:
            buckets.keys["memory"] = KEYS | {str(day)}
            world.pass_day(day)
        yield world


def keeping(
    retention: Retention, folder: Path, three_days: World, *, iceberg: bool = False
) -> World:
    """A world with a copy of the three days."""
    source = three_days.source.model_copy(update={"retention": retention, "iceberg": iceberg})
    world = World(folder, three_days.instance, source.model_dump())
    shutil.copytree(three_days.store.root, world.store.root)
    return world


@pytest.fixture
def world(tmp_path: Path, three_days: World, buckets: Buckets) -> World:
    """One of the days is kept."""
    buckets.keys["memory"] = KEYS | {str(TODAY)}
    return keeping(Retention(keep_last=1), tmp_path, three_days)


def collected(world: World, dry_run: bool | None = None, later: int = 0) -> dict[str, Any]:
    """Run the job, some days later; its metadata."""
    world.set_day(TODAY + timedelta(days=later))
    config = {} if dry_run is None else {"config": {"dry_run": dry_run}}
    return metadata_of_job(world, {"ops": {"src__collect_garbage": config}})


def metadata_of_job(world: World, run_config: Any) -> dict[str, Any]:
    job = world.definitions.resolve_job_def("src_collect_garbage")
    result = job.execute_in_process(instance=world.instance, run_config={**QUIET, **run_config})
    events = [event for event in result.all_events if event.is_successful_output]
    return {
        name: value.value
        for name, value in events[0].step_output_data.metadata.items()
        if not isinstance(value, dg.TableMetadataValue)
    }


def contents(world: World) -> dict[str, bytes | None]:
    store, base = world.store, world.layout.base
    return {file.key: store.read(file.key) for file in store.files(base)}


def test_by_default_it_is_a_dry_run(world: World) -> None:
    before = contents(world)
    told = collected(world)
    assert contents(world) == before
    assert (told["dry_run"], told["dates_removed"], told["dates_kept"]) == (True, 2, 1)
    assert told["removed_dates"] == [str(day) for day in DAYS[:2]]
    assert told["files_removed"] == len([key for key in before if is_of_a_date_that_goes(key)])


def is_of_a_date_that_goes(key: str) -> bool:
    return any(str(day) in key for day in DAYS[:2])


def test_it_removes_the_files_of_the_dry_run_and_finally_all_unreferenced_files(
    world: World,
) -> None:
    told = collected(world, dry_run=True)
    done = collected(world, dry_run=False)
    assert done == told | {"dry_run": False}
    assert not [key for key in contents(world) if is_of_a_date_that_goes(key)]
    freed = [collected(world, dry_run=False, later=later) for later in range(1, 6)]
    assert [each["dates_removed"] for each in freed] == [0] * 5
    # The parts of the two days that the third one does not have: those of the remainder.
    assert [each["files_removed"] for each in freed][:3] == [0, 0, 0]
    assert sum(each["files_removed"] for each in freed) >= 2
    newest = Dataset.of_date(world.store, world.layout)
    assert newest.scan().collect()["key"].to_list() == sorted(KEYS | {str(DAYS[2])})
    with pytest.raises(InventoryNotFound):
        Dataset.of_date(world.store, world.layout, DAYS[0])


@pytest.mark.parametrize("iceberg", [False, True])
def test_it_warns_if_iceberg_tables_still_have_removed_dates(
    tmp_path: Path, three_days: World, iceberg: bool
) -> None:
    world = keeping(Retention(keep_last=1), tmp_path, three_days, iceberg=iceberg)
    said: list[str] = []
    for dry_run in (True, False, False):
        collected(world, dry_run=dry_run)
        run = world.instance.get_run_records(limit=1)[0].dagster_run.run_id
        logs = [entry.user_message for entry in world.instance.all_logs(run)]
        said.append("".join(logs))
    warned = ["until iceberg_tables is materialized" in each for each in said]
    assert warned == [False, iceberg, False], "once, when dates go"


def test_the_next_day_is_compared_with_the_retained_one(world: World) -> None:
    for later in (0, 2, 4):
        collected(world, dry_run=False, later=later)
    world.pass_day(TODAY)
    log = read_change_log(world.store, world.layout, TODAY)
    assert log
    assert (log.baseline_day, log.balance_violation) == (DAYS[2], None)
    assert {change.value: count for change, count in log.counts.items() if count} == {
        "created": 1,
        "deleted": 1,
    }


def test_a_damaged_record_fails_the_run_and_is_named(world: World) -> None:
    key = world.layout.snapshot(DAYS[0], "a/")
    world.store.publish(key, b"")
    with pytest.raises(dg.Failure, match="is no snapshot that this version can read"):
        collected(world)


def test_where_a_retention_is_configured_the_schedule_removes_daily(world: World) -> None:
    repository = world.definitions.get_repository_def()
    schedule = repository.get_schedule_def("src_collect_garbage_daily")
    at = datetime.combine(TODAY, time(13), UTC)
    with dg.build_schedule_context(scheduled_execution_time=at) as context:
        (request,) = schedule.evaluate_tick(context).run_requests or []
    told = metadata_of_job(world, request.run_config)
    assert (told["dry_run"], told["dates_removed"]) == (False, 2)


def test_without_a_retention_the_schedule_removes_no_date(
    tmp_path: Path, three_days: World
) -> None:
    world = keeping(Retention(), tmp_path, three_days)
    schedules = world.definitions.get_repository_def().schedule_defs
    stopped = {each.name: each.default_status.value for each in schedules}
    assert stopped == {"src_daily": "STOPPED", "src_collect_garbage_daily": "STOPPED"}
    assert collected(world, dry_run=False)["files_removed"] == 0
