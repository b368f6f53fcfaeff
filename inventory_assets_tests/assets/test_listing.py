"""`object_listing`, mostly through a real HTTP endpoint and real runs."""

import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest

from inventory_assets.config import Shards
from inventory_assets.defs.assets import listing
from inventory_assets.defs.source import shard_listing
from inventory_assets.defs.source.partition_steps import StepResult, step_results
from inventory_assets.inventory.listing.snapshot_builder import ShardRequest
from inventory_assets.inventory.manifest.manifest_merge import newest_manifest
from inventory_assets.inventory.manifest.snapshot import read_snapshots
from inventory_assets.inventory.parts.part import read_records
from inventory_assets.s3.errors import RetriesExhausted, TransientError
from inventory_assets.s3.page_request import PageRequest
from inventory_assets.scan.engine.progress import Progress, ProgressMeter
from inventory_assets.scan.keyspace.key_range import KeyRange
from inventory_assets.scan.keyspace.shard import Shard
from inventory_assets_tests.assets.listed_shards import DENIED, KEYS, snapshot_of
from inventory_assets_tests.assets.world import (
    REMAINDER,
    TODAY,
    YESTERDAY,
    Buckets,
    World,
    data_versions,
    delete,
    failure_text,
    materializations,
    metadata_of,
)
from inventory_assets_tests.fakes.model_s3 import ModelS3

BROKEN = RetriesExhausted(
    "bucket 'x' at y: server error 8 times in a row", TransientError.SERVER_ERROR
)


def keys_of(world: World) -> list[str]:
    """The keys of all snapshots of the day, sorted."""
    snapshots = read_snapshots(world.store, world.layout, world.day).values()
    return sorted(
        key
        for snapshot in snapshots
        for batch in read_records(world.store, snapshot.parts, [KeyRange.of_prefix("")], ["key"])
        for key in batch.column("key").to_pylist()
    )


def test_a_range_run_gives_each_shard_its_own_metadata(make_world: Callable[..., World]) -> None:
    world = make_world(KEYS)
    world.discover()
    result = world.list_all()
    assert result.success
    assert keys_of(world) == KEYS
    rows = {
        key: metadata_of(event, "dagster/row_count")
        for key, event in materializations(result).items()
    }
    assert rows == {world.key("a/"): 2, world.key("b/"): 1, world.key(REMAINDER): 1}
    prefixes = {"a/": "a/", "b/": "b/", REMAINDER: ""}
    assert data_versions(result) == {
        world.key(key): snapshot_of(world, prefix).fingerprint for key, prefix in prefixes.items()
    }


def test_a_single_shard_is_listed_by_its_partition_key(make_world: Callable[..., World]) -> None:
    world = make_world(KEYS)
    world.discover()
    result = world.run("object_listing", world.key("a/"))
    assert list(materializations(result)) == [world.key("a/")]
    assert keys_of(world) == ["a/1", "a/2"]


def test_a_listing_again_of_an_unchanged_shard_is_the_same_version_and_the_same_file(
    make_world: Callable[..., World],
) -> None:
    world = make_world(KEYS)
    world.discover()
    first = world.run("object_listing", world.key("a/"))
    parts = snapshot_of(world, "a/").parts
    second = world.run("object_listing", world.key("a/"))
    assert data_versions(first) == data_versions(second) != {}
    assert snapshot_of(world, "a/").parts == parts


def test_a_day_without_changes_is_shown_as_unchanged_and_writes_no_part(
    world: World, buckets: Buckets
) -> None:
    world.pass_day(YESTERDAY)
    before, files = (
        data_versions(world.list_all()),
        world.store.list_names(world.layout.data_folder),
    )
    world.set_day(TODAY)
    buckets.keys["memory"].add("b/2")
    outcome = world.list_all()
    found = materializations(outcome)
    for shard in ("a/", "c/", REMAINDER):
        event = found[world.key(shard)]
        assert metadata_of(event, "unchanged") is True
        sizes = metadata_of(event, "files")
        assert sizes["parts_shared"] == 1
        assert sizes["bytes_shared"] == sizes["parquet_bytes"]
        assert sizes["bytes_written"] == 0
        version = data_versions(outcome)[world.key(shard)]
        assert version == before[world.key(shard, YESTERDAY)]
    changed = found[world.key("b/")]
    assert metadata_of(changed, "unchanged") is False
    sizes = metadata_of(changed, "files")
    assert sizes["bytes_shared"] == 0
    assert sizes["bytes_written"] == sizes["parquet_bytes"]
    assert len(world.store.list_names(world.layout.data_folder)) == len(files) + 1
    assert world.run("inventory_manifest", str(TODAY)).success
    manifest = newest_manifest(world.store, world.layout, TODAY + timedelta(days=1))
    assert manifest is not None
    assert [entry.reuse.unchanged for entry in manifest.shards] == [True, True, False, True]


