"""Metadata of shards and of their listings for the UI. Object keys are escaped."""

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

import dagster as dg

from inventory_assets.defs.source.metadata_tables import (
    PREVIEW_ROWS,
    SHARDS_SHOWN,
    Metadata,
    column_schema,
    prefix_label,
    table_of_rows,
)
from inventory_assets.errors import printable
from inventory_assets.inventory.manifest.snapshot import Snapshot
from inventory_assets.inventory.parts.schema import COLUMN_DESCRIPTIONS, record_schema
from inventory_assets.inventory.storage.layout import Layout
from inventory_assets.inventory.storage.store import Store
from inventory_assets.scan.validation.object_versions import Versions
from inventory_assets.units import human_bytes

_SHOWN_CHARACTERS = 300


def record_columns(of_versions: bool) -> dg.TableSchema:
    """The columns of the records of a source with or without versions."""
    return column_schema(record_schema(of_versions=of_versions), COLUMN_DESCRIPTIONS)


def snapshot_metadata(store: Store, layout: Layout, snapshot: Snapshot) -> Metadata:
    """The metadata of a shard's listing; few and small, as there is one a shard and day."""
    key = layout.snapshot(snapshot.day, snapshot.shard.prefix)
    return {
        "dagster/row_count": snapshot.rows,
        "prefix": prefix_label(snapshot.shard.prefix),
        **_versions_metadata(snapshot.versions, snapshot.objects),
        "size": human_bytes(snapshot.object_bytes),
        "object_bytes": snapshot.object_bytes,
        "storage_classes": dg.MetadataValue.json(
            {total.storage_class: total.objects for total in snapshot.classes}
        ),
        "seconds": round(snapshot.seconds, 3),
        "requests": snapshot.requests,
        "response_bytes": snapshot.response_bytes,
        "faults": dg.MetadataValue.json(dict(snapshot.faults)),
        "unchanged": snapshot.reuse.unchanged,
        # Dagster stores some hundred bytes for each name, in two databases.
        "files": dg.MetadataValue.json(
            {
                "parts": len(snapshot.parts),
                "parquet_bytes": snapshot.file_bytes,
                "parts_shared": snapshot.reuse.parts,
                "bytes_shared": snapshot.reuse.bytes,
                "bytes_written": snapshot.file_bytes - snapshot.reuse.bytes,
            }
        ),
        "unreadable": snapshot.unreadable.count,
        "evidence": dg.MetadataValue.json(
            {
                "key_order": snapshot.key_order.value,
                "store": snapshot.profile.habits,
                "ranges": len(snapshot.evidence),
                "seams": snapshot.seams,
                "excluded_prefixes": len(snapshot.shard.excluded),
            }
        ),
        "snapshot": dg.MetadataValue.path(store.where(key)),
    }


def unreadable_table(snapshots: Iterable[Snapshot]) -> dg.TableMetadataValue:
    """The first unreadable records of some listings."""
    records = (record for snapshot in snapshots for record in snapshot.unreadable.first)
    return table_of_rows(
        [
            {
                "key": printable(record.key or ""),
                "reason": printable(record.reason),
                "record": printable(record.xml[:_SHOWN_CHARACTERS]),
            }
            for record in islice(records, PREVIEW_ROWS)
        ],
        ["key", "reason", "record"],
    )


def prefixes_table(prefixes: Mapping[str, str]) -> dg.TableMetadataValue:
    """The first partition keys and their prefixes, and the number of the others."""
    rows = [
        {"partition": key, "prefix": prefix_label(prefix)}
        for key, prefix in islice(prefixes.items(), SHARDS_SHOWN)
    ]
    if others := len(prefixes) - len(rows):
        rows.append({"partition": f"({others:,} others)", "prefix": ""})
    return table_of_rows(rows)


def _versions_metadata(versions: Versions | None, objects: int) -> dict[str, Any]:
    """For a versions listing, the number of current objects and their time."""
    if versions is None:
        return {}
    as_of = versions.as_of.isoformat() if versions.as_of else "the time of the listing"
    return {"objects": objects, "as_of": as_of}
