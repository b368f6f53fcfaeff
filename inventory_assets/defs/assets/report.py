"""`storage_report`: one HTML page that shows a date's inventory to people."""

from collections.abc import Iterator
from datetime import date
from hashlib import sha256
from typing import Any

import dagster as dg

from inventory_assets.defs.source.automation import on_listing_change
from inventory_assets.defs.source.context import (
    SourceAssets,
    StepResult,
    for_each_partition,
    log_partition,
)
from inventory_assets.defs.source.partitioned_asset import partitioned_asset
from inventory_assets.inventory.report.date_report import ReportPrices, publish_report
from inventory_assets.inventory.report.report_data import ReportData
from inventory_assets.units import human_bytes, human_change, human_share, human_usd
from inventory_assets.wiring import usage_pricing


def build_storage_report(assets: SourceAssets) -> dg.AssetsDefinition:
    """The asset of the reports."""
    key = assets.key("storage_report")
    read = ["prefix_usage", "change_log"]
    if assets.source.hygiene.enabled:
        read.append("hygiene_report")
    if assets.source.lifecycle:
        read.append("lifecycle_simulation")

    @partitioned_asset(
        assets,
        key,
        assets.partitions.dates,
        description=(
            "One HTML page for the morning: what the bucket holds and where, what grew, what it "
            "costs, what is waste, and what is odd. It loads nothing and runs no script."
        ),
        kinds={"html"},
        deps=[assets.key(name) for name in read],
        automation_condition=on_listing_change(),
    )
    def storage_report(context: dg.AssetExecutionContext) -> Iterator[StepResult]:
        work = assets.bind(context.resources, context.instance)
        prices = ReportPrices(usage_pricing(assets.prices), assets.prices.label)

        def process(partition_key: str) -> list[str]:
            day = date.fromisoformat(partition_key)
            data, page = publish_report(work.store, work.layout, day, prices)
            where = work.store.where(work.layout.report(day))
            metadata = {"report": dg.MetadataValue.path(where), "page": human_bytes(len(page))}
            version = sha256(page).hexdigest()[:32]
            log_partition(context, key, partition_key, version, metadata | _headlines(data))
            return []

        yield from for_each_partition(context, "reports", process)

    return storage_report


def _headlines(data: ReportData) -> dict[str, Any]:
    """The first numbers of the page: exact ones, which the UI plots, and for people."""
    now = data.now
    headlines: dict[str, Any] = {
        "objects": now.total.objects,
        "bytes": now.total.bytes,
        "size": human_bytes(now.total.bytes),
        "cost_per_month": f"{human_usd(now.total.monthly_usd)} ({data.prices})",
    }
    if len(data.history) > 1:
        before = data.history[-2]
        headlines["growth"] = (
            f"{human_change(now.total.bytes - before.total.bytes)} since {before.day}"
        )
    if now.waste:
        share = human_share(now.waste.bytes, now.total.bytes)
        headlines["waste"] = f"{human_bytes(now.waste.bytes)}, {share} of all bytes"
        headlines["waste_bytes"] = now.waste.bytes
    return headlines
