"""The first run of a date is killed after it added shards, and before it listed them."""

import os
import signal
from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from multiprocessing import get_context
from pathlib import Path

import dagster as dg
import pytest

from inventory_assets.config import Schedule
from inventory_assets.definitions import build_definitions
from inventory_assets.defs.source.planned_shards import LAST_PLANNED_TAG
from inventory_assets.defs.source.resources import Clock
from inventory_assets.inventory.manifest.manifest_merge import read_manifest
from inventory_assets.inventory.manifest.snapshot import read_snapshots
from inventory_assets_tests.assets.world import (
    REMAINDER,
    TODAY,
    Buckets,
    Outcome,
    World,
    failure_text,
    materializations,
)

KNOWN = {"a/1", "b/1", "c/1", "root"}
NEW = {"0/1", "new/1", "new/2"}
_BUCKET = "memory"


class _Deadly(list[str]):
    """What was listed; the process is killed when it lists a new prefix."""

    def append(self, prefix: str) -> None:
        if prefix in {"0/", "new/"}:
            os.kill(os.getpid(), signal.SIGKILL)
        super().append(prefix)


def world_in(folder: Path, instance: dg.DagsterInstance, runs: int) -> World:
    """The world of the test and of the process that is killed; with the real clock, as Dagster says
    when a run was requested."""
    start = TODAY - timedelta(days=9)
    fields = {"bucket": _BUCKET, "schedule": Schedule(runs=runs, start_date=start)}
    world = World(folder, instance, fields)
    world.day = datetime.now(UTC).date()
    world.definitions = build_definitions(world.config, Clock())
    return world


def planned(world: World) -> list[dict[str, str]]:
    """The tags of the runs that the schedule requests."""
    repository = world.definitions.get_repository_def()
    schedule = repository.get_schedule_def("src_daily")
    at = datetime.combine(world.day, time(1), UTC)
    with dg.build_schedule_context(world.instance, at, world.resources(), repository) as context:
        return [dict(each.tags) for each in schedule.evaluate_tick(context).run_requests or []]


def list_and_die(folder: Path, runs: int, tags: dict[str, str]) -> None:
    """Execute a run, in a process that is killed as soon as it lists a new prefix."""
    buckets = Buckets(pytest.MonkeyPatch())
    buckets.keys[_BUCKET] = KNOWN | NEW
    buckets.listed = _Deadly()
    with dg.DagsterInstance.local_temp(str(folder)) as instance:
        world_in(folder, instance, runs).run("object_listing", tags=tags)


def killed_run(folder: Path, world: World, runs: int, tags: dict[str, str]) -> dg.DagsterRun:
    """The run of a process that was killed, which Dagster has given up."""
    process = get_context("spawn").Process(target=list_and_die, args=(folder, runs, tags))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    (run,) = world.instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED]))
    world.instance.report_run_failed(run, "its process was killed")
    return run


def repeated(world: World, run: dg.DagsterRun, *, from_failure: bool = True) -> Outcome:
    """Execute a run again, as Dagster does: with its tags."""
    more = {"dagster/root_run_id": run.run_id, "dagster/parent_run_id": run.run_id}
    if from_failure:
        more["dagster/is_resume_retry"] = "true"
    return world.run("object_listing", tags={**run.tags, **more})


