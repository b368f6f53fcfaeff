"""A date beyond a bound is held, in Dagster, and a person releases it."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest

from inventory_assets.defs.release_job import release_op_name
from inventory_assets.inventory.gate.held_date import held_dates, read_held
from inventory_assets.inventory.gate.publication import release_date
from inventory_assets.inventory.manifest.manifest_merge import read_manifest
from inventory_assets.inventory.manifest.snapshot import publish_snapshot, read_snapshots
from inventory_assets.inventory.query.dataset import Dataset
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets_tests.assets.test_automation import Daemon
from inventory_assets_tests.assets.world import (
    TODAY,
    YESTERDAY,
    Buckets,
    Outcome,
    World,
    check_results,
    failure_text,
    materializations,
    metadata_of,
    noon,
)
from inventory_assets_tests.inventory.gate.gated_dates import die, interrupted
from inventory_assets_tests.inventory.histories import Killed

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning")
DAY = str(TODAY)
NAMES = ("inventory_manifest", "change_log", "prefix_usage", "storage_report")


@pytest.fixture
def make_memory(tmp_path: Path) -> Iterator[Callable[..., World]]:
    """Makes a world over a bucket in memory."""
    with dg.DagsterInstance.ephemeral() as instance:
        yield lambda **fields: World(tmp_path, instance, {"bucket": "memory", **fields})


def fail_requests(world: World) -> None:
    """Let the listings of the day have met many errors, as their snapshots tell."""
    for prefix, snapshot in read_snapshots(world.store, world.layout, world.day).items():
        failing = replace(snapshot, requests=1_000, faults={"throttled": 50})
        assert prefix == failing.shard.prefix
        publish_snapshot(world.store, world.layout, failing)


def list_badly(world: World) -> None:
    world.discover()
    assert world.list_all().success
    fail_requests(world)


def release(
    world: World,
    day: str = DAY,
    because: str = "only slow",
    tags: Mapping[str, str] | None = None,
) -> Outcome:
    ops = {release_op_name(world.assets): {"config": {"date": day, "because": because}}}
    return world.run_job(world.assets.release_job, ops, tags)


def blocking_checks(outcome: Outcome) -> Mapping[str, bool]:
    return {
        name: event.passed for (name, _), event in check_results(outcome).items() if event.blocking
    }


def test_a_held_date_fails_with_the_number_and_the_bound_and_is_not_published(
    world: World,
) -> None:
    world.pass_day(YESTERDAY)
    world.set_day(TODAY)
    list_badly(world)
    outcome = world.run("inventory_manifest", DAY)
    assert not outcome.success
    assert materializations(outcome) == {}
    gate = check_results(outcome)["publish_gate", DAY]
    assert (gate.passed, gate.blocking, gate.severity) == (
        False,
        True,
        dg.AssetCheckSeverity.ERROR,
    )
    assert "requests failed, 5.00% of them; the bound is 0.8 %" in (gate.description or "")
    assert gate.metadata["last_published_date"].value == str(YESTERDAY)
    assert "src_release_date" in failure_text(outcome)
    assert f'inventory release src@{DAY} --because "..."' in failure_text(outcome)
    assert read_manifest(world.store, world.layout, TODAY) is None
    assert Dataset.of_date(world.store, world.layout).day == YESTERDAY


def test_the_other_checks_of_a_held_date_have_their_own_results(world: World) -> None:
    """Without a result, Dagster would show them as failed, too."""
    list_badly(world)
    outcome = world.run("inventory_manifest", DAY)
    results = {name: each.passed for (name, _), each in check_results(outcome).items()}
    key = world.assets.key("inventory_manifest")
    checks = {spec.name for spec in world.definitions.get_assets_def(key).check_specs}
    assert results == {name: name != "publish_gate" for name in checks}


def test_a_release_in_the_ui_publishes_it_with_who_when_and_why_and_all_its_checks(
    world: World,
) -> None:
    list_badly(world)
    world.run("inventory_manifest", DAY)
    held = read_held(world.store, world.layout, TODAY)
    assert held is not None
    outcome = release(world)
    assert outcome.success
    manifest = read_manifest(world.store, world.layout, TODAY)
    assert manifest is not None
    assert replace(manifest, release=None) == held.manifest[0]
    assert manifest.release is not None
    assert manifest.release.released_by == f"Dagster run {outcome.run_id}"
    event = materializations(outcome)[DAY]
    assert metadata_of(event, "released_because") == "only slow"
    assert (event.tags or {})["dagster/data_version"] == manifest.identity
    assert blocking_checks(outcome) == {
        "listing_complete": True,
        "shards_cover_source": True,
        "data_files_exist": True,
        "publish_gate": True,
    }
    gate = check_results(outcome)["publish_gate", DAY]
    assert "because: only slow" in (gate.description or "")


def test_broken_evidence_holds_a_date_and_does_not_stop_what_is_downstream_of_its_release(
    world: World,
) -> None:
    world.discover()
    assert world.list_all().success
    for snapshot in read_snapshots(world.store, world.layout, TODAY).values():
        first, *others = snapshot.evidence
        broken = (replace(first, rows=first.rows + 1), *others)
        publish_snapshot(world.store, world.layout, replace(snapshot, evidence=broken))
    outcome = world.run("inventory_manifest", DAY)
    checks = check_results(outcome)
    assert not checks["listing_complete", DAY].passed
    assert "the evidence is broken: shard " in (checks["publish_gate", DAY].description or "")
    assert read_manifest(world.store, world.layout, TODAY) is None
    outcome = release(world)
    assert outcome.success
    assert all(blocking_checks(outcome).values())
    listings = check_results(outcome)["listing_complete", DAY]
    assert (listings.description or "").startswith("released, although ")


def test_the_user_of_the_run_is_named_where_dagster_knows_one(world: World) -> None:
    list_badly(world)
    world.run("inventory_manifest", DAY)
    assert release(world, tags={"user": "ada@example.com"}).success
    manifest = read_manifest(world.store, world.layout, TODAY)
    assert manifest is not None
    assert manifest.release is not None
    assert manifest.release.released_by == "ada@example.com (Dagster)"


@pytest.mark.parametrize(
    ("day", "because", "message"),
    [
        (DAY, "why not", f"src on {DAY} is not held"),
        ("2026-02-30", "why not", "'2026-02-30' is not a date"),
        (DAY, " ", "a release needs a reason"),
    ],
)
def test_a_release_of_what_is_not_held_is_a_clear_failure(
    world: World, day: str, because: str, message: str
) -> None:
    outcome = release(world, day, because)
    assert not outcome.success
    assert message in failure_text(outcome)


def test_what_is_downstream_waits_for_the_release_and_then_runs(world: World) -> None:
    world.discover()
    daemon = Daemon(world, NAMES)
    list_badly(world)
    assert daemon.tick() == {"inventory_manifest": {DAY}}
    assert world.run("object_changes", tags=world.range_tags()).success
    assert not world.run("inventory_manifest", DAY).success
    assert daemon.tick() == {}
    assert daemon.tick() == {}
    assert release(world).success
    assert daemon.tick() == {"change_log": {DAY}, "prefix_usage": {DAY}}
    assert world.run("change_log", DAY).success
    assert world.run("prefix_usage", DAY).success


def test_downstream_of_a_published_date_that_is_held_when_listed_again_waits_too(
    world: World, buckets: Buckets
) -> None:
    world.pass_day(TODAY)
    daemon = Daemon(world, NAMES)
    daemon.tick()
    buckets.keys["memory"].add("b/2")
    list_badly(world)
    assert daemon.tick() == {"inventory_manifest": {DAY}}
    assert world.run("object_changes", tags=world.range_tags()).success
    assert not world.run("inventory_manifest", DAY).success
    assert daemon.tick() == {}
    assert daemon.tick() == {}
    assert release(world).success
    assert daemon.tick() == {"change_log": {DAY}, "prefix_usage": {DAY}}


def test_a_check_alone_says_that_a_newer_listing_of_a_published_date_is_held(
    world: World, buckets: Buckets
) -> None:
    world.pass_day(TODAY)
    buckets.keys["memory"].add("b/2")
    list_badly(world)
    world.run("inventory_manifest", DAY)
    outcome = world.run_check("inventory_manifest", "publish_gate", DAY)
    assert not check_results(outcome)["publish_gate", DAY].passed
    assert release(world).success
    outcome = world.run_check("inventory_manifest", "publish_gate", DAY)
    assert check_results(outcome)["publish_gate", DAY].passed


def test_a_hold_that_nobody_releases_does_not_block_the_next_day(world: World) -> None:
    world.pass_day(TODAY - timedelta(days=2))
    world.set_day(YESTERDAY)
    list_badly(world)
    assert not world.run("inventory_manifest", str(YESTERDAY)).success
    world.pass_day(TODAY)
    manifest = read_manifest(world.store, world.layout, TODAY)
    assert manifest is not None
    assert manifest.baseline is not None
    assert manifest.baseline.day == TODAY - timedelta(days=2)
    assert [each.day for each in held_dates(world.store, world.layout)] == [YESTERDAY]


def test_the_report_of_the_next_date_tells_of_a_held_date_and_of_its_own_release(
    world: World,
) -> None:
    world.pass_day(TODAY - timedelta(days=2))
    for day in (YESTERDAY, TODAY):
        world.set_day(day)
        list_badly(world)
        assert not world.run("inventory_manifest", str(day)).success
    assert release(world, because="<b>only</b> slow").success
    for name in ("prefix_usage", "storage_report"):
        assert world.run(name, DAY).success
    page = (world.store.read(world.layout.report(TODAY)) or b"").decode()
    assert f"A listing of {YESTERDAY} is held and not published: " in page
    assert "This date was held (" in page
    assert "because: &lt;b&gt;only&lt;/b&gt; slow." in page


def test_a_fall_beyond_a_configured_bound_of_growth_holds_the_date(
    make_memory: Callable[..., World], buckets: Buckets
) -> None:
    world = make_memory(growth={"fell_percent": 50, "min_objects": 1})
    buckets.keys["memory"] = {f"a/{number}" for number in range(8)} | {"b/1", "root"}
    world.pass_day(YESTERDAY)
    buckets.keys["memory"] = {"b/1", "root"}
    world.set_day(TODAY)
    world.discover()
    assert world.list_all().success
    outcome = world.run("inventory_manifest", DAY)
    assert not outcome.success
    gate = check_results(outcome)["publish_gate", DAY]
    assert f"in objects, from 10 on {YESTERDAY} to 2 on {DAY}" in (gate.description or "")
    assert (gate.description or "").endswith("the bound is 50 %")


# A release outside of Dagster


def ticked(world: World) -> list[dg.RunRequest]:
    sensor = world.definitions.resolve_sensor_def("src_releases")
    context = dg.build_sensor_context(
        instance=world.instance,
        resources=world.resources(),
        definitions=world.definitions,
        sensor_name="src_releases",
    )
    return list(sensor.evaluate_tick(context).run_requests or [])


def test_dagster_is_told_of_a_release_elsewhere_and_runs_what_is_downstream(world: World) -> None:
    world.discover()
    daemon = Daemon(world, NAMES)
    list_badly(world)
    daemon.tick()
    assert world.run("object_changes", tags=world.range_tags()).success
    assert not world.run("inventory_manifest", DAY).success
    assert ticked(world) == []
    released = release_date(
        world.store, world.layout, TODAY, "ada", "only slow", lambda: noon(TODAY)
    )
    [request] = ticked(world)
    assert request.partition_key == DAY
    assert world.run("inventory_manifest", request.partition_key).success
    assert read_manifest(world.store, world.layout, TODAY) == released
    assert ticked(world) == []
    assert daemon.tick() == {"change_log": {DAY}, "prefix_usage": {DAY}}


def test_a_release_by_the_job_needs_no_further_run(world: World) -> None:
    list_badly(world)
    world.run("inventory_manifest", DAY)
    assert release(world).success
    assert ticked(world) == []


def kill_release(world: World, writes: int) -> None:
    """Release the day by the command, whose process is killed before one of its writes."""
    store = interrupted(LocalStore(world.store.root), writes, die)
    with pytest.raises(Killed):
        release_date(store, world.layout, TODAY, "ada", "only slow", lambda: noon(TODAY))


@pytest.mark.parametrize("writes", [1, 2, 3, 4])
def test_a_release_that_was_killed_is_finished_by_the_sensors_run(
    world: World, writes: int
) -> None:
    list_badly(world)
    assert not world.run("inventory_manifest", DAY).success
    kill_release(world, writes)
    assert ticked(world) == [], "its process may still be at work"
    world.set_time(noon(TODAY) + timedelta(minutes=3))
    [request] = ticked(world)
    assert request.partition_key == DAY
    assert world.run("inventory_manifest", request.partition_key).success
    manifest = read_manifest(world.store, world.layout, TODAY)
    assert manifest is not None
    assert manifest.release is not None
    assert manifest.release.released_by == "ada"
    assert ticked(world) == []


def test_a_run_for_a_release_that_failed_is_requested_again_in_the_next_hour_and_for_a_week(
    world: World,
) -> None:
    list_badly(world)
    world.run("inventory_manifest", DAY)
    kill_release(world, 1)
    keys = []
    for later in (
        timedelta(minutes=3),
        timedelta(minutes=4),
        timedelta(hours=1),
        timedelta(days=6),
    ):
        world.set_time(noon(TODAY) + later)
        keys += [request.run_key for request in ticked(world)]
    assert len(keys) == 4
    assert len(set(keys)) == 3
    world.set_time(noon(TODAY) + timedelta(days=7, minutes=1))
    assert ticked(world) == []


def test_no_run_is_requested_for_a_release_while_one_for_it_is_in_progress(world: World) -> None:
    list_badly(world)
    world.run("inventory_manifest", DAY)
    kill_release(world, 1)
    world.set_time(noon(TODAY) + timedelta(minutes=3))
    [request] = ticked(world)
    job = world.definitions.resolve_implicit_global_asset_job_def()
    tags = {"dagster/partition": DAY, "dagster/sensor_name": "src_releases", **request.tags}
    run = world.instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED, tags=tags)
    world.set_time(noon(TODAY) + timedelta(hours=2))
    assert ticked(world) == []
    world.instance.report_run_failed(run)
    assert len(ticked(world)) == 1


def test_a_released_date_that_is_held_again_needs_no_run(world: World, buckets: Buckets) -> None:
    list_badly(world)
    world.run("inventory_manifest", DAY)
    release_date(world.store, world.layout, TODAY, "ada", "only slow", lambda: noon(TODAY))
    assert len(ticked(world)) == 1
    buckets.keys["memory"].add("b/2")
    list_badly(world)
    assert not world.run("inventory_manifest", DAY).success
    assert read_held(world.store, world.layout, TODAY) is not None
    assert ticked(world) == []


def test_a_damaged_record_of_a_hold_does_not_stop_the_sensor(world: World) -> None:
    world.pass_day(YESTERDAY)
    world.store.publish(world.layout.held(YESTERDAY), b"{")
    world.set_day(TODAY)
    list_badly(world)
    world.run("inventory_manifest", DAY)
    release_date(world.store, world.layout, TODAY, "ada", "only slow", lambda: noon(TODAY))
    assert [request.partition_key for request in ticked(world)] == [DAY]
