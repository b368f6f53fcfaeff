"""Runs that share shards: whose listing a run takes, and what it says."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from inventory_assets.config import Schedule, Shards
from inventory_assets.definitions import build_definitions
from inventory_assets.defs.source.repeated_run import LISTED_SINCE_TAG
from inventory_assets.inventory.manifest.snapshot import Snapshot, read_snapshot
from inventory_assets.inventory.query.dataset import Dataset
from inventory_assets_tests.assets.world import (
    REMAINDER,
    TODAY,
    Buckets,
    Outcome,
    World,
    data_versions,
    failure_text,
    materializations,
)

KEYS = {f"{folder}/{number:05}" for folder in "abc" for number in range(2_000)} | {"root"}


@pytest.fixture
def world(tmp_path: Path, buckets: Buckets) -> Iterator[World]:
    buckets.keys["memory"] = set(KEYS)
    with dg.DagsterInstance.ephemeral() as instance:
        fields = {
            "bucket": "memory",
            "shards": Shards(shared=True),
            "schedule": Schedule(runs=3, start_date=TODAY - timedelta(days=9)),
        }
        world = World(tmp_path, instance, fields)
        world.definitions = build_definitions(world.config)  # by the real clock, as runs have it
        world.discover()
        yield world


def list_remainder(world: World, **tags: str) -> Outcome:
    names = {name.replace("__", "/"): value for name, value in tags.items()}
    outcome = world.run("object_listing", world.key(REMAINDER), tags=names)
    assert outcome.success, failure_text(outcome)
    assert set(materializations(outcome)) == {world.key(REMAINDER)}
    return outcome


def snapshot(world: World) -> Snapshot:
    found = read_snapshot(world.store, world.layout, world.day, "")
    assert found is not None
    return found


def test_one_run_lists_shared_shards_as_others(world: World) -> None:
    outcome = world.list_all()
    assert outcome.success, failure_text(outcome)
    assert set(materializations(outcome)) == {world.key(key) for key in world.shard_keys}
    outcome = world.run("inventory_manifest", str(TODAY))
    assert outcome.success, failure_text(outcome)
    found = Dataset.of_date(world.store, world.layout).scan().collect()
    assert found["key"].to_list() == sorted(KEYS)


def test_a_late_run_of_the_tick_takes_what_another_has_listed(
    world: World, buckets: Buckets
) -> None:
    due = datetime.now(UTC).isoformat()
    first = list_remainder(world, inventory_assets__listed_since=due)
    published = snapshot(world)
    buckets.listed.clear()
    late = list_remainder(world, inventory_assets__listed_since=due)
    assert snapshot(world) == published
    assert buckets.listed == []
    assert data_versions(late) == data_versions(first)  # so nothing downstream runs twice
    assert LISTED_SINCE_TAG == "inventory_assets/listed_since"


@pytest.mark.parametrize("how", ["is_resume_retry", "retry_number"])
def test_a_retry_takes_what_others_have_listed_meanwhile(
    world: World, buckets: Buckets, how: str
) -> None:
    buckets.failing[""] = ConnectionError("the cable was pulled")
    failed = world.run("object_listing", world.key(REMAINDER))
    assert not failed.success
    buckets.failing.clear()
    list_remainder(world)
    published = snapshot(world)
    value = "true" if how == "is_resume_retry" else "1"
    tags = {"dagster__root_run_id": failed.run_id, f"dagster__{how}": value}
    list_remainder(world, **tags)
    assert snapshot(world) == published


def test_a_second_run_and_one_executed_again_as_a_whole_list_anew(
    world: World, buckets: Buckets
) -> None:
    due = datetime.now(UTC).isoformat()
    first = list_remainder(world, inventory_assets__listed_since=due)
    published = snapshot(world)
    buckets.keys["memory"].add("new")
    list_remainder(world)
    second = snapshot(world)
    assert second.started_at > published.finished_at
    assert second.rows == published.rows + 1
    again = {"dagster__root_run_id": first.run_id, "inventory_assets__listed_since": due}
    list_remainder(world, **again)
    assert snapshot(world).started_at > second.finished_at
