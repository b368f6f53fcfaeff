"""Iceberg tables over published files, as pyiceberg and Polars read them."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyiceberg.catalog import Catalog, load_catalog
from pyiceberg.table import Table

from inventory_assets.inventory.change_log import ChangeLog
from inventory_assets.inventory.facts import Manifest
from inventory_assets.inventory.iceberg import synchronise_changes, synchronise_inventory
from inventory_assets.inventory.iceberg_tables import IcebergTables, tag_of
from inventory_assets.inventory.layout import ICEBERG_CATALOG
from inventory_assets.inventory.manifests import read_manifest
from inventory_assets.inventory.store import LocalStore
from inventory_assets_tests.inventory.samples import DAY, LAYOUT, NOW
from inventory_assets_tests.inventory.test_change_log import pass_day

BEFORE, AFTER = DAY - timedelta(days=1), DAY + timedelta(days=1)


def catalog_in(store: LocalStore) -> Catalog:
    store.root.mkdir(exist_ok=True)
    return load_catalog("inventory", type="sql", uri=f"sqlite:///{store.root / ICEBERG_CATALOG}")


@pytest.fixture
def tables(store: LocalStore) -> IcebergTables:
    return IcebergTables(catalog_in(store), store, LAYOUT, "inventory")


def publish(tables: IcebergTables, day: date, keys: Iterable[str]) -> tuple[Manifest, ChangeLog]:
    assert isinstance(tables.store, LocalStore)
    log = pass_day(tables.store, set(keys), day, {"a/", "b/"})
    manifest = read_manifest(tables.store, LAYOUT, day)
    assert manifest
    return manifest, log


def show(tables: IcebergTables, day: date, keys: Iterable[str]) -> None:
    manifest, log = publish(tables, day, keys)
    synchronise_inventory(tables, manifest)
    synchronise_changes(tables, log)


def keys_by_date(tables: IcebergTables) -> dict[str, list[str]]:
    """What each dated snapshot holds, as Polars reads it; `main` is the current one."""
    table = tables.catalog.load_table(tables.inventory)
    found = {}
    for name, reference in table.refs().items():
        frame = pl.scan_iceberg(table.metadata_location, snapshot_id=reference.snapshot_id)
        found[name] = frame.select("key").collect().to_series().sort().to_list()
    return found


def test_each_date_is_a_snapshot_of_just_its_files(tables: IcebergTables) -> None:
    show(tables, DAY, {"a/1", "b/1"})
    show(tables, AFTER, {"a/1", "b/2", "c"})
    show(tables, BEFORE, {"z"})
    assert keys_by_date(tables) == {
        "main": ["a/1", "b/2", "c"],
        tag_of(BEFORE): ["z"],
        tag_of(DAY): ["a/1", "b/1"],
        tag_of(AFTER): ["a/1", "b/2", "c"],
    }
