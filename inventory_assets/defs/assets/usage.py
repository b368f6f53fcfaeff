"""`prefix_usage`: what a date's inventory holds, and where."""

from collections.abc import Iterator
from datetime import date

import dagster as dg

from inventory_assets.defs.source.automation import on_listing_change
from inventory_assets.defs.source.checks import log_check, partitioned_check
from inventory_assets.defs.source.context import SourceAssets, SourceContext
from inventory_assets.defs.source.growth_checks import log_usage_growth, usage_growth_checks
from inventory_assets.defs.source.partition_steps import (
    StepResult,
    for_each_partition,
    log_partition,
)
from inventory_assets.defs.source.partitioned_asset import partitioned_asset
from inventory_assets.defs.source.usage_metadata import PREFIX_COLUMNS, usage_metadata
from inventory_assets.inventory.errors import ManifestIncomplete
from inventory_assets.inventory.manifest.manifest import Manifest
from inventory_assets.inventory.manifest.manifest_merge import required_manifest
from inventory_assets.inventory.usage.date_usage import (
    DateUsage,
    publish_usage,
    read_usage,
    usage_etag,
    violations_of,
)
from inventory_assets.wiring.prices import usage_pricing


def build_prefix_usage(assets: SourceAssets) -> dg.AssetsDefinition:
    """The asset of the usage by prefix."""
    key = assets.key("prefix_usage")
    totals = partitioned_check(
        "usage_reconciles",
        key,
        assets.partitions.dates,
        "The usage was made of the present manifest of the date, and counts as many records, "
        "current objects and bytes; its tables exist.",
    )
    growth = usage_growth_checks(assets)

    @partitioned_asset(
        assets,
        key,
        assets.partitions.dates,
        description=(
            "Objects and bytes of every prefix that matters, with what changed since the baseline, "
            "a week and a month before. Only parts that no date before has are read."
        ),
        kinds={"parquet"},
        deps=[assets.key("inventory_manifest")],
        columns=PREFIX_COLUMNS,
        checks=[totals, *growth],
        # The manifest's data version changes with a listing's.
        automation_condition=on_listing_change(),
    )
    def prefix_usage(context: dg.AssetExecutionContext) -> Iterator[StepResult]:
        work = assets.bind_run(context)
        is_check_only = key not in context.selected_asset_keys

        def process(partition_key: str) -> list[str]:
            day = date.fromisoformat(partition_key)
            manifest, usage = (_read if is_check_only else _publish)(work, day)
            if not is_check_only:
                metadata = usage_metadata(work.store, work.layout, usage, assets.prices)
                log_partition(context, key, partition_key, usage.identity, metadata)
            violations = violations_of(work.store, usage, manifest)
            log_check(context, totals, partition_key, violations)
            if not violations:
                log_usage_growth(context, growth, work, partition_key, usage)
            return violations

        yield from for_each_partition(context, "usage tables", process)

    return prefix_usage


def _publish(work: SourceContext, day: date) -> tuple[Manifest, DateUsage]:
    expected_etag = usage_etag(work.store, work.layout, day)
    manifest = required_manifest(work.store, work.layout, day)
    usage = publish_usage(
        work.store,
        work.layout,
        manifest,
        work.now(),
        expected_etag,
        pricing=usage_pricing(work.assets.prices),
    )
    return manifest, usage


def _read(work: SourceContext, day: date) -> tuple[Manifest, DateUsage]:
    usage = read_usage(work.store, work.layout, day)
    if usage is None:
        raise ManifestIncomplete("no usage was published; materialize it first")
    return required_manifest(work.store, work.layout, day), usage
