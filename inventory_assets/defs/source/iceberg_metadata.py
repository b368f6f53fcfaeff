"""Metadata of a date in the Iceberg tables for the UI."""

from typing import TYPE_CHECKING, Any

import dagster as dg

if TYPE_CHECKING:
    from inventory_assets.inventory.iceberg.sync import DateSync


def iceberg_metadata(synced: "DateSync") -> dict[str, Any]:
    """The metadata of a date in the Iceberg tables."""
    manifest, log, inventory = synced.manifest, synced.log, synced.inventory
    tag = f"inventory-{manifest.day}"
    return {
        "dagster/row_count": manifest.rows,
        "dagster/table_name": inventory.identifier,
        "tag": tag,
        # Text, because JavaScript would round the number.
        "snapshot_id": str(inventory.snapshot_id),
        "files": len(manifest.parts),
        "metadata_file": dg.MetadataValue.path(inventory.metadata_file),
        "changes_table": synced.changes.identifier,
        "changed_records": sum(log.counts.values()),
        "changes_metadata_file": dg.MetadataValue.path(synced.changes.metadata_file),
        **(
            {
                "metadata_table": synced.metadata.identifier,
                "metadata_metadata_file": dg.MetadataValue.path(synced.metadata.metadata_file),
            }
            if synced.metadata
            else {}
        ),
        "query": dg.MetadataValue.md(
            "```python\n"
            f'pl.scan_iceberg("{inventory.metadata_file}", snapshot_id={inventory.snapshot_id})\n'
            "```"
        ),
    }
