"""Arrow schemas and records, rows of values and prefixes, as Dagster shows them."""

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg
import pyarrow as pa

from inventory_assets.errors import printable

PREVIEW_ROWS = 10
"""Maximum rows of a table that shows examples."""

ROWS = 20
"""Maximum rows of a table that shows what matters most."""

SHARDS_SHOWN = 10
"""Shards in a table that fits a screen, such as the largest ones; one row is for all others."""

Metadata = Mapping[str, Any]
"""What the UI shows of a partition, by name."""


def column_schema(schema: pa.Schema, descriptions: Mapping[str, str]) -> dg.TableSchema:
    """Convert an Arrow schema to Dagster's."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                name=field.name,
                type=str(field.type),
                description=descriptions[field.name],
                constraints=dg.TableColumnConstraints(nullable=field.nullable),
            )
            for field in schema
        ]
    )


def table_of_records(
    records: pa.RecordBatch | pa.Table | None, columns: Sequence[str]
) -> dg.TableMetadataValue:
    """The first `PREVIEW_ROWS` records; text is escaped."""
    rows = records.slice(0, PREVIEW_ROWS).select(columns).to_pylist() if records else []
    return table_of_rows(
        [{name: _cell(value) for name, value in row.items()} for row in rows], columns
    )


def _cell(value: object) -> str | int:
    if isinstance(value, int):
        return value
    return "" if value is None else printable(str(value))


def table_of_rows(
    rows: Sequence[Mapping[str, str | int]], columns: Sequence[str] = ()
) -> dg.TableMetadataValue:
    """A table of some rows; `columns` names the columns of a table without rows."""
    names = columns or list(rows[0] if rows else [])
    return dg.MetadataValue.table(
        records=[dg.TableRecord(dict(row)) for row in rows],
        schema=dg.TableSchema([dg.TableColumn(name) for name in names or ["none"]]),
    )


def limited_table(
    rows: Sequence[Mapping[str, str | int]], column: str, more: int = 0
) -> dg.TableMetadataValue:
    """A table of the first `ROWS` rows; below it, `column` says how many others there are.

    Args:
        rows: The rows, those that matter most first.
        column: A column of text.
        more: Further rows that are not among these.
    """
    shown = [dict(row) for row in rows[:ROWS]]
    if others := len(rows) - len(shown) + more:
        shown.append({**dict.fromkeys(rows[0], ""), column: f"(and {others:,} more)"})
    return table_of_rows(shown)


def prefix_label(prefix: str) -> str:
    """The prefix of a shard; that of the remainder is empty, unless the source has one."""
    return printable(prefix) or "(all other keys)"
