"""The assets of a source: shards, listings, changes, the date's manifest, and what is made of it.

Assets are declarations. What they do is done by `inventory`; here stand their partitions, inputs,
checks, metadata and automation.
"""

from inventory_assets.assets.change_log import build_change_log
from inventory_assets.assets.changes import build_object_changes
from inventory_assets.assets.collecting import build_collection_job
from inventory_assets.assets.exports import build_inventory_exports
from inventory_assets.assets.iceberg import build_iceberg_tables
from inventory_assets.assets.listing import build_object_listing
from inventory_assets.assets.manifest import build_inventory_manifest
from inventory_assets.assets.shards import build_shards

__all__ = [
    "build_change_log",
    "build_collection_job",
    "build_iceberg_tables",
    "build_inventory_exports",
    "build_inventory_manifest",
    "build_object_changes",
    "build_object_listing",
    "build_shards",
]
