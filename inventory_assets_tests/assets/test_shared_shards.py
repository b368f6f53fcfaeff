"""Runs that list one shard share it: in one process, over a bucket in memory."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest

from inventory_assets.config import Schedule, Shards
from inventory_assets.inventory.query.dataset import Dataset
from inventory_assets_tests.assets.world import (
    TODAY,
    Buckets,
    World,
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
        world.discover()
        yield world


def test_one_run_lists_shared_shards_as_others(world: World) -> None:
    outcome = world.list_all()
    assert outcome.success, failure_text(outcome)
    assert set(materializations(outcome)) == {world.key(key) for key in world.shard_keys}
    outcome = world.run("inventory_manifest", str(TODAY))
    assert outcome.success, failure_text(outcome)
    found = Dataset.of_date(world.store, world.layout).scan().collect()
    assert found["key"].to_list() == sorted(KEYS)
