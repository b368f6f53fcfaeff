"""`Dataset.changes` and `Dataset.created`: the records of change logs."""

from collections.abc import Callable
from datetime import date, timedelta

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inventory_assets.inventory.changes.change_log import publish_change_log, read_change_log
from inventory_assets.inventory.changes.journal_format import CHANGE_SCHEMA
from inventory_assets.inventory.errors import CorruptRecord, InventoryNotFound, QueryRefused
from inventory_assets.inventory.query.change_records import CREATED, read_log
from inventory_assets.inventory.query.dataset import Dataset
from inventory_assets.inventory.retention.collector import execute, plan_collection
from inventory_assets.inventory.retention.policy import Retention
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets.inventory.storage.store import Store
from inventory_assets.scan.keyspace.key_range import KeyRange
from inventory_assets_tests.inventory.logged_days import (
    compared,
    expected,
    merged,
    pass_day,
    shard_snapshots,
)
from inventory_assets_tests.inventory.samples import DAY, HOSTILE_KEYS, LAYOUT, NOW
from inventory_assets_tests.inventory.stores import bucket_store

Read = Callable[[], pl.LazyFrame]
DAYS = [DAY + timedelta(days=number) for number in range(4)]
HELD = [{"a/1", "a/2", "b", "c/1"}, {"a/1", "a/3", "b", "d"}, {"a/3", "b", "c/1", "d"}, {"b", "e"}]


def publish(store: Store, *numbers: int) -> Dataset:
    """Publish and log some of four dates."""
    for number in numbers:
        pass_day(store, HELD[number], DAYS[number], {"a/", "c/"})  # type: ignore[arg-type]
    return Dataset.of_date(store, LAYOUT)


def rows(frame: pl.LazyFrame) -> list[tuple[str, str, str]]:
    found = frame.select("sequence_number", "key", "change").collect().rows()
    return sorted((str(day), str(key), str(change)) for day, key, change in found)


def of_days(*pairs: tuple[int, int]) -> list[tuple[str, str, str]]:
    """The changes between two dates, under the second."""
    return sorted(
        (str(DAYS[new]), key, change)
        for old, new in pairs
        for key, change in expected(HELD[old], HELD[new])
    )


@pytest.fixture(params=["folder", "bucket"])
def any_store(request: pytest.FixtureRequest, store: LocalStore) -> Store:
    return store if request.param == "folder" else bucket_store(request.getfixturevalue("moto"))


def test_a_date_and_a_range_have_the_records_of_their_logs(any_store: Store) -> None:
    dataset = publish(any_store, 0, 1, 2, 3)
    assert rows(dataset.changes(DAYS[1])) == of_days((0, 1))
    assert rows(dataset.changes((DAYS[1], DAYS[3]))) == of_days((0, 1), (1, 2), (2, 3))
    assert rows(dataset.changes(DAYS[0])) == [], "a first inventory has no changes"
    assert dataset.changes(DAYS[0]).collect_schema() == dataset.changes(DAYS[1]).collect_schema()
    assert rows(dataset.created(DAYS[2])) == [row for row in of_days((1, 2)) if row[2] in CREATED]


def test_what_was_created_since_a_date_is_in_all_later_logs(any_store: Store) -> None:
    dataset = publish(any_store, 0, 1, 2, 3)
    later = [row for row in of_days((1, 2), (2, 3)) if row[2] in CREATED]
    assert rows(dataset.created(since=DAYS[1])) == later
    assert rows(dataset.created(since=DAYS[3])) == []


def test_batches_are_in_key_order_and_have_the_same_records(any_store: Store) -> None:
    dataset = publish(any_store, 0, 1, 2, 3)
    batches = list(dataset.change_batches((DAYS[1], DAYS[3])))
    found = [(r["sequence_number"], r["key"], r["change"]) for b in batches for r in b.to_pylist()]
    assert found == rows(dataset.changes((DAYS[1], DAYS[3])))
    assert all(batch.schema == CHANGE_SCHEMA for batch in batches)
    created = [r["key"] for b in dataset.created_batches(since=DAYS[0]) for r in b.to_pylist()]
    assert created == [row[1] for row in rows(dataset.created(since=DAYS[0]))]


