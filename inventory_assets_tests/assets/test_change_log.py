"""`change_log`: a date's changes over all shards."""

from inventory_assets.inventory.change_log import read_change_log
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


def test_a_log_is_published_with_its_facts_and_check(world: World, buckets: Buckets) -> None:
    world.pass_day(YESTERDAY)
    buckets.keys["memory"] ^= {"a/1", "root2"}
    world.pass_day(TODAY)
    outcome = world.run("change_log", DAY)
    log = read_change_log(world.store, world.layout, TODAY)
    assert log is not None
    event = materializations(outcome)[DAY]
    facts = ("dagster/row_count", "created", "deleted", "baseline", "files")
    assert [metadata_of(event, name) for name in facts] == [2, 1, 1, str(YESTERDAY), 2]
    symlink = world.store.path(world.layout.change_log_symlink(TODAY))
    assert metadata_of(event, "symlink") == str(symlink)
    assert sum(row["created"] for row in table_of(event, "shards")) == 1
    assert data_versions(outcome) == {DAY: log.identity}
    assert check_results(outcome)["change_log_balances", DAY].passed


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
    outcome = world.run_check("change_log", "change_log_balances", DAY)
    assert not check_results(outcome)["change_log_balances", DAY].passed
