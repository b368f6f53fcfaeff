"""How the listings of a date spent their time, as the UI shows it."""

from dataclasses import replace
from datetime import date, timedelta

import dagster as dg

from inventory_assets.inventory.manifest.snapshot import read_snapshots
from inventory_assets.inventory.runs.cause import Cause
from inventory_assets.inventory.runs.date_run import DATE_RUN, DateRun, read_date_run
from inventory_assets.inventory.runs.regressions import LEAST_RUNS, RunSummary
from inventory_assets.inventory.runs.shard_run import read_shard_run
from inventory_assets.inventory.storage.commit import publish
from inventory_assets_tests.assets.world import (
    TODAY,
    World,
    check_results,
    materializations,
    metadata_of,
    noon,
    table_of,
)

DAY = str(TODAY)
SPEED = ("listing_speed_steady", DAY)


def date_run(world: World) -> DateRun:
    run = read_date_run(world.store, world.layout, TODAY)
    assert run is not None
    return run


def pretend(world: World, day: date, *shards: RunSummary) -> None:
    """Publish the run record of a day on which some shards took as long as `shards` say."""
    run = replace(date_run(world), day=day, shards=shards)
    publish(world.store, DATE_RUN.file(world.layout.date_run(day), run))


def summary(seconds: float) -> RunSummary:
    return RunSummary("a/", seconds, 1000, 10, 0, 0.1, Cause.LIMIT, {Cause.LIMIT: seconds})


def test_a_listing_says_what_limited_it(world: World) -> None:
    world.discover()
    for event in materializations(world.list_all()).values():
        assert "Nothing limited the listing: it was short" in metadata_of(event, "limited_by")
    run = read_shard_run(world.store, world.layout, TODAY, "a/", noon(TODAY))
    assert run is not None
    assert (run.prefix, run.source) == ("a/", world.layout.source)
    assert run.figures.requests > 0


def test_a_manifest_says_what_limited_the_listings_of_the_date(world: World) -> None:
    world.discover()
    world.list_all()
    outcome = world.run("inventory_manifest", DAY)
    event = materializations(outcome)[DAY]
    assert "limited the listing" in metadata_of(event, "limited_by")
    assert metadata_of(event, "listing_seconds") > 0
    run = date_run(world)
    assert run.unknown == 0
    assert "a/" in {each.prefix for each in run.shards}
    assert run.figures.rows == metadata_of(event, "dagster/row_count")
    check = check_results(outcome)[SPEED]
    assert check.passed
    assert "fewer than 3 earlier runs" in str(check.description)


def test_a_slower_shard_is_a_warning_that_names_its_root_cause(world: World) -> None:
    world.discover()
    world.list_all()
    assert world.run("inventory_manifest", DAY).success
    for age in range(1, LEAST_RUNS + 1):
        pretend(world, TODAY - timedelta(days=age), summary(20.0))
    slow = RunSummary(
        "a/", 90.0, 1000, 10, 0, 0.1, Cause.THROTTLING, {Cause.LIMIT: 21, Cause.THROTTLING: 69}
    )
    pretend(world, TODAY, slow)
    outcome = world.run_check("inventory_manifest", "listing_speed_steady", DAY)
    check = check_results(outcome)[SPEED]
    assert not check.passed
    assert check.severity is dg.AssetCheckSeverity.WARN
    assert not check.blocking
    assert "'a/' took 90 s, 4.5 times as long" in str(check.description)
    assert "mostly by throttling (+69 s)" in str(check.description)
    assert table_of(check, "shards")[0]["root_cause"] == "throttling"
    assert outcome.success


def test_a_date_without_run_records_passes(world: World) -> None:
    world.discover()
    world.list_all()
    for prefix in read_snapshots(world.store, world.layout, TODAY):
        world.store.remove_key(world.layout.shard_run(TODAY, prefix))
    outcome = world.run("inventory_manifest", DAY)
    assert outcome.success
    check = check_results(outcome)[SPEED]
    assert check.passed
    assert check.description == "the listings have no run record"
    assert "limited_by" not in materializations(outcome)[DAY].metadata
