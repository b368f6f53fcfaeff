import io
import sys
from collections.abc import Callable, Iterable
from datetime import timedelta
from pathlib import Path
from unittest.mock import patch

import duckdb
import polars as pl
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inventory_assets.errors import InventoryError
from inventory_assets.inventory.errors import CorruptRecord, InventoryNotFound, PackageMissing
from inventory_assets.inventory.manifest.manifest_merge import merge, publish_manifest
from inventory_assets.inventory.parts import part_writer
from inventory_assets.inventory.query.dataset import Dataset, connect
from inventory_assets.inventory.query.dataset_comparison import changes_between
from inventory_assets.inventory.query.sql_query import query_reader
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets.inventory.storage.store import Store
from inventory_assets.scan.keyspace.key_range import KeyRange
from inventory_assets.scan.keyspace.shard import make_shard
from inventory_assets_tests.inventory.samples import (
    DAY,
    HOSTILE_KEYS,
    LAYOUT,
    NOW,
    listed,
    parts_of,
    snapshot_of,
)
from inventory_assets_tests.inventory.stores import bucket_store

NUMBERED = [f"b/{number:03}" for number in range(40)]
KEYS = sorted([*HOSTILE_KEYS, *NUMBERED, "a/1", "a/2", "b", "ba", "c/1"])
some_keys = st.text(st.sampled_from("ab/é\U0010ffff"), min_size=1, max_size=4)


@pytest.fixture(params=["folder", "bucket"])
def any_store(request: pytest.FixtureRequest, store: LocalStore) -> Store:
    return store if request.param == "folder" else bucket_store(request.getfixturevalue("moto"))


