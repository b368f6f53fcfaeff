"""Iceberg tables over published files, as pyiceberg, Polars and DuckDB read them."""

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inventory_assets.inventory.errors import CorruptRecord, IcebergError, StoreError
from inventory_assets.inventory.iceberg.sync import sync_change_log, sync_manifest
from inventory_assets.inventory.iceberg.tables import IcebergTables, tag_of
from inventory_assets.inventory.manifest.manifest_merge import merge, publish_manifest
from inventory_assets.inventory.query.dataset import Dataset
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets.scan.keyspace.shard import Shard
from inventory_assets_tests.fakes.listings import Listed
from inventory_assets_tests.inventory.samples import DAY, HOSTILE_KEYS, LAYOUT, NOW, snapshot_of
from inventory_assets_tests.inventory.tables import (
    AFTER,
    BEFORE,
    changes_in_table,
    inventory_table,
    keys_by_reference,
    publish,
    show,
    tables_in,
    unpublish,
)

pytestmark = pytest.mark.filterwarnings("ignore:Iceberg scan planning with the polars_iceberg")


def own_files(tables: IcebergTables) -> set[str]:
    """The names of what Iceberg wrote for the inventory, but for the table's metadata."""
    names = tables.store.list_names(f"{LAYOUT.iceberg('inventory')}/metadata")
    return {name for name in names if name.endswith(".avro")}


def test_each_date_is_a_snapshot_of_just_its_files(tables: IcebergTables) -> None:
    show(tables, DAY, {"a/1", "b/1"})
    show(tables, AFTER, {"a/1", "b/2", "c"})
    show(tables, BEFORE, {"z"})
    assert keys_by_reference(tables) == {
        "main": ["a/1", "b/2", "c"],
        tag_of(BEFORE): ["z"],
        tag_of(DAY): ["a/1", "b/1"],
        tag_of(AFTER): ["a/1", "b/2", "c"],
    }


def test_every_value_is_read_as_it_was_published(tables: IcebergTables) -> None:
    objects = [
        Listed(
            key,
            size=number**15,
            e_tag=(None, "0" * 32)[number % 2],
            storage_class=("STANDARD", None)[number % 2],
            owner=(None, 'o"\\')[number % 2],
        )
        for number, key in enumerate(sorted(HOSTILE_KEYS))
    ]
    snapshot = snapshot_of(tables.store, Shard(""), objects)
    manifest = merge(tables.store, LAYOUT, "", {"": snapshot}, NOW)
    publish_manifest(tables.store, LAYOUT, manifest)
    state = sync_manifest(tables, manifest)
    expected = Dataset.of_manifest(tables.store, manifest).scan().collect()
    in_microseconds = pl.col("last_modified_date").dt.cast_time_unit("us")
    expected = expected.with_columns(in_microseconds)
    assert expected.height == len(HOSTILE_KEYS)
    scan = inventory_table(tables).scan(snapshot_id=state.snapshot_id)
    by_duckdb = scan.to_duckdb("inventory", duckdb.connect())
    by_duckdb.execute("SET TimeZone = 'UTC'")
    for read in (
        pl.scan_iceberg(state.metadata_file, snapshot_id=state.snapshot_id).collect(),
        pl.DataFrame(scan.to_arrow()),
        pl.DataFrame(by_duckdb.sql("SELECT * FROM inventory").to_arrow_table()),
    ):
        assert read.cast(expected.schema).equals(expected)


def test_no_data_file_is_written_or_touched(tables: IcebergTables, store: LocalStore) -> None:
    manifest, log = publish(tables, DAY, {"a/1", "b/1", "c"})

    def files() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in store.root.rglob("*.parquet")}

    before = files()
    sync_manifest(tables, manifest)
    sync_change_log(tables, log)
    assert files() == before != {}
    suffixes = {path.suffix for path in store.path(f"{LAYOUT.base}/iceberg").rglob("*.*")}
    assert suffixes == {".avro", ".json"}


