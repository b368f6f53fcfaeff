"""The assets of a source, a module for each: shards, listings, changes, a date's manifest, exports.

Assets are declarations. What they do is done by `inventory`; how a source is opened, and its
partitions, metadata, checks and automation, is in `defs.source`.
"""

from inventory_assets.defs.assets.change_log import build_change_log
from inventory_assets.defs.assets.changes import build_object_changes
from inventory_assets.defs.assets.exports import build_inventory_exports
from inventory_assets.defs.assets.iceberg import build_iceberg_tables
from inventory_assets.defs.assets.listing import build_object_listing
from inventory_assets.defs.assets.manifest import build_inventory_manifest
from inventory_assets.defs.assets.shards import build_shards

__all__ = [
    "build_change_log",
    "build_iceberg_tables",
    "build_inventory_exports",
    "build_inventory_manifest",
    "build_object_changes",
    "build_object_listing",
    "build_shards",
]
