"""Metadata of changes, of a shard and of a date, for the UI. Prefixes are escaped."""

from collections.abc import Sequence

import dagster as dg

from inventory_assets.defs.source.metadata_tables import (
    SHARDS_SHOWN,
    Metadata,
    column_schema,
    prefix_label,
    table_of_rows,
)
from inventory_assets.errors import printable
from inventory_assets.inventory.changes.change_log import ChangeLog, ChangeLogEntry
from inventory_assets.inventory.changes.journal_format import CHANGE_DESCRIPTIONS, CHANGE_SCHEMA
from inventory_assets.inventory.changes.shard_changes import Changes
from inventory_assets.inventory.storage.layout import Layout
from inventory_assets.inventory.storage.store import Store

CHANGE_COLUMNS = column_schema(CHANGE_SCHEMA, CHANGE_DESCRIPTIONS)


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
        {"prefix": prefix_label(entry.shard.prefix)}
        | {change.value: entry.counts[change] for change in log.counts}
        for entry in shown
    ]
    if others:
        rows.append(
            {"prefix": f"({len(others):,} {'other ' if shown else ''}shards)"}
            | {change.value: sum(each.counts[change] for each in others) for change in log.counts}
        )
    return table_of_rows(rows)
