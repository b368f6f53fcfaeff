"""Metadata of a date's exports for the UI."""

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from inventory_assets.defs.source.metadata_tables import (
    table_of_rows,
)
from inventory_assets.inventory.manifest.manifest import Manifest
from inventory_assets.inventory.manifest.s3_inventory_format import DataFile
from inventory_assets.inventory.storage.layout import Layout
from inventory_assets.inventory.storage.store import Store
from inventory_assets.units import human_bytes


def exports_metadata(
    store: Store,
    layout: Layout,
    manifest: Manifest,
    files: Mapping[str, DataFile],
    csv_files: Sequence[DataFile] | None,
) -> dict[str, Any]:
    """The metadata of a date's exports.

    Args:
        store: The store of results.
        layout: The layout of the source.
        manifest: The exported manifest.
        files: The exported files, by the name of their format.
        csv_files: The files of the CSV inventory, or None.
    """
    metadata: dict[str, Any] = {
        "dagster/row_count": manifest.rows,
        "files": table_of_rows(
            [
                {
                    "format": name,
                    "size": human_bytes(file.size),
                    "md5": file.md5,
                    "file": store.where(file.key),
                }
                for name, file in files.items()
            ]
        ),
    }
    if csv_files is not None:
        metadata["csv_files"] = len(csv_files)
        metadata["csv_size"] = human_bytes(sum(file.size for file in csv_files))
        manifest_key = layout.csv.s3_manifest(manifest.day)
        metadata["csv_manifest"] = dg.MetadataValue.path(store.where(manifest_key))
    return metadata
