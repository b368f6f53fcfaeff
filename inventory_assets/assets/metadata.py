"""What the UI shows of a partition: counts, costs, tables. Keys are shown escaped, as text only."""

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq

from inventory_assets.inventory.changes import Changes, change_log_key
from inventory_assets.inventory.comparing import CHANGE_SCHEMA
from inventory_assets.inventory.evidence import Verdict
from inventory_assets.inventory.facts import Manifest
from inventory_assets.inventory.layout import Layout
from inventory_assets.inventory.parts import ClassTotal, Part, read_records
from inventory_assets.inventory.records import COLUMN_DESCRIPTIONS, RECORD_SCHEMA
from inventory_assets.inventory.s3_inventory import DataFile
from inventory_assets.inventory.snapshots import Snapshot
from inventory_assets.inventory.store import Store
from inventory_assets.scan import KeyRange

PREVIEW_ROWS = 10
_PREVIEW_COLUMNS = ["key", "size", "last_modified_date", "e_tag", "storage_class"]

Metadata = Mapping[str, Any]


def printable(text: str) -> str:
    """Hostile text made harmless: what is not printable, bidi marks included, is escaped."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


def column_schema(schema: pa.Schema) -> dg.TableSchema:
    """An Arrow schema as Dagster shows it."""

    def describe(name: str) -> str:
        if name == "change":
            return "created, modified, touched, transitioned or deleted."
        plain = name.removeprefix("previous_")
        return ("The baseline's: " if plain != name else "") + COLUMN_DESCRIPTIONS[plain]

    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                name=field.name,
                type=str(field.type),
                description=describe(field.name),
                constraints=dg.TableColumnConstraints(nullable=field.nullable),
            )
            for field in schema
        ]
    )


RECORD_COLUMNS = column_schema(RECORD_SCHEMA)
CHANGE_COLUMNS = column_schema(CHANGE_SCHEMA)


def snapshot_metadata(store: Store, layout: Layout, snapshot: Snapshot) -> Metadata:
    """What one shard's listing found and cost."""
    key = layout.snapshot(snapshot.day, snapshot.shard.prefix)
    return {
        "dagster/row_count": snapshot.rows,
        "prefix": printable(snapshot.shard.prefix),
        "object_bytes": snapshot.object_bytes,
        "storage_classes": classes_table(snapshot.classes),
        "preview": preview(store, snapshot.parts),
        "seconds": round(snapshot.seconds, 3),
        "requests": snapshot.requests,
        "response_bytes": snapshot.response_bytes,
        "faults": dg.MetadataValue.json(dict(snapshot.faults)),
        "parts": len(snapshot.parts),
        "parquet_bytes": snapshot.file_bytes,
        "ranges": len(snapshot.evidence),
        "left_out": len(snapshot.shard.excluded),
        "key_order": snapshot.key_order.value,
        "snapshot": dg.MetadataValue.path(store.where(key)),
    }


def changes_metadata(store: Store, layout: Layout, changes: Changes) -> Metadata:
    """How one shard changed."""
    key = change_log_key(layout, changes)
    return {
        "dagster/row_count": changes.total,
        **{change.value: count for change, count in changes.counts.items()},
        "baseline": str(changes.baseline_day or "none: the first inventory"),
        "baseline_rows": changes.baseline_rows,
        "snapshot_rows": changes.snapshot_rows,
        "preview": _table(_first_batch(store, key), ["change", *_PREVIEW_COLUMNS]),
        "change_log": dg.MetadataValue.path(store.where(key)),
    }


