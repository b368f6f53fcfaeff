"""The views of a source for SQL: the metadata of a date; the changes, usage and dates of all."""

import glob
from collections.abc import Iterable, Sequence
from datetime import date
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from inventory_assets.inventory.changes.change_log import (
    ChangeLog,
    days_with_changes,
    read_change_log,
)
from inventory_assets.inventory.changes.changed_records import open_changed_records
from inventory_assets.inventory.changes.journal_format import CHANGE_SCHEMA
from inventory_assets.inventory.changes.sorted_diff import Change
from inventory_assets.inventory.errors import InventoryNotFound
from inventory_assets.inventory.manifest.manifest import Manifest
from inventory_assets.inventory.manifest.manifest_merge import read_manifest
from inventory_assets.inventory.metadata.date_metadata import MetadataFile
from inventory_assets.inventory.metadata.metadata_files import open_metadata
from inventory_assets.inventory.metadata.schema import METADATA_SCHEMA
from inventory_assets.inventory.query.change_records import files_of
from inventory_assets.inventory.query.dataset import Dataset
from inventory_assets.inventory.query.parquet_frame import files_dataset
from inventory_assets.inventory.storage.layout import Layout, day_of_folder
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets.inventory.storage.parallel_reads import read_each
from inventory_assets.inventory.storage.store import Store
from inventory_assets.inventory.usage.date_usage import DateUsage, days_with_usage, read_usage
from inventory_assets.inventory.usage.schema import PREFIX_SCHEMA, USAGE_SCHEMA
from inventory_assets.inventory.usage.usage_files import read_table
from inventory_assets.scan.keyspace.key_range import KeyRange

if TYPE_CHECKING:
    import duckdb

INVENTORY, CHANGES, DATES = "inventory", "changes", "dates"
METADATA = "metadata"
USAGE, BY_PREFIX = "usage", "usage_by_prefix"

DATES_SCHEMA = pa.schema(
    [
        pa.field("day", pa.date32(), nullable=False),
        pa.field("objects", pa.int64(), nullable=False),
        pa.field("records", pa.int64(), nullable=False),
        pa.field("bytes", pa.int64(), nullable=False),
        pa.field("unreadable", pa.int64(), nullable=False),
        pa.field("shards", pa.int64(), nullable=False),
        pa.field("parts", pa.int64(), nullable=False),
        pa.field("parquet_bytes", pa.int64(), nullable=False),
        pa.field("requests", pa.int64(), nullable=False),
        pa.field("estimated_usd", pa.float64(), nullable=False),
        pa.field("transient_errors", pa.int64(), nullable=False),
        pa.field("listing_seconds", pa.float64(), nullable=False),
        pa.field("listed_at", pa.timestamp("ms", tz="UTC"), nullable=False),
        pa.field("published_at", pa.timestamp("ms", tz="UTC"), nullable=False),
        pa.field("baseline_day", pa.date32()),
        *(pa.field(change.value, pa.int64()) for change in Change),
    ]
)

DATES_DESCRIPTIONS = {
    "day": "The date.",
    "objects": "Current objects.",
    "records": "Objects, or all their versions and delete markers.",
    "bytes": "The sum of the sizes of all objects and versions.",
    "unreadable": "Records of the listing that could not be decoded.",
    "shards": "Shards of the date.",
    "parts": "Data files.",
    "parquet_bytes": "Bytes of the data files.",
    "requests": "Requests of the listings of all shards.",
    "estimated_usd": "The estimated price of these requests on AWS, in USD.",
    "transient_errors": "Errors of these requests that were retried.",
    "listing_seconds": "From the start of the first shard's listing to the end of the last one's.",
    "listed_at": "The time whose state the date holds.",
    "published_at": "When the manifest was merged.",
    "baseline_day": "The date with which the date was compared; null without a change log.",
    "created": "Keys that are new; null without a change log, like all kinds of change.",
    "modified": "Keys with new content.",
    "touched": "Keys with equal content and a newer time.",
    "transitioned": "Keys with another storage class only.",
    "deleted": "Keys that are gone.",
}
"""What the columns of `dates` are."""


