"""The check of a date's listings, run on its own and with the manifest."""

from collections.abc import Callable

import pytest

from inventory_assets.defs.assets.manifest import build_inventory_manifest
from inventory_assets_tests.assets.listed_shards import snapshot_of
from inventory_assets_tests.assets.world import (
    TODAY,
    Outcome,
    World,
    check_results,
    failure_text,
    materializations,
    table_of,
)

DAY = str(TODAY)


def run_alone(world: World) -> Outcome:
    return world.run_check("inventory_manifest", "listing_complete", DAY)


def damage_a_byte(world: World, prefix: str) -> bytes:
    """Change a byte of a shard's file, whose size stays; return what it held before."""
    path = world.store.path(snapshot_of(world, prefix).parts[0].key)
    content = path.read_bytes()
    data = bytearray(content)
    data[len(data) // 2] ^= 1
    path.unlink()
    path.write_bytes(data)
    return content


def test_the_check_on_its_own_reads_the_files_of_all_shards_again(world: World) -> None:
    world.discover()
    world.list_all()
    result = run_alone(world)
    assert result.success
    assert materializations(result) == {}
    assert check_results(result).keys() == {("listing_complete", DAY)}
    check = check_results(result)["listing_complete", DAY]
    assert check.passed
    assert check.blocking
    assert check.description == f"{len(world.shard_keys)} shard(s)"
    rules = [row["rule"] for row in table_of(check, "rules")]
    assert "records ascend and are unique" in rules
    assert "seams agree" in rules


def test_the_check_runs_with_every_manifest_without_a_table_that_says_nothing(
    world: World,
) -> None:
    world.discover()
    world.list_all()
    check = check_results(world.run("inventory_manifest", DAY))["listing_complete", DAY]
    assert check.passed
    assert check.metadata == {}


@pytest.mark.parametrize("damage", ["removed", "one byte"])
def test_the_check_on_its_own_names_the_shard_of_a_damaged_file(world: World, damage: str) -> None:
    world.discover()
    world.list_all()
    if damage == "removed":
        world.store.path(snapshot_of(world, "a/").parts[0].key).unlink()
    else:
        damage_a_byte(world, "a/")
    result = run_alone(world)
    assert not result.success
    said = failure_text(result)
    assert "'a/': files are as published: " in said
    assert "is missing or was altered; remove the altered files" in said
    check = check_results(result)["listing_complete", DAY]
    assert not check.passed
    first, *others = table_of(check, "rules")
    assert (first["rule"], first["shard"]) == ("files are as published", "a/")
    assert {row["violation"] for row in others} == {"none"}


def test_a_damaged_file_is_not_forgotten_when_the_date_is_merged_again(world: World) -> None:
    world.discover()
    world.list_all()
    content = damage_a_byte(world, "a/")
    assert not run_alone(world).success
    again = world.run(("inventory_manifest", "change_log"), DAY)
    assert not again.success
    assert not check_results(again)["listing_complete", DAY].passed
    assert {name for name, _ in materialized(again)} == {"inventory_manifest"}
    world.store.path(snapshot_of(world, "a/").parts[0].key).write_bytes(content)
    assert world.run("inventory_manifest", DAY).success


def materialized(outcome: Outcome) -> set[tuple[str, str]]:
    """The assets and partitions that a run materialized."""
    events = [event for event in outcome.events if event.is_step_materialization]
    return {(event.asset_key.path[-1], str(event.partition)) for event in events if event.asset_key}


@pytest.mark.parametrize("versions", [False, True])
def test_the_check_describes_the_order_of_keys(
    make_world: Callable[..., World], versions: bool
) -> None:
    world = make_world([], versions=versions)
    specs = build_inventory_manifest(world.assets).check_specs
    (said,) = (str(check.description) for check in specs if check.name == "listing_complete")
    assert ("strictly" in said) is not versions
    assert "Seams agree" in said


def test_the_check_on_its_own_needs_a_listing(world: World) -> None:
    world.discover()
    assert "nothing was listed yet; materialize object_listing for it first" in failure_text(
        run_alone(world)
    )


def test_the_check_on_its_own_says_what_to_do_about_a_damaged_snapshot(world: World) -> None:
    world.discover()
    world.list_all()
    key = world.layout.snapshot(TODAY, "a/")
    world.store.publish(key, b"{")
    result = run_alone(world)
    assert f"{key} is no snapshot that this version can read" in failure_text(result)
