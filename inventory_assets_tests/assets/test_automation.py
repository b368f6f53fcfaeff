"""Automation after a listing, evaluated like Dagster's daemon does."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path

import dagster as dg
import pytest

from inventory_assets.config import Metadata, Shards
from inventory_assets.inventory.manifest.snapshot import read_snapshot
from inventory_assets.s3.errors import AccessDenied
from inventory_assets_tests.assets.world import (
    TODAY,
    YESTERDAY,
    Buckets,
    World,
    failure_text,
    noon,
)

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning")
Requests = dict[str, set[str]]
ASSETS = ("shards", "object_listing", "object_changes", "inventory_manifest", "change_log")


class Daemon:
    """Evaluates the automation conditions tick after tick.

    Args:
        world: The source.
        names: The assets whose requests are returned.
    """

    def __init__(self, world: World, names: Sequence[str] = ASSETS) -> None:
        self._world = world
        self._names = names
        self._last: dg.EvaluateAutomationConditionsResult | None = None
        self.tick()

    def tick(self) -> Requests:
        """The partitions that one tick requests, by asset."""
        world = self._world
        self._last = dg.evaluate_automation_conditions(
            world.definitions,
            world.instance,
            evaluation_time=noon(world.day),
            cursor=self._last.cursor if self._last else None,
        )
        found = {
            name: self._last.get_requested_partitions(world.assets.key(name))
            for name in self._names
        }
        return {name: set(map(str, keys)) for name, keys in found.items() if keys}


@contextmanager
def damaged_listing(world: World, prefix: str, day: date = TODAY) -> Iterator[None]:
    """Within the context, a part of a shard's listing is damaged."""
    snapshot = read_snapshot(world.store, world.layout, day, prefix)
    assert snapshot is not None
    path = world.store.path(snapshot.parts[0].key)
    content = path.read_bytes()
    path.write_bytes(b"damaged")
    yield
    path.write_bytes(content)


@pytest.fixture
def metadata_world(tmp_path: Path, buckets: Buckets) -> Iterator[World]:
    """A world whose source asks for the metadata of its objects."""
    buckets.keys["memory"] = {"a/1", "b/1", "root"}
    source = {"bucket": "memory", "shards": Shards(depth=1), "metadata": Metadata()}
    with dg.DagsterInstance.ephemeral() as instance:
        yield World(tmp_path, instance, source)


@pytest.fixture
def daemon(world: World) -> Daemon:
    """A daemon that saw today's first listing and what followed it."""
    world.discover()
    daemon = Daemon(world)
    world.list_all()
    everything = {world.key(key) for key in world.shard_keys}
    assert daemon.tick() == {"object_changes": everything, "inventory_manifest": {str(TODAY)}}
    return daemon


def test_a_requested_partition_is_not_requested_again(daemon: Daemon) -> None:
    assert daemon.tick() == {}
    assert daemon.tick() == {}


def test_an_unchanged_listing_asks_for_nothing(daemon: Daemon, world: World) -> None:
    world.list_all()
    assert daemon.tick() == {}


def test_a_shard_with_reused_parts_triggers_no_further_runs(
    world: World,
) -> None:
    world.pass_day(YESTERDAY)
    world.set_day(TODAY)
    daemon = Daemon(world)
    world.list_all()
    requested = daemon.tick()
    assert requested == {
        "object_changes": {world.key(key) for key in world.shard_keys},
        "inventory_manifest": {str(TODAY)},
    }, "each date has its own"
    assert world.run("object_changes", tags=world.range_tags()).success
    assert world.run("inventory_manifest", str(TODAY)).success
    assert daemon.tick() == {"change_log": {str(TODAY)}}
    assert world.run("change_log", str(TODAY)).success
    files = world.store.list_names(world.layout.data_folder)
    world.list_all()
    assert daemon.tick() == {}
    assert world.store.list_names(world.layout.data_folder) == files


