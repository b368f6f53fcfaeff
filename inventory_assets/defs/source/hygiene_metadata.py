"""Metadata of a date's hygiene report for the UI."""

from typing import Any

import dagster as dg

from inventory_assets.defs.source.metadata_tables import limited_table, table_of_rows
from inventory_assets.inventory.hygiene import rows
from inventory_assets.inventory.hygiene.report import HygieneReport
from inventory_assets.inventory.report.hygiene_sections import waste_of
from inventory_assets.inventory.storage.layout import Layout
from inventory_assets.inventory.storage.store import Store
from inventory_assets.units import human_bytes_of, human_usd


def hygiene_metadata(store: Store, layout: Layout, report: HygieneReport) -> dict[str, Any]:
    """The metadata of a date's hygiene report.

    Args:
        store: The store of results.
        layout: The layout of the source.
        report: The published report.
    """
    found = [finding for finding in report.findings if finding.objects]
    prefixes = rows.prefix_rows(report)
    others = sum(len(finding.worst) for finding in report.findings) - len(prefixes)
    metadata = {
        "kinds_found": len(found),
        **_waste(report),
        "findings": table_of_rows(rows.finding_rows(report)),
        "worst_prefixes": limited_table(prefixes, "prefix", others),
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
    }
    if report.day:
        # The page is published by `storage_report`, after this asset.
        metadata["report"] = dg.MetadataValue.path(store.where(layout.hygiene(report.day)))
        metadata["html_report"] = dg.MetadataValue.path(store.where(layout.report(report.day)))
    return metadata


def _waste(report: HygieneReport) -> dict[str, Any]:
    """What could be deleted without losing a current object; nothing if it was not counted."""
    waste = waste_of(report)
    if waste is None:
        return {}
    shown = {
        "waste": human_bytes_of(waste.bytes, report.bytes),
        "waste_bytes": waste.bytes,
        "waste_cost": f"{human_usd(waste.monthly_usd)} a month",
    }
    known = {} if waste.monthly_usd is None else {"waste_monthly_usd": waste.monthly_usd}
    return shown | known
