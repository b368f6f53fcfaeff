"""`shards`: the partitions of a source's listing."""

from collections.abc import Callable

import dagster as dg

from inventory_assets.config import Shards
from inventory_assets.defs.source.metadata_tables import SHARDS_SHOWN
from inventory_assets_tests.assets.world import (
    REMAINDER,
    Buckets,
    World,
    check_results,
    data_versions,
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
    assert table_of(event, "prefixes")[0]["prefix"] == "(all other keys)"


def test_the_table_of_prefixes_has_the_new_ones_first_and_counts_those_beyond_a_screen(
    world: World, buckets: Buckets
) -> None:
    buckets.keys["memory"] = {f"{number:02}/x" for number in range(SHARDS_SHOWN + 4)}
    world.run("shards")
    buckets.keys["memory"].add("new/x")
    rows = table_of(materializations(world.run("shards"))["None"], "prefixes")
    assert [row["partition"] for row in rows[:3]] == ["new/", REMAINDER, "00/"]
    assert len(rows) == SHARDS_SHOWN + 1
    assert rows[-1] == {"partition": "(6 others)", "prefix": ""}


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


def test_too_many_prefixes_add_the_remainder_alone_and_a_check_warns(
    make_world: Callable[..., World],
) -> None:
    world = make_world(["a/1", "b/1", "c/1"], shards=Shards(max_shards=2))
    outcome = world.run("shards")
    assert outcome.success
    assert world.shard_keys == [REMAINDER]
    check = check_results(outcome)["shards_within_bounds", "None"]
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert "more than 2 prefixes under '' would be shards" in str(check.description)
    assert metadata_of(materializations(outcome)["None"], "shards") == 1


def test_the_check_passes_if_every_prefix_has_a_shard(world: World) -> None:
    assert check_results(world.run("shards"))["shards_within_bounds", "None"].passed
