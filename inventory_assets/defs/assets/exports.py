"""`inventory_exports`: a date's inventory in the configured formats."""

from collections.abc import Iterator
from datetime import date
from functools import partial
from hashlib import sha256

import dagster as dg

from inventory_assets.defs.source.automation import (
    on_any_shard_change_of,
    on_listing_change,
    shards_of_the_date,
)
from inventory_assets.defs.source.context import SourceAssets, SourceContext
from inventory_assets.defs.source.exports_metadata import exports_metadata
from inventory_assets.defs.source.partition_steps import StepResult, publish_each_date
from inventory_assets.defs.source.partitioned_asset import partitioned_asset
from inventory_assets.inventory.export.csv_inventory import (
    csv_inventory_etag,
    publish_csv_inventory,
)
from inventory_assets.inventory.export.export_format import ExportFormat
from inventory_assets.inventory.export.exporter import publish_export
from inventory_assets.inventory.manifest.manifest_merge import required_manifest
from inventory_assets.inventory.metadata.date_metadata import date_metadata


def build_inventory_exports(assets: SourceAssets) -> dg.AssetsDefinition:
    """The asset of the exports; a source has it if exports are configured."""
    key = assets.key("inventory_exports")
    published = assets.key("inventory_manifest")
    with_metadata = assets.source.exports.metadata
    metadata = (
        [dg.AssetDep(assets.key("object_metadata"), partition_mapping=shards_of_the_date())]
        if with_metadata
        else []
    )

    @partitioned_asset(
        assets,
        key,
        assets.partitions.dates,
        description=(
            f"The inventory of a day in other formats: {', '.join(_format_names(assets))}. Each is "
            f"sorted by key{', with the metadata of objects' if with_metadata else ''}."
        ),
        kinds={"csv"},
        deps=[published, *metadata],
        # The manifest's data version changes with a listing's. Shards without metadata do not hold
        # up the exports.
        automation_condition=on_any_shard_change_of(published) if metadata else on_listing_change(),
    )
    def inventory_exports(context: dg.AssetExecutionContext) -> Iterator[StepResult]:
        work = assets.bind_run(context)
        yield from publish_each_date(context, key, "exports", partial(_export, work))

    return inventory_exports


def _export(work: SourceContext, day: date) -> tuple[str, dict[str, object]]:
    expected_etag = csv_inventory_etag(work.store, work.layout, day)
    manifest = required_manifest(work.store, work.layout, day)
    exports = work.source.exports
    collected = date_metadata(work.store, work.layout, manifest) if exports.metadata else None
    metadata = collected.files if collected else None
    files = {
        name: publish_export(
            work.store, work.layout, manifest, name, ExportFormat.named(name), metadata
        )
        for name in exports.files
    }
    csv_files = (
        publish_csv_inventory(work.store, work.layout, manifest, expected_etag, metadata)
        if exports.csv_inventory
        else None
    )
    identities = f"{manifest.identity} {exports} {collected.identity if collected else ''}"
    version = sha256(identities.encode()).hexdigest()[:32]
    shown = exports_metadata(work.store, work.layout, manifest, files, csv_files)
    if collected is not None:
        shown["metadata_missing_shards"] = collected.missing
        shown["metadata_unknown_objects"] = collected.unknown
    return version, shown


def _format_names(assets: SourceAssets) -> list[str]:
    exports = assets.source.exports
    return [*(["S3 Inventory in CSV"] if exports.csv_inventory else []), *exports.files]
