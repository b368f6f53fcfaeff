"""`change_log`: a date's changes over all shards."""

import json
from datetime import date, timedelta

from inventory_assets.defs.source.metadata_tables import SHARDS_SHOWN
from inventory_assets.inventory.changes.change_log import read_change_log
from inventory_assets_tests.assets.world import (
    TODAY,
    YESTERDAY,
    Buckets,
    World,
    check_results,
    data_versions,
    failure_text,
    materializations,
    metadata_of,
    table_of,
)

DAY = str(TODAY)


def test_a_log_is_published_with_its_metadata_and_check(world: World, buckets: Buckets) -> None:
    world.pass_day(YESTERDAY)
    buckets.keys["memory"] ^= {"a/1", "root2"}
    world.pass_day(TODAY)
    outcome = world.run("change_log", DAY)
    log = read_change_log(world.store, world.layout, TODAY)
    assert log is not None
    event = materializations(outcome)[DAY]
    values = ("dagster/row_count", "created", "deleted", "baseline", "files")
    assert [metadata_of(event, name) for name in values] == [2, 1, 1, str(YESTERDAY), 2]
    symlink = world.store.path(world.layout.change_log_symlink(TODAY))
    assert metadata_of(event, "symlink") == str(symlink)
    assert sum(row["created"] for row in table_of(event, "shards")) == 1
    assert data_versions(outcome) == {DAY: log.identity}
    assert check_results(outcome)["change_log_reconciles", DAY].passed


def test_the_table_of_a_log_has_the_shards_with_most_changes_and_the_sums_of_the_others(
    world: World, buckets: Buckets
) -> None:
    changed, unchanged = SHARDS_SHOWN + 3, 5
    keys = {f"{number:02}/old" for number in range(changed + unchanged)}
    buckets.keys["memory"] = keys
    world.pass_day(YESTERDAY)
    buckets.keys["memory"] = keys | {f"{number:02}/new" for number in range(changed)} | {"09/more"}
    world.pass_day(TODAY)
    rows = table_of(materializations(world.run("change_log", DAY))[DAY], "shards")
    assert [(row["prefix"], row["created"]) for row in rows[:2]] == [("09/", 2), ("00/", 1)]
    assert len(rows) == SHARDS_SHOWN + 1
    # The remainder is one of the others.
    assert (rows[-1]["prefix"], rows[-1]["created"]) == ("(9 other shards)", 3)


def test_without_a_manifest_the_log_says_what_to_do(world: World) -> None:
    outcome = world.run("change_log", DAY)
    assert f"{DAY}: no manifest was published; materialize inventory_manifest first" in (
        failure_text(outcome)
    )
    assert materializations(outcome) == {}


def test_the_check_on_its_own_finds_a_file_that_vanished(world: World) -> None:
    world.pass_day(TODAY)
    log = read_change_log(world.store, world.layout, TODAY)
    assert log is not None
    world.store.path(log.files[0]).unlink()
    outcome = world.run_check("change_log", "change_log_reconciles", DAY)
    assert not check_results(outcome)["change_log_reconciles", DAY].passed


def test_the_check_on_its_own_adds_up_each_shard(world: World, buckets: Buckets) -> None:
    """Two shards whose records are wrong by one each may add up together."""
    world.pass_day(YESTERDAY)
    buckets.keys["memory"].add("a/new")
    world.pass_day(TODAY)
    outcome = world.run_check("change_log", "change_log_reconciles", DAY)
    assert check_results(outcome)["change_log_reconciles", DAY].passed
    for prefix, change in (("a/", 1), ("b/", -1)):
        key = world.layout.changes(TODAY, prefix)
        record = json.loads(world.store.path(key).read_bytes())
        record["snapshot_rows"] += change
        world.store.publish(key, json.dumps(record).encode())
    outcome = world.run_check("change_log", "change_log_reconciles", DAY)
    check = check_results(outcome)["change_log_reconciles", DAY]
    assert not check.passed
    for prefix in ("a/", "b/"):
        assert f"{prefix!r}: " in str(check.description)