def test_a_date_that_is_up_to_date_is_not_changed(tables: IcebergTables) -> None:
    first = show(tables, DAY, {"a/1", "b/1"})
    show(tables, BEFORE, {"a/1"})
    second = show(tables, DAY, {"a/1", "b/1"})
    assert second[0].snapshot_id == first[0].snapshot_id
    assert show(tables, DAY, {"a/1", "b/1"}) == second


def test_a_date_that_was_published_again_is_replaced(tables: IcebergTables) -> None:
    show(tables, BEFORE, {"a/1"})
    show(tables, DAY, {"a/1", "b/1"})
    show(tables, DAY, {"a/1", "b/2"})
    assert keys_by_reference(tables) == {
        "main": ["a/1", "b/2"],
        tag_of(BEFORE): ["a/1"],
        tag_of(DAY): ["a/1", "b/2"],
    }
    assert changes_in_table(tables) == [(str(DAY), "b/2", "created")]


def test_an_empty_inventory_is_an_empty_snapshot(tables: IcebergTables) -> None:
    show(tables, BEFORE, set())
    show(tables, DAY, {"a/1"})
    show(tables, AFTER, set())
    assert keys_by_reference(tables) == {
        "main": [],
        tag_of(BEFORE): [],
        tag_of(DAY): ["a/1"],
        tag_of(AFTER): [],
    }


def test_a_replaced_snapshot_remains_until_the_next_run(
    tables: IcebergTables,
) -> None:
    first, _ = show(tables, DAY, {"a/1"})
    of_first = own_files(tables)
    second, _ = show(tables, DAY, {"a/2"})
    assert inventory_table(tables).scan(snapshot_id=first.snapshot_id).count() == 1
    assert of_first < own_files(tables)
    show(tables, DAY, {"a/2"})
    table = inventory_table(tables)
    assert [each.snapshot_id for each in table.snapshots()] == [second.snapshot_id]
    assert not of_first & own_files(tables)
    assert table.scan(snapshot_id=second.snapshot_id).count() == 1


def test_files_that_cannot_hold_a_key_are_not_planned(tables: IcebergTables) -> None:
    common = "a/" + "long" * 10
    show(tables, DAY, {f"{common}/1", "b/1", "c"})
    table = inventory_table(tables)
    assert len(list(table.scan().plan_files())) == 3
    planned = table.scan(row_filter=f"key > '{common}/2' and key < 'b/2'").plan_files()
    assert [task.file.record_count for task in planned] == [1]


def test_columns_added_later_are_null_in_older_dates(tables: IcebergTables) -> None:
    show(tables, BEFORE, {"a/1"})
    manifest, _ = publish(tables, DAY, {"a/1"})
    (entry,) = (entry for entry in manifest.shards if entry.parts)
    (part,) = entry.parts
    source = tables.store.open(part.key)
    assert source is not None
    with source:
        wider = pq.read_table(source).append_column("version_id", pa.array(["v1"]))
    key = LAYOUT.part("wider")
    with tables.store.scratch() as folder:
        pq.write_table(wider, folder / "file")
        tables.store.publish_file(key, folder / "file")
    entry = replace(entry, parts=(replace(part, key=key),))
    sync_manifest(tables, replace(manifest, shards=(entry,)))
    table = inventory_table(tables)
    frame = pl.scan_iceberg(table.metadata_location)
    assert frame.select("key", "version_id").collect().rows() == [("a/1", "v1")]
    sync_manifest(tables, publish(tables, AFTER, {"a/2"})[0])
    frame = pl.scan_iceberg(inventory_table(tables).metadata_location)
    assert frame.select("key", "version_id").collect().rows() == [("a/2", None)]
    assert keys_by_reference(tables)[tag_of(BEFORE)] == ["a/1"]


days = st.integers(0, 3).map(lambda number: DAY + timedelta(days=number))
held = st.sets(st.sampled_from(["a/1", "a/2", "b/1", "c"]))