@pytest.mark.parametrize("error", [DENIED, BROKEN])
def test_one_bad_shard_fails_the_run_and_the_others_are_kept(
    world: World, buckets: Buckets, error: Exception
) -> None:
    world.discover()
    buckets.failing["b/"] = error
    result = world.list_all()
    assert not result.success
    assert set(materializations(result)) == {world.key(key) for key in (REMAINDER, "a/", "c/")}
    assert list(read_snapshots(world.store, world.layout, TODAY)) == ["", "a/", "c/"]
    text = failure_text(result)
    assert "1 of 4 partitions failed; the others are kept; materialize just these again" in text
    assert f"{world.key('b/')}: {error}" in text


def test_a_shard_that_failed_is_tried_again_alone(world: World, buckets: Buckets) -> None:
    world.discover()
    buckets.failing["b/"] = DENIED
    world.list_all()
    merging = world.run("inventory_manifest", str(TODAY))
    assert not merging.success
    assert "1 shard(s) of this date have no snapshot: 'b/'" in failure_text(merging)
    buckets.failing.clear()
    assert world.run("object_listing", world.key("b/")).success
    merging = world.run("inventory_manifest", str(TODAY))
    assert metadata_of(materializations(merging)[str(TODAY)], "dagster/row_count") == 5


def test_unknown_partition_keys_fail_without_affecting_others(world: World) -> None:
    world.discover()
    unknown = ["%ZZ", "a%2F", "~0123", "x~0123456789abcdef01234567"]
    world.instance.add_dynamic_partitions(world.assets.partitions.shards_name, unknown)
    result = world.list_all()
    for key in unknown:
        assert f"the partition key {key!r} does not belong to a known prefix" in failure_text(
            result
        )
    assert len(materializations(result)) == 4
    assert world.run("inventory_manifest", str(TODAY)).success
    assert world.run("shards").success


def test_dagster_refuses_a_shard_that_was_never_added(world: World) -> None:
    world.discover()
    with pytest.raises(dg.DagsterUnknownPartitionError):
        world.run("object_listing", world.key("z/"))


@pytest.mark.parametrize("days", [-10, 1])
def test_dagster_refuses_dates_before_the_start_and_to_come(world: World, days: int) -> None:
    world.discover()
    with pytest.raises(dg.DagsterUnknownPartitionError):
        world.run("object_listing", world.key("a/", TODAY + timedelta(days=days)))


def test_a_date_that_is_over_cannot_be_listed_and_nothing_is_written(
    world: World, buckets: Buckets
) -> None:
    world.discover()
    day = TODAY - timedelta(days=2)
    result = world.run("object_listing", world.key("a/", day))
    assert f"{day} cannot be listed any more" in failure_text(result)
    assert materializations(result) == {}
    assert read_snapshots(world.store, world.layout, day) == {}
    assert "a/" not in buckets.listed


def test_a_date_that_the_clock_has_not_reached_is_rejected(world: World) -> None:
    world.discover()
    world.set_day(YESTERDAY)
    result = world.run("object_listing", world.key("a/", TODAY))
    assert f"{TODAY} is in the future: it is {YESTERDAY}" in failure_text(result)


def test_a_range_of_dates_lists_those_that_can_be_observed(world: World) -> None:
    world.discover()
    first = TODAY - timedelta(days=2)
    tags = {
        "dagster/asset_partition_range_start": world.key(REMAINDER, first),
        "dagster/asset_partition_range_end": world.key("c/", TODAY),
    }
    result = world.run("object_listing", tags=tags)
    assert "4 of 12 partitions failed" in failure_text(result)
    assert f"{first}|b/: {first} cannot be listed any more" in failure_text(result)
    days = {key.split("|")[0] for key in materializations(result)}
    assert days == {str(YESTERDAY), str(TODAY)}
    assert len(materializations(result)) == 8


def test_a_shard_without_objects_is_an_empty_snapshot(make_world: Callable[..., World]) -> None:
    world = make_world(KEYS)
    world.discover()
    delete(str(world.source.endpoint_url), world.source.bucket, ["b/1"])
    result = world.run("object_listing", world.key("b/"))
    assert metadata_of(materializations(result)[world.key("b/")], "dagster/row_count") == 0
    assert snapshot_of(world, "b/").parts == ()