def test_a_prefix_applies_to_changes_too(any_store: Store) -> None:
    dataset = publish(any_store, 0, 1).with_prefix("a/")
    wanted = [row for row in of_days((0, 1)) if row[1].startswith("a/")]
    assert rows(dataset.changes(DAYS[1])) == wanted
    keys = [r["key"] for b in dataset.change_batches(DAYS[1]) for r in b.to_pylist()]
    assert keys == [row[1] for row in wanted]


def test_a_source_folder_opens_its_change_logs(store: LocalStore) -> None:
    publish(store, 0, 1)
    assert rows(Dataset.at(store.root / LAYOUT.base).changes(DAYS[1])) == of_days((0, 1))


def test_a_date_that_was_not_listed_is_covered_by_the_next(store: LocalStore) -> None:
    dataset = publish(store, 0, 2, 3)
    assert rows(dataset.changes((DAYS[2], DAYS[3]))) == of_days((0, 2), (2, 3))
    assert rows(dataset.created(since=DAYS[0])) == [
        row for row in of_days((0, 2), (2, 3)) if row[2] in CREATED
    ]
    with pytest.raises(InventoryNotFound, match=rf"no inventory of source .* for {DAYS[1]};"):
        dataset.changes(DAYS[1])
    with pytest.raises(InventoryNotFound, match=f"published for {DAYS[1]}; materialize"):
        dataset.changes((DAYS[1], DAYS[3]))
    with pytest.raises(InventoryNotFound, match=f"published for {DAYS[1]}; materialize"):
        dataset.created(since=DAYS[1])


def test_a_date_that_was_removed_is_named_with_the_oldest_that_is_left(store: LocalStore) -> None:
    dataset = publish(store, 0, 1, 2, 3)
    now = NOW + timedelta(days=30)
    plan = plan_collection(store, LAYOUT, Retention(keep_last=2), now.date(), now)
    execute(store, plan, lambda: now)
    removed = rf"inventory of {DAYS[1]} of source under .* was removed by retention; the oldest"
    reads: list[Read] = [
        lambda: dataset.changes(DAYS[1]),
        lambda: dataset.changes((DAYS[1], DAYS[3])),
    ]
    for read in reads:
        with pytest.raises(
            InventoryNotFound, match=rf"{removed} that is left is that of {DAYS[2]}"
        ):
            read()
    assert rows(dataset.created(since=DAYS[1])), "the next log was made with it"
    with pytest.raises(InventoryNotFound, match=f"{DAYS[0]} .* removed by retention or never"):
        dataset.created(since=DAYS[0])


def test_a_log_that_is_not_there_yet_is_asked_for(store: LocalStore) -> None:
    dataset = publish(store, 0, 1)
    merged(store, shard_snapshots(store, HELD[2], {"a/", "c/"}, DAYS[2]))
    said = f"change log of source for {DAYS[2]} is not there yet; materialize object_changes"
    for days in (DAYS[2], (DAYS[1], DAYS[2])):
        with pytest.raises(InventoryNotFound, match=said):
            dataset.changes(days)
    assert rows(dataset.created(since=DAYS[1])) == []


def test_a_date_published_again_after_its_log_is_refused(store: LocalStore) -> None:
    dataset = publish(store, 0, 1)
    merged(store, shard_snapshots(store, HELD[2], {"a/", "c/"}, DAYS[1]))
    with pytest.raises(InventoryNotFound, match=f"for {DAYS[1]} was published again after its"):
        dataset.changes(DAYS[1])


def test_a_log_whose_baseline_came_later_is_refused_until_it_is_made_again(
    store: LocalStore,
) -> None:
    dataset = publish(store, 0, 2, 1)
    said = rf"source: the inventory of {DAYS[1]} was published after the change log of {DAYS[2]}"
    reads: list[Read] = [
        lambda: dataset.changes(DAYS[2]),
        lambda: dataset.changes((DAYS[0], DAYS[2])),
        lambda: dataset.changes((DAYS[1], DAYS[2])),
        lambda: dataset.created(since=DAYS[0]),
        lambda: dataset.created(since=DAYS[1]),
    ]
    for read in reads:
        with pytest.raises(InventoryNotFound, match=said):
            read()
    assert rows(dataset.changes(DAYS[1])) == of_days((0, 1))
    publish(store, 2)
    assert rows(dataset.changes((DAYS[1], DAYS[2]))) == of_days((0, 1), (1, 2))


