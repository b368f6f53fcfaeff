"""Usage as a dictionary over Python keys: the oracle of the vectorised aggregate."""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

import pyarrow as pa

from inventory_assets.inventory.parts.schema import NO_STORAGE_CLASS
from inventory_assets.inventory.usage.keeping import KeepRule
from inventory_assets.inventory.usage.schema import MAX_DEPTH, SIZE_BANDS, USAGE_SCHEMA

Record = Mapping[str, Any]


def prefixes_of(key: str) -> list[str]:
    """ "", and what ends in a slash."""
    ends = [at + 1 for at, character in enumerate(key) if character == "/"]
    return ["", *(key[:end] for end in ends[:MAX_DEPTH])]


def plain_usage(records: Iterable[Record], rule: KeepRule) -> list[dict[str, Any]]:
    """The rows of the aggregate of all records, as dictionaries with the names of the schema."""
    kept_records = list(records)
    objects: Counter[tuple[Any, ...]] = Counter()
    sizes: Counter[tuple[Any, ...]] = Counter()
    for record in kept_records:
        for prefix in prefixes_of(record["key"]):
            row = (prefix, *_dimensions(record))
            objects[row] += 1
            sizes[row] += record["size"] or 0
    kept = _kept(kept_records, rule)
    rows = [
        (prefix, prefix.count("/"), *others, objects[prefix, *others], sizes[prefix, *others])
        for prefix, *others in objects
        if prefix in kept
    ]
    rows.sort(key=lambda row: (row[0].encode(), *row[2:4], row[4] or date.max, row[5]))
    return [dict(zip(USAGE_SCHEMA.names, row, strict=True)) for row in rows]


def _kept(records: list[Record], rule: KeepRule) -> set[str]:
    kept: set[str] = set()
    if records:
        kept |= {*prefixes_of(records[0]["key"]), *prefixes_of(records[-1]["key"])}
    for measured in ([1] * len(records), [record["size"] or 0 for record in records]):
        totals: Counter[str] = Counter()
        for record, number in zip(records, measured, strict=True):
            for prefix in prefixes_of(record["key"]):
                totals[prefix] += number
        ranked = sorted(totals, key=lambda prefix: (-totals[prefix], prefix.encode()))
        kept |= set(ranked[: rule.largest])
        whole = totals[""]
        kept |= {
            prefix for prefix, count in totals.items() if count and count >= whole * rule.min_share
        }
    return kept


def _dimensions(record: Record) -> tuple[str, int, date | None, str]:
    modified = record["last_modified_date"]
    size = record["size"] or 0
    is_marker = record.get("is_delete_marker") or False
    state = "current" if record.get("is_latest", True) else "noncurrent"
    return (
        "" if is_marker else record["storage_class"] or NO_STORAGE_CLASS,
        next(band for band, (_, bound) in enumerate(SIZE_BANDS) if size < bound),
        modified.date().replace(day=1) if modified else None,
        "delete_marker" if is_marker else state,
    )


def rows_of(table: pa.Table) -> list[dict[str, Any]]:
    """The rows of a table with the schema, which they are checked against."""
    table.validate(full=True)
    assert table.schema == USAGE_SCHEMA
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows
