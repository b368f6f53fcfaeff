"""The procedures of docs/changing-a-source.md: nothing is listed again that need not be."""

import shutil
from collections.abc import Callable, Iterable
from datetime import date
from pathlib import Path

import boto3
import polars as pl
import pytest
from botocore.config import Config as BotoConfig

from inventory_assets.config import Config, Shards, StoreBucket
from inventory_assets.inventory.changes.change_log import read_change_log
from inventory_assets.inventory.manifest.manifest import Manifest
from inventory_assets.inventory.manifest.manifest_merge import read_manifest
from inventory_assets.inventory.manifest.snapshot import read_snapshot
from inventory_assets.inventory.query.dataset import Dataset
from inventory_assets.inventory.storage.store import Store
from inventory_assets.s3.bucket_config import BucketConfig
from inventory_assets.wiring.results import open_results
from inventory_assets_tests.assets.listed_shards import DENIED
from inventory_assets_tests.assets.world import (
    REMAINDER,
    TODAY,
    YESTERDAY,
    Buckets,
    World,
    materializations,
)

BEFORE = {"a/x/1", "a/y/1", "b/1", "c/1", "root"}
AFTER = BEFORE ^ {"a/x/1", "a/x/2", "root2"}
CHANGES = [("a/x/1", "deleted"), ("a/x/2", "created"), ("root2", "created")]


@pytest.fixture
def listed(world: World, buckets: Buckets) -> World:
    """A source with the inventory of yesterday, whose bucket has changed since."""
    buckets.keys["memory"] = set(BEFORE)
    world.pass_day(YESTERDAY)
    buckets.keys["memory"] = set(AFTER)
    return world


def changed(world: World, root: Path, **fields: object) -> World:
    """The same source with other fields; its store is in a folder of `root`."""
    return World(root, world.instance, {**world.source.model_dump(), **fields})


def publish_again(world: World, buckets: Buckets) -> None:
    """Materialize what yesterday has by date, while the bucket refuses to be listed."""
    buckets.failing = dict.fromkeys(["", "a/", "b/", "c/"], DENIED)
    for name in ("inventory_manifest", "change_log"):
        outcome = world.run(name, str(YESTERDAY))
        assert outcome.success
        (event,) = materializations(outcome).values()
        assert event.asset_key == world.assets.key(name)
    buckets.failing = {}


def told(store: Store, world: World, day: date) -> list[tuple[str, str]]:
    found = Dataset.of_date(store, world.layout, day).changes(day).collect()
    return sorted(zip(found["key"].to_list(), found["change"].to_list(), strict=True))


def manifest_of(store: Store, world: World, day: date) -> Manifest:
    manifest = read_manifest(store, world.layout, day)
    assert manifest is not None
    return manifest


def test_a_renamed_source_keeps_its_inventories(
    listed: World, tmp_path: Path, buckets: Buckets
) -> None:
    renamed = changed(listed, tmp_path, name="renamed", folder="src")
    identity = manifest_of(listed.store, listed, YESTERDAY).identity
    assert renamed.shard_keys == []
    assert renamed.run("shards").success
    assert renamed.shard_keys == [REMAINDER, "a/", "b/", "c/"]
    publish_again(renamed, buckets)
    assert manifest_of(renamed.store, renamed, YESTERDAY).identity == identity
    renamed.pass_day(TODAY)
    assert told(renamed.store, renamed, TODAY) == CHANGES
    assert unchanged(renamed.store, renamed) == {"b/", "c/"}


def test_another_depth_leaves_past_dates_and_tells_only_what_changed(
    listed: World, tmp_path: Path
) -> None:
    deeper = changed(listed, tmp_path, shards=Shards(depth=2))
    deeper.pass_day(TODAY)
    assert deeper.shard_keys == [REMAINDER, "a/", "b/", "c/", "a/x/", "a/y/"]
    assert told(deeper.store, deeper, TODAY) == CHANGES
    assert unchanged(deeper.store, deeper) >= {"b/", "c/"}
    before = {entry.shard.prefix for entry in manifest_of(deeper.store, deeper, YESTERDAY).shards}
    assert before == {"", "a/", "b/", "c/"}, "past dates are as they were"


