"""Metadata of partitions for the UI: counts, costs, tables. Object keys are escaped."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

import dagster as dg
import pyarrow as pa

from inventory_assets.errors import printable
from inventory_assets.inventory.changes.change_log import ChangeLog, ChangeLogEntry
from inventory_assets.inventory.changes.journal_format import CHANGE_DESCRIPTIONS, CHANGE_SCHEMA
from inventory_assets.inventory.changes.shard_changes import Changes
from inventory_assets.inventory.manifest.manifest import Manifest, ShardEntry
from inventory_assets.inventory.manifest.s3_inventory_format import DataFile
from inventory_assets.inventory.manifest.snapshot import Snapshot
from inventory_assets.inventory.manifest.snapshot_validation import RuleResult
from inventory_assets.inventory.parts.part import ClassTotal, Part, read_records
from inventory_assets.inventory.parts.schema import COLUMN_DESCRIPTIONS, has_versions, record_schema
from inventory_assets.inventory.storage.layout import Layout
from inventory_assets.inventory.storage.store import Store
from inventory_assets.inventory.verification.verification import Verification
from inventory_assets.scan.keyspace.key_range import KeyRange
from inventory_assets.scan.validation.object_versions import Versions

if TYPE_CHECKING:
    from inventory_assets.inventory.iceberg.sync import DateSync

PREVIEW_ROWS = 10
SHARDS_SHOWN = 20
"""Shards in the table of a manifest or change log, besides one row for all others."""

_SHOWN_CHARACTERS = 300
_PREVIEW_COLUMNS = ["key", "size", "last_modified_date", "e_tag", "storage_class"]

Metadata = Mapping[str, Any]


def column_schema(schema: pa.Schema, descriptions: Mapping[str, str]) -> dg.TableSchema:
    """Convert an Arrow schema to Dagster's."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                name=field.name,
                type=str(field.type),
                description=descriptions[field.name],
                constraints=dg.TableColumnConstraints(nullable=field.nullable),
            )
            for field in schema
        ]
    )


def record_columns(of_versions: bool) -> dg.TableSchema:
    """The columns of the records of a source with or without versions."""
    return column_schema(record_schema(of_versions=of_versions), COLUMN_DESCRIPTIONS)


CHANGE_COLUMNS = column_schema(CHANGE_SCHEMA, CHANGE_DESCRIPTIONS)


