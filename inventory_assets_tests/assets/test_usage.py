"""`prefix_usage`: objects and bytes of a date, by prefix."""

from datetime import timedelta

from inventory_assets.inventory.usage.date_usage import read_usage
from inventory_assets_tests.assets.test_automation import Daemon
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


def test_the_usage_is_published_with_its_metadata_and_check(world: World, buckets: Buckets) -> None:
    world.pass_day(YESTERDAY)
    assert world.run("prefix_usage", str(YESTERDAY)).success
    buckets.keys["memory"] |= {"a/more", "root2"}
    world.pass_day(TODAY)
    outcome = world.run("prefix_usage", DAY)
    usage = read_usage(world.store, world.layout, TODAY)
    assert usage is not None
    event = materializations(outcome)[DAY]
    keys = buckets.keys["memory"]
    assert metadata_of(event, "objects") == len(keys)
    assert metadata_of(event, "size") == f"{metadata_of(event, 'object_bytes')} B"
    assert metadata_of(event, "objects_change") == 2
    assert metadata_of(event, "monthly_cost").endswith(f" USD ({world.assets.prices.label})")
    assert metadata_of(event, "monthly_usd") > 0
    assert metadata_of(event, "noncurrent_size") == "0 B, 0.0 % of all bytes"
    report = world.store.where(world.layout.report(TODAY))
    assert metadata_of(event, "html_report") == report
    assert metadata_of(event, "growth").endswith(f" B since {YESTERDAY}")
    assert "bytes_change_7d" not in event.metadata
    rows = table_of(event, "prefixes")
    folders = {key.split("/")[0] + "/" for key in keys if "/" in key}
    assert {row["prefix"] for row in rows} == folders
    (row,) = (row for row in rows if row["prefix"] == "a/")
    assert row["growth"].startswith("+")
    assert data_versions(outcome) == {DAY: usage.identity}
    assert check_results(outcome)["usage_reconciles", DAY].passed


def test_no_more_than_20_prefixes_are_shown(world: World, buckets: Buckets) -> None:
    buckets.keys["memory"] = {f"a/{number:02}/key" for number in range(30)}
    world.pass_day(TODAY)
    event = materializations(world.run("prefix_usage", DAY))[DAY]
    rows = table_of(event, "prefixes")
    assert len(rows) == 21
    assert rows[0]["prefix"] == "a/"
    assert rows[-1]["prefix"] == "(and 11 more)"
    assert metadata_of(event, "dagster/row_count") == 32


def test_an_equal_inventory_makes_an_equal_version(world: World) -> None:
    world.pass_day(TODAY)
    assert data_versions(world.run("prefix_usage", DAY)) == data_versions(
        world.run("prefix_usage", DAY)
    )


def test_without_a_manifest_it_says_what_to_do(world: World) -> None:
    outcome = world.run("prefix_usage", DAY)
    assert f"{DAY}: no manifest was published; materialize inventory_manifest first" in (
        failure_text(outcome)
    )
    outcome = world.run_check("prefix_usage", "usage_reconciles", DAY)
    assert f"{DAY}: no usage was published; materialize it first" in failure_text(outcome)


def test_the_check_on_its_own_finds_a_table_that_vanished(world: World) -> None:
    world.pass_day(TODAY)
    assert world.run("prefix_usage", DAY).success
    assert world.run_check("prefix_usage", "usage_reconciles", DAY).success
    usage = read_usage(world.store, world.layout, TODAY)
    assert usage is not None
    world.store.path(usage.by_prefix.key).unlink()
    outcome = world.run_check("prefix_usage", "usage_reconciles", DAY)
    assert not check_results(outcome)["usage_reconciles", DAY].passed


def test_a_week_and_a_month_are_plotted_apart(world: World, buckets: Buckets) -> None:
    for days in (8, 0):
        day = TODAY - timedelta(days=days)
        world.pass_day(day)
        outcome = world.run("prefix_usage", str(day))
        buckets.keys["memory"].add("a/later")
    event = materializations(outcome)[DAY]
    assert metadata_of(event, "objects_change_7d") == metadata_of(event, "objects_change") == 1


def test_it_follows_the_manifest(world: World) -> None:
    world.discover()
    daemon = Daemon(world, ("inventory_manifest", "prefix_usage"))
    world.list_all()
    assert daemon.tick() == {"inventory_manifest": {DAY}}
    assert world.run("inventory_manifest", DAY).success
    assert daemon.tick() == {"prefix_usage": {DAY}}
    assert world.run("prefix_usage", DAY).success
    assert daemon.tick() == {}
