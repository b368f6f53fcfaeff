"""The assets of a source, one module for each.

The assets are declarations: `inventory` does their work, and `defs.source` has the resources,
partitions, metadata, checks and automation that they share.
"""

from inventory_assets.defs.assets.change_log import build_change_log
from inventory_assets.defs.assets.changes import build_object_changes
from inventory_assets.defs.assets.exports import build_inventory_exports
from inventory_assets.defs.assets.hygiene import build_hygiene_report
from inventory_assets.defs.assets.iceberg import build_iceberg_tables
from inventory_assets.defs.assets.invalid_source import build_invalid_source
from inventory_assets.defs.assets.lifecycle import build_lifecycle_simulation
from inventory_assets.defs.assets.listing import build_object_listing
from inventory_assets.defs.assets.manifest import build_inventory_manifest
from inventory_assets.defs.assets.object_metadata import build_object_metadata
from inventory_assets.defs.assets.report import build_storage_report
from inventory_assets.defs.assets.shards import build_shards
from inventory_assets.defs.assets.usage import build_prefix_usage

__all__ = [
    "build_change_log",
    "build_hygiene_report",
    "build_iceberg_tables",
    "build_invalid_source",
    "build_inventory_exports",
    "build_inventory_manifest",
    "build_lifecycle_simulation",
    "build_object_changes",
    "build_object_listing",
    "build_object_metadata",
    "build_prefix_usage",
    "build_shards",
    "build_storage_report",
]