def snapshot_metadata(store: Store, layout: Layout, snapshot: Snapshot) -> Metadata:
    """The metadata of a shard's listing; few and small, as there is one a shard and day."""
    key = layout.snapshot(snapshot.day, snapshot.shard.prefix)
    return {
        "dagster/row_count": snapshot.rows,
        "prefix": printable(snapshot.shard.prefix),
        **_versions_metadata(snapshot.versions, snapshot.objects),
        "object_bytes": snapshot.object_bytes,
        "size": human_bytes(snapshot.object_bytes),
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
    return _records(
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


def _versions_metadata(versions: Versions | None, objects: int) -> dict[str, Any]:
    """For a versions listing, the number of current objects and their time."""
    if versions is None:
        return {}
    as_of = versions.as_of.isoformat() if versions.as_of else "the time of the listing"
    return {"objects": objects, "as_of": as_of}


def _reconstruction_metadata(manifest: Manifest) -> dict[str, Any]:
    """How a past date was reconstructed, and what could not be recovered."""
    found = manifest.reconstruction
    if found is None:
        return {}
    return {
        "as_of": found.as_of.isoformat(),
        "observed": f"{found.observed_from:%Y-%m-%d %H:%M:%S} to "
        f"{found.observed_until:%Y-%m-%d %H:%M:%S} UTC, in {found.shards} shard(s)",
        "unrecoverable": found.missing,
    }


def changes_metadata(store: Store, changes: Changes) -> Metadata:
    """The metadata of a shard's changes; few and small, as there is one a shard and day."""
    return {
        "dagster/row_count": changes.total,
        **{change.value: count for change, count in changes.counts.items()},
        "baseline": str(changes.baseline_day or "none: the first inventory"),
        "baseline_rows": changes.baseline_rows,
        "snapshot_rows": changes.snapshot_rows,
        "changed_records": dg.MetadataValue.path(store.where(changes.file)),
    }


def change_log_metadata(
    store: Store, layout: Layout, log: ChangeLog, orphans: Sequence[str]
) -> Metadata:
    """The metadata of a change log.

    Args:
        store: The store of results.
        layout: The layout of the source.
        log: The published change log.
        orphans: The prefixes of shards whose partition was deleted.
    """
    return {
        "dagster/row_count": sum(log.counts.values()),
        **{change.value: count for change, count in log.counts.items()},
        "baseline": str(log.baseline_day or "none: the first inventory"),
        "baseline_rows": log.baseline_rows,
        "inventory_rows": log.rows,
        "shards": _changed_shards_table(log.entries),
        **(
            {"compared_here": dg.MetadataValue.json([printable(prefix) for prefix in orphans])}
            if orphans
            else {}
        ),
        "files": len(log.files),
        "symlink": dg.MetadataValue.path(store.where(layout.change_log_symlink(log.day))),
    }


def _changed_shards_table(entries: Sequence[ChangeLogEntry]) -> dg.TableMetadataValue:
    """The shards of a change log with the most changes, and the sum of the others."""
    by_changes = sorted(entries, key=lambda each: (-sum(each.counts.values()), each.shard.prefix))
    rows: list[dict[str, str | int]] = [
        {"prefix": printable(entry.shard.prefix) or "(all other keys)"}
        | {change.value: count for change, count in entry.counts.items()}
        for entry in by_changes[:SHARDS_SHOWN]
    ]
    if others := by_changes[SHARDS_SHOWN:]:
        rows.append(
            {"prefix": f"({len(others):,} shards with fewer changes or none)"}
            | {
                change.value: sum(entry.counts[change] for entry in others)
                for change in others[0].counts
            }
        )
    return _records(rows)


def manifest_metadata(store: Store, layout: Layout, manifest: Manifest) -> Metadata:
    """The metadata of a date's manifest."""
    return {
        "dagster/row_count": manifest.rows,
        **({"objects": manifest.objects} if has_versions(manifest.schema) else {}),
        **_reconstruction_metadata(manifest),
        "object_bytes": manifest.object_bytes,
        "size": human_bytes(manifest.object_bytes),
        "storage_classes": classes_table(manifest.classes),
        "shards": _shards_table(manifest.shards),
        "preview": preview(store, manifest.parts),
        "unreadable": manifest.unreadable,
        "requests": sum(entry.requests for entry in manifest.shards),
        "parts": len(manifest.parts),
        "parquet_bytes": sum(part.file_bytes for part in manifest.parts),
        "manifest": dg.MetadataValue.path(store.where(layout.s3_manifest(manifest.day))),
        "symlink": dg.MetadataValue.path(store.where(layout.symlink(manifest.day))),
    }


def _shards_table(shards: Sequence[ShardEntry]) -> dg.TableMetadataValue:
    """The largest shards of a manifest by bytes, and the sum of the others."""
    by_size = sorted(shards, key=lambda entry: (-entry.object_bytes, entry.shard.prefix))
    rows: list[dict[str, str | int]] = [
        {
            "prefix": printable(entry.shard.prefix) or "(all other keys)",
            "objects": entry.rows,
            "size": human_bytes(entry.object_bytes),
            "parts": len(entry.parts),
            "requests": entry.requests,
            "listed_at": entry.finished_at.isoformat(timespec="seconds"),
        }
        for entry in by_size[:SHARDS_SHOWN]
    ]
    if others := by_size[SHARDS_SHOWN:]:
        rows.append(
            {
                "prefix": f"({len(others):,} smaller shards)",
                "objects": sum(entry.rows for entry in others),
                "size": human_bytes(sum(entry.object_bytes for entry in others)),
                "parts": sum(len(entry.parts) for entry in others),
                "requests": sum(entry.requests for entry in others),
                "listed_at": "",
            }
        )
    return _records(rows)


def human_bytes(count: int) -> str:
    """A number of bytes with a decimal unit, as S3's console shows it: `67.8 GB`."""
    if count < 1000:
        return f"{count:,} B"
    size = float(count)
    for unit in ("kB", "MB", "GB", "TB", "PB"):
        size /= 1000
        if size < 999.95:
            return f"{size:.1f} {unit}"
    return f"{size / 1000:,.1f} EB"


def verification_metadata(found: Verification, seed: str) -> dict[str, Any]:
    """The metadata of a verification, with the seed of its sample."""
    differing = sorted((kind.value, key) for key, kind in found.findings.items())
    return {
        "ranges": len(found.ranges),
        "prefixes": len(found.prefixes),
        "records": found.records,
        "requests": found.requests,
        "asked_again": found.asked_again,
        "notes": "; ".join(found.notes) or "none",
        "seed": seed,
        **{kind.value.replace(" ", "_"): count for kind, count in found.counts.items()},
        "differences": _records(
            [{"finding": kind, "key": printable(key)} for kind, key in differing[:PREVIEW_ROWS]]
        ),
    }


def exports_metadata(
    store: Store,
    layout: Layout,
    manifest: Manifest,
    files: Mapping[str, DataFile],
    csv_files: Sequence[DataFile] | None,
) -> dict[str, Any]:
    """The metadata of a date's exports.

    Args:
        store: The store of results.
        layout: The layout of the source.
        manifest: The exported manifest.
        files: The exported files, by the name of their format.
        csv_files: The files of the CSV inventory, or None.
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
        manifest_key = layout.csv.s3_manifest(manifest.day)
        metadata["csv_manifest"] = dg.MetadataValue.path(store.where(manifest_key))
    return metadata


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
        "query": dg.MetadataValue.md(
            "```python\n"
            f'pl.scan_iceberg("{inventory.metadata_file}", snapshot_id={inventory.snapshot_id})\n'
            "```"
        ),
    }


def rule_results_table(results: Sequence[RuleResult]) -> dg.TableMetadataValue:
    """The result of each rule of a check."""
    return _records(
        [{"rule": result.rule, "fault": printable(result.fault or "none")} for result in results]
    )


def prefixes_table(prefixes: Mapping[str, str]) -> dg.TableMetadataValue:
    """Partition keys and their prefixes."""
    return _records(
        [{"partition": key, "prefix": printable(prefix)} for key, prefix in prefixes.items()]
    )


def classes_table(classes: Sequence[ClassTotal]) -> dg.TableMetadataValue:
    """Totals by storage class."""
    return _records(
        [
            {
                "storage_class": total.storage_class,
                "objects": total.objects,
                "size": human_bytes(total.bytes),
            }
            for total in classes
        ]
    )


def preview(store: Store, parts: Sequence[Part]) -> dg.TableMetadataValue:
    """The first records."""
    everything = [KeyRange.of_prefix("")]
    batch = next(read_records(store, parts[:1], everything, _PREVIEW_COLUMNS), None)
    return _table(batch, _PREVIEW_COLUMNS)


def _table(
    records: pa.RecordBatch | pa.Table | None, columns: Sequence[str]
) -> dg.TableMetadataValue:
    rows = records.slice(0, PREVIEW_ROWS).select(columns).to_pylist() if records else []
    return _records([{name: _cell(value) for name, value in row.items()} for row in rows], columns)


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
