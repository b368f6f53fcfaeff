"""Measure how long it takes to register dates in an Iceberg table: `python -m benchmarks.iceberg`.

First a date of many parts is registered, and once more when it is there already; then dates of one
part, one after the other.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from inventory_assets.config import Iceberg
from inventory_assets.inventory.iceberg.sync import sync_manifest
from inventory_assets.inventory.iceberg.tables import IcebergTables
from inventory_assets.inventory.manifest.manifest import Manifest
from inventory_assets.inventory.manifest.manifest_merge import merge, publish_manifest
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets.scan.keyspace.shard import Shard
from inventory_assets.wiring.results import open_catalog
from inventory_assets_tests.inventory.samples import (
    DAY,
    LAYOUT,
    NOW,
    listed,
    parts_of,
    snapshot_of,
)


def main() -> None:
    """Measure, and print a line each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", type=int, default=1_000)
    parser.add_argument("--dates", type=int, default=100)
    arguments = parser.parse_args()
    with TemporaryDirectory() as folder:
        store = LocalStore(Path(folder))
        tables = IcebergTables(open_catalog(store.root, Iceberg()), store, LAYOUT, "inventory")
        large = _manifest(store, arguments.parts)
        for what in ("registered", "found there already"):
            seconds = _seconds(sync_manifest, tables, large)
            print(f"a date of {arguments.parts:,} parts, {what}: {seconds:.2f} s")
        small = _manifest(store, 1)
        for number in range(1, arguments.dates + 1):
            manifest = replace(small, day=DAY + timedelta(days=number))
            publish_manifest(store, LAYOUT, manifest)
            seconds = _seconds(sync_manifest, tables, manifest)
            if number in {1, arguments.dates}:
                print(f"a date of 1 part, beside {number} others: {seconds:.2f} s")
        metadata = tables.catalog.load_table(tables.inventory).metadata_location
        print(f"the table's metadata: {Path(metadata.removeprefix('file://')).stat().st_size:,} B")


def _manifest(store: LocalStore, parts: int) -> Manifest:
    snapshot = snapshot_of(store, Shard(""), listed(["k"]))
    groups = [listed(f"k{number:06}/{key}" for key in range(3)) for number in range(parts)]
    snapshot = replace(snapshot, parts=parts_of(store, *groups))
    manifest = merge(store, LAYOUT, "", {"": snapshot}, NOW)
    publish_manifest(store, LAYOUT, manifest)
    return manifest


def _seconds(do: Callable[..., object], *arguments: object) -> float:
    began = time.perf_counter()
    do(*arguments)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
