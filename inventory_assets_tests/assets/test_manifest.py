"""`inventory_manifest`: a date's shards, merged."""

import json
from collections.abc import Callable

from inventory_assets.inventory.manifests import read_manifest
from inventory_assets_tests.assets.world import (
    REMAINDER,
    TODAY,
    YESTERDAY,
    Buckets,
    World,
    check_results,
    data_versions,
    failure_text,
    materializations,
    metadata_of,
)

DAY = str(TODAY)


def test_a_manifest_is_published_with_its_facts_and_checks(
    make_world: Callable[..., World],
) -> None:
    world = make_world(["a/1", "a/2", "b/1", "root"])
    world.discover()
    world.list_all()
    outcome = world.run("inventory_manifest", DAY)
    manifest = read_manifest(world.store, world.layout, TODAY)
    assert manifest is not None
    assert manifest.rows == 4
    event = materializations(outcome)[DAY]
    assert metadata_of(event, "dagster/row_count") == 4
    assert data_versions(outcome) == {DAY: manifest.identity}
    document = json.loads(world.store.path(world.layout.dated(TODAY, "manifest.json")).read_bytes())
    assert str(world.store.root / world.layout.dated(TODAY, "manifest.json")) == metadata_of(
        event, "manifest"
    )
    assert len(document["files"]) == 3
    names = {"shards_tile_the_source", "files_are_published", "shards_are_of_one_age"}
    checks = check_results(outcome)
    assert checks.keys() == {(name, DAY) for name in names}
    assert all(check.passed for check in checks.values())


def test_a_bucket_without_objects_has_a_manifest(make_world: Callable[..., World]) -> None:
    world = make_world([])
    world.pass_day(TODAY)
    manifest = read_manifest(world.store, world.layout, TODAY)
    assert manifest is not None
    assert (manifest.rows, manifest.parts) == (0, ())
    assert world.shard_keys == [REMAINDER]


def test_a_date_without_listings_says_what_to_do(world: World) -> None:
    outcome = world.run("inventory_manifest", DAY)
    assert f"{DAY}: no shard of this date has been listed yet" in failure_text(outcome)
    assert materializations(outcome) == {}


def test_a_manifest_of_equal_content_is_the_same_version(world: World) -> None:
    world.discover()
    world.list_all()
    first = world.run("inventory_manifest", DAY)
    world.list_all()
    assert data_versions(first) == data_versions(world.run("inventory_manifest", DAY)) != {}


def test_a_range_of_dates_publishes_those_that_are_complete(world: World) -> None:
    world.discover()
    world.list_all()
    tags = {
        "dagster/asset_partition_range_start": str(YESTERDAY),
        "dagster/asset_partition_range_end": DAY,
    }
    outcome = world.run("inventory_manifest", tags=tags)
    assert f"{YESTERDAY}: no shard of this date" in failure_text(outcome)
    assert list(materializations(outcome)) == [DAY]


def test_a_shard_found_after_the_remainder_was_listed_neither_doubles_nor_loses_a_key(
    world: World, buckets: Buckets
) -> None:
    world.discover()
    buckets.keys["memory"].add("new/1")
    world.list_all()
    world.discover()
    assert world.run("object_listing", world.key("new/")).success
    assert world.run("inventory_manifest", DAY).success
    manifest = read_manifest(world.store, world.layout, TODAY)
    assert manifest is not None
    assert {entry.shard.prefix: entry.rows for entry in manifest.shards} == {
        "": 1,
        "a/": 2,
        "b/": 1,
        "c/": 1,
        "new/": 1,
    }


def test_a_file_that_vanished_later_is_found_by_the_check_on_its_own(world: World) -> None:
    world.pass_day(TODAY)
    manifest = read_manifest(world.store, world.layout, TODAY)
    assert manifest is not None
    world.store.path(manifest.parts[0].key).unlink()
    outcome = world.run_check("inventory_manifest", "files_are_published", DAY)
    assert not check_results(outcome)["files_are_published", DAY].passed
