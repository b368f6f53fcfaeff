"""Runs that have ended for Dagster while their process goes on, and the runs that repeat them."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import dagster as dg
import pytest

from inventory_assets.definitions import build_definitions
from inventory_assets.defs.source import run_guard
from inventory_assets.defs.source.resources import Clock
from inventory_assets.defs.source.run_guard import RunGuard
from inventory_assets.errors import InventoryError
from inventory_assets.inventory.errors import RunEnded, StoreError
from inventory_assets.inventory.manifest.snapshot import Snapshot, read_snapshots
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets.inventory.storage.parallel_reads import READS_AT_ONCE
from inventory_assets_tests.assets.world import (
    Buckets,
    Outcome,
    World,
    data_versions,
    failure_text,
    materializations,
)
from inventory_assets_tests.inventory.slow_reads import SlowReads

REFUSED = "nothing more is published"
FROM_FAILURE = {"dagster/is_resume_retry": "true"}


@pytest.fixture(autouse=True)
def no_lifetime(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dagster's storage is asked each time."""
    monkeypatch.setattr(run_guard, "ANSWER_LIFETIME_SECONDS", 0.0)


@pytest.fixture
def world(world: World) -> World:
    """The world, today: when a run was requested is told by the real clock."""
    world.day = datetime.now(UTC).date()
    world.definitions = build_definitions(world.config, Clock())
    world.discover()
    return world


def end_run_at_first(
    patch: pytest.MonkeyPatch, instance: dg.DagsterInstance, method: str
) -> list[str]:
    """Let Dagster give up the run after its first write by a method of the store; the keys."""
    published: list[str] = []
    write = getattr(LocalStore, method)

    def write_and_end(store: LocalStore, key: str, *rest: Any) -> Any:
        result = write(store, key, *rest)
        published.append(key)
        for run in instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])):
            instance.report_run_failed(run, "it was given up")
        return result

    patch.setattr(LocalStore, method, write_and_end)
    return published


def snapshots(world: World) -> dict[str, Snapshot]:
    return read_snapshots(world.store, world.layout, world.day)


def repeated(world: World, outcome: Outcome, tags: Mapping[str, str]) -> Outcome:
    """Execute a run over all shards again."""
    of_run = {"dagster/root_run_id": outcome.run_id, "dagster/parent_run_id": outcome.run_id}
    return world.run("object_listing", tags={**world.range_tags(), **of_run, **tags})


