"""Write rows as a table with aligned columns, one line per row.

The first rows determine the widths of the columns, so that a table of any length can be streamed. A
longer value is written whole, and shifts the rest of its line.
"""

import datetime as dt
import json
from collections.abc import Iterable
from typing import IO

import pyarrow as pa
from rich.cells import cell_len

from inventory_assets.errors import printable

_MEASURED_ROWS = 1000
_WIDEST = 60
"""Maximum characters of a column, so that a long key does not push the others off the screen."""

_GAP = "  "


def write_table(batches: Iterable[pa.RecordBatch], schema: pa.Schema, target: IO[bytes]) -> int:
    """Write batches as a table with a header; returns the number of rows.

    Args:
        batches: The rows, with `schema`.
        schema: The schema of the rows.
        target: Written sequentially, in UTF-8; control characters of values are escaped.
    """
    header = [printable(name) for name in schema.names]
    to_right = [_is_number(kind) for kind in schema.types]
    widths: list[int] = []
    rows = 0
    for batch in batches:
        for start in range(0, batch.num_rows, _MEASURED_ROWS):
            columns = [column.to_pylist() for column in batch.slice(start, _MEASURED_ROWS).columns]
            lines = [[_cell(value) for value in row] for row in zip(*columns, strict=True)]
            if not widths:
                widths = _widths([header, *lines])
                lines.insert(0, header)
            text = "".join(_line(line, widths, to_right) for line in lines)
            target.write(text.encode(errors="backslashreplace"))
        rows += batch.num_rows
    if not widths:
        target.write(_line(header, _widths([header]), to_right).encode())
    return rows


def _is_number(kind: pa.DataType) -> bool:
    types = pa.types
    return bool(types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind))


def _cell(value: object) -> str:
    match value:
        case None:
            return ""
        case str():
            return printable(value)
        case bool():
            return str(value).lower()
        case dt.datetime():
            return value.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        case dict() | list():
            return printable(json.dumps(value, ensure_ascii=False, default=str))
    return printable(str(value))


def _widths(lines: list[list[str]]) -> list[int]:
    return [min(max(map(cell_len, column)), _WIDEST) for column in zip(*lines, strict=True)]


def _line(cells: list[str], widths: list[int], to_right: list[bool]) -> str:
    padded = []
    for cell, width, is_right in zip(cells, widths, to_right, strict=True):
        blank = " " * (width - cell_len(cell))
        padded.append(blank + cell if is_right else cell + blank)
    return _GAP.join(padded).rstrip() + "\n"
