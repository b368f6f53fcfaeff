"""Shards that were empty for long lose their partitions, and return with their prefixes."""

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import dagster as dg
import pytest

from inventory_assets.config import Shards
from inventory_assets.defs.assets.listing import FIND_SHARDS_TAG
from inventory_assets.inventory.listing.shard_retirement import read_retirement
from inventory_assets.inventory.manifest.manifest_merge import read_manifest
from inventory_assets.inventory.query.dataset import Dataset
from inventory_assets_tests.assets.world import (
    REMAINDER,
    TODAY,
    Buckets,
    Outcome,
    World,
    failure_text,
    materializations,
    metadata_of,
)

DAYS = 1
FIRST = TODAY - timedelta(days=9)
FIND = {FIND_SHARDS_TAG: "true"}


@pytest.fixture
def world(tmp_path: Path, buckets: Buckets) -> Iterator[World]:
    """A world that retires a shard after a day; `c/` is the shard that was added last."""
    buckets.keys["memory"] = {"a/1", "a/2", "b/1", "c/1", "root"}
    with dg.DagsterInstance.ephemeral() as instance:
        source = {"bucket": "memory", "shards": Shards(retire_after_days=DAYS)}
        yield World(tmp_path, instance, source)


def daily(world: World, day: date) -> None:
    """The schedule's run of a day, and the assets after it."""
    world.set_day(day)
    if not world.shard_keys:
        world.discover()
    assert world.run("object_listing", tags={**world.range_tags(), **FIND}).success
    assert world.run("object_changes", tags=world.range_tags()).success
    for name in ("inventory_manifest", "change_log"):
        outcome = world.run(name, str(day))
        assert outcome.success, failure_text(outcome)


def keys_of(world: World, day: date) -> list[str]:
    found: list[str] = (
        Dataset.of_date(world.store, world.layout, day).scan().collect()["key"].to_list()
    )
    return found


def test_a_shard_that_was_empty_for_the_configured_days_is_retired_by_the_daily_run(
    world: World, buckets: Buckets
) -> None:
    for age in range(DAYS + 2):
        if age == 1:
            buckets.keys["memory"] -= {"c/1"}
        daily(world, FIRST + timedelta(days=age))
        gone = age > DAYS
        assert ("c/" in world.shard_keys) is not gone, age
    retirement = read_retirement(world.store, world.layout, "c/")
    assert retirement is not None
    assert (retirement.retired_on, retirement.empty_since) == (world.day, FIRST + timedelta(days=1))


def test_the_remainder_covers_it_and_its_past_is_readable(world: World, buckets: Buckets) -> None:
    retire_c(world, buckets)
    buckets.keys["memory"] |= {"c/later", "root2"}
    world.set_day(world.day + timedelta(days=1))
    # Without a search for prefixes, nothing but the remainder lists the keys of `c/`.
    assert world.list_all().success
    assert world.run("object_changes", tags=world.range_tags()).success
    assert world.run("inventory_manifest", str(world.day)).success
    assert world.run("change_log", str(world.day)).success
    assert keys_of(world, world.day) == sorted(buckets.keys["memory"])
    manifest = read_manifest(world.store, world.layout, world.day)
    assert manifest is not None
    assert "c/" not in {entry.shard.prefix for entry in manifest.shards}
    assert told(world, world.day) == [("c/later", "created"), ("root2", "created")]
    assert keys_of(world, FIRST) == ["a/1", "a/2", "b/1", "c/1", "root"]
    assert told(world, FIRST + timedelta(days=1)) == [("c/1", "deleted")]


def test_its_return_makes_it_a_shard_again(world: World, buckets: Buckets) -> None:
    retire_c(world, buckets)
    buckets.keys["memory"] |= {"c/1"}
    daily(world, world.day + timedelta(days=1))
    assert world.shard_keys == [REMAINDER, "a/", "b/", "c/"]
    assert told(world, world.day) == [("c/1", "created")]
    assert read_retirement(world.store, world.layout, "c/") is None


