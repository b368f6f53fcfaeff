"""`storage_report`: the page that shows a date's inventory to people."""

from datetime import timedelta

import pytest

from inventory_assets.inventory.manifest.manifest import Manifest
from inventory_assets.inventory.manifest.manifest_merge import read_manifest
from inventory_assets.inventory.report.date_report import ReportPrices, collect
from inventory_assets.inventory.report.report_data import ReportData
from inventory_assets.wiring.prices import usage_pricing
from inventory_assets_tests.assets.test_automation import Daemon
from inventory_assets_tests.assets.test_gate import list_badly
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

DAY = str(TODAY)
SHOWN = ["prefix_usage", "hygiene_report", "storage_report"]


def show(world: World, day: str) -> None:
    for name in SHOWN:
        outcome = world.run(name, day)
        assert outcome.success, failure_text(outcome)


def page_of(world: World) -> str:
    data = world.store.read(world.layout.report(TODAY))
    assert data is not None
    return data.decode()


def manifest_of(world: World) -> Manifest:
    manifest = read_manifest(world.store, world.layout, TODAY)
    assert manifest is not None
    return manifest


def collected(world: World) -> ReportData:
    prices = world.assets.prices
    return collect(
        world.store, world.layout, TODAY, ReportPrices(usage_pricing(prices), prices.label)
    )


@pytest.fixture
def two_days(world: World, buckets: Buckets) -> World:
    world.pass_day(YESTERDAY)
    show(world, str(YESTERDAY))
    buckets.keys["memory"] |= {"a/more", "a/<script>alert(1)</script>"}
    world.pass_day(TODAY)
    show(world, DAY)
    return world


def test_a_page_is_published_beside_the_manifest(two_days: World, buckets: Buckets) -> None:
    page = page_of(two_days)
    assert f'<data value="{len(buckets.keys["memory"])}">' in page
    assert f"since {YESTERDAY}" in page
    assert "<script" not in page


def test_the_page_of_a_published_date_shows_no_run_of_what_is_held(
    two_days: World, buckets: Buckets
) -> None:
    assert collected(two_days).run is not None
    buckets.keys["memory"].add("held/1")
    list_badly(two_days)
    assert not two_days.run("inventory_manifest", DAY).success
    assert collected(two_days).run is None


def test_what_the_page_shows_agrees_with_the_manifest(two_days: World) -> None:
    data = collected(two_days)
    manifest = manifest_of(two_days)
    assert (data.now.total.objects, data.now.total.bytes) == (manifest.rows, manifest.object_bytes)
    assert [each.day for each in data.history] == [YESTERDAY, TODAY]
    assert data.history[1].total.objects - data.history[0].total.objects == 2
    assert sum(row.total.objects for row in data.classes) == manifest.rows
    assert data.ages is not None
    assert sum(each.objects for row in data.ages.totals for each in row) == manifest.rows
    assert all(check.passed for check in data.checks)
    assert data.identity == manifest.identity
    assert "us-east-1" in data.prices


def test_what_changed_is_told_once(two_days: World) -> None:
    (changes,) = (each for each in collected(two_days).sections if each.title == "What changed")
    counts = {row[0]: row[1] for row in changes.tables["Changed objects"].rows}
    assert counts["created"] == 2
    changed = changes.tables[f"The prefixes that changed most since {YESTERDAY}"]
    assert [row[0] for row in changed.rows] == ["a/"]


def test_a_missing_file_is_shown(two_days: World) -> None:
    part = manifest_of(two_days).parts[0]
    two_days.store.remove_key(part.key)
    (failed,) = (check for check in collected(two_days).checks if not check.passed)
    assert failed.name == "The data files exist"
    assert part.key in failed.text


def test_the_metadata_has_the_headlines(two_days: World) -> None:
    event = materializations(two_days.run("storage_report", DAY))[DAY]
    assert metadata_of(event, "objects") == manifest_of(two_days).rows
    assert metadata_of(event, "report").endswith(f"reports/dt={DAY}/report.html")
    assert metadata_of(event, "growth").endswith(f"since {YESTERDAY}")
    assert "estimated" in metadata_of(event, "cost_per_month")
    assert metadata_of(event, "monthly_usd") > 0
    assert metadata_of(event, "bytes_change") > 0
    assert metadata_of(event, "bytes_over_dates").startswith("![bytes over dates: ")


def test_an_equal_page_has_an_equal_version(two_days: World) -> None:
    first = data_versions(two_days.run("storage_report", DAY))
    assert first == data_versions(two_days.run("storage_report", DAY)) != {}


def test_without_usage_there_is_no_report(world: World) -> None:
    world.pass_day(TODAY)
    outcome = world.run("storage_report", DAY)
    assert not outcome.success
    assert "materialize prefix_usage first" in failure_text(outcome)


def test_without_hygiene_the_report_says_what_it_leaves_out(world: World) -> None:
    world.pass_day(TODAY)
    assert world.run("prefix_usage", DAY).success
    assert world.run("storage_report", DAY).success
    assert "no hygiene report was published for this date" in page_of(world)


def test_a_date_before_is_compared_after_a_gap(world: World, buckets: Buckets) -> None:
    world.pass_day(TODAY - timedelta(1))
    assert world.run("prefix_usage", str(TODAY - timedelta(1))).success
    buckets.keys["memory"] -= {"root"}
    world.pass_day(TODAY)
    show(world, DAY)
    assert collected(world).compared_with == TODAY - timedelta(1)


def test_the_report_follows_the_usage_the_findings_and_the_changes(world: World) -> None:
    names = [*SHOWN, "change_log"]
    daemon = Daemon(world, names)
    world.pass_day(TODAY)
    requested: list[str] = []
    for _ in range(6):
        for name in (found := daemon.tick()):
            assert world.run(name, DAY).success
        requested += found
    assert sorted(requested) == sorted(names)  # each once
    assert "Storage report of" in page_of(world)
