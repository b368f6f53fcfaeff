"""The change log of a date, over all shards."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import duckdb
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inventory_assets.inventory.changes.change_log import (
    change_log_etag,
    next_change_log,
    publish_change_log,
    read_change_log,
    violations_of,
)
from inventory_assets.inventory.changes.sorted_diff import Change
from inventory_assets.inventory.errors import ConflictError
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets_tests.inventory.logged_days import (
    YESTERDAY,
    compared,
    expected,
    listed_files,
    logged,
    merged,
    pass_day,
    shard_snapshots,
)
from inventory_assets_tests.inventory.samples import DAY, LAYOUT, NOW

keys = st.text(st.sampled_from("ab/é"), min_size=1, max_size=4)
prefixes = st.text(st.sampled_from("ab/é"), min_size=1, max_size=3)


@given(
    st.sets(keys, max_size=12),
    st.sets(keys, max_size=12),
    st.sets(keys, max_size=12),
    st.sets(prefixes, max_size=2),
    st.sets(prefixes, max_size=2),
    st.sets(prefixes, max_size=2),
)
def test_every_key_is_logged_once_however_prefixes_become_shards_during_the_day(
    roomy_store: LocalStore,
    then: set[str],
    morning: set[str],
    noon: set[str],
    shards_then: set[str],
    shards: set[str],
    shards_at_noon: set[str],
) -> None:
    """Shards found at noon are listed and compared then; the others are of the morning."""
    pass_day(roomy_store, then, YESTERDAY, shards_then)
    early = shard_snapshots(roomy_store, morning, shards, DAY)
    late = shard_snapshots(roomy_store, noon, shards | shards_at_noon, DAY)
    snapshots = {prefix: early.get(prefix, snapshot) for prefix, snapshot in late.items()}
    compared(roomy_store, snapshots)
    log = publish_change_log(roomy_store, LAYOUT, merged(roomy_store, snapshots), NOW)
    shard_of = {
        key: max((prefix for prefix in snapshots if key.startswith(prefix)), key=len)
        for key in morning | noon
    }
    now = {key for key in morning if shard_of[key] in early}
    now |= {key for key in noon if shard_of[key] not in early}
    assert logged(roomy_store) == expected(then, now)
    assert log.balance_violation is None
    assert sum(log.counts.values()) == len(expected(then, now))


def test_files_of_unchanged_shards_are_listed_without_a_copy(store: LocalStore) -> None:
    pass_day(store, {"a/1", "b/1"}, YESTERDAY, {"a/", "b/"})
    before = set(store.list_names(f"{LAYOUT.base}/changes/data"))
    snapshots = shard_snapshots(store, {"a/1", "a/2", "b/1"}, {"a/", "b/"}, DAY)
    compared(store, snapshots)
    written = set(store.list_names(f"{LAYOUT.base}/changes/data")) - before
    publish_change_log(store, LAYOUT, merged(store, snapshots), NOW)
    assert set(store.list_names(f"{LAYOUT.base}/changes/data")) - before == written
    assert [Path(file).name for file in listed_files(store, DAY)] == list(written)


def test_a_day_without_changes_lists_one_empty_file_that_readers_open(store: LocalStore) -> None:
    pass_day(store, {"a"}, YESTERDAY, set())
    log = pass_day(store, {"a"}, DAY, {"b/"})
    assert log.counts == dict.fromkeys(Change, 0)
    assert len(listed_files(store, DAY)) == 1
    assert logged(store) == []


def test_a_first_inventory_has_no_changes(store: LocalStore) -> None:
    log = pass_day(store, {"a", "b"}, DAY, set())
    assert (log.baseline_day, log.rows, log.balance_violation) == (None, 2, None)
    assert logged(store) == []


def test_after_missing_days_the_changes_are_those_since_the_last_inventory(
    store: LocalStore,
) -> None:
    pass_day(store, {"a"}, DAY - timedelta(days=9), set())
    log = pass_day(store, {"b"}, DAY, set())
    assert log.baseline_day == DAY - timedelta(days=9)
    assert logged(store) == [("a", "deleted"), ("b", "created")]


def three_days(store: LocalStore) -> str:
    """Three days of logs; the pattern that finds the lists of their files."""
    for day, held in ((-2, {"a", "b"}), (-1, {"b", "c"}), (0, {"b", "d"})):
        pass_day(store, held, DAY + timedelta(days=day), {"c"})
    return str(store.path(LAYOUT.change_log_symlink(DAY)).parent.parent / "dt=*/symlink.txt")


OF_THREE_DAYS = [
    ("2026-05-04", "a", "DELETE"),
    ("2026-05-04", "c", "CREATE"),
    ("2026-05-05", "c", "DELETE"),
    ("2026-05-05", "d", "CREATE"),
]


def test_duckdb_reads_many_days_in_one_query(store: LocalStore) -> None:
    pattern = three_days(store)
    with duckdb.connect() as connection:
        # The statements of the README.
        connection.execute(
            f"""SET VARIABLE files = (
                SELECT list(file) FROM (
                    SELECT unnest(string_split(content, chr(10))) AS file
                    FROM read_text('{pattern}')
                ) WHERE file <> '')"""  # noqa: S608
        )
        rows = connection.execute(
            """SELECT sequence_number, key, record_type
               FROM read_parquet(getvariable('files')) ORDER BY ALL"""
        ).fetchall()
    assert rows == OF_THREE_DAYS


def test_polars_reads_many_days_in_one_query(store: LocalStore) -> None:
    pattern = Path(three_days(store))
    root, names = pattern.parent.parent, "/".join(pattern.parts[-2:])
    files = [file for list_ in root.glob(names) for file in list_.read_text().split("\n") if file]
    log = pl.scan_parquet(files).select("sequence_number", "key", "record_type")
    assert sorted(log.collect().rows()) == OF_THREE_DAYS


def test_the_next_log_is_that_of_the_first_date_after(store: LocalStore) -> None:
    logs = [pass_day(store, {"a"}, DAY + timedelta(days=age), set()) for age in (0, 9, 10)]
    assert [next_change_log(store, LAYOUT, log.day) for log in logs] == [*logs[1:], None]


def test_a_log_without_changes_lists_the_empty_file_of_the_first_shard(store: LocalStore) -> None:
    log = pass_day(store, {"a"}, DAY, {"a/", "b/"})
    entries = [replace(entry, file=f"{n}.parquet") for n, entry in enumerate(log.entries)]
    assert replace(log, entries=tuple(entries)).files == ("0.parquet",)
    assert replace(log, entries=tuple(reversed(entries))).files == ("2.parquet",)


def test_of_two_concurrent_runs_for_a_date_the_first_publishes(store: LocalStore) -> None:
    pass_day(store, {"a"}, YESTERDAY, set())
    begun = change_log_etag(store, LAYOUT, DAY)
    late = shard_snapshots(store, {"a", "b"}, set(), DAY)
    compared(store, late)
    manifest = merged(store, late)
    first = pass_day(store, {"a", "b", "c"}, DAY, set())
    compared(store, late)
    with pytest.raises(ConflictError, match="was published by another run"):
        publish_change_log(store, LAYOUT, manifest, NOW, begun)
    assert read_change_log(store, LAYOUT, DAY) == first
    assert logged(store) == [("b", "created"), ("c", "created")]


def test_a_log_is_read_as_it_was_published(store: LocalStore) -> None:
    pass_day(store, {"a", "b"}, YESTERDAY, set())
    log = pass_day(store, {"a", "c"}, DAY, set())
    assert read_change_log(store, LAYOUT, DAY) == log
    store.publish(LAYOUT.change_log(DAY), b"damaged")
    assert read_change_log(store, LAYOUT, DAY) is None


def test_violations_of_a_log_are_reported(store: LocalStore) -> None:
    pass_day(store, {"a", "b"}, YESTERDAY, set())
    log = pass_day(store, {"a", "c"}, DAY, set())
    assert violations_of(store, log) == []
    store.path(log.files[0]).unlink()
    assert violations_of(store, replace(log, rows=7)) == [
        "2 + 1 created - 1 deleted = 2, but the inventory holds 7",
        f"{log.files[0]} is missing",
    ]


def test_equal_days_have_equal_identity(store: LocalStore) -> None:
    pass_day(store, {"a", "b"}, YESTERDAY, set())
    first = pass_day(store, {"a", "c"}, DAY, set())
    assert pass_day(store, {"a", "c"}, DAY, set()).identity == first.identity
    assert pass_day(store, {"a", "d"}, DAY, set()).identity != first.identity