def test_a_log_whose_baseline_comes_later_is_found_to_be_outdated(
    world: World, buckets: Buckets
) -> None:
    """By the run that logs the date that was missing, and by the check on its own."""
    world.pass_day(TODAY - timedelta(days=2))
    buckets.keys["memory"].add("a/new")
    world.pass_day(TODAY)
    assert check_of(world, TODAY)
    world.pass_day(YESTERDAY)
    outcome = world.run("change_log", str(YESTERDAY))
    said = [entry.user_message for entry in world.instance.all_logs(outcome.run_id)]
    advice = f"materialize object_changes for {DAY} and all shards, then change_log"
    assert sum(advice in sentence for sentence in said) == 1
    assert not check_of(world, TODAY)
    world.set_day(TODAY)
    assert world.run("object_changes", tags=world.range_tags()).success
    assert world.run("change_log", DAY).success
    assert check_of(world, TODAY)


def forget(world: World, shard_key: str) -> None:
    """Delete the partition of a shard, as a user does in the UI."""
    name = world.assets.partitions.shards_name
    world.instance.delete_dynamic_partition(name, shard_key)


def test_a_shard_whose_partition_was_deleted_is_compared_by_the_log(
    world: World, buckets: Buckets
) -> None:
    world.pass_day(YESTERDAY)
    buckets.keys["memory"] ^= {"a/1", "b/2", "root2"}
    world.set_day(TODAY)
    assert world.list_all().success
    forget(world, "a/")
    for key in world.shard_keys:
        assert world.run("object_changes", world.key(key)).success
    assert world.run("inventory_manifest", DAY).success
    outcome = world.run("change_log", DAY)
    assert outcome.success
    event = materializations(outcome)[DAY]
    assert [metadata_of(event, name) for name in ("created", "deleted")] == [2, 1]
    assert metadata_of(event, "compared_here") == ["a/"]
    said = [entry.user_message for entry in world.instance.all_logs(outcome.run_id)]
    warning = "shard 'a/' was deleted; change_log compared it for"
    assert sum(warning in sentence for sentence in said) == 1
    assert check_results(outcome)["change_log_reconciles", DAY].passed
    assert data_versions(world.run("change_log", DAY)) == data_versions(outcome)


def test_a_shard_without_partition_is_compared_again_with_a_baseline_that_came_later(
    world: World, buckets: Buckets
) -> None:
    world.pass_day(TODAY - timedelta(days=2))
    buckets.keys["memory"] ^= {"a/1"}
    world.pass_day(TODAY)
    world.pass_day(YESTERDAY)
    forget(world, "a/")
    world.set_day(TODAY)
    for key in world.shard_keys:
        assert world.run("object_changes", world.key(key)).success
    outcome = world.run("change_log", DAY)
    assert outcome.success
    event = materializations(outcome)[DAY]
    values = [metadata_of(event, name) for name in ("baseline", "dagster/row_count")]
    assert values == [str(YESTERDAY), 0]


def test_a_shard_that_has_its_partition_is_left_to_object_changes(world: World) -> None:
    world.pass_day(YESTERDAY)
    world.set_day(TODAY)
    assert world.list_all().success
    assert world.run("inventory_manifest", DAY).success
    assert "materialize object_changes" in failure_text(world.run("change_log", DAY))


def test_a_source_whose_shards_were_all_forgotten_is_logged_all_the_same(
    world: World, buckets: Buckets
) -> None:
    world.pass_day(YESTERDAY)
    buckets.keys["memory"] ^= {"a/1", "root2"}
    world.set_day(TODAY)
    assert world.list_all().success
    world.forget_shards()
    assert world.run("inventory_manifest", DAY).success
    event = materializations(world.run("change_log", DAY))[DAY]
    assert metadata_of(event, "dagster/row_count") == 2


def check_of(world: World, day: date) -> bool:
    """The violations that the check finds when run alone."""
    outcome = world.run_check("change_log", "change_log_reconciles", str(day))
    return bool(check_results(outcome)["change_log_reconciles", str(day)].passed)
