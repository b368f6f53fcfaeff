"""Metadata of partitions for the UI: counts, costs, tables. Object keys are escaped."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

import dagster as dg
import pyarrow as pa

from inventory_assets.defs.source.metadata_tables import (
    PREVIEW_ROWS,
    column_schema,
    table_of_records,
    table_of_rows,
)
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
from inventory_assets.inventory.pricing.price_table import Prices
from inventory_assets.inventory.storage.layout import Layout
from inventory_assets.inventory.storage.store import Store
from inventory_assets.inventory.verification.verification import Verification
from inventory_assets.scan.keyspace.key_range import KeyRange
from inventory_assets.scan.validation.object_versions import Versions
from inventory_assets.units import human_bytes, human_usd

if TYPE_CHECKING:
    from inventory_assets.inventory.iceberg.sync import DateSync

SHARDS_SHOWN = 10
"""Shards in a table that fits a screen, such as the largest ones; one row is for all others."""

_SHOWN_CHARACTERS = 300
_PREVIEW_COLUMNS = ["key", "size", "last_modified_date", "e_tag", "storage_class"]

Metadata = Mapping[str, Any]


def record_columns(of_versions: bool) -> dg.TableSchema:
    """The columns of the records of a source with or without versions."""
    return column_schema(record_schema(of_versions=of_versions), COLUMN_DESCRIPTIONS)


CHANGE_COLUMNS = column_schema(CHANGE_SCHEMA, CHANGE_DESCRIPTIONS)


def snapshot_metadata(store: Store, layout: Layout, snapshot: Snapshot) -> Metadata:
    """The metadata of a shard's listing; few and small, as there is one a shard and day."""
    key = layout.snapshot(snapshot.day, snapshot.shard.prefix)
    return {
        "dagster/row_count": snapshot.rows,
        "prefix": _prefix_label(snapshot.shard.prefix),
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
        "shards": _changed_shards_table(log),
        **(
            {"compared_here": dg.MetadataValue.json([printable(prefix) for prefix in orphans])}
            if orphans
            else {}
        ),
        "files": len(log.files),
        "symlink": dg.MetadataValue.path(store.where(layout.change_log_symlink(log.day))),
    }


def _changed_shards_table(log: ChangeLog) -> dg.TableMetadataValue:
    """The shards of a change log with the most changes, and the sums of the others."""

    def total(entry: ChangeLogEntry) -> int:
        return sum(entry.counts.values())

    ranked = sorted(log.entries, key=lambda entry: (-total(entry), entry.shard.prefix))
    shown = [entry for entry in ranked[:SHARDS_SHOWN] if total(entry)]
    others = ranked[len(shown) :]
    rows = [
        {"prefix": _prefix_label(entry.shard.prefix)}
        | {change.value: entry.counts[change] for change in log.counts}
        for entry in shown
    ]
    if others:
        rows.append(
            {"prefix": f"({len(others):,} {'other ' if shown else ''}shards)"}
            | {change.value: sum(each.counts[change] for each in others) for change in log.counts}
        )
    return table_of_rows(rows)


def _prefix_label(prefix: str) -> str:
    """The prefix of a shard; that of the remainder is empty, unless the source has one."""
    return printable(prefix) or "(all other keys)"


def manifest_metadata(store: Store, layout: Layout, manifest: Manifest, prices: Prices) -> Metadata:
    """The metadata of a date's manifest."""
    listing_usd = prices.listing_usd(manifest.requests)
    return {
        "dagster/row_count": manifest.rows,
        **({"objects": manifest.objects} if has_versions(manifest.schema) else {}),
        **_reconstruction_metadata(manifest),
        "size": human_bytes(manifest.object_bytes),
        "object_bytes": manifest.object_bytes,
        "storage_classes": classes_table(manifest.classes),
        "shards": _shards_table(manifest.shards),
        "preview": preview(store, manifest.parts),
        "unreadable": manifest.unreadable,
        "requests": manifest.requests,
        "listing_usd": listing_usd,
        "listing_cost": f"{human_usd(listing_usd)} ({prices.label})",
        "parts": len(manifest.parts),
        "parquet_size": human_bytes(sum(part.file_bytes for part in manifest.parts)),
        "manifest": dg.MetadataValue.path(store.where(layout.s3_manifest(manifest.day))),
        "symlink": dg.MetadataValue.path(store.where(layout.symlink(manifest.day))),
    }


def _shards_table(shards: Sequence[ShardEntry]) -> dg.TableMetadataValue:
    """The largest shards of a manifest by bytes, and the sum of the others."""
    by_size = sorted(shards, key=lambda entry: (-entry.object_bytes, entry.shard.prefix))
    rows: list[dict[str, str | int]] = [
        {
            "prefix": _prefix_label(entry.shard.prefix),
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
    return table_of_rows(rows)


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
        "differences": table_of_rows(
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
        "files": table_of_rows(
            [
                {
                    "format": name,
                    "size": human_bytes(file.size),
                    "md5": file.md5,
                    "file": store.where(file.key),
                }
                for name, file in files.items()
            ]
        ),
    }
    if csv_files is not None:
        metadata["csv_files"] = len(csv_files)
        metadata["csv_size"] = human_bytes(sum(file.size for file in csv_files))
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


def rule_results_table(results: Sequence[RuleResult]) -> dg.TableMetadataValue:
    """The result of each rule of a check."""
    return table_of_rows(
        [
            {"rule": result.rule, "violation": printable(result.violation or "none")}
            for result in results
        ]
    )


def prefixes_table(prefixes: Mapping[str, str]) -> dg.TableMetadataValue:
    """The first partition keys and their prefixes, and the number of the others."""
    rows = [
        {"partition": key, "prefix": _prefix_label(prefix)}
        for key, prefix in islice(prefixes.items(), SHARDS_SHOWN)
    ]
    if others := len(prefixes) - len(rows):
        rows.append({"partition": f"({others:,} others)", "prefix": ""})
    return table_of_rows(rows)


def classes_table(classes: Sequence[ClassTotal]) -> dg.TableMetadataValue:
    """Totals by storage class."""
    return table_of_rows(
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
    first, rows = [], 0
    for batch in read_records(store, parts, [KeyRange.of_prefix("")], _PREVIEW_COLUMNS):
        first.append(batch)
        rows += batch.num_rows
        if rows >= PREVIEW_ROWS:
            break
    return table_of_records(pa.Table.from_batches(first) if first else None, _PREVIEW_COLUMNS)