def test_shards_added_later_are_left_out_of_the_shards_around_them(world: World) -> None:
    world.instance.add_dynamic_partitions(world.assets.partitions.shards_name, [REMAINDER, "a/"])
    assert world.list_all().success
    assert snapshot_of(world, "").shard.excluded == ("a/",)
    assert keys_of(world) == ["a/1", "a/2", "b/1", "c/1", "root"]


def test_the_cost_of_a_listing_is_shown(make_world: Callable[..., World]) -> None:
    world = make_world(KEYS)
    world.discover()
    event = materializations(world.run("object_listing", world.key("a/")))[world.key("a/")]
    assert metadata_of(event, "requests") == 2  # a page, and that nothing follows it
    evidence = metadata_of(event, "evidence")
    assert evidence["seams"] == {"end confirmed": 1}
    assert evidence["store"] == "as AWS"
    assert evidence["key_order"] == "bytes"
    assert metadata_of(event, "unreadable") == 0
    assert metadata_of(event, "response_bytes") > 100
    assert metadata_of(event, "faults") == {}
    assert metadata_of(event, "storage_classes") == {"STANDARD": 2}


def test_the_log_reports_the_progress_of_a_run(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.pass_day(YESTERDAY)
    asked = threading.Event()
    progress = ProgressMeter.progress

    def watched(meter: ProgressMeter) -> Progress:
        asked.set()
        return progress(meter)

    def seconds(_bucket: ModelS3, _request: PageRequest) -> float:
        assert asked.wait(30)
        return 0

    monkeypatch.setattr(ProgressMeter, "progress", watched)
    monkeypatch.setattr(ModelS3, "seconds", seconds)
    monkeypatch.setattr(shard_listing, "PROGRESS_INTERVAL_SECONDS", 0.001)
    world.set_day(TODAY)
    outcome = world.list_all()
    said = [entry.user_message for entry in world.instance.all_logs(outcome.run_id)]
    lines = [line for line in said if " requests in flight, " in line]
    assert lines[0].startswith("0 objects, 0/s, 0 ranges done, 0 open, 0 of 32 requests in flight")


@pytest.mark.parametrize("managed", [[], ["inventory_assets"], ["inventory_assets", "root"]])
def test_a_message_of_a_listing_is_once_in_the_log_of_its_run(
    tmp_path: Path, buckets: Buckets, monkeypatch: pytest.MonkeyPatch, managed: list[str]
) -> None:
    """Whether or not Dagster records the messages of the package itself."""
    buckets.keys["memory"] = {"a/1", "root"}
    logger = logging.getLogger("inventory_assets.any.room")
    list_all = shard_listing.list_partitions

    def list_and_log(*arguments: Any) -> Iterator[Any]:
        logger.info("said by the step")
        with ThreadPoolExecutor() as threads:
            threads.submit(logger.info, "said by a thread").result()
        yield from list_all(*arguments)

    def end_and_log(context: dg.AssetExecutionContext) -> Iterator[StepResult]:
        logger.warning("said at the end")
        yield from step_results(context)

    monkeypatch.setattr(listing, "list_partitions", list_and_log)
    monkeypatch.setattr(listing, "step_results", end_and_log)
    overrides = {"python_logs": {"managed_python_loggers": managed}}
    with dg.instance_for_test(overrides=overrides) as instance:
        world = World(tmp_path, instance, {"bucket": "memory"})
        world.discover()
        outcome = world.list_all()
        said = [entry.user_message for entry in instance.all_logs(outcome.run_id)]
    assert outcome.success
    assert said.count("said by the step") == 1
    assert said.count("said by a thread") == 1
    # Only Dagster records what is not said by the listing.
    assert said.count("said at the end") == (1 if managed else 0)


def test_as_much_is_expected_of_a_shard_as_the_baseline_holds(world: World) -> None:
    world.pass_day(YESTERDAY)
    work = world.assets.bind(SimpleNamespace(**world.resources()), world.instance)
    wanted = [ShardRequest(TODAY, Shard(prefix)) for prefix in ("", "a/", "new/")]
    assert shard_listing.expected_rows(work, wanted) == {"": 1, "a/": 2, "new/": None}
    assert shard_listing.expected_rows(work, [ShardRequest(YESTERDAY, Shard("a/"))]) == {"a/": None}
    assert shard_listing.expected_rows(work, []) == {}


def test_two_levels_of_shards_cover_every_key_once(make_world: Callable[..., World]) -> None:
    keys = ["a/1", "a/x/1", "a/x/2", "a/y/1", "b/1", "root"]
    world = make_world(keys, shards=Shards(depth=2))
    world.discover()
    assert "a/x/" in world.shard_keys
    assert world.list_all().success
    assert keys_of(world) == keys