def create_views(
    connection: "duckdb.DuckDBPyConnection", inventory: Dataset, sql: str | None = None
) -> list[Path]:
    """Create the views of an inventory, and of all dates of its source.

    Args:
        connection: The connection.
        inventory: The records of `inventory`; the other views need a source.
        sql: A view that this text does not name may be left out; None for all views.

    Returns:
        The files that the views read.

    Raises:
        CorruptRecord: A record of a date cannot be read.
    """
    inventory.relation(connection).create_view(INVENTORY)
    paths = inventory.paths
    store, layout = inventory.store, inventory.layout
    if layout is None:
        return paths
    logs = _read_logs(store, layout) if _names(sql, CHANGES, DATES) else ()
    if _names(sql, CHANGES):
        relation, files = _changes(connection, store, logs)
        relation.create_view(CHANGES)
        paths = [*paths, *files]
    if _names(sql, METADATA):
        paths = [*paths, *_create_metadata(connection, inventory)]
    if _names(sql, USAGE):  # which is in the name of the other
        usages = _read_usages(store, layout)
        aggregates = [(usage.day, usage.aggregate.key) for usage in usages]
        paths = [*paths, *_create_by_day(connection, store, USAGE, aggregates, USAGE_SCHEMA)]
        tables = [(usage.day, usage.by_prefix.key) for usage in usages]
        paths = [*paths, *_create_by_day(connection, store, BY_PREFIX, tables, PREFIX_SCHEMA)]
    if _names(sql, DATES):
        connection.from_arrow(dates_table(store, layout, logs)).create_view(DATES)
    return paths


def _changes(
    connection: "duckdb.DuckDBPyConnection", store: Store, logs: Sequence[ChangeLog]
) -> tuple["duckdb.DuckDBPyRelation", list[Path]]:
    """The records of change logs, and the files that hold them."""
    keys = files_of(logs)
    if not keys:
        return connection.from_arrow(CHANGE_SCHEMA.empty_table()), []
    if isinstance(store, LocalStore):
        paths = [store.path(key) for key in keys]
        escaped = [glob.escape(str(path)) for path in paths]
        return connection.read_parquet(escaped, hive_partitioning=False), paths
    opened = [open_changed_records(store, key) for key in keys]
    return connection.from_arrow(files_dataset(opened, CHANGE_SCHEMA)), []


def _create_metadata(connection: "duckdb.DuckDBPyConnection", inventory: Dataset) -> list[Path]:
    """Create the view of the metadata of an inventory, if all of it was collected.

    Returns:
        The files that the view reads.
    """
    try:
        files = inventory.metadata_files()
    except InventoryNotFound:
        return []
    relation = _metadata(connection, inventory.store, [f for f in files if not f.excluded])
    for each in files:
        for_one = _metadata(connection, inventory.store, [each]) if each.excluded else None
        if for_one is not None:
            relation = relation.union(_without(for_one, each.excluded))
    relation.create_view(METADATA)
    store = inventory.store
    return [store.path(f.part.file) for f in files] if isinstance(store, LocalStore) else []


def _metadata(
    connection: "duckdb.DuckDBPyConnection", store: Store, files: Sequence[MetadataFile]
) -> "duckdb.DuckDBPyRelation":
    if not files:
        return connection.from_arrow(METADATA_SCHEMA.empty_table())
    if isinstance(store, LocalStore):
        paths = [glob.escape(str(store.path(each.part.file))) for each in files]
        return connection.read_parquet(paths, hive_partitioning=False)
    opened = [open_metadata(store, each.part.file) for each in files]
    return connection.from_arrow(files_dataset(opened, METADATA_SCHEMA))


def _without(
    relation: "duckdb.DuckDBPyRelation", prefixes: Sequence[str]
) -> "duckdb.DuckDBPyRelation":
    """The rows without those of keys with some prefixes."""
    import duckdb

    key = duckdb.ColumnExpression("key")
    for prefix in prefixes:
        within = KeyRange.of_prefix(prefix)
        last = duckdb.ConstantExpression(within.until)
        relation = relation.filter((key < duckdb.ConstantExpression(prefix)) | (key > last))
    return relation


