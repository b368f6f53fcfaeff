"""How Parquet files are encoded: small files that common readers support (docs/benchmarks.md)."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from inventory_assets.inventory.parts.schema import RECORD_SCHEMA
from inventory_assets.inventory.storage.encodings import Encodings

ROW_GROUP_ROWS = 65_536
"""Minimum records per full row group; a `PartWriter` buffers one row group."""

_COMPRESSION_LEVELS = {"last_modified_date": 3}
"""The columns that benefit from a higher level than 1."""

_FEW_VALUES = ["bucket", "storage_class"]
"""Columns to pass to Parquet as dictionaries, which is cheaper than building them there."""

_PAGE_BYTES = 8 * 2**20
"""The maximum size of a page: larger than a column of a row group, which is thus one page."""

_BATCH_ROWS = 16_384
"""Values that Parquet encodes at a time; the default of 1,024 is 5 % slower."""

_COLUMN_ENCODING = {
    "key": "DELTA_BYTE_ARRAY",
    "size": "PLAIN",
    "objects": "PLAIN",
    "bytes": "PLAIN",
    "last_modified_date": "PLAIN",
    "e_tag": "DELTA_LENGTH_BYTE_ARRAY",
}
"""Chosen by measurement (docs/benchmarks.md). Numbers are plain, as Spark before 4.3 supports no
smaller encoding of them, and fastparquet reads some of the others wrongly. Other columns have few
values and use dictionaries."""


_PLAIN_ENCODING = dict.fromkeys(_COLUMN_ENCODING, "PLAIN")


def parquet_writer(
    file: Any,
    schema: pa.Schema = RECORD_SCHEMA,
    encodings: Encodings = Encodings.COMPACT,
) -> pq.ParquetWriter:
    """A Parquet writer with settings for small, widely readable files (docs/benchmarks.md).

    Args:
        file: A path, or a file open for sequential writing.
        schema: The schema, of records or totals. A column has the settings of the record's column
            of the same name, also after `previous_`.
        encodings: The encodings that may be used.
    """
    of_column = _PLAIN_ENCODING if encodings is Encodings.PLAIN else _COLUMN_ENCODING
    record_column = {name: name.removeprefix("previous_") for name in schema.names}
    encoding = {
        name: of_column[column] for name, column in record_column.items() if column in of_column
    }
    return pq.ParquetWriter(
        file,
        schema,
        compression="zstd",
        compression_level={
            name: _COMPRESSION_LEVELS.get(column, 1) for name, column in record_column.items()
        },
        # Parquet has no dictionary of booleans.
        use_dictionary=[
            leaf
            for field in schema
            if field.name not in encoding and not pa.types.is_boolean(field.type)
            for leaf in leaves_of(field)
        ],
        column_encoding=encoding,
        # One page per column and row group compresses best. Statistics of ETags, which are random,
        # would not help to skip row groups.
        max_rows_per_page=ROW_GROUP_ROWS,
        write_batch_size=_BATCH_ROWS,
        data_page_size=_PAGE_BYTES,
        write_statistics=[name for name, column in record_column.items() if column != "e_tag"],
        # Without the Arrow schema, readers see text, not dictionaries.
        store_schema=False,
    )


def leaves_of(field: pa.Field) -> list[str]:
    """The paths of the Parquet columns of a field: one, or two for the entries of a map."""
    if not pa.types.is_map(field.type):
        return [field.name]
    return [f"{field.name}.key_value.{side}" for side in ("key", "value")]


def with_dictionaries(records: pa.RecordBatch) -> pa.RecordBatch:
    """Convert the columns with few values to dictionaries."""
    for name in _FEW_VALUES:
        at = records.schema.get_field_index(name)
        column = _dictionary_of(records.column(at))
        records = records.set_column(at, records.schema.field(at).with_type(column.type), column)
    return records


def _dictionary_of(column: pa.StringArray) -> pa.DictionaryArray:
    # Comparing all values with the first is four times faster than dictionary encoding.
    if not column.null_count and pc.all(pc.equal(column, column[0])).as_py():
        return pa.DictionaryArray.from_arrays(np.zeros(len(column), np.int32), column[:1])
    return column.dictionary_encode()