@pytest.fixture(params=[1, 3], ids=["one run", "three runs"])
def runs(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
def world(tmp_path: Path, buckets: Buckets, runs: int) -> Iterator[World]:
    buckets.keys[_BUCKET] = set(KNOWN)
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        world = world_in(tmp_path, instance, runs)
        world.discover()
        buckets.keys[_BUCKET] |= NEW
        yield world


@pytest.mark.parametrize("from_failure", [True, False])
def test_its_repetition_lists_the_shards_that_it_had_added(
    tmp_path: Path, world: World, buckets: Buckets, runs: int, from_failure: bool
) -> None:
    first, *others = planned(world)
    lost = killed_run(tmp_path, world, runs, first)
    assert world.shard_keys == [REMAINDER, "a/", "b/", "c/", "0/", "new/"]
    buckets.listed.clear()
    outcome = repeated(world, lost, from_failure=from_failure)
    assert outcome.success, failure_text(outcome)
    assert {"0/", "new/"} <= set(buckets.listed)
    assert {world.key("0/"), world.key("new/")} <= set(materializations(outcome))
    for tags in others:
        assert {"0/", "new/"}.isdisjoint(materializations(world.run("object_listing", tags=tags)))
    published = world.run("inventory_manifest", str(world.day))
    assert published.success, failure_text(published)
    manifest = read_manifest(world.store, world.layout, world.day)
    assert manifest is not None
    assert manifest.rows == len(KNOWN | NEW)


def test_what_it_had_listed_of_them_is_not_listed_again(
    tmp_path: Path, world: World, buckets: Buckets, runs: int
) -> None:
    lost = killed_run(tmp_path, world, runs, planned(world)[0])
    buckets.failing["new/"] = ConnectionError("the cable was pulled")
    assert not repeated(world, lost).success
    buckets.failing.clear()
    before = read_snapshots(world.store, world.layout, world.day)
    outcome = repeated(world, lost)
    assert outcome.success, failure_text(outcome)
    after = read_snapshots(world.store, world.layout, world.day)
    assert set(after) == {*before, "new/"}
    assert {"0/": before["0/"], "": before[""]}.items() <= after.items()
    assert {world.key("0/"), world.key("new/")} <= set(materializations(outcome))


def test_shards_that_were_added_after_a_run_was_planned_are_listed_by_it(
    world: World, buckets: Buckets
) -> None:
    """By a repeated run of yesterday, for example, which finds them while this one is queued."""
    first, *_ = planned(world)
    world.discover()
    outcome = world.run("object_listing", tags=first)
    assert outcome.success, failure_text(outcome)
    assert {"0/", "new/"} <= set(buckets.listed)


def test_a_repetition_that_has_nothing_else_to_list_lists_what_it_finds(
    world: World, buckets: Buckets
) -> None:
    """Its first run ended after all was listed, for example as it retired shards."""
    first = world.run("object_listing", tags=planned(world)[0])
    assert first.success, failure_text(first)
    run = world.instance.get_run_by_id(first.run_id)
    assert run is not None
    buckets.keys[_BUCKET].add("zz/1")
    outcome = repeated(world, run)
    assert outcome.success, failure_text(outcome)
    assert "zz/" in buckets.listed
    assert world.key("zz/") in materializations(outcome)


def test_a_new_shard_with_a_run_of_its_own_is_left_to_that(world: World, buckets: Buckets) -> None:
    """The sensor for new prefixes has requested it."""
    first, *_ = planned(world)
    world.discover()
    tags = {"dagster/partition": world.key("new/")}
    other = dg.DagsterRun(
        job_name=world.assets.listing_job, status=dg.DagsterRunStatus.STARTED, tags=tags
    )
    world.instance.add_run(other)
    outcome = world.run("object_listing", tags=first)
    assert outcome.success, failure_text(outcome)
    assert "0/" in buckets.listed
    assert "new/" not in buckets.listed


def test_other_runs_list_no_shard_beyond_their_own(world: World) -> None:
    """Neither does one that was started by hand, nor one of a backfill."""
    known = (REMAINDER, "a/", "b/", "c/")
    tags = world.assets.partitions.range_tags(world.day, known)
    world.discover()
    outcome = world.run("object_listing", tags=tags)
    assert set(materializations(outcome)) == {world.key(key) for key in known}


def test_a_run_whose_last_planned_shard_is_gone_lists_its_own(
    world: World, buckets: Buckets
) -> None:
    first, *_ = planned(world)
    world.discover()
    outcome = world.run("object_listing", tags={**first, LAST_PLANNED_TAG: "gone/"})
    assert outcome.success, failure_text(outcome)
    assert {"0/", "new/"}.isdisjoint(buckets.listed)
