"""`storage_report`: one HTML page that shows a date's inventory to people."""

from collections.abc import Iterator, Mapping
from datetime import date
from hashlib import sha256
from typing import Any

import dagster as dg

from inventory_assets.defs.source.automation import on_all_listing_changes
from inventory_assets.defs.source.context import SourceAssets
from inventory_assets.defs.source.partition_steps import StepResult, publish_each_date
from inventory_assets.defs.source.partitioned_asset import partitioned_asset
from inventory_assets.defs.source.report_metadata import report_metadata
from inventory_assets.inventory.report.date_report import ReportPrices, publish_report
from inventory_assets.wiring.prices import usage_pricing


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
        automation_condition=on_all_listing_changes(),
    )
    def storage_report(context: dg.AssetExecutionContext) -> Iterator[StepResult]:
        work = assets.bind_run(context)
        prices = ReportPrices(usage_pricing(assets.prices), assets.prices.label)

        def publish(day: date) -> tuple[str, Mapping[str, Any]]:
            data, page = publish_report(work.store, work.layout, day, prices)
            metadata = report_metadata(work.store, work.layout, data, page)
            return sha256(page).hexdigest()[:32], metadata

        yield from publish_each_date(context, key, "reports", publish)

    return storage_report
