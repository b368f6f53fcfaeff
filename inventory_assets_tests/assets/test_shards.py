"""`shards`: the partitions of a source's listing."""

from collections.abc import Callable

from inventory_assets.config import Shards
from inventory_assets_tests.assets.world import (
    REMAINDER,
    Buckets,
    World,
    data_versions,
    failure_text,
    materializations,
    metadata_of,
    table_of,
)


def test_prefixes_become_partitions_and_the_remainder_is_one(
    make_world: Callable[..., World],
) -> None:
    world = make_world(["a/1", "b c/1", "root"])
    event = materializations(world.run("shards"))["None"]
    assert world.shard_keys == [REMAINDER, "a/", "b%20c/"]
    assert (metadata_of(event, "shards"), metadata_of(event, "added")) == (3, 3)
    assert table_of(event, "prefixes")[2] == {"partition": "b%20c/", "prefix": "b c/"}


def test_only_what_is_new_is_added_and_nothing_is_removed(world: World, buckets: Buckets) -> None:
    first = world.run("shards")
    again = world.run("shards")
    buckets.keys["memory"] = {"0/1"}
    last = world.run("shards")
    assert world.shard_keys == [REMAINDER, "a/", "b/", "c/", "0/"]
    added = [metadata_of(materializations(run)["None"], "added") for run in (first, again, last)]
    assert added == [4, 0, 1]
    versions = [data_versions(run)["None"] for run in (first, again, last)]
    assert versions[0] == versions[1] != versions[2]


def test_too_many_prefixes_are_an_error_that_adds_none(make_world: Callable[..., World]) -> None:
    world = make_world(["a/1", "b/1", "c/1"], shards=Shards(max_shards=2))
    assert "2" in failure_text(world.run("shards"))
    assert world.shard_keys == []