def test_a_changed_shard_asks_for_its_changes_and_the_manifest_once(
    daemon: Daemon, world: World, buckets: Buckets
) -> None:
    buckets.keys["memory"].add("b/2")
    world.list_all()
    assert daemon.tick() == {
        "object_changes": {world.key("b/")},
        "inventory_manifest": {str(TODAY)},
    }
    assert daemon.tick() == {}
    assert world.run("object_changes", world.key("b/")).success
    assert world.run("inventory_manifest", str(TODAY)).success
    assert daemon.tick() == {"change_log": {str(TODAY)}}
    assert daemon.tick() == {}


def test_a_change_right_after_a_request_is_not_forgotten(
    daemon: Daemon, world: World, buckets: Buckets
) -> None:
    for key in ("b/2", "b/3"):
        buckets.keys["memory"].add(key)
        world.run("object_listing", world.key("b/"))
        assert daemon.tick().keys() == {"object_changes", "inventory_manifest"}
    assert daemon.tick() == {}


def test_a_shard_that_succeeds_at_last_releases_a_manifest_that_failed(
    world: World, buckets: Buckets
) -> None:
    world.discover()
    daemon = Daemon(world)
    buckets.failing["b/"] = AccessDenied("not allowed")
    assert not world.list_all().success
    assert daemon.tick()["inventory_manifest"] == {str(TODAY)}
    buckets.failing.clear()
    assert world.run("object_listing", world.key("b/")).success
    assert daemon.tick()["inventory_manifest"] == {str(TODAY)}
    assert world.run("inventory_manifest", str(TODAY)).success
    assert daemon.tick() == {"change_log": {str(TODAY)}}


def test_a_date_without_a_manifest_asks_for_no_log(world: World) -> None:
    """On the first day, a user may list one shard to see what happens."""
    world.discover()
    daemon = Daemon(world)
    assert world.run("object_listing", world.key("a/")).success
    assert daemon.tick().keys() == {"object_changes", "inventory_manifest"}
    assert world.run("object_changes", world.key("a/")).success
    assert not world.run("inventory_manifest", str(TODAY)).success
    assert daemon.tick() == {}
    assert world.list_all().success
    assert daemon.tick().keys() == {"object_changes", "inventory_manifest"}
    assert world.run("object_changes", tags=world.range_tags()).success
    assert daemon.tick() == {}
    assert world.run("inventory_manifest", str(TODAY)).success
    assert daemon.tick() == {"change_log": {str(TODAY)}}


def test_a_new_shard_blocks_no_manifest_of_today_or_yesterday(
    world: World, buckets: Buckets
) -> None:
    world.pass_day(YESTERDAY)
    world.pass_day(TODAY)
    daemon = Daemon(world)
    buckets.keys["memory"] |= {"new/1", "root2"}
    world.discover()
    assert "new/" in world.shard_keys
    assert daemon.tick() == {}
    for day in (YESTERDAY, TODAY):
        assert world.run("object_listing", world.key("a/", day)).success
        buckets.keys["memory"].add(f"a/{day}")
        assert world.run("object_listing", world.key("a/", day)).success
        requested = daemon.tick()
        assert requested["inventory_manifest"] == {str(day)}
        assert world.run("inventory_manifest", str(day)).success


def test_a_failed_blocking_check_holds_the_changes_back_until_it_passes(
    daemon: Daemon, world: World, buckets: Buckets
) -> None:
    buckets.keys["memory"] |= {"a/3", "b/2"}
    world.run("object_listing", world.key("a/"))
    world.run("object_listing", world.key("b/"))
    with damaged_listing(world, "b/"):
        assert not world.run_check("inventory_manifest", "listing_complete", str(TODAY)).success
        assert "object_changes" not in daemon.tick()
        assert daemon.tick() == {}
    assert world.run_check("inventory_manifest", "listing_complete", str(TODAY)).success
    assert daemon.tick() == {"object_changes": {world.key("a/"), world.key("b/")}}


