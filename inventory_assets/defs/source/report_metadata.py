"""Metadata of what is found out about a date, for the UI: usage, verification, hygiene, lifecycle.

Object keys are escaped.
"""

from typing import Any

import dagster as dg
import pyarrow as pa

from inventory_assets.defs.source.metadata_tables import (
    PREVIEW_ROWS,
    Metadata,
    column_schema,
    table_of_rows,
)
from inventory_assets.errors import printable
from inventory_assets.inventory.hygiene import rows
from inventory_assets.inventory.hygiene.report import HygieneReport
from inventory_assets.inventory.lifecycle import summary
from inventory_assets.inventory.lifecycle.effects import LifecycleSimulation
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
from inventory_assets.inventory.verification.verification import Verification
from inventory_assets.units import human_bytes, human_change, human_usd

LIFECYCLE_ROWS = 20
"""Rows of each table of a lifecycle simulation."""

PREFIXES_SHOWN = 20

PREFIX_COLUMNS = column_schema(PREFIX_SCHEMA, PREFIX_DESCRIPTIONS)


def usage_metadata(store: Store, usage: DateUsage, prices: Prices) -> Metadata:
    """The metadata of a date's usage: numbers, which the UI plots, and the same with units.

    Args:
        store: The store of results.
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
        "noncurrent_size": human_bytes(totals.noncurrent_bytes),
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
        for row in largest.slice(0, PREFIXES_SHOWN).to_pylist()
    ]
    if (others := largest.num_rows - PREFIXES_SHOWN) > 0:
        rows.append({**dict.fromkeys(rows[0], ""), "prefix": f"(and {others:,} more)"})
    return table_of_rows(rows)


def _growth(count: int | None) -> str:
    return "" if count is None else human_change(count)


def verification_metadata(found: Verification, seed: str) -> dict[str, Any]:
    """The metadata of a verification, with the seed of its sample."""
    differing = sorted((kind.value, key) for key, kind in found.findings.items())
    return {
        "ranges": len(found.ranges),
        "prefixes": len(found.prefixes),
        "records": found.records,
        "requests": found.requests,
        "asked_again": found.asked_again,
        "notes": "; ".join(found.notes) or "none",
        "seed": seed,
        **{kind.value.replace(" ", "_"): count for kind, count in found.counts.items()},
        "differences": table_of_rows(
            [{"finding": kind, "key": printable(key)} for kind, key in differing[:PREVIEW_ROWS]]
        ),
    }


def hygiene_metadata(store: Store, layout: Layout, report: HygieneReport) -> dict[str, Any]:
    """The metadata of a date's hygiene report."""
    key = layout.hygiene(report.day) if report.day else ""
    found = sum(1 for finding in report.findings if finding.objects)
    return {
        "kinds_found": found,
        "findings": table_of_rows(rows.finding_rows(report)),
        "worst_prefixes": table_of_rows(rows.prefix_rows(report)),
        "largest_objects": table_of_rows(rows.largest_rows(report)),
        "crowded_prefixes": table_of_rows(rows.crowded_rows(report)),
        **({"oldest_uploads": table_of_rows(rows.upload_rows(report))} if report.uploads else {}),
        # Numbers, which the UI plots over dates.
        **{finding.name: finding.objects for finding in report.findings},
        **{
            f"{finding.name}_bytes": finding.bytes
            for finding in report.findings
            if finding.name in rows.PLOTTED_BYTES and finding.bytes is not None
        },
        "notes": "; ".join(rows.note_lines(report)) or "none",
        "report": dg.MetadataValue.path(store.where(key)),
    }


def lifecycle_metadata(simulation: LifecycleSimulation) -> dict[str, Any]:
    """The metadata of a lifecycle simulation."""
    money = simulation.money
    plotted = {
        "monthly_usd_now": money.before_usd,
        "monthly_usd_after_30_days": money.after_usd,
        "monthly_usd_at_rest": money.at_rest_usd,
        "once_usd_within_30_days": money.in_days.usd,
    }
    rules = summary.rule_rows(simulation)
    if len(rules) > LIFECYCLE_ROWS:
        more = f"(and {len(rules) - LIFECYCLE_ROWS + 1:,} more)"
        blank = dict.fromkeys(summary.RULE_COLUMNS, "")
        rules = [*rules[: LIFECYCLE_ROWS - 1], {**blank, "rule": more}]
    return {
        **{name: usd for name, usd in plotted.items() if usd is not None},
        "summary": "; ".join(summary.sentences(simulation)),
        "rules": table_of_rows(rules),
        "prefixes": table_of_rows(summary.prefix_rows(simulation, LIFECYCLE_ROWS)),
        "disputes": table_of_rows(summary.dispute_rows(simulation, LIFECYCLE_ROWS)),
    }
