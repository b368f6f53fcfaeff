"""Sorted Parquet files of a store as one frame; filters on it are pushed down to the files."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import pyarrow as pa

from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets.inventory.storage.store import Store
from inventory_assets.scan.keyspace.key_range import KeyRange

if TYPE_CHECKING:
    import polars as pl
    import pyarrow.dataset as ds


def lazy_frame(
    store: Store,
    keys: Sequence[str],
    schema: pa.Schema,
    open_files: Callable[[], Sequence[pa.NativeFile]],
) -> "pl.LazyFrame":
    """The records of some files.

    Args:
        store: The store of the files.
        keys: The files.
        schema: The schema of their records.
        open_files: Opens the files, in a store that is no folder.
    """
    import polars as pl

    if not keys:
        return pl.LazyFrame(schema.empty_table())
    if isinstance(store, LocalStore):
        # Names may contain characters of glob patterns and Hive partitions.
        paths = [store.path(key) for key in keys]
        return pl.scan_parquet(paths, glob=False, hive_partitioning=False)
    return pl.scan_pyarrow_dataset(files_dataset(open_files(), schema))


def with_prefix(frame: "pl.LazyFrame", prefix: str, column: str = "key") -> "pl.LazyFrame":
    """The records with a prefix in a column."""
    import polars as pl

    if not prefix:
        return frame
    last = KeyRange.of_prefix(prefix).until
    return frame.filter(pl.col(column) >= prefix, pl.col(column) <= last)


def files_dataset(files: Sequence[pa.NativeFile], schema: pa.Schema) -> "ds.Dataset":
    """A dataset that reads through the store, so that engines need no credentials."""
    import pyarrow.dataset as ds

    parquet = ds.ParquetFileFormat()
    fragments = [parquet.make_fragment(file) for file in files]
    return ds.FileSystemDataset(fragments, schema, parquet)
