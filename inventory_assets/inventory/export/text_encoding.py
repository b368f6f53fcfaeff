"""Convert tables to lines of text: CSV in four dialects, and JSON Lines.

Columns are converted as a whole (Polars, NumPy), not row by row.
"""

import json
from collections.abc import Iterator
from io import BytesIO
from typing import Literal

import numpy as np
import polars as pl
import polars.selectors as cs
import pyarrow as pa

from inventory_assets.inventory.export.export_format import Dialect

TIME_FORMAT = "%Y-%m-%dT%H:%M:%S%.3fZ"
"""S3 Inventory's format of times: 2026-11-22T03:04:05.000Z."""

NO_VERSION = "null"
"""The version id of an object without versions, for Batch Operations."""


_SLICE_ROWS = 4_096


def csv_header(schema: pa.Schema, dialect: Dialect) -> bytes:
    """The header line; b"" for a dialect without one."""
    if not dialect.has_header:
        return b""
    names = [name.replace('"', '""') for name in schema.names]
    return ",".join(f'"{name}"' for name in names).encode() + b"\n"


def csv_lines(table: pa.Table, dialect: Dialect) -> bytes:
    """Convert a table to lines of CSV.

    Args:
        table: With `bucket` and `key` among its columns, except for `PLAIN` and `SPREADSHEET`.
        dialect: The dialect.

    Maps of texts are written as JSON.
    """
    for name in _maps_in(table.schema):
        at = table.schema.get_field_index(name)
        table = table.set_column(at, name, pa.array(_json_objects(table.column(name)), pa.string()))
    frame = pl.DataFrame(table)
    if dialect is Dialect.PLAIN:
        return _csv(frame, "necessary")
    if dialect is Dialect.SPREADSHEET:
        return _csv(frame.with_columns(_harmless(pl.col(pl.String))), "always")
    encoded = percent_encoded(table.column("key").combine_chunks())
    frame = frame.with_columns(pl.Series("key", encoded, dtype=pl.String))
    if "version_id" in frame.columns:
        frame = frame.with_columns(pl.col("version_id").replace("", None).fill_null(NO_VERSION))
    frame = frame.select(dialect.columns(frame.columns))
    return _csv(frame, "never" if dialect is Dialect.BATCH_OPERATIONS else "always")


def json_lines(table: pa.Table) -> bytes:
    """Convert a table to one JSON object per line.

    Times have `TIME_FORMAT`. Maps of texts are objects, after all other columns.
    """
    maps = _maps_in(table.schema)
    if not maps:
        return _json_lines(table)
    # In slices, as each line is a text of its own meanwhile.
    slices = (table.slice(at, _SLICE_ROWS) for at in range(0, table.num_rows, _SLICE_ROWS))
    return b"".join(_json_lines_with(maps, each) for each in slices)


def _json_lines_with(maps: list[str], table: pa.Table) -> bytes:
    names = [json.dumps(name) for name in maps]
    objects = zip(*(_json_objects(table.column(name)) for name in maps), strict=True)
    others = table.drop_columns(maps)
    heads = (
        [f"{line[:-1]}," for line in _json_lines(others).decode().split("\n")[:-1]]
        if others.num_columns
        else ["{"] * table.num_rows
    )
    return "".join(
        head
        + ",".join(f"{name}:{text or 'null'}" for name, text in zip(names, texts, strict=True))
        + "}\n"
        for head, texts in zip(heads, objects, strict=True)
    ).encode()


def _json_lines(table: pa.Table) -> bytes:
    sink = BytesIO()
    frame = pl.DataFrame(table)
    # DuckDB's sums of integers are decimals without a fraction.
    sums = [name for name, kind in frame.schema.items() if kind == pl.Decimal(38, 0)]
    frame.with_columns(
        cs.datetime(time_zone="*").dt.strftime(TIME_FORMAT), pl.col(sums).cast(pl.Int128)
    ).write_ndjson(sink)
    return sink.getvalue()


def _maps_in(schema: pa.Schema) -> list[str]:
    """The columns that are maps from text to text, which Polars writes as its version has it."""
    return [field.name for field in schema if field.type == pa.map_(pa.string(), pa.string())]


def _json_objects(column: pa.ChunkedArray) -> Iterator[str | None]:
    """Maps as JSON; None where there is none."""
    for entries in column.to_pylist():
        yield None if entries is None else json.dumps(dict(entries), ensure_ascii=False)


def percent_encoded(texts: pa.StringArray) -> pa.StringArray:
    """Percent-encode all bytes except letters, digits and `-._~/`.

    Args:
        texts: An array without nulls.
    """
    _validity, offset_buffer, data = texts.buffers()
    offsets = np.frombuffer(offset_buffer, np.int32, len(texts) + 1, 4 * texts.offset)
    if data is None or offsets[0] == offsets[-1]:
        return texts
    source = np.frombuffer(data, np.uint8)[offsets[0] : offsets[-1]]
    is_escaped = _IS_ESCAPED[source]
    if not is_escaped.any():
        return texts
    # The offset of each byte in the result: two more for each escaped byte before it.
    starts = np.arange(len(source) + 1)
    starts[1:] += 2 * np.cumsum(is_escaped)
    target = np.empty(starts[-1], np.uint8)
    target[starts[:-1][~is_escaped]] = source[~is_escaped]
    positions = starts[:-1][is_escaped]
    target[positions] = ord("%")
    target[positions + 1] = _HEX_DIGITS[source[is_escaped] >> 4]
    target[positions + 2] = _HEX_DIGITS[source[is_escaped] & 15]
    new_offsets = starts[offsets - offsets[0]].astype(np.int32)
    return pa.StringArray.from_buffers(
        len(texts), pa.py_buffer(new_offsets), pa.py_buffer(target.tobytes())
    )


_UNRESERVED = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/"
_IS_ESCAPED = ~np.isin(np.arange(256), np.frombuffer(_UNRESERVED, np.uint8))
_HEX_DIGITS = np.frombuffer(b"0123456789ABCDEF", np.uint8)

# Some spreadsheets split cells at ; or tab and ignore quotes then, so cells may start after these.
# Source: https://owasp.org/www-community/attacks/CSV_Injection
_FORMULA = "(^ *|[;\t\r\n] *)([=+\\-@\uff1d\uff0b\uff0d\uff20])"
_BLANK_START = "^([\t\r\n])"


def _harmless(texts: pl.Expr) -> pl.Expr:
    """Put an apostrophe before text that a spreadsheet may take for a formula."""
    return texts.str.replace_all(_FORMULA, "${1}'${2}").str.replace(_BLANK_START, "'${1}")


def _csv(frame: pl.DataFrame, quote_style: Literal["necessary", "always", "never"]) -> bytes:
    sink = BytesIO()
    frame.write_csv(
        sink, include_header=False, quote_style=quote_style, datetime_format=TIME_FORMAT
    )
    return sink.getvalue()
