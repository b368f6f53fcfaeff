"""Parquet files of usage: written whole, read whole."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from inventory_assets.inventory.errors import CorruptRecord
from inventory_assets.inventory.parts.parquet_encoding import ROW_GROUP_ROWS, parquet_writer
from inventory_assets.inventory.storage.layout import Layout
from inventory_assets.inventory.storage.record_format import require_known_number
from inventory_assets.inventory.storage.store import Store
from inventory_assets.inventory.storage.tombstones import unmarked_key
from inventory_assets.inventory.usage.schema import USAGE_SCHEMA

FORMAT = 1
"""The format of the aggregate of a part; it rises when the rows of equal records would differ."""

_FORMAT_NAME = b"usage_format"


def write_part_table(path: Path, layout: Layout, table: pa.Table, records: int) -> None:
    """Write the aggregate of a part with so many records to a file."""
    with parquet_writer(path, table.schema, layout.encodings) as writer:
        writer.write_table(table, row_group_size=ROW_GROUP_ROWS)
        writer.add_key_value_metadata(_metadata(records))


def _metadata(records: int) -> dict[bytes, bytes]:
    return {_FORMAT_NAME: b"%d" % FORMAT, b"usage_records": str(records).encode()}


def publish_table(store: Store, layout: Layout, table: pa.Table) -> tuple[str, int]:
    """Publish a table of a date in a file that is named for its hash; equal tables share a file.

    Returns:
        The key of the file, and its size in bytes.
    """
    with store.scratch() as folder:
        path = folder / "usage.parquet"
        with parquet_writer(path, table.schema, layout.encodings) as writer:
            writer.write_table(table, row_group_size=ROW_GROUP_ROWS)
        with path.open("rb") as written:
            digest = hashlib.file_digest(written, "sha256").hexdigest()
        size = path.stat().st_size
        key = unmarked_key(store, layout.usage_data(digest), ".parquet")
        store.publish_file(key, path, digest)
    return key, size


def open_table(store: Store, key: str) -> pa.NativeFile:
    """Open a file of a date's usage.

    Raises:
        CorruptRecord: The file is missing.
    """
    file = store.open(key)
    if file is None:
        raise _damaged(store, key, "the file does not exist")
    return file


def read_table(
    store: Store, key: str, schema: pa.Schema, columns: Sequence[str] | None = None
) -> pa.Table:
    """Read a table of a date's usage.

    Args:
        store: Where.
        key: The key of the file.
        schema: The schema of the table.
        columns: The columns to read; None for all.

    Raises:
        CorruptRecord: The file is missing or damaged, or has other columns.
    """
    names = list(columns or schema.names)
    try:
        with open_table(store, key) as file:
            table = pq.read_table(file, columns=names)
        return table.select(names).cast(pa.schema([schema.field(name) for name in names]))
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        raise _damaged(store, key, error) from None


def read_part_table(store: Store, key: str, records: int) -> pa.Table | None:
    """Read the aggregate of a part with so many records.

    Text is encoded as dictionaries, and the depth is not read.

    Returns:
        The rows; None where the file is missing, damaged, of an older format or of other records.

    Raises:
        OtherFormat: It has a newer format.
    """
    opened = store.open(key)
    if opened is None:
        return None
    names = [name for name in USAGE_SCHEMA.names if name != "depth"]
    texts = [name for name in names if pa.types.is_string(USAGE_SCHEMA.field(name).type)]
    try:
        with opened, pq.ParquetFile(opened, read_dictionary=texts) as file:
            found = file.metadata.metadata or {}
            if not _metadata(records).items() <= found.items():
                _require_no_newer(found.get(_FORMAT_NAME, b""), store.where(key))
                return None
            table = file.read(names, use_threads=False)
    except KeyError:  # it lacks a column of text
        with open_table(store, key) as file:
            found = pq.read_metadata(file).metadata or {}
        _require_no_newer(found.get(_FORMAT_NAME, b""), store.where(key))
        return None
    except (pa.ArrowException, OSError, ValueError):
        return None
    return table if table.column_names == names else None


def _require_no_newer(number: bytes, where: str) -> None:
    if number.isdigit() and int(number) > FORMAT:
        require_known_number(int(number), (FORMAT,), "usage of a part", where)


def _damaged(store: Store, key: str, cause: Exception | str) -> CorruptRecord:
    return CorruptRecord(
        f"{store.where(key)} is missing or damaged ({cause}); remove it, then materialize "
        "prefix_usage for the dates that name it again"
    )
