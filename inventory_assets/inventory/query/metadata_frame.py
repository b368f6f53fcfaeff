"""The metadata of the objects of an inventory, as a Polars LazyFrame."""

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING

import pyarrow as pa

from inventory_assets.inventory.manifest.manifest_merge import read_manifest_as_of
from inventory_assets.inventory.metadata.date_metadata import (
    MetadataFile,
    metadata_files,
    metadata_missing,
)
from inventory_assets.inventory.metadata.metadata_files import open_metadata
from inventory_assets.inventory.metadata.schema import METADATA_SCHEMA
from inventory_assets.inventory.query.parquet_frame import lazy_frame, with_prefix
from inventory_assets.inventory.storage.layout import Layout
from inventory_assets.inventory.storage.store import Store
from inventory_assets.scan.keyspace.key_range import KeyRange

if TYPE_CHECKING:
    import polars as pl


def metadata_files_of(
    store: Store, layout: Layout, day: date, identity: str, prefix: str
) -> list[MetadataFile]:
    """The files with the metadata of an inventory's objects that may have keys with a prefix.

    Raises:
        InventoryNotFound: It was not collected for all shards, or not since they were listed.
        CorruptRecord: A record cannot be read.
    """
    manifest = read_manifest_as_of(store, layout, day, identity)
    if manifest is None:
        raise metadata_missing(layout, day, None)
    within = KeyRange.of_prefix(prefix)
    return [
        each
        for each in metadata_files(store, layout, manifest)
        if each.part.first_key <= within.until and each.part.last_key > within.after
    ]


def metadata_frame(store: Store, files: Sequence[MetadataFile], prefix: str) -> "pl.LazyFrame":
    """The rows of some files with `METADATA_SCHEMA`, one for each object or version."""
    import polars as pl

    frames = [_frame(store, [each for each in files if not each.excluded])]
    for each in files:
        if each.excluded:
            of_others = [pl.col("key").str.starts_with(other) for other in each.excluded]
            frames.append(_frame(store, [each]).filter(~pl.any_horizontal(of_others)))
    return with_prefix(frames[0] if len(frames) == 1 else pl.concat(frames), prefix)


def _frame(store: Store, files: Sequence[MetadataFile]) -> "pl.LazyFrame":
    keys = [each.part.file for each in files]

    def open_files() -> list[pa.NativeFile]:
        return [open_metadata(store, key) for key in keys]

    return lazy_frame(store, keys, METADATA_SCHEMA, open_files)
