"""Metadata of a date's manifest, and of its verification, for the UI. Object keys are escaped."""

from collections.abc import Sequence
from typing import Any

import dagster as dg
import pyarrow as pa

from inventory_assets.defs.source.metadata_tables import (
    PREVIEW_ROWS,
    SHARDS_SHOWN,
    Metadata,
    prefix_label,
    table_of_records,
    table_of_rows,
)
from inventory_assets.errors import printable
from inventory_assets.inventory.manifest.manifest import Manifest, ShardEntry
from inventory_assets.inventory.parts.part import ClassTotal, Part, read_records
from inventory_assets.inventory.parts.schema import has_versions
from inventory_assets.inventory.pricing.price_table import Prices
from inventory_assets.inventory.storage.layout import Layout
from inventory_assets.inventory.storage.store import Store
from inventory_assets.inventory.verification.verification import Verification
from inventory_assets.scan.keyspace.key_range import KeyRange
from inventory_assets.units import human_bytes, human_usd

_PREVIEW_COLUMNS = ["key", "size", "last_modified_date", "e_tag", "storage_class"]


def manifest_metadata(store: Store, layout: Layout, manifest: Manifest, prices: Prices) -> Metadata:
    """The metadata of a date's manifest."""
    listing_usd = prices.listing_usd(manifest.requests)
    return {
        "dagster/row_count": manifest.rows,
        **({"objects": manifest.objects} if has_versions(manifest.schema) else {}),
        **_reconstruction_metadata(manifest),
        "size": human_bytes(manifest.object_bytes),
        "object_bytes": manifest.object_bytes,
        "storage_classes": _classes_table(manifest.classes),
        "shards": _shards_table(manifest.shards),
        "preview": _preview(store, manifest.parts),
        "unreadable": manifest.unreadable,
        "requests": manifest.requests,
        "listing_usd": listing_usd,
        "listing_cost": f"{human_usd(listing_usd)} ({prices.label})",
        "parts": len(manifest.parts),
        "parquet_size": human_bytes(sum(part.file_bytes for part in manifest.parts)),
        "manifest": dg.MetadataValue.path(store.where(layout.s3_manifest(manifest.day))),
        "symlink": dg.MetadataValue.path(store.where(layout.symlink(manifest.day))),
    }


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


def _shards_table(shards: Sequence[ShardEntry]) -> dg.TableMetadataValue:
    """The largest shards of a manifest by bytes, and the sum of the others."""
    by_size = sorted(shards, key=lambda entry: (-entry.object_bytes, entry.shard.prefix))
    rows: list[dict[str, str | int]] = [
        {
            "prefix": prefix_label(entry.shard.prefix),
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


def _classes_table(classes: Sequence[ClassTotal]) -> dg.TableMetadataValue:
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


def _preview(store: Store, parts: Sequence[Part]) -> dg.TableMetadataValue:
    """The first records."""
    first, rows = [], 0
    for batch in read_records(store, parts, [KeyRange.of_prefix("")], _PREVIEW_COLUMNS):
        first.append(batch)
        rows += batch.num_rows
        if rows >= PREVIEW_ROWS:
            break
    return table_of_records(pa.Table.from_batches(first) if first else None, _PREVIEW_COLUMNS)