def test_a_listed_shard_asks_for_its_metadata_once_and_again_when_it_changes(
    metadata_world: World, buckets: Buckets
) -> None:
    world = metadata_world
    world.discover()
    daemon = Daemon(world, ["object_metadata"])
    world.list_all()
    assert daemon.tick() == {"object_metadata": {world.key(key) for key in world.shard_keys}}
    assert daemon.tick() == {}
    world.list_all()
    assert daemon.tick() == {}, "nothing changed"
    buckets.keys["memory"].add("b/2")
    world.list_all()
    assert daemon.tick() == {"object_metadata": {world.key("b/")}}
    assert daemon.tick() == {}


def test_a_failed_blocking_check_holds_the_metadata_back_as_it_does_the_changes(
    metadata_world: World, buckets: Buckets
) -> None:
    world, names = metadata_world, ["object_changes", "object_metadata"]
    world.discover()
    daemon = Daemon(world, names)
    world.list_all()
    assert daemon.tick().keys() == set(names)
    buckets.keys["memory"].add("b/2")
    world.run("object_listing", world.key("b/"))
    with damaged_listing(world, "b/"):
        assert not world.run_check("inventory_manifest", "listing_complete", str(TODAY)).success
        assert daemon.tick() == {}
    assert world.run_check("inventory_manifest", "listing_complete", str(TODAY)).success
    assert daemon.tick() == {name: {world.key("b/")} for name in names}


def test_a_damaged_listing_of_yesterday_does_not_hold_today_back(
    world: World, buckets: Buckets
) -> None:
    world.pass_day(YESTERDAY)
    world.set_day(TODAY)
    daemon = Daemon(world)
    with damaged_listing(world, "b/", YESTERDAY):
        assert not world.run_check("inventory_manifest", "listing_complete", str(YESTERDAY)).success
        buckets.keys["memory"].add("a/3")
        assert world.run("object_listing", world.key("a/")).success
        assert daemon.tick()["object_changes"] == {world.key("a/")}


def test_a_log_with_an_outdated_baseline_is_requested_after_the_next_comparison(
    world: World, buckets: Buckets
) -> None:
    first, gap = TODAY - timedelta(days=3), TODAY - timedelta(days=2)
    world.pass_day(first)
    world.set_day(gap)
    buckets.keys["memory"].add("a/gap")
    assert world.list_all().success
    world.set_day(YESTERDAY)
    daemon = Daemon(world)
    assert world.list_all().success
    assert daemon.tick().keys() == {"object_changes", "inventory_manifest"}
    assert world.run("object_changes", tags=world.range_tags()).success
    for day in (gap, YESTERDAY):
        assert world.run("inventory_manifest", str(day)).success
    assert daemon.tick()["change_log"] >= {str(YESTERDAY)}
    said = failure_text(world.run("change_log", str(YESTERDAY)))
    assert f"materialize object_changes for {YESTERDAY} and these shards" in said
    assert daemon.tick() == {}
    assert world.run("object_changes", tags=world.range_tags()).success
    assert daemon.tick() == {"change_log": {str(YESTERDAY)}}
    assert world.run("change_log", str(YESTERDAY)).success


def test_after_a_date_was_published_again_the_next_day_is_logged_automatically(
    world: World, buckets: Buckets
) -> None:
    before = TODAY - timedelta(days=2)
    world.pass_day(before)
    world.pass_day(YESTERDAY)
    daemon = Daemon(world)
    buckets.keys["memory"].add("a/late")
    assert world.run("object_listing", tags=world.range_tags(before)).success
    assert daemon.tick()["inventory_manifest"] == {str(before)}
    assert world.run("object_changes", tags=world.range_tags(before)).success
    assert world.run("inventory_manifest", str(before)).success
    assert daemon.tick() == {"change_log": {str(before)}}
    assert world.run("change_log", str(before)).success
    assert daemon.tick() == {}
    world.set_day(TODAY)
    assert world.list_all().success
    assert daemon.tick()["inventory_manifest"] == {str(TODAY)}
    assert world.run("object_changes", tags=world.range_tags()).success
    assert world.run("inventory_manifest", str(TODAY)).success
    assert daemon.tick() == {"change_log": {str(TODAY)}}
    assert world.run("change_log", str(TODAY)).success
