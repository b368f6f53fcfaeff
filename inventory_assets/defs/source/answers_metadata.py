"""What was asked of a shard's objects, for the UI: its cost, and what is still unknown."""

from typing import Any

import dagster as dg

from inventory_assets.defs.source.metadata_tables import column_schema
from inventory_assets.inventory.metadata.schema import METADATA_DESCRIPTIONS, METADATA_SCHEMA
from inventory_assets.inventory.metadata.shard_metadata import ShardMetadata
from inventory_assets.inventory.pricing.price_table import Prices
from inventory_assets.inventory.storage.layout import Layout
from inventory_assets.inventory.storage.store import Store
from inventory_assets.units import human_bytes, human_usd

OBJECT_METADATA_COLUMNS = column_schema(METADATA_SCHEMA, METADATA_DESCRIPTIONS)

_STANDARD = "STANDARD"


def object_metadata_metadata(
    store: Store, layout: Layout, record: ShardMetadata, prices: Prices
) -> dict[str, Any]:
    """The metadata of a shard's object metadata; few and small, as there is one a shard and day."""
    standard = prices.of_class(_STANDARD)
    per_1000 = standard.get_usd_per_1000 if standard else None
    usd = None if per_1000 is None else record.requests * per_1000 / 1000
    return {
        "dagster/row_count": record.rows,
        "asked": record.asked,
        "carried": record.carried,
        "unknown": record.unknown,
        "requests": record.requests,
        "max_requests": "no limit" if record.budget is None else f"{record.budget:,}",
        # Objects of other classes cost more.
        "cost": f"{human_usd(usd)} at the price of STANDARD ({prices.label})",
        "errors": dg.MetadataValue.json(dict(record.errors)),
        "faults": dg.MetadataValue.json(dict(record.faults)),
        "files": dg.MetadataValue.json(
            {
                "parts": len(record.parts),
                "parts_shared": record.shared_parts,
                "parquet_bytes": record.file_bytes,
            }
        ),
        "size": human_bytes(record.file_bytes),
        "record": dg.MetadataValue.path(
            store.where(layout.metadata(record.day, record.shard.prefix))
        ),
    }