@settings(max_examples=6)
@given(st.lists(st.tuples(days, held | st.none()), min_size=1, max_size=5))
def test_the_tables_match_the_published_dates_after_any_order_of_changes(
    roomy_store: LocalStore, steps: list[tuple[date, set[str] | None]]
) -> None:
    """None stands for a date that is published no more."""
    tables = tables_in(LocalStore(roomy_store.root / str(len(list(roomy_store.root.glob("*"))))))
    published: dict[date, set[str]] = {}
    logged: dict[date, list[tuple[str, str, str]]] = {}
    for day, keys in [*steps, (DAY, {"c"})]:
        if keys is None:
            unpublish(tables, day)
            published.pop(day, None)
            logged.pop(day, None)
            continue
        # A date is compared with the newest one before it, as that is now.
        baseline = published[max(older)] if (older := {o for o in published if o < day}) else None
        show(tables, day, keys)
        published[day] = keys
        logged[day] = differences(day, baseline, keys)
    references = keys_by_reference(tables)
    assert references.pop("main") == sorted(published[max(published)])
    assert references == {tag_of(day): sorted(keys) for day, keys in published.items()}
    assert changes_in_table(tables) == sorted(row for rows in logged.values() for row in rows)


def differences(day: date, then: set[str] | None, now: set[str]) -> list[tuple[str, str, str]]:
    """The plain comparison; a first inventory has no changes."""
    if then is None:
        return []
    kinds = dict.fromkeys(now - then, "created") | dict.fromkeys(then - now, "deleted")
    return [(str(day), key, kind) for key, kind in kinds.items()]


def test_a_foreign_tag_and_branch_are_left_alone(tables: IcebergTables) -> None:
    state, _ = show(tables, DAY, {"a/1"})
    assert state.snapshot_id
    mine = inventory_table(tables).manage_snapshots()
    mine.create_tag(state.snapshot_id, "inventory-of-mine")
    mine.create_branch(state.snapshot_id, f"inventory-{DAY:%Y%m%d}").commit()
    show(tables, DAY, {"a/2"})
    show(tables, DAY, {"a/2"})
    assert keys_by_reference(tables) == {
        "main": ["a/2"],
        tag_of(DAY): ["a/2"],
        "inventory-of-mine": ["a/1"],
        f"inventory-{DAY:%Y%m%d}": ["a/1"],
    }


@pytest.mark.parametrize(
    ("number", "said"), [(0, "{} is missing"), (1, "as a file is missing .*{}")]
)
def test_a_missing_file_is_named(tables: IcebergTables, number: int, said: str) -> None:
    manifest, _ = publish(tables, DAY, {"a/1", "b/1"})
    gone = manifest.parts[number].key
    tables.store.remove_key(gone)
    with pytest.raises(StoreError, match=said.format(gone)):
        sync_manifest(tables, manifest)


def test_files_with_other_records_than_the_manifest_says_are_not_shown(
    tables: IcebergTables,
) -> None:
    manifest, _ = publish(tables, DAY, {"a/1"})
    (entry,) = (entry for entry in manifest.shards if entry.parts)
    entry = replace(entry, parts=(replace(entry.parts[0], rows=7),))
    with pytest.raises(CorruptRecord, match="hold 1 records, but its manifest says 7"):
        sync_manifest(tables, replace(manifest, shards=(entry,)))
    assert inventory_table(tables).refs() == {}


def test_a_table_of_other_results_is_not_changed(tables: IcebergTables, tmp_path: Path) -> None:
    show(tables, DAY, {"a/1"})
    other = replace(tables, store=LocalStore(tmp_path / "other"))
    manifest, _ = publish(other, DAY, {"b/1"})
    with pytest.raises(IcebergError, match="configure another namespace"):
        sync_manifest(other, manifest)
    assert keys_by_reference(tables)[tag_of(DAY)] == ["a/1"]


def test_a_folder_that_readers_cannot_address_is_rejected(tmp_path: Path) -> None:
    tables = tables_in(LocalStore(tmp_path / "50% #1"))
    manifest, _ = publish(tables, DAY, {"a/1"})
    with pytest.raises(IcebergError, match="contains # %"):
        sync_manifest(tables, manifest)