def test_a_shard_whose_last_listing_found_an_object_is_kept(world: World, buckets: Buckets) -> None:
    """Although no inventory has it yet, and the search does not find its prefix."""
    empty_for_long(world, buckets)
    world.set_day(world.day + timedelta(days=1))
    buckets.keys["memory"] |= {"c/1"}
    assert world.list_all().success
    buckets.keys["memory"] -= {"c/1"}
    assert world.run("shards").success
    assert "c/" in world.shard_keys


def test_a_shard_that_bounds_another_run_waits(world: World, buckets: Buckets) -> None:
    """Dagster derives the partitions of a run from the first and the last."""
    empty_for_long(world, buckets)
    world.set_day(world.day + timedelta(days=1))
    run = dg.DagsterRun(job_name="any", status=dg.DagsterRunStatus.STARTED, tags=world.range_tags())
    world.instance.add_run(run)
    assert world.run("shards").success
    assert "c/" in world.shard_keys
    world.instance.delete_run(run.run_id)
    outcome = world.run("shards")
    assert "c/" not in world.shard_keys
    assert metadata_of(materializations(outcome)["None"], "retired") == 1
    assert metadata_of(materializations(outcome)["None"], "shards") == 3


def test_without_inventories_of_that_age_and_with_zero_days_no_shard_is_retired(
    tmp_path: Path, world: World, buckets: Buckets
) -> None:
    buckets.keys["memory"] -= {"c/1"}
    world.discover()
    world.instance.add_dynamic_partitions(world.assets.partitions.shards_name, ["c/"])
    for age in range(DAYS):
        daily(world, FIRST + timedelta(days=age))
    assert "c/" in world.shard_keys
    never = World(
        tmp_path, world.instance, {"bucket": "memory", "shards": Shards(retire_after_days=0)}
    )
    never.set_day(FIRST + timedelta(days=DAYS + 3))
    assert never.run("shards").success
    assert "c/" in never.shard_keys


def test_its_partition_listed_by_hand_fails_with_one_sentence(
    world: World, buckets: Buckets
) -> None:
    retire_c(world, buckets)
    failure = only_failure(world.run("object_listing", tags={"dagster/partition": world.key("c/")}))
    assert failure == (
        f"the shard 'c/' is retired since {world.day}, as it was empty in every inventory from "
        f"{FIRST + timedelta(days=1)} on; the partition '@remainder' covers its keys: materialize "
        "that one, or, if 'c/' has objects again, the source's asset `shards`, which makes it a "
        "shard again"
    )


def test_a_deleted_and_an_unknown_partition_are_told_apart(world: World) -> None:
    daily(world, TODAY)
    world.instance.delete_dynamic_partition(world.assets.partitions.shards_name, "c/")
    deleted = world.run("object_listing", tags={"dagster/partition": world.key("c/")})
    assert only_failure(deleted).startswith(
        "the shard 'c/' has no partition any more, as it was deleted; the partition '@remainder' "
        "covers its keys"
    )
    unknown = world.run("object_listing", tags={"dagster/partition": world.key("%zz")})
    assert "does not belong to a known prefix" in only_failure(unknown)


def empty_for_long(world: World, buckets: Buckets) -> None:
    """Let `c/` be empty in all inventories but the first, until the day before its retirement."""
    for age in range(DAYS + 1):
        daily(world, FIRST + timedelta(days=age))
        buckets.keys["memory"] -= {"c/1"}


def retire_c(world: World, buckets: Buckets) -> None:
    """Let `c/` be empty for long, and retire it by the daily run."""
    empty_for_long(world, buckets)
    daily(world, world.day + timedelta(days=1))
    assert world.shard_keys == [REMAINDER, "a/", "b/"]


def told(world: World, day: date) -> list[tuple[str, str]]:
    """The changes of a date, by key."""
    changes = Dataset.of_date(world.store, world.layout, day).changes(day).collect()
    return sorted(zip(changes["key"].to_list(), changes["change"].to_list(), strict=True))


def only_failure(outcome: Outcome) -> str:
    """The sentence of the only failure of a run, which has no trace of an exception."""
    assert not outcome.success
    (event,) = [event for event in outcome.events if event.is_step_failure]
    failure = event.step_failure_data
    assert failure.user_failure_data is not None
    assert failure.error is None or failure.error.cause is None
    return str(failure.user_failure_data.description)