def test_a_range_within_which_a_date_came_later_is_refused(store: LocalStore) -> None:
    """Although the newest log, and its baseline, are the present ones."""
    dataset = publish(store, 0, 2, 3, 1)
    with pytest.raises(InventoryNotFound, match=f"after the change log of {DAYS[2]}"):
        dataset.changes((DAYS[0], DAYS[3]))


def test_a_request_that_makes_no_sense_is_refused(store: LocalStore) -> None:
    dataset = publish(store, 0, 1)
    with pytest.raises(QueryRefused, match=f"{DAYS[1]} is after {DAYS[0]}"):
        dataset.changes((DAYS[1], DAYS[0]))
    for arguments in ({}, {"days": DAYS[1], "since": DAYS[0]}):
        with pytest.raises(QueryRefused, match="either a date or range, or since="):
            dataset.created(**arguments)
    with pytest.raises(QueryRefused, match="no inventory of a source"):
        Dataset(store, ()).changes(DAYS[1])


def test_a_file_that_vanished_is_named(any_store: Store) -> None:
    dataset = publish(any_store, 0, 1)
    log = read_change_log(any_store, LAYOUT, DAYS[1])
    assert log is not None
    any_store.remove_key(log.files[0])
    with pytest.raises(CorruptRecord, match="is missing or damaged"):
        list(dataset.change_batches(DAYS[1]))


some_keys = st.sets(st.text(st.sampled_from("ab/é\U0010ffff"), min_size=1, max_size=3), max_size=9)


@settings(max_examples=60, deadline=None)
@given(some_keys, some_keys, some_keys, some_keys)
def test_a_log_is_read_in_key_order_whatever_the_shards(
    roomy_store: LocalStore, old: set[str], new: set[str], shards: set[str], bounds: set[str]
) -> None:
    store = roomy_store
    store.remove()
    pass_day(store, old, DAYS[0], shards)
    log = pass_day(store, new, DAYS[1], shards)

    def read(within: KeyRange) -> list[tuple[str, str]]:
        batches = read_log(store, log, within)
        return [(row["key"], row["change"]) for batch in batches for row in batch.to_pylist()]

    after, until = (min(bounds, default=""), max(bounds, default="\U0010ffff"))
    assert read(KeyRange.of_prefix("")) == expected(old, new)
    inside = KeyRange(after, until)
    assert read(inside) == [row for row in expected(old, new) if row[0] in inside]


def test_hostile_keys_are_read_as_they_are(store: LocalStore) -> None:
    pass_day(store, {"a"}, DAYS[0], set())
    pass_day(store, {"a", *HOSTILE_KEYS}, DAYS[1], set())
    dataset = Dataset.of_date(store, LAYOUT)
    batches = dataset.created_batches(DAYS[1])
    found = [row["key"] for batch in batches for row in batch.to_pylist()]
    assert found == sorted(HOSTILE_KEYS)
    assert sorted(dataset.created(DAYS[1]).collect()["key"]) == found


def test_memory_does_not_grow_with_the_number_of_dates(roomy_store: LocalStore) -> None:
    store = roomy_store
    store.remove()
    every = {f"{number:05}" for number in range(3000)}

    def log(day: date, held: set[str]) -> None:
        snapshots = shard_snapshots(store, held, set(), day)
        compared(store, snapshots)
        publish_change_log(store, LAYOUT, merged(store, snapshots), NOW)

    for number in range(9):
        log(DAY + timedelta(days=number), every if number % 2 else set())

    def peak(last: int) -> int:
        """Bytes that Arrow holds at most while batches of some dates are read."""
        days = DAY + timedelta(days=1), DAY + timedelta(days=last)
        dataset = Dataset.of_date(store, LAYOUT)
        before = pa.total_allocated_bytes()
        rows, most = 0, 0
        for batch in dataset.change_batches(days):
            rows += batch.num_rows
            most = max(most, pa.total_allocated_bytes() - before)
        assert rows == 3000 * last
        return most

    peak(2)
    assert 0 < peak(8) < 1.5 * peak(2)
