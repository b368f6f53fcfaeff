"""New objects of a source, read step by step from a store."""

from datetime import date, timedelta

import pyarrow as pa
import pytest
from hypothesis import given, settings

from inventory_assets.inventory.changes.change_log import publish_change_log
from inventory_assets.inventory.changes.journal_format import CHANGE_SCHEMA
from inventory_assets.inventory.errors import CursorRefused
from inventory_assets.inventory.manifest.manifest_merge import read_manifest, read_manifest_as_of
from inventory_assets.inventory.query.change_feed import ChangeFeed
from inventory_assets.inventory.retention.collector import (
    SUPERSEDED_KEPT,
    execute,
    plan_collection,
)
from inventory_assets.inventory.retention.policy import Retention
from inventory_assets.inventory.storage.layout import Layout
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets_tests.inventory.feed_histories import (
    Objects,
    Step,
    StoredHistory,
    run,
    snapshots_of,
    steps,
)
from inventory_assets_tests.inventory.logged_days import compared, merged
from inventory_assets_tests.inventory.samples import DAY, LAYOUT, NOW

NEXT = DAY + timedelta(days=1)
AFTER = DAY + timedelta(days=2)


def publish(store: LocalStore, day: date, objects: Objects, clock: int) -> None:
    """List, compare, merge and log a date."""
    snapshots = snapshots_of(store, objects, day, clock)
    compared(store, snapshots)
    publish_change_log(store, LAYOUT, merged(store, snapshots), NOW)


def keys_of(batches: list[pa.RecordBatch]) -> list[str]:
    return [key for batch in batches for key in batch.column("key").to_pylist()]


def read_all(feed: ChangeFeed, text: str | None) -> tuple[list[list[str]], str | None]:
    """The keys of each step, and the cursor in the end."""
    found = []
    while step := feed.next_step(feed.cursor(text)):
        found.append(keys_of(list(step.created_batches())))
        text = step.cursor.to_json()
    return found, text


@settings(max_examples=60, deadline=None)
@given(steps)
def test_every_created_object_is_read_exactly_once(
    roomy_store: LocalStore, actions: list[Step]
) -> None:
    roomy_store.remove()
    processed, held = run(StoredHistory(roomy_store), actions)
    assert {found: count for found, count in processed.items() if count > 1} == {}
    assert held.items() <= processed.keys()


def test_a_log_is_read_where_it_continues_and_inventories_are_compared_elsewhere(
    store: LocalStore,
) -> None:
    feed = ChangeFeed(store, LAYOUT)
    publish(store, DAY, {"a": 1, "b/1": 2}, 1)
    found, cursor = read_all(feed, None)
    assert found == [["a", "b/1"]]
    publish(store, NEXT, {"a": 1, "b/1": 3, "c": 4}, 2)
    step = feed.next_step(feed.cursor(cursor))
    assert step is not None
    manifest = read_manifest(store, LAYOUT, NEXT)
    assert manifest is not None
    hidden = {part.key: store.read(part.key) or b"" for part in manifest.parts}
    for key in hidden:
        store.remove_key(key)
    batches = list(step.created_batches())
    assert keys_of(batches) == ["b/1", "c"], "the log needs no part"
    assert batches[0].schema == CHANGE_SCHEMA
    for key, data in hidden.items():
        store.publish(key, data)
    publish(store, AFTER, {"a": 1, "b/1": 3, "c": 5}, 3)
    publish(store, NEXT, {"a": 1}, 0)
    assert read_all(feed, cursor)[0] == [["b/1", "c"]], "the date between was listed too early"


def test_a_date_that_is_published_again_has_only_what_is_new(store: LocalStore) -> None:
    feed = ChangeFeed(store, LAYOUT)
    publish(store, DAY, {"a": 1, "b/1": 2}, 1)
    _, cursor = read_all(feed, None)
    publish(store, DAY, {"a": 1, "b/1": 3, "c": 4}, 2)
    found, cursor = read_all(feed, cursor)
    assert found == [["b/1", "c"]]
    publish(store, NEXT, {"a": 1, "b/1": 3, "c": 4, "d": 5}, 3)
    assert read_all(feed, cursor)[0] == [["d"]]


def test_a_step_has_the_same_objects_though_its_dates_are_published_again(
    store: LocalStore,
) -> None:
    feed = ChangeFeed(store, LAYOUT)
    publish(store, DAY, {"a": 1}, 1)
    _, cursor = read_all(feed, None)
    publish(store, NEXT, {"a": 1, "b/1": 2, "c": 3}, 2)
    step = feed.next_step(feed.cursor(cursor))
    assert step is not None
    publish(store, DAY, {"a": 7}, 3)
    publish(store, NEXT, {"a": 9, "d": 4}, 4)
    assert keys_of(list(step.created_batches())) == ["b/1", "c"]
    assert keys_of(list(step.created_batches("b/"))) == ["b/1"]
    assert keys_of(list(step.created_batches(after="b/1"))) == ["c"]


def test_a_reader_may_skip_what_is_there_already(store: LocalStore) -> None:
    feed = ChangeFeed(store, LAYOUT)
    assert feed.newest_cursor() is None
    publish(store, DAY, {"a": 1}, 1)
    cursor = feed.newest_cursor()
    assert cursor is not None
    publish(store, NEXT, {"a": 1, "b/1": 2}, 2)
    assert read_all(feed, cursor.to_json())[0] == [["b/1"]]


def test_a_reader_that_comes_too_late_is_told_so(store: LocalStore) -> None:
    feed = ChangeFeed(store, LAYOUT)
    publish(store, DAY, {"a": 1}, 1)
    _, cursor = read_all(feed, None)
    for number, day in enumerate((NEXT, AFTER), 2):
        publish(store, day, {"a": number}, number)
    now = NOW + timedelta(days=30)
    retention = Retention(keep_days=1, keep_last=1)
    execute(store, plan_collection(store, LAYOUT, retention, now.date(), now), lambda: now)
    step = feed.next_step(feed.cursor(cursor))
    assert step is not None
    with pytest.raises(CursorRefused, match=f"of source for {DAY} that was read last is not kept"):
        list(step.created_batches())


def test_a_cursor_of_another_source_is_refused(store: LocalStore) -> None:
    publish(store, DAY, {"a": 1}, 1)
    cursor = ChangeFeed(store, LAYOUT).newest_cursor()
    assert cursor is not None
    with pytest.raises(CursorRefused, match="belongs to the source 'bucket/source', and this"):
        ChangeFeed(store, Layout("bucket", "other")).cursor(cursor.to_json())


def test_an_inventory_published_again_is_kept_for_a_week(store: LocalStore) -> None:
    publish(store, DAY, {"a": 1}, 1)
    old = read_manifest(store, LAYOUT, DAY)
    assert old is not None
    publish(store, DAY, {"b/1": 2}, 2)

    def collect(age: timedelta) -> None:
        now = NOW + age
        plan = plan_collection(store, LAYOUT, Retention(), now.date(), now)
        execute(store, plan, lambda: now)

    for hours in (0, 48, 96, 144):
        collect(timedelta(hours=hours))
        assert read_manifest_as_of(store, LAYOUT, DAY, old.identity) == old
        assert all(store.size(part.key) for part in old.parts)
    for days in (1, 3, 5, 7):
        collect(SUPERSEDED_KEPT + timedelta(days=days))
    assert read_manifest_as_of(store, LAYOUT, DAY, old.identity) is None
    new = read_manifest(store, LAYOUT, DAY)
    assert new is not None
    assert [part.key for part in old.parts if store.size(part.key)] == []
    assert all(store.size(part.key) for part in new.parts)
