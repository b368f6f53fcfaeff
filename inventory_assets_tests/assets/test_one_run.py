"""Assets that are selected together work in one run, or the run fails."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from inventory_assets.config import Exports, Shards
from inventory_assets.defs.source import manifest_checks
from inventory_assets.inventory.storage.store import Store
from inventory_assets_tests.assets.world import (
    TODAY,
    YESTERDAY,
    Buckets,
    Outcome,
    World,
    check_results,
    failure_text,
)

DAY = str(TODAY)
BY_SHARD = ("object_listing", "object_changes")
BY_DATE = (
    "inventory_manifest",
    "change_log",
    "prefix_usage",
    "inventory_exports",
    "iceberg_tables",
)
TOGETHER = [
    ("inventory_manifest", "change_log"),
    ("inventory_manifest", "prefix_usage"),
    ("inventory_manifest", "inventory_exports"),
    ("change_log", "iceberg_tables"),
    BY_DATE,
]
SHARDS = ("@remainder", "a/", "b/", "c/")


@pytest.fixture
def everything(tmp_path: Path, buckets: Buckets) -> Iterator[World]:
    """A world whose source has all assets."""
    buckets.keys["memory"] = {"a/1", "a/2", "b/1", "c/1", "root"}
    source = {
        "bucket": "memory",
        "shards": Shards(depth=1),
        "exports": Exports(csv_inventory=True),
        "iceberg": True,
    }
    with dg.DagsterInstance.ephemeral() as instance:
        yield World(tmp_path, instance, source)


def materialized(outcome: Outcome) -> Counter[tuple[str, str]]:
    """The number of materializations by asset and partition."""
    events = [event for event in outcome.events if event.is_step_materialization]
    found = [event.step_materialization_data.materialization for event in events]
    return Counter((event.asset_key.path[-1], str(event.partition)) for event in found)


def missing_outputs(world: World, outcome: Outcome) -> list[str]:
    """Dagster's messages of outputs that a step did not yield."""
    messages = [entry.user_message for entry in world.instance.all_logs(outcome.run_id)]
    return [each for each in messages if "did not yield or return expected outputs" in each]


def skipped(outcome: Outcome) -> list[str | None]:
    return [event.step_key for event in outcome.events if event.is_step_skipped]


@pytest.mark.parametrize("partition", ["one", "a range"])
def test_a_listing_and_its_changes_are_made_in_one_run(
    everything: World, partition: str, caplog: pytest.LogCaptureFixture
) -> None:
    everything.discover()
    if partition == "one":
        expected = {(name, everything.key("a/")): 1 for name in BY_SHARD}
        outcome = everything.run(BY_SHARD, everything.key("a/"))
    else:
        expected = {(name, everything.key(key)): 1 for name in BY_SHARD for key in SHARDS}
        outcome = everything.run(BY_SHARD, tags=everything.range_tags())
    assert outcome.success
    assert materialized(outcome) == expected
    assert skipped(outcome) == []
    assert missing_outputs(everything, outcome) == []
    assert "emitted no result" not in caplog.text


def test_assets_by_shard_have_no_checks(everything: World) -> None:
    """With a result for each shard, the UI and the daemon read ever more of them."""
    everything.discover()
    checks = everything.definitions.resolve_asset_graph().asset_check_keys
    assert {key.asset_key.path[-1] for key in checks}.isdisjoint(BY_SHARD)
    assert check_results(everything.run(BY_SHARD, tags=everything.range_tags())) == {}


def test_another_shard_of_a_run_is_two_more_events_for_each_asset(everything: World) -> None:
    """One says that it is planned, one that it was made; Dagster stores each of them twice."""
    everything.discover()
    few = everything.run(BY_SHARD, everything.key("a/"))
    many = everything.run(BY_SHARD, tags=everything.range_tags())
    assert few.success
    assert many.success
    more_shards = len(SHARDS) - 1
    assert len(many.events) - len(few.events) == 2 * len(BY_SHARD) * more_shards


@pytest.mark.parametrize("chosen", TOGETHER, ids=" ".join)
def test_all_assets_of_a_date_are_made_in_one_run(
    everything: World, chosen: tuple[str, ...]
) -> None:
    everything.pass_day(TODAY)
    outcome = everything.run(chosen, DAY)
    assert outcome.success
    assert materialized(outcome) == {(name, DAY): 1 for name in chosen}
    assert skipped(outcome) == []
    assert missing_outputs(everything, outcome) == []


def test_a_range_of_dates_is_made_in_one_run(everything: World, buckets: Buckets) -> None:
    everything.pass_day(YESTERDAY)
    buckets.keys["memory"].add("a/3")
    everything.pass_day(TODAY)
    dates = {
        "dagster/asset_partition_range_start": str(YESTERDAY),
        "dagster/asset_partition_range_end": DAY,
    }
    outcome = everything.run(BY_DATE, tags=dates)
    assert outcome.success
    assert materialized(outcome) == {
        (name, day): 1 for name in BY_DATE for day in (str(YESTERDAY), DAY)
    }


def test_each_partition_keeps_its_own_data_version(everything: World) -> None:
    everything.discover()
    apart = everything.list_all()
    together = everything.run(BY_SHARD, tags=everything.range_tags())
    key = everything.assets.key("object_listing")
    assert versions(apart, key) == versions(together, key)
    assert len(set(versions(together, key).values())) == len(SHARDS)


def versions(outcome: Outcome, key: dg.AssetKey) -> dict[str, str]:
    events = [event for event in outcome.events if event.is_step_materialization]
    found = [event.step_materialization_data.materialization for event in events]
    return {
        str(event.partition): (event.tags or {})["dagster/data_version"]
        for event in found
        if event.asset_key == key
    }


def test_a_failed_shard_prevents_the_manifest_and_the_run_says_why(
    everything: World, buckets: Buckets
) -> None:
    everything.discover()
    buckets.failing["b/"] = OSError("the bucket is away")
    outcome = everything.run(BY_SHARD, tags=everything.range_tags())
    assert not outcome.success
    assert "1 of 4 partitions failed" in failure_text(outcome)
    assert {name for name, _ in materialized(outcome)} == {"object_listing"}
    assert skipped(outcome) == []


def test_a_blocking_check_that_fails_stops_what_depends_on_it(
    everything: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    everything.pass_day(TODAY)

    def differ(store: Store, parts: object) -> list[str]:  # noqa: ARG001
        return ["data/lost.parquet"]

    monkeypatch.setattr(manifest_checks, "files_that_differ", differ)
    outcome = everything.run(("inventory_manifest", "inventory_exports"), DAY)
    assert not outcome.success
    assert not check_results(outcome)["data_files_exist", DAY].passed
    assert materialized(outcome) == {("inventory_manifest", DAY): 1}
    said = failure_text(outcome)
    assert "a blocking check failed: data/lost.parquet is missing or was altered" in said


def test_a_check_that_does_not_block_stops_nothing(everything: World, buckets: Buckets) -> None:
    everything.pass_day(TODAY)
    buckets.keys["memory"].add("b/lost")
    chosen = ("inventory_manifest", "inventory_exports")
    outcome = everything.run(chosen, DAY)
    assert outcome.success
    assert not check_results(outcome)["sample_matches_bucket", DAY].passed
    assert materialized(outcome) == {(name, DAY): 1 for name in chosen}
