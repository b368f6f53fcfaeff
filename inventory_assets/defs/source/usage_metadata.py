"""Metadata of a date's usage for the UI: exact numbers, which it plots, and the same with units."""

from typing import Any

import dagster as dg
import pyarrow as pa

from inventory_assets.defs.source.metadata_tables import ROWS, column_schema, limited_table
from inventory_assets.errors import printable
from inventory_assets.inventory.pricing.price_table import Prices
from inventory_assets.inventory.storage.layout import Layout
from inventory_assets.inventory.storage.store import Store
from inventory_assets.inventory.usage.date_usage import DateUsage
from inventory_assets.inventory.usage.largest import largest_prefixes
from inventory_assets.inventory.usage.schema import (
    CHANGES_SINCE,
    PREFIX_DESCRIPTIONS,
    PREFIX_SCHEMA,
)
from inventory_assets.inventory.usage.usage_files import read_table
from inventory_assets.units import human_bytes, human_bytes_of, human_change, human_usd

PREFIX_COLUMNS = column_schema(PREFIX_SCHEMA, PREFIX_DESCRIPTIONS)


def usage_metadata(
    store: Store, layout: Layout, usage: DateUsage, prices: Prices
) -> dict[str, Any]:
    """The metadata of a date's usage.

    Args:
        store: The store of results.
        layout: The layout of the source.
        usage: The published usage.
        prices: The price table of its costs.
    """
    totals = usage.totals
    metadata: dict[str, Any] = {
        "dagster/row_count": usage.by_prefix.rows,
        "objects": totals.objects,
        "object_bytes": totals.bytes,
        "size": human_bytes(totals.bytes),
        "noncurrent_objects": totals.noncurrent_objects,
        "noncurrent_bytes": totals.noncurrent_bytes,
        "noncurrent_size": human_bytes_of(totals.noncurrent_bytes, totals.bytes),
        "delete_markers": totals.delete_markers,
        "monthly_cost": f"{human_usd(totals.monthly_usd)} ({prices.label})",
    }
    if totals.monthly_usd is not None:
        metadata["monthly_usd"] = totals.monthly_usd
    for each in usage.compared:
        metadata[f"objects_change{each.since}"] = each.objects_change
        metadata[f"bytes_change{each.since}"] = each.bytes_change
        metadata[f"growth{each.since}"] = f"{human_change(each.bytes_change)} since {each.day}"
    return {
        **metadata,
        "prefixes": _prefixes_table(read_table(store, usage.by_prefix.key, PREFIX_SCHEMA)),
        "parts": usage.parts,
        "usage": dg.MetadataValue.path(store.where(usage.aggregate.key)),
        "usage_by_prefix": dg.MetadataValue.path(store.where(usage.by_prefix.key)),
        # Where `storage_report` publishes it, after this asset.
        "html_report": dg.MetadataValue.path(store.where(layout.report(usage.day))),
    }


def _prefixes_table(prefixes: pa.Table) -> dg.TableMetadataValue:
    """The largest prefixes by bytes, and the number of the others."""
    largest = largest_prefixes(prefixes, "bytes")
    rows: list[dict[str, str | int]] = [
        {
            "prefix": printable(row["prefix"]),
            "objects": row["objects"],
            "size": human_bytes(row["bytes"]),
            "noncurrent": human_bytes(row["noncurrent_bytes"]),
            "monthly_cost": human_usd(row["monthly_usd"]),
            **{f"growth{since}": _growth(row[f"bytes_change{since}"]) for since in CHANGES_SINCE},
        }
        for row in largest.slice(0, ROWS).to_pylist()
    ]
    return limited_table(rows, "prefix", largest.num_rows - len(rows))


def _growth(count: int | None) -> str:
    return "" if count is None else human_change(count)