def test_a_smaller_depth_takes_effect_when_the_partitions_of_the_deeper_shards_are_deleted(
    world: World, tmp_path: Path, buckets: Buckets
) -> None:
    buckets.keys["memory"] = set(BEFORE)
    deep = changed(world, tmp_path, shards=Shards(depth=2))
    deep.pass_day(YESTERDAY)
    assert deep.shard_keys == [REMAINDER, "a/x/", "a/y/", "b/", "c/"]
    buckets.keys["memory"] = set(AFTER)
    flat = changed(world, tmp_path, shards=Shards(depth=1))
    for key in ("a/x/", "a/y/"):
        flat.instance.delete_dynamic_partition(flat.assets.partitions.shards_name, key)
    flat.pass_day(TODAY)
    assert flat.shard_keys == [REMAINDER, "b/", "c/", "a/"]
    assert told(flat.store, flat, TODAY) == CHANGES
    assert told_days(flat) == {YESTERDAY, TODAY}


def test_a_store_in_a_folder_is_moved_by_copying(
    listed: World, tmp_path: Path, buckets: Buckets
) -> None:
    other = tmp_path / "other"
    shutil.copytree(
        listed.store.root, other / "store", ignore=shutil.ignore_patterns(".scratch", ".drafts")
    )
    shutil.rmtree(listed.store.root)
    moved = changed(listed, other)
    goes_on(moved, open_results(moved.config.store), buckets)


def test_a_store_in_a_folder_is_moved_to_a_bucket_by_copying(
    listed: World,
    tmp_path: Path,
    buckets: Buckets,
    moto_bucket: Callable[[Iterable[str]], BucketConfig],
    monkeypatch: pytest.MonkeyPatch,
    no_aws_environment: None,  # noqa: ARG001
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "any")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "any")
    connection = moto_bucket([])
    client = boto3.client(
        "s3",
        endpoint_url=connection.endpoint_url,
        region_name="us-east-1",
        config=BotoConfig(s3={"addressing_style": "path"}),
    )
    for path in listed.store.root.rglob("*"):
        name = path.relative_to(listed.store.root).as_posix()
        if path.is_file() and not name.startswith("."):
            client.upload_file(str(path), connection.bucket, f"daily/{name}")
    shutil.rmtree(listed.store.root)
    store = StoreBucket(
        bucket=connection.bucket,
        prefix="daily",
        endpoint_url=connection.endpoint_url,
        region="us-east-1",
        addressing_style="path",
    )
    moved = changed(listed, tmp_path)
    moved.config = Config(store=store, sources=moved.config.sources)
    moved.set_day(TODAY)
    goes_on(moved, open_results(store), buckets)


def goes_on(moved: World, store: Store, buckets: Buckets) -> None:
    """Read the past, compare with it, share its files, and name its files for other readers."""
    yesterday = Dataset.of_date(store, moved.layout, YESTERDAY)
    assert yesterday.scan().select(pl.col("key")).collect()["key"].to_list() == sorted(BEFORE)
    identity = manifest_of(store, moved, YESTERDAY).identity
    publish_again(moved, buckets)
    manifest = manifest_of(store, moved, YESTERDAY)
    assert (manifest.identity, manifest.destination) == (identity, store.destination)
    symlink = store.read(moved.layout.symlink(YESTERDAY))
    assert symlink is not None
    assert symlink.decode().split() == [store.uri(part.key) for part in manifest.parts]
    moved.pass_day(TODAY)
    assert told(store, moved, TODAY) == CHANGES
    assert unchanged(store, moved) == {"b/", "c/"}


def unchanged(store: Store, world: World) -> set[str]:
    """The shards of today that share all files of yesterday."""
    snapshots = {
        entry.shard.prefix: read_snapshot(store, world.layout, TODAY, entry.shard.prefix)
        for entry in manifest_of(store, world, TODAY).shards
    }
    return {prefix for prefix, found in snapshots.items() if found and found.reuse.unchanged}


def told_days(world: World) -> set[date]:
    """The days with a change log."""
    return {day for day in (YESTERDAY, TODAY) if read_change_log(world.store, world.layout, day)}