def test_a_run_that_dagster_has_ended_publishes_and_logs_no_more(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        published = end_run_at_first(patch, world.instance, "put_if_match")
        outcome = world.list_all()
    assert len(published) == 1
    assert len(snapshots(world)) == 1
    assert not materializations(outcome)
    assert REFUSED in failure_text(outcome)
    assert outcome.run_id in failure_text(outcome)
    run = world.instance.get_run_by_id(outcome.run_id)
    assert run is not None
    assert run.status is dg.DagsterRunStatus.FAILURE
    assert world.list_all().success
    assert len(snapshots(world)) == 4


def test_other_assets_publish_no_more_either(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    assert world.list_all().success
    with monkeypatch.context() as patch:
        published = end_run_at_first(patch, world.instance, "publish")
        outcome = world.run("object_changes", tags=world.range_tags())
    assert len(published) == 1
    assert not materializations(outcome)
    assert REFUSED in failure_text(outcome)


def test_a_run_repeated_from_its_failure_lists_only_what_is_missing(
    world: World, buckets: Buckets
) -> None:
    buckets.failing["b/"] = InventoryError("no answer")
    first = world.list_all()
    assert not first.success
    assert len(materializations(first)) == 3
    before = snapshots(world)
    buckets.failing.clear()
    buckets.listed.clear()
    again = repeated(world, first, FROM_FAILURE)
    assert again.success
    assert set(buckets.listed) == {"b/"}
    assert set(materializations(again)) == {world.key(key) for key in world.shard_keys}
    after = snapshots(world)
    assert set(after) == {*before, "b/"}
    assert before.items() <= after.items()
    assert data_versions(first).items() <= data_versions(again).items()


def test_a_repetition_of_a_complete_run_lists_nothing(world: World, buckets: Buckets) -> None:
    first = world.list_all()
    buckets.listed.clear()
    again = repeated(world, first, FROM_FAILURE)
    assert again.success
    assert buckets.listed == []
    assert data_versions(again) == data_versions(first)


def test_what_was_listed_before_is_read_ten_records_at_a_time(
    world: World, buckets: Buckets, monkeypatch: pytest.MonkeyPatch
) -> None:
    buckets.keys["memory"] |= {f"s{number:02}/1" for number in range(30)}
    world.discover()
    first = world.list_all()
    reads = SlowReads(monkeypatch)
    again = repeated(world, first, FROM_FAILURE)
    assert again.success
    assert 1 < reads.most <= READS_AT_ONCE
    in_order = [world.key(key) for key in world.shard_keys]
    assert list(materializations(again)) == in_order
    assert data_versions(again) == data_versions(first)


def test_a_run_that_is_repeated_as_a_whole_lists_everything(world: World, buckets: Buckets) -> None:
    first = world.list_all()
    buckets.listed.clear()
    assert repeated(world, first, {}).success
    assert set(buckets.listed) == {"", "a/", "b/", "c/"}


def test_listings_before_the_first_of_the_repeated_runs_do_not_count(
    world: World, buckets: Buckets
) -> None:
    assert world.list_all().success
    for prefix in ("", "a/", "b/", "c/"):
        buckets.failing[prefix] = InventoryError("no answer")
    first = world.list_all()
    assert not first.success
    buckets.failing.clear()
    buckets.listed.clear()
    assert repeated(world, first, FROM_FAILURE).success
    assert set(buckets.listed) == {"", "a/", "b/", "c/"}


def test_a_shard_that_lost_a_prefix_to_a_new_shard_is_listed_again(
    world: World, buckets: Buckets
) -> None:
    first = world.list_all()
    buckets.keys["memory"].add("d/1")
    world.discover()
    buckets.listed.clear()
    assert repeated(world, first, FROM_FAILURE).success
    assert set(buckets.listed) == {"", "d/"}


def test_a_run_may_publish_until_it_has_ended(world: World) -> None:
    @dg.job
    def nothing() -> None:
        pass

    run = world.instance.create_run_for_job(nothing, status=dg.DagsterRunStatus.STARTED)
    guard = RunGuard(world.instance, run.run_id)
    guard.require_unfinished()
    world.instance.report_run_canceling(run)
    guard.require_unfinished()
    world.instance.report_run_canceled(run)
    with pytest.raises(RunEnded, match=f"{run.run_id}.*CANCELED"):
        guard.require_unfinished()


def test_an_answer_holds_for_a_moment_only(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    @dg.job
    def nothing() -> None:
        pass

    run = world.instance.create_run_for_job(nothing, status=dg.DagsterRunStatus.STARTED)
    guard = RunGuard(world.instance, run.run_id)
    monkeypatch.setattr(run_guard, "ANSWER_LIFETIME_SECONDS", 3600.0)
    guard.require_unfinished()
    world.instance.report_run_failed(run)
    guard.require_unfinished()
    monkeypatch.setattr(run_guard, "ANSWER_LIFETIME_SECONDS", 0.0)
    with pytest.raises(RunEnded):
        guard.require_unfinished()


def test_nothing_is_published_while_dagsters_storage_does_not_answer() -> None:
    class Unreachable:
        def get_run_by_id(self, run_id: str) -> None:  # noqa: ARG002
            raise ConnectionError("the database is gone")

    with pytest.raises(StoreError, match="the database is gone"):
        RunGuard(Unreachable(), "run").require_unfinished()  # type: ignore[arg-type]
