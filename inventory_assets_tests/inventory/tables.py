"""Published dates in Iceberg tables, and reading them with Polars."""

from collections.abc import Iterable
from datetime import date, timedelta

import polars as pl
from pyiceberg.catalog import Catalog, load_catalog
from pyiceberg.table import Table

from inventory_assets.inventory.changes.change_log import ChangeLog
from inventory_assets.inventory.iceberg.sync import TableState, sync_change_log, sync_manifest
from inventory_assets.inventory.iceberg.tables import IcebergTables
from inventory_assets.inventory.manifest.manifest import Manifest
from inventory_assets.inventory.manifest.manifest_merge import read_manifest
from inventory_assets.inventory.storage.layout import ICEBERG_CATALOG
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets_tests.inventory.logged_days import pass_day
from inventory_assets_tests.inventory.samples import DAY, LAYOUT

BEFORE, AFTER = DAY - timedelta(days=1), DAY + timedelta(days=1)


def catalog_in(store: LocalStore) -> Catalog:
    store.root.mkdir(parents=True, exist_ok=True)
    return load_catalog("inventory", type="sql", uri=f"sqlite:///{store.root / ICEBERG_CATALOG}")


def tables_in(store: LocalStore) -> IcebergTables:
    return IcebergTables(catalog_in(store), store, LAYOUT, "inventory")


def publish(tables: IcebergTables, day: date, keys: Iterable[str]) -> tuple[Manifest, ChangeLog]:
    """Publish a date's inventory and change log, over three shards."""
    assert isinstance(tables.store, LocalStore)
    log = pass_day(tables.store, set(keys), day, {"a/", "b/"})
    return manifest_of(tables, day), log


def manifest_of(tables: IcebergTables, day: date) -> Manifest:
    manifest = read_manifest(tables.store, LAYOUT, day)
    assert manifest
    return manifest


def show(tables: IcebergTables, day: date, keys: Iterable[str]) -> tuple[TableState, TableState]:
    """Publish a date, and let both tables show it."""
    manifest, log = publish(tables, day, keys)
    return sync_manifest(tables, manifest), sync_change_log(tables, log)


def unpublish(tables: IcebergTables, day: date) -> None:
    """Remove what makes a date count, as retention does."""
    for key in (LAYOUT.checksum(day), LAYOUT.change_log(day)):
        tables.store.remove_key(key)


def inventory_table(tables: IcebergTables) -> Table:
    return tables.catalog.load_table(tables.inventory)


def keys_by_reference(tables: IcebergTables) -> dict[str, list[str]]:
    """The content of each dated snapshot, read by Polars; `main` is the current one."""
    table = inventory_table(tables)
    found = {}
    for name, reference in table.refs().items():
        frame = pl.scan_iceberg(table.metadata_location, snapshot_id=reference.snapshot_id)
        found[name] = frame.select("key").collect().to_series().sort().to_list()
    return found


def changes_in_table(tables: IcebergTables) -> list[tuple[str, str, str]]:
    """All changes, as Polars reads them."""
    table = tables.catalog.load_table(tables.changes)
    if table.current_snapshot() is None:
        return []
    frame = pl.scan_iceberg(table.metadata_location)
    return sorted(frame.select("sequence_number", "key", "change").collect().rows())