def manifest_metadata(store: Store, layout: Layout, manifest: Manifest) -> Metadata:
    """What a date's inventory holds, and where it lies."""
    return {
        "dagster/row_count": manifest.rows,
        "object_bytes": manifest.object_bytes,
        "storage_classes": classes_table(manifest.classes),
        "shards": _records(
            [
                {
                    "prefix": printable(entry.shard.prefix) or "(all other keys)",
                    "objects": entry.rows,
                    "parts": len(entry.parts),
                    "requests": entry.requests,
                    "listed_at": entry.finished_at.isoformat(timespec="seconds"),
                }
                for entry in manifest.shards
            ]
        ),
        "preview": preview(store, manifest.parts),
        "requests": sum(entry.requests for entry in manifest.shards),
        "parts": len(manifest.parts),
        "parquet_bytes": sum(part.file_bytes for part in manifest.parts),
        "manifest": dg.MetadataValue.path(store.where(layout.dated(manifest.day, "manifest.json"))),
        "symlink": dg.MetadataValue.path(store.where(layout.symlink(manifest.day))),
    }


def exports_metadata(
    store: Store,
    layout: Layout,
    manifest: Manifest,
    files: Mapping[str, DataFile],
    csv_files: Sequence[DataFile] | None,
) -> dict[str, Any]:
    """Where a date's exports lie.

    Args:
        store: Where they were published.
        layout: The source's.
        manifest: What was exported.
        files: By the name of their format.
        csv_files: Of S3 Inventory in CSV; None where that was not asked for.
    """
    metadata: dict[str, Any] = {
        "dagster/row_count": manifest.rows,
        "files": _records(
            [
                {"format": name, "bytes": file.size, "md5": file.md5, "file": store.where(file.key)}
                for name, file in files.items()
            ]
        ),
    }
    if csv_files is not None:
        metadata["csv_files"] = len(csv_files)
        metadata["csv_bytes"] = sum(file.size for file in csv_files)
        manifest_key = layout.csv.dated(manifest.day, "manifest.json")
        metadata["csv_manifest"] = dg.MetadataValue.path(store.where(manifest_key))
    return metadata


def verdicts_table(verdicts: Sequence[Verdict]) -> dg.TableMetadataValue:
    """What each rule of a check says."""
    return _records(
        [
            {"rule": verdict.rule, "fault": printable(verdict.fault or "none")}
            for verdict in verdicts
        ]
    )


def prefixes_table(prefixes: Mapping[str, str]) -> dg.TableMetadataValue:
    """Partition keys and the prefixes they stand for."""
    return _records(
        [{"partition": key, "prefix": printable(prefix)} for key, prefix in prefixes.items()]
    )


def classes_table(classes: Sequence[ClassTotal]) -> dg.TableMetadataValue:
    """Totals by storage class."""
    return _records(
        [
            {"storage_class": total.storage_class, "objects": total.objects, "bytes": total.bytes}
            for total in classes
        ]
    )


def preview(store: Store, parts: Sequence[Part]) -> dg.TableMetadataValue:
    """The first records."""
    everything = [KeyRange.of_prefix("")]
    batch = next(read_records(store, parts[:1], everything, _PREVIEW_COLUMNS), None)
    return _table(batch, _PREVIEW_COLUMNS)


def _table(batch: pa.RecordBatch | None, columns: Sequence[str]) -> dg.TableMetadataValue:
    rows = batch.slice(0, PREVIEW_ROWS).select(columns).to_pylist() if batch else []
    return _records([{name: _cell(value) for name, value in row.items()} for row in rows], columns)


def _first_batch(store: Store, key: str) -> pa.RecordBatch | None:
    source = store.open(key)
    if source is None:
        return None
    with source, pq.ParquetFile(source) as file:
        return next(file.iter_batches(PREVIEW_ROWS), None)


def _cell(value: object) -> str | int:
    if isinstance(value, int):
        return value
    return "" if value is None else printable(str(value))


def _records(
    rows: Sequence[Mapping[str, str | int]], columns: Sequence[str] = ()
) -> dg.TableMetadataValue:
    names = columns or list(rows[0] if rows else [])
    return dg.MetadataValue.table(
        records=[dg.TableRecord(dict(row)) for row in rows],
        schema=dg.TableSchema([dg.TableColumn(name) for name in names or ["none"]]),
    )
