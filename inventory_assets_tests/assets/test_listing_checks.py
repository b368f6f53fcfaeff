"""The check of a listing, run on its own."""

from collections.abc import Callable

import pytest

from inventory_assets.defs.assets.listing import build_object_listing
from inventory_assets_tests.assets.listed_shards import snapshot_of
from inventory_assets_tests.assets.world import (
    TODAY,
    World,
    check_results,
    failure_text,
    materializations,
    table_of,
)


def test_the_check_on_its_own_reads_the_files_again(world: World) -> None:
    world.discover()
    world.list_all()
    result = world.run_check("object_listing", "listing_complete", world.key("a/"))
    assert result.success
    assert materializations(result) == {}
    check = check_results(result)["listing_complete", world.key("a/")]
    assert check.passed
    rules = [row["rule"] for row in table_of(check, "rules")]
    assert "records ascend and are unique" in rules


@pytest.mark.parametrize("damage", ["removed", "one byte"])
def test_the_check_on_its_own_finds_a_damaged_file(world: World, damage: str) -> None:
    world.discover()
    world.list_all()
    path = world.store.path(snapshot_of(world, "a/").parts[0].key)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.unlink()
    if damage == "one byte":
        path.write_bytes(data)
    result = world.run_check("object_listing", "listing_complete", world.key("a/"))
    assert not result.success
    assert "is missing or was altered; remove the altered files" in failure_text(result)
    assert not check_results(result)["listing_complete", world.key("a/")].passed


@pytest.mark.parametrize("versions", [False, True])
def test_the_check_describes_the_order_of_keys(
    make_world: Callable[..., World], versions: bool
) -> None:
    world = make_world([], versions=versions)
    specs = build_object_listing(world.assets).check_specs
    (said,) = (str(check.description) for check in specs if check.name == "listing_complete")
    assert ("strictly" in said) is not versions
    assert "Seams agree" in said


def test_the_check_on_its_own_needs_a_listing(world: World) -> None:
    world.discover()
    result = world.run_check("object_listing", "listing_complete", world.key("a/"))
    assert "nothing was listed yet; materialize it first" in failure_text(result)


def test_the_check_on_its_own_says_what_to_do_about_a_damaged_snapshot(world: World) -> None:
    world.discover()
    world.list_all()
    key = world.layout.snapshot(TODAY, "a/")
    world.store.publish(key, b"{")
    result = world.run_check("object_listing", "listing_complete", world.key("a/"))
    assert f"{key} is no snapshot that this version can read" in failure_text(result)