def _create_by_day(
    connection: "duckdb.DuckDBPyConnection",
    store: Store,
    name: str,
    tables: Sequence[tuple[date, str]],
    schema: pa.Schema,
) -> list[Path]:
    """Create a view over a table of each date, with the date as its first column `day`.

    Args:
        connection: The connection.
        store: The store of the tables.
        name: The name of the view.
        tables: The dates, and the keys of their tables; dates may share one.
        schema: The schema of the tables.

    Returns:
        The files that the view reads.
    """
    if not tables or not isinstance(store, LocalStore):
        found = [_with_day(day, read_table(store, key, schema)) for day, key in tables]
        empty = _with_day(date.min, schema.empty_table())
        connection.from_arrow(pa.concat_tables([empty, *found])).create_view(name)
        return []
    files = [str(store.path(key)) for _, key in tables]
    days = pa.table({"day": [day for day, _ in tables], "filename": files})
    distinct = list(dict.fromkeys(files))
    rows = connection.read_parquet(
        [glob.escape(file) for file in distinct], filename=True, hive_partitioning=False
    )
    joined = connection.from_arrow(days).set_alias("days").join(rows.set_alias("rows"), "filename")
    joined.project(", ".join(["day", *schema.names])).create_view(name)
    return [Path(file) for file in distinct]


def _with_day(day: date, table: pa.Table) -> pa.Table:
    days = pa.repeat(pa.scalar(day, pa.date32()), table.num_rows)
    return table.add_column(0, pa.field("day", pa.date32(), nullable=False), days)


def dates_table(store: Store, layout: Layout, logs: Iterable[ChangeLog]) -> pa.Table:
    """A row for each date with an inventory, oldest first, with `DATES_SCHEMA`.

    Args:
        store: The store of the results.
        layout: The layout of the source.
        logs: The change logs.

    Raises:
        CorruptRecord: An inventory cannot be read.
    """
    days = sorted(filter(None, map(day_of_folder, store.list_names(layout.base))))
    by_day = {log.day: log for log in logs}

    def row(day: date) -> dict[str, object] | None:
        manifest = read_manifest(store, layout, day)
        return _row(manifest, by_day.get(day)) if manifest else None

    rows = [found for found in read_each(row, days) if found]
    return pa.Table.from_pylist(rows, schema=DATES_SCHEMA)


def _row(manifest: Manifest, log: ChangeLog | None) -> dict[str, object]:
    if log and log.manifest_identity != manifest.identity:
        log = None  # the date was published again since
    started = min(entry.started_at for entry in manifest.shards)
    finished = max(entry.finished_at for entry in manifest.shards)
    return {
        "day": manifest.day,
        "objects": manifest.objects,
        "records": manifest.rows,
        "bytes": manifest.object_bytes,
        "unreadable": manifest.unreadable,
        "shards": len(manifest.shards),
        "parts": len(manifest.parts),
        "parquet_bytes": sum(part.file_bytes for part in manifest.parts),
        "requests": manifest.requests,
        "estimated_usd": manifest.estimated_usd,
        "transient_errors": sum(manifest.faults.values()),
        "listing_seconds": (finished - started).total_seconds(),
        "listed_at": manifest.listed_at,
        "published_at": manifest.created_at,
        "baseline_day": log.baseline_day if log else None,
        **({change.value: count for change, count in log.counts.items()} if log else {}),
    }


def _read_logs(store: Store, layout: Layout) -> tuple[ChangeLog, ...]:
    """All change logs that are kept, oldest first."""
    days = days_with_changes(store, layout)
    return tuple(filter(None, read_each(partial(read_change_log, store, layout), days)))


def _read_usages(store: Store, layout: Layout) -> tuple[DateUsage, ...]:
    """The usage of all dates that have one, oldest first."""
    days = days_with_usage(store, layout)
    return tuple(filter(None, read_each(partial(read_usage, store, layout), days)))


def _names(sql: str | None, *views: str) -> bool:
    """Whether a query may name one of the views."""
    return sql is None or any(view in sql.lower() for view in views)
