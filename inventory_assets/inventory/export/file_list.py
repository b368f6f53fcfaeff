"""Lists of files for the clean-up of lakehouse tables, as their procedures take them."""

from collections.abc import Iterable, Iterator
from enum import StrEnum

import pyarrow as pa
import pyarrow.compute as pc

from inventory_assets.inventory.parts.current import current_of


class FileList(StrEnum):
    """What a list is for."""

    DELTA_VACUUM = "delta-vacuum"
    """Delta Lake's `VACUUM … USING INVENTORY`: path, length in bytes, whether it is a directory,
    and the modification time in milliseconds since 1970
    (https://docs.delta.io/latest/delta-utility.html#inventory-table)."""
    ICEBERG_FILES = "iceberg-files"
    """The `file_list_view` of Iceberg's `remove_orphan_files`
    (https://iceberg.apache.org/docs/latest/spark-procedures/#remove_orphan_files)."""

    @property
    def schema(self) -> pa.Schema:
        """The columns, in the order that Delta Lake requires."""
        return _SCHEMAS[self]


_SCHEMAS = {
    FileList.DELTA_VACUUM: pa.schema(
        [
            ("path", pa.string()),
            ("length", pa.int64()),
            ("isDir", pa.bool_()),
            ("modificationTime", pa.int64()),
        ]
    ),
    FileList.ICEBERG_FILES: pa.schema(
        [("file_path", pa.string()), ("last_modified", pa.timestamp("ms", tz="UTC"))]
    ),
}

COLUMNS = ["bucket", "key", "size", "last_modified_date", "is_latest", "is_delete_marker"]
"""The columns of records that are needed, where they exist."""

SCHEMES = ("s3", "s3a")
"""The schemes of the URIs of files, as tables name them."""


def file_list(
    batches: Iterable[pa.RecordBatch], kind: FileList, scheme: str
) -> Iterator[pa.RecordBatch]:
    """Convert records to a list of the current objects; others cannot be removed by their path.

    Args:
        batches: Records with `COLUMNS`.
        kind: What the list is for.
        scheme: The scheme of the URIs, one of `SCHEMES`. As in Hadoop, no character is escaped.
    """
    for batch in current_of(batches):
        keys = batch.column("key")
        are_folders = pc.ends_with(keys, "/")
        root = pc.binary_join_element_wise(f"{scheme}://", batch.column("bucket"), "/", "")
        paths = pc.binary_join_element_wise(root, keys, "")
        times = batch.column("last_modified_date")
        if kind is FileList.DELTA_VACUUM:
            sizes = batch.column("size").fill_null(0)
            columns = [paths, sizes, are_folders, times.cast(pa.int64())]
            yield pa.RecordBatch.from_arrays(columns, schema=kind.schema)
        else:
            files = pa.RecordBatch.from_arrays([paths, times], schema=kind.schema)
            yield files.filter(pc.invert(are_folders))
