"""`storage_report`: one HTML page that shows a date's inventory to people."""

from collections.abc import Iterator
from datetime import date
from hashlib import sha256

import dagster as dg

from inventory_assets.defs.source.automation import on_all_listing_changes
from inventory_assets.defs.source.context import (
    SourceAssets,
    StepResult,
    for_each_partition,
    log_partition,
)
from inventory_assets.defs.source.partitioned_asset import partitioned_asset
from inventory_assets.defs.source.report_metadata import report_metadata
from inventory_assets.inventory.report.date_report import ReportPrices, publish_report
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
        automation_condition=on_all_listing_changes(),
    )
    def storage_report(context: dg.AssetExecutionContext) -> Iterator[StepResult]:
        work = assets.bind(context.resources, context.instance)
        prices = ReportPrices(usage_pricing(assets.prices), assets.prices.label)

        def process(partition_key: str) -> list[str]:
            day = date.fromisoformat(partition_key)
            data, page = publish_report(work.store, work.layout, day, prices)
            metadata = report_metadata(work.store, work.layout, data, page)
            version = sha256(page).hexdigest()[:32]
            log_partition(context, key, partition_key, version, metadata)
            return []

        yield from for_each_partition(context, "reports", process)

    return storage_report
