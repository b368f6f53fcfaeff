"""`object_changes` from day to day."""

from collections import Counter

import pytest

from inventory_assets.inventory.changes import shard_changes
from inventory_assets.inventory.changes.shard_changes import read_changes
from inventory_assets.inventory.manifest.manifest import Manifest
from inventory_assets.inventory.storage.store import Store
from inventory_assets.scan.keyspace.shard import Shard
from inventory_assets_tests.assets.world import (
    TODAY,
    YESTERDAY,
    Buckets,
    World,
    data_versions,
    failure_text,
    materializations,
    metadata_of,
)


def counts(world: World) -> Counter[str]:
    """Today's changed records of all shards, by kind."""
    found: Counter[str] = Counter()
    for key in world.shard_keys:
        prefix = "" if key.startswith("@") else key
        changes = read_changes(world.store, world.layout, TODAY, prefix)
        assert changes is not None
        assert changes.balance_violation is None
        found.update({kind.value: count for kind, count in changes.counts.items() if count})
    return found


def test_changes_are_found_since_the_newest_manifest_before(world: World, buckets: Buckets) -> None:
    world.pass_day(YESTERDAY)
    buckets.keys["memory"] ^= {"a/1", "new/1", "root2"}
    world.pass_day(TODAY)
    assert counts(world) == {"created": 2, "deleted": 1}


def test_a_bucket_that_becomes_empty_has_all_keys_deleted(world: World, buckets: Buckets) -> None:
    world.pass_day(YESTERDAY)
    buckets.keys["memory"].clear()
    world.pass_day(TODAY)
    assert counts(world) == {"deleted": 5}


def test_each_shard_has_its_own_metadata(world: World, buckets: Buckets) -> None:
    world.pass_day(YESTERDAY)
    buckets.keys["memory"].add("b/2")
    world.set_day(TODAY)
    world.list_all()
    outcome = world.run("object_changes", tags=world.range_tags())
    found = materializations(outcome)
    created = {key: metadata_of(event, "created") for key, event in found.items()}
    assert created == {world.key(k): int(k == "b/") for k in world.shard_keys}
    assert metadata_of(found[world.key("b/")], "baseline") == str(YESTERDAY)
    assert len(set(data_versions(outcome).values())) == 4
    again = world.run("object_changes", world.key("b/"))
    assert data_versions(again).items() <= data_versions(outcome).items()


def test_a_shard_that_was_not_listed_fails_alone(world: World) -> None:
    world.discover()
    world.run("object_listing", world.key("a/"))
    world.run("object_listing", world.key("b/"))
    outcome = world.run("object_changes", tags=world.range_tags())
    text = failure_text(outcome)
    assert f"{world.key('c/')}: nothing was listed; materialize object_listing for it first" in text
    assert materializations(outcome).keys() == {world.key("a/"), world.key("b/")}


def test_a_damaged_baseline_fails_only_the_shards_that_need_it(
    world: World, buckets: Buckets
) -> None:
    world.pass_day(YESTERDAY)
    before = set(world.store.root.rglob("*.parquet"))
    buckets.keys["memory"].add("b/2")
    world.set_day(TODAY)
    world.list_all()
    for path in before:
        if path.parent.name == "data":
            path.write_bytes(b"damaged")
    outcome = world.run("object_changes", tags=world.range_tags())
    assert f"{world.key('b/')}: " in failure_text(outcome)
    assert "is missing or damaged" in failure_text(outcome)
    assert "1 of 4 partitions failed" in failure_text(outcome)


def test_changes_that_do_not_reconcile_are_not_published(
    world: World, buckets: Buckets, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if an object of the baseline had been overlooked when its objects were counted."""
    world.pass_day(YESTERDAY)
    buckets.keys["memory"].add("b/2")
    world.set_day(TODAY)
    world.list_all()

    def overlook(store: Store, baseline: Manifest, shard: Shard) -> int:
        return rows_of(store, baseline, shard) - (shard.prefix == "b/")

    rows_of = shard_changes._rows
    monkeypatch.setattr(shard_changes, "_rows", overlook)
    outcome = world.run("object_changes", tags=world.range_tags())
    said = failure_text(outcome)
    assert "1 of 4 partitions failed" in said
    assert f"{world.key('b/')}: the changes of 'b/' on {TODAY} do not reconcile" in said
    assert world.key("b/") not in materializations(outcome)
    assert len(materializations(outcome)) == 3
    assert read_changes(world.store, world.layout, TODAY, "b/") is None
    assert world.run("inventory_manifest", str(TODAY)).success
    assert "materialize object_changes for" in failure_text(world.run("change_log", str(TODAY)))