def dataset_of(store: Store, keys: Iterable[str] = KEYS, files: int = 3) -> Dataset:
    """Keys in some files, of row groups of eight."""
    objects = listed(keys)
    size = max(1, len(objects) // files)
    with patch.object(part_writer, "ROW_GROUP_ROWS", 8):
        groups = [objects[start : start + size] for start in range(0, len(objects), size)]
        return Dataset(store, parts_of(store, *groups))


def by_polars(dataset: Dataset) -> list[str]:
    keys: list[str] = dataset.scan().collect()["key"].to_list()
    return keys


def by_duckdb(dataset: Dataset) -> list[str]:
    with connect() as connection:
        return [key for (key,) in dataset.relation(connection).select("key").fetchall()]


def by_arrow(dataset: Dataset) -> list[str]:
    return [key for batch in dataset.batches(["key"]) for key in batch.column("key").to_pylist()]


def by_sql(dataset: Dataset) -> list[str]:
    with query_reader(dataset, "inventory", "SELECT key FROM inventory") as answer:
        keys: list[str] = answer.read_all()["key"].to_pylist()
        return keys


Read = Callable[[Dataset], list[str]]
doors = pytest.mark.parametrize("read", [by_polars, by_duckdb, by_arrow, by_sql])


@doors
def test_every_interface_reads_all_keys(any_store: Store, read: Read) -> None:
    assert sorted(read(dataset_of(any_store))) == KEYS


@doors
@pytest.mark.parametrize("prefix", ["b/", "b/03", "b", "\U0010ffff", "nothing", "a/1"])
def test_every_interface_reads_a_prefix(any_store: Store, read: Read, prefix: str) -> None:
    found = read(dataset_of(any_store).with_prefix(prefix))
    assert sorted(found) == [key for key in KEYS if key.startswith(prefix)]


@doors
def test_an_empty_inventory_is_a_table_without_rows(any_store: Store, read: Read) -> None:
    assert read(Dataset(any_store, ())) == []


def test_an_empty_inventory_has_its_columns(any_store: Store) -> None:
    empty, full = Dataset(any_store, ()), dataset_of(any_store)
    assert empty.scan().collect_schema() == full.scan().collect_schema()
    with connect() as connection:
        assert empty.relation(connection).columns == full.relation(connection).columns


@given(st.sets(some_keys, max_size=12), st.text(st.sampled_from("ab/é\U0010ffff"), max_size=2))
def test_a_prefix_holds_exactly_the_keys_with_it(
    roomy_store: LocalStore, held: set[str], prefix: str
) -> None:
    dataset = dataset_of(roomy_store, held).with_prefix(prefix)
    expected = sorted(key for key in held if key.startswith(prefix))
    assert by_polars(dataset) == by_arrow(dataset) == expected


def test_a_path_is_not_taken_for_a_pattern_or_a_hive_column(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "[x]* dt=2026" / "é?")
    dataset = dataset_of(store)
    assert sorted(by_duckdb(dataset)) == by_polars(dataset) == sorted(by_sql(dataset)) == KEYS
    assert "dt" not in dataset.scan().collect_schema()


# Skipping files and row groups


def damage_row_groups_without(dataset: Dataset, key: str) -> None:
    """Overwrite every row group that cannot hold a key; footers stay as they are."""
    for part in dataset.parts:
        file = io.BytesIO(dataset.store.read(part.key) or b"")
        metadata = pq.read_metadata(file)
        for number in range(metadata.num_row_groups):
            group = metadata.row_group(number)
            statistics = group.column(1).statistics
            if statistics.min <= key <= statistics.max:
                continue
            for column in range(group.num_columns):
                chunk = group.column(column)
                file.seek(chunk.dictionary_page_offset or chunk.data_page_offset)
                file.write(b"\xff" * chunk.total_compressed_size)
        dataset.store.publish(part.key, file.getvalue())


def polars_filtered(dataset: Dataset, key: str) -> list[str]:
    found: list[str] = dataset.scan().filter(pl.col("key") == key).collect()["key"].to_list()
    return found


def duckdb_filtered(dataset: Dataset, key: str) -> list[str]:
    with connect() as connection:
        wanted = duckdb.ColumnExpression("key") == duckdb.ConstantExpression(key)
        rows = dataset.relation(connection).filter(wanted).select("key").fetchall()
    return [key for (key,) in rows]


def sql_filtered(dataset: Dataset, key: str) -> list[str]:
    sql = f"SELECT key FROM inventory WHERE key = '{key}'"  # noqa: S608
    with query_reader(dataset, "inventory", sql) as answer:
        found: list[str] = answer.read_all()["key"].to_pylist()
        return found


def of_prefix(read: Read) -> Callable[[Dataset, str], list[str]]:
    return lambda dataset, key: read(dataset.with_prefix(key))


@pytest.mark.parametrize(
    "find",
    [
        pytest.param(polars_filtered, id="a filter on Polars"),
        pytest.param(duckdb_filtered, id="a filter on DuckDB"),
        pytest.param(sql_filtered, id="SQL"),
        pytest.param(of_prefix(by_polars), id="a prefix by Polars"),
        pytest.param(of_prefix(by_duckdb), id="a prefix by DuckDB"),
        pytest.param(of_prefix(by_arrow), id="a prefix by Arrow"),
    ],
)
def test_row_groups_that_cannot_hold_the_keys_are_not_read(
    any_store: Store, find: Callable[[Dataset, str], list[str]]
) -> None:
    dataset = dataset_of(any_store)
    damage_row_groups_without(dataset, "b/017")
    assert find(dataset, "b/017") == ["b/017"]


@doors
def test_the_damage_is_found_when_all_records_are_read(any_store: Store, read: Read) -> None:
    dataset = dataset_of(any_store)
    damage_row_groups_without(dataset, "b/017")
    errors = (InventoryError, duckdb.Error, pl.exceptions.PolarsError, OSError)
    with pytest.raises(errors):
        read(dataset)


@doors
def test_files_that_cannot_hold_a_prefix_are_not_opened(any_store: Store, read: Read) -> None:
    dataset = dataset_of(any_store)
    wanted = KeyRange.of_prefix("b/017")
    others = [part for part in dataset.parts if not part.meets(wanted)]
    assert len(others) >= 2
    for part in others:
        any_store.remove_key(part.key)
    assert read(dataset.with_prefix("b/017")) == ["b/017"]


# Finding an inventory


def publish(store: LocalStore, days: int = 2) -> None:
    """Publish several days, each with one more key than the day before."""
    for number in range(days):
        snapshots = {}
        for prefix in ("", "b/"):
            shard = make_shard(prefix, ["", "b/"])
            keys = [*NUMBERED, "a", *(f"new-{later}" for later in range(number))]
            objects = listed(filter(shard.covers, keys))
            day = DAY + timedelta(days=number)
            snapshots[prefix] = snapshot_of(store, shard, objects, day)
        publish_manifest(store, LAYOUT, merge(store, LAYOUT, "", snapshots, NOW))


@pytest.mark.parametrize(
    ("path", "rows"),
    [
        ("", 42),
        ("2026-05-05T00-00Z", 41),
        ("2026-05-06T00-00Z", 42),
        ("2026-05-05T00-00Z/manifest.json", 41),
    ],
)
def test_a_path_leads_to_a_date_or_to_the_newest(store: LocalStore, path: str, rows: int) -> None:
    publish(store)
    assert len(by_arrow(Dataset.at(store.root / LAYOUT.base / path))) == rows


def test_a_date_that_was_not_published_says_what_to_do(store: LocalStore) -> None:
    publish(store)
    with pytest.raises(InventoryNotFound, match=r"for 2026-05-09 .*materialize inventory_manifest"):
        Dataset.of_date(store, LAYOUT, DAY + timedelta(days=4))
    with pytest.raises(InventoryNotFound, match="published yet"):
        Dataset.of_date(LocalStore(store.root / "no"), LAYOUT)


def listing(store: LocalStore, folder: Path, *groups: list[str]) -> Path:
    folder.mkdir()
    for number, part in enumerate(parts_of(store, *map(listed, groups))):
        store.path(part.key).replace(folder / f"part-{number:05}.parquet")
    return folder


def test_a_folder_that_was_listed_is_opened_in_order(store: LocalStore, tmp_path: Path) -> None:
    folder = listing(store, tmp_path / "out", KEYS[:20], KEYS[20:30], KEYS[30:])
    dataset = Dataset.at(folder)
    assert by_arrow(dataset) == by_polars(dataset) == KEYS
    assert by_arrow(dataset.with_prefix("b/01")) == [k for k in KEYS if k.startswith("b/01")]
    assert len(dataset.with_prefix("b/01").parts) < 3


def test_files_of_two_listings_are_rejected(store: LocalStore, tmp_path: Path) -> None:
    folder = listing(store, tmp_path / "out", ["a", "c"], ["x"])
    (folder / "part-00001.parquet").rename(folder / "part-00002.parquet")
    (folder / "part-00001.parquet").write_bytes((folder / "part-00000.parquet").read_bytes())
    with pytest.raises(CorruptRecord, match=r"part-00001\.parquet does not come after part-00000"):
        Dataset.at(folder)


def test_the_error_for_a_folder_without_an_inventory_says_what_to_name(tmp_path: Path) -> None:
    with pytest.raises(InventoryNotFound, match="name a folder that `inventory list` wrote"):
        Dataset.at(tmp_path)


@pytest.mark.parametrize("content", [b"", b"PAR1", None])
def test_a_foreign_file_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "other.parquet"
    if content is None:
        pl.DataFrame({"key": ["a"], "x": [1]}).write_parquet(path)
    else:
        path.write_bytes(content)
    with pytest.raises(CorruptRecord, match=r"other\.parquet is not a"):
        Dataset.at(tmp_path)


# Two of them


def test_changes_are_in_key_order(any_store: Store) -> None:
    old = dataset_of(any_store, ["a", "b", "d"], files=3)
    new = dataset_of(any_store, ["a", "c", "d"], files=3)
    batches = list(changes_between(old, new))
    assert [(row["key"], row["change"]) for batch in batches for row in batch.to_pylist()] == [
        ("b", "deleted"),
        ("c", "created"),
    ]
    assert {row["bucket"] for batch in batches for row in batch.to_pylist()} == {"bucket"}


def test_files_that_both_share_are_not_opened(store: LocalStore) -> None:
    old, new = dataset_of(store, ["a", "b", "d"]), dataset_of(store, ["a", "b", "e"])
    shared = {*old.uris} & {*new.uris}
    assert shared
    for part in old.parts:
        if store.uri(part.key) in shared:
            store.path(part.key).write_bytes(b"damaged")
    # The last part is not shared, and is read for the bucket's name.
    changed = [row["key"] for batch in changes_between(old, new) for row in batch.to_pylist()]
    assert changed == ["d", "e"]


def test_without_duckdb_the_message_says_how_to_install_it(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(PackageMissing, match=r"pip install 'inventory-assets\[duckdb\]'"):
        connect()
    with pytest.raises(PackageMissing), query_reader(dataset_of(store), "inventory", "SELECT 1"):
        pass
