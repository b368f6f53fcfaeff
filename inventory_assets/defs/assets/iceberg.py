"""`iceberg_tables`: a date's inventory and changes in Iceberg tables."""

from collections.abc import Iterator
from contextlib import closing
from datetime import date
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import dagster as dg

from inventory_assets.defs.source.automation import (
    on_any_shard_change_of,
    on_listing_change,
    shards_of_the_date,
)
from inventory_assets.defs.source.context import SourceAssets
from inventory_assets.defs.source.iceberg_metadata import iceberg_metadata
from inventory_assets.defs.source.partition_steps import StepResult, publish_each_date
from inventory_assets.defs.source.partitioned_asset import partitioned_asset
from inventory_assets.defs.source.resources import IcebergCatalog, InventoryStore

if TYPE_CHECKING:
    from inventory_assets.inventory.iceberg.tables import IcebergTables


def build_iceberg_tables(assets: SourceAssets) -> dg.AssetsDefinition:
    """The asset of the Iceberg tables; a source has it if they are configured."""
    key = assets.key("iceberg_tables")
    published = [assets.key("inventory_manifest"), assets.key("change_log")]
    with_metadata = assets.source.metadata is not None
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
            "Iceberg tables over the published Parquet files: the inventory, with a tagged "
            "snapshot for each day, the changes of all days, and the metadata of objects, if it is "
            "collected."
        ),
        kinds={"iceberg"},
        deps=[*published, *metadata],
        # Shards without metadata do not hold up the other tables.
        automation_condition=on_any_shard_change_of(*published)
        if metadata
        else on_listing_change(),
        further_resources=frozenset({assets.catalog_resource}),
    )
    def iceberg_tables(context: dg.AssetExecutionContext) -> Iterator[StepResult]:
        resources = context.resources

        def publish(day: date) -> tuple[str, dict[str, Any]]:
            catalog: IcebergCatalog = getattr(resources, assets.catalog_resource)
            store: InventoryStore = getattr(resources, assets.store_resource)
            tables = catalog.tables(store, assets.layout)
            with closing(tables.catalog):
                return _sync(tables, day, with_metadata=with_metadata)

        yield from publish_each_date(context, key, "dates", publish)

    return iceberg_tables


def _sync(tables: "IcebergTables", day: date, *, with_metadata: bool) -> tuple[str, dict[str, Any]]:
    # pyiceberg is optional, and slow to import.
    from inventory_assets.inventory.iceberg.sync import sync_date

    synced = sync_date(tables, day, with_metadata=with_metadata)
    identities = f"{synced.manifest.identity} {synced.log.identity}"
    if synced.metadata:
        identities += f" {synced.metadata.snapshot_id}"
    return sha256(identities.encode()).hexdigest()[:32], iceberg_metadata(synced)
