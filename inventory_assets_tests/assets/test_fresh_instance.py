"""A new Dagster instance over results that are there: what moving its database leaves behind.

The store holds the facts; partitions of shards, cursors and the history of runs are Dagster's. The
old instance has SQLite; the new one, too, or PostgreSQL (`make test-distributed`).
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from inventory_assets.config import Shards
from inventory_assets.defs.schedules import build_daily_schedule
from inventory_assets.inventory.changes.change_log import read_change_log
from inventory_assets.inventory.query.change_feed import ChangeFeed
from inventory_assets.inventory.query.dataset import Dataset
from inventory_assets_tests.assets.test_changing_a_source import publish_again, told, unchanged
from inventory_assets_tests.assets.world import (
    REMAINDER,
    TODAY,
    YESTERDAY,
    Buckets,
    World,
    failure_text,
    materializations,
    noon,
)
from inventory_assets_tests.databases import PostgreSQL, postgresql_programs

BEFORE = {"a/1", "b/1", "c/1", "gone/1", "root"}
AFTER = {"a/1", "a/2", "b/1", "c/1", "root"}
CHANGES = {"a/2": "created", "gone/1": "deleted"}


@pytest.fixture(scope="module")
def postgresql() -> Iterator[PostgreSQL]:
    if postgresql_programs() is None:
        pytest.skip("no PostgreSQL (Debian: apt-get install postgresql)")
    # Sockets have short names, and PostgreSQL's user may not enter pytest's folders.
    with tempfile.TemporaryDirectory(prefix="fresh-", dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        with PostgreSQL(Path(folder) / "postgresql") as running:
            yield running


@pytest.fixture
def old(tmp_path: Path, buckets: Buckets) -> Iterator[World]:
    """A source with yesterday's inventory, and the instance that made it."""
    buckets.keys["memory"] = set(BEFORE)
    with dg.instance_for_test() as instance:
        old = World(tmp_path, instance, {"bucket": "memory", "shards": Shards(depth=1)})
        old.pass_day(YESTERDAY)
        yield old


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.distributed)])
def fresh(
    request: pytest.FixtureRequest, old: World, tmp_path: Path, buckets: Buckets
) -> Iterator[World]:
    """The same source over an instance that knows nothing."""
    settings = {}
    if request.param == "postgresql":
        database: PostgreSQL = request.getfixturevalue("postgresql")
        settings["storage"] = {"postgres": {"postgres_url": database.socket_url}}
    buckets.keys["memory"] = set(AFTER)
    with dg.instance_for_test(overrides=settings) as instance:
        if settings:
            instance.wipe()  # of the test before
            for key in old.shard_keys:
                instance.delete_dynamic_partition(old.assets.partitions.shards_name, key)
        fresh = World(tmp_path, instance, old.source.model_dump())
        assert fresh.shard_keys == []
        yield fresh


def test_the_history_stays_in_the_old_instance(old: World, fresh: World) -> None:
    runs = {run.run_id for run in old.instance.get_runs()}
    assert len(runs) >= 4
    fresh.pass_day(TODAY)
    assert runs.isdisjoint(run.run_id for run in fresh.instance.get_runs())
    assert {run.run_id for run in old.instance.get_runs()} == runs
    manifest = old.assets.key("inventory_manifest")
    assert old.instance.get_materialized_partitions(manifest) == {str(YESTERDAY)}
    assert fresh.instance.get_materialized_partitions(manifest) == {str(TODAY)}


def test_the_next_day_tells_only_what_changed_and_shares_the_files(fresh: World) -> None:
    """`shards` finds the prefixes again; a shard that is empty by now is part of the remainder."""
    assert fresh.run("shards").success
    assert fresh.shard_keys == [REMAINDER, "a/", "b/", "c/"]
    fresh.set_day(TODAY)
    assert fresh.list_all().success
    assert fresh.run("object_changes", tags=fresh.range_tags()).success
    for name in ("inventory_manifest", "change_log", "prefix_usage", "storage_report"):
        outcome = fresh.run(name, str(TODAY))
        assert outcome.success, failure_text(outcome)
    found = Dataset.of_date(fresh.store, fresh.layout, TODAY).changes(TODAY).collect()
    assert dict(zip(found["key"], found["change"], strict=True)) == CHANGES
    log = read_change_log(fresh.store, fresh.layout, TODAY)
    assert log is not None
    assert log.baseline_day == YESTERDAY
    assert unchanged(fresh.store, fresh) >= {"b/", "c/"}


def test_the_dates_of_the_store_are_shown_again_while_the_bucket_cannot_be_listed(
    fresh: World, buckets: Buckets
) -> None:
    """The new instance has no history of them, and needs no listing for it."""
    assert fresh.run("shards").success
    fresh.set_day(TODAY)
    before = fresh.store.read(fresh.layout.snapshot(YESTERDAY, "a/"))
    publish_again(fresh, buckets)
    assert fresh.store.read(fresh.layout.snapshot(YESTERDAY, "a/")) == before


def test_the_daily_schedule_alone_finds_the_shards_and_lists_them(fresh: World) -> None:
    schedule = build_daily_schedule(fresh.assets)
    with dg.build_schedule_context(
        instance=fresh.instance, scheduled_execution_time=noon(TODAY)
    ) as context:
        (request,) = schedule.evaluate_tick(context).run_requests or ()
    fresh.set_day(TODAY)
    outcome = fresh.run("object_listing", tags=request.tags)
    assert outcome.success, failure_text(outcome)
    assert fresh.shard_keys == [REMAINDER, "a/", "b/", "c/"]
    if missing := {*fresh.shard_keys} - {key.split("|")[-1] for key in materializations(outcome)}:
        assert fresh.list_all().success, missing
    assert fresh.run("object_changes", tags=fresh.range_tags()).success
    assert fresh.run("inventory_manifest", str(TODAY)).success
    assert fresh.run("change_log", str(TODAY)).success
    assert told(fresh.store, fresh, TODAY) == sorted(CHANGES.items())


def test_a_reader_of_new_objects_continues_from_the_cursor_that_was_noted(fresh: World) -> None:
    """Its cursor is the only state of a sensor that the store does not have."""
    feed = ChangeFeed(fresh.store, fresh.layout)
    newest = feed.newest_cursor()
    assert newest is not None
    noted = newest.to_json()
    fresh.pass_day(TODAY)
    step = feed.next_step(feed.cursor(noted))
    assert step is not None
    created = [key for batch in step.created_batches() for key in batch.column("key").to_pylist()]
    assert created == [key for key, what in sorted(CHANGES.items()) if what == "created"]
    assert feed.next_step(step.cursor) is None
