"""`hygiene_report`: what is waste or odd in a date's inventory."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from functools import partial
from hashlib import sha256
from typing import Any

import dagster as dg
import pyarrow as pa

from inventory_assets.defs.source.automation import on_listing_change
from inventory_assets.defs.source.context import SourceAssets, SourceContext
from inventory_assets.defs.source.hygiene_metadata import hygiene_metadata
from inventory_assets.defs.source.partition_steps import StepResult, publish_each_date
from inventory_assets.defs.source.partitioned_asset import partitioned_asset
from inventory_assets.inventory.hygiene.report import HYGIENE, HygieneReport
from inventory_assets.inventory.hygiene.survey import SurveyOptions, publish_report
from inventory_assets.inventory.manifest.manifest import Manifest
from inventory_assets.inventory.manifest.manifest_merge import required_manifest
from inventory_assets.inventory.usage.date_usage import read_usage_of
from inventory_assets.inventory.usage.schema import USAGE_SCHEMA
from inventory_assets.inventory.usage.usage_files import read_table


def build_hygiene_report(assets: SourceAssets) -> dg.AssetsDefinition:
    """The asset of the hygiene reports; a source has it unless it is disabled."""
    key = assets.key("hygiene_report")

    @partitioned_asset(
        assets,
        key,
        assets.partitions.dates,
        description=(
            "What is waste or odd in a day's inventory, with counts, bytes, cost and the worst "
            "prefixes: noncurrent versions, delete markers that hide nothing, keys that hurt, the "
            "largest objects, the most crowded prefixes; if configured, unfinished uploads and "
            "likely duplicates. Only parts that no earlier day has are read, except for duplicates."
        ),
        kinds={"json"},
        deps=[assets.key("inventory_manifest"), assets.key("prefix_usage")],
        automation_condition=on_listing_change(),
    )
    def hygiene_report(context: dg.AssetExecutionContext) -> Iterator[StepResult]:
        work = assets.bind_run(context)
        yield from publish_each_date(context, key, "hygiene reports", partial(_publish, work))

    return hygiene_report


def _publish(work: SourceContext, day: date) -> tuple[str, dict[str, Any]]:
    manifest = required_manifest(work.store, work.layout, day)
    settings, now = work.source.hygiene, work.now()
    options = SurveyOptions(
        duplicates=settings.duplicates,
        uploads=work.bucket.uploads(now) if settings.multipart_uploads else None,
        part_requests=settings.part_requests,
        usage=_usage_of(work, manifest),
    ).with_prices(work.assets.prices)
    report = publish_report(work.store, work.layout, manifest, options, now)
    return _data_version(report), hygiene_metadata(work.store, work.layout, report)


def _usage_of(work: SourceContext, manifest: Manifest) -> pa.Table | None:
    """The usage of the date by prefix; None where there is none of this manifest."""
    usage = read_usage_of(work.store, work.layout, manifest.day, manifest.identity)
    return read_table(work.store, usage.aggregate.key, USAGE_SCHEMA) if usage else None


def _data_version(report: HygieneReport) -> str:
    """A hash of what was found, whenever it was."""
    timeless = replace(report, created_at=datetime.fromtimestamp(0, UTC))
    return sha256(HYGIENE.encode(timeless)).hexdigest()[:32]
