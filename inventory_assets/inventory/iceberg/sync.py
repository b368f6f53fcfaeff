"""Maintain Iceberg tables over the published Parquet files, without copying or rewriting them.

The table `<namespace>.<source>` has a snapshot for each published date, with the tag
`inventory-<date>`; the newest date's snapshot is current. Each snapshot is made in one commit,
without a parent, and lists only its date's files, so dates can be added, replaced and removed in
any order. `<namespace>_changes.<source>` is the change log of all dates. In
`<namespace>_metadata.<source>` are
the metadata of the objects, where it is collected, in snapshots like those of the inventory.

Iceberg's own metadata and manifests are under `Layout.iceberg`. The data files have no field ids,
so the tables have a name mapping
(https://iceberg.apache.org/spec/#name-mapping-serialization).
"""

import hashlib
import json
from collections import defaultdict
from dataclasses import dataclass
from datetime import date

import pyarrow as pa
from pyiceberg.table import Table, Transaction
from pyiceberg.table.refs import MAIN_BRANCH
from pyiceberg.table.snapshots import Snapshot
from pyiceberg.table.update.snapshot import ManageSnapshots

from inventory_assets.inventory.changes.change_log import (
    ChangeLog,
    change_log_etag,
    read_change_log,
)
from inventory_assets.inventory.changes.journal_format import CHANGE_DESCRIPTIONS, CHANGE_SCHEMA
from inventory_assets.inventory.errors import (
    CorruptRecord,
    InventoryNotFound,
    ManifestIncomplete,
)
from inventory_assets.inventory.iceberg.tables import (
    IcebergTables,
    as_iceberg_error,
    commit_with_retry,
    expect_unchanged,
    schema_of,
    tag_of,
    tagged_snapshots,
)
from inventory_assets.inventory.manifest.manifest import Manifest
from inventory_assets.inventory.manifest.manifest_merge import manifest_etag, required_manifest
from inventory_assets.inventory.metadata.date_metadata import metadata_files
from inventory_assets.inventory.metadata.schema import METADATA_DESCRIPTIONS, METADATA_SCHEMA
from inventory_assets.inventory.parts.schema import COLUMN_DESCRIPTIONS, RECORD_SCHEMA

DATE_PROPERTY = "inventory.date"
"""The property of a snapshot's summary with the date."""

IDENTITY_PROPERTY = "inventory.identity"
"""The property of a snapshot's summary with the identity of its manifest or change log."""

_DAY_COLUMN = "sequence_number"


@dataclass(frozen=True, slots=True)
class TableState:
    """The state of a table for a date.

    Attributes:
        identifier: The table's name in the catalogue.
        snapshot_id: The snapshot with the date; None if the table has no snapshots.
        metadata_file: The table's metadata file, for readers without the catalogue.
    """

    identifier: str
    snapshot_id: int | None
    metadata_file: str


@dataclass(frozen=True, slots=True)
class DateSync:
    """The state of the tables for a date.

    Attributes:
        manifest: The date's manifest.
        log: The date's change log.
        inventory: The state of the inventory's table.
        changes: The state of the change log's table.
        metadata: The state of the metadata's table; None where the date is not in it.
    """

    manifest: Manifest
    log: ChangeLog
    inventory: TableState
    changes: TableState
    metadata: TableState | None = None


def sync_date(tables: IcebergTables, day: date, *, with_metadata: bool = False) -> DateSync:
    """Update the tables to a date's published manifest and change log, and to its metadata.

    Args:
        tables: The tables.
        day: The date.
        with_metadata: Whether metadata is collected for the source.

    Of two concurrent runs, the last to commit may have read an older manifest. So after its commit
    each run checks whether the date was published again, and if so, starts again.

    Raises:
        ManifestIncomplete: The date has no manifest, or no change log.
        CorruptRecord: A file is missing or damaged.
        IcebergError: A table cannot be used, or other runs keep changing it.
    """
    store, layout = tables.store, tables.layout
    while True:
        published = manifest_etag(store, layout, day), change_log_etag(store, layout, day)
        manifest = required_manifest(store, layout, day)
        log = read_change_log(store, layout, day)
        if log is None:
            raise ManifestIncomplete("no change log was published; materialize change_log first")
        synced = DateSync(
            manifest,
            log,
            sync_manifest(tables, manifest),
            sync_change_log(tables, log),
            sync_metadata(tables, manifest) if with_metadata else None,
        )
        now = manifest_etag(store, layout, day), change_log_etag(store, layout, day)
        if now == published:
            return synced


def sync_manifest(tables: IcebergTables, manifest: Manifest) -> TableState:
    """Update the inventory's table to a published date, and remove dates that no longer exist.

    One commit adds the date's snapshot and tag, removes old tags and sets the current snapshot.
    Nothing is committed if the table is up to date. The next run completes one that was killed.

    Args:
        tables: The tables.
        manifest: The published manifest.

    Raises:
        CorruptRecord: A part is missing or not a Parquet file.
        IcebergError: The catalogue or table cannot be used, or other runs keep changing it.
    """
    dated = _DatedFiles(
        manifest.day,
        manifest.identity,
        tuple(part.key for part in manifest.parts),
        manifest.rows,
    )
    schema = schema_of(tables, dated.files, RECORD_SCHEMA, COLUMN_DESCRIPTIONS)
    return _sync_dated(tables, tables.inventory, "inventory", schema, dated)


def sync_metadata(tables: IcebergTables, manifest: Manifest) -> TableState | None:
    """Update the metadata's table to a published date, as `sync_manifest` does.

    Returns:
        The state; None where the metadata of the date was not collected, or not of all shards, or
        where a prefix became a shard after the shard around it was listed on the date: then no set
        of whole files has each object once.

    Raises:
        CorruptRecord: A file or record is damaged.
        IcebergError: The catalogue or table cannot be used, or other runs keep changing it.
    """
    try:
        found = metadata_files(tables.store, tables.layout, manifest)
    except InventoryNotFound:
        return None
    if any(each.excluded for each in found):
        return None
    files = tuple(each.part.file for each in found)
    identity = hashlib.sha256(json.dumps(files).encode()).hexdigest()[:32]
    dated = _DatedFiles(manifest.day, identity, files, sum(each.part.rows for each in found))
    schema = schema_of(tables, (), METADATA_SCHEMA, METADATA_DESCRIPTIONS)
    return _sync_dated(tables, tables.metadata, "metadata", schema, dated)


@dataclass(frozen=True, slots=True)
class _DatedFiles:
    """The files that the snapshot of a date lists.

    Attributes:
        day: The date.
        identity: Is equal for equal files.
        files: Their keys.
        rows: Their rows.
    """

    day: date
    identity: str
    files: tuple[str, ...]
    rows: int


def _sync_dated(
    tables: IcebergTables, identifier: str, folder: str, schema: pa.Schema, dated: _DatedFiles
) -> TableState:
    store, layout, day = tables.store, tables.layout, dated.day

    def change(table: Table) -> None:
        tagged = tagged_snapshots(table)
        removed = [
            other for other in tagged if other != day and store.size(layout.checksum(other)) is None
        ]
        snapshot = tagged.get(day)
        is_current = snapshot is not None and _identity(snapshot) == dated.identity
        newest = max(tagged.keys() - set(removed) | {day})
        if (
            is_current
            and not removed
            and table.metadata.current_snapshot_id == tagged[newest].snapshot_id
        ):
            return
        with table.transaction() as transaction:
            expect_unchanged(transaction)
            with ManageSnapshots(transaction) as references:
                for other in removed:
                    references.remove_tag(tag_of(other))
            if not is_current:
                _add_dated_snapshot(transaction, tables, dated)
            current = transaction.table_metadata.refs[tag_of(newest)].snapshot_id
            if transaction.table_metadata.current_snapshot_id != current:
                ManageSnapshots(transaction).set_current_snapshot(snapshot_id=current)

    with as_iceberg_error(f"Iceberg table {identifier}"):
        table = commit_with_retry(tables, identifier, folder, schema, change)
        return _state(table, identifier, table.metadata.refs[tag_of(day)].snapshot_id)


def sync_change_log(tables: IcebergTables, log: ChangeLog) -> TableState:
    """Update the change log's table to a date's changes, and remove dates that no longer exist.

    Raises:
        CorruptRecord: A file is missing or not a Parquet file.
        IcebergError: The catalogue or table cannot be used, or other runs keep changing it.
    """
    store, layout, day = tables.store, tables.layout, str(log.day)
    files = [entry.file for entry in log.entries if any(entry.counts.values())]
    expected = {store.uri(file) for file in files}

    def change(table: Table) -> None:
        present = _files_by_day(table)
        outdated = [
            other
            for other in present
            if other != day and store.size(layout.change_log(date.fromisoformat(other))) is None
        ]
        is_current = present.get(day, set()) == expected
        if not is_current and day in present:
            outdated.append(day)
        if is_current and not outdated:
            return
        summary = {DATE_PROPERTY: day, IDENTITY_PROPERTY: log.identity}
        with table.transaction() as transaction:
            if outdated:
                # Each file has one day, as its statistics say, so only whole files are deleted.
                days = ", ".join(f"'{each}'" for each in outdated)
                transaction.delete(f"{_DAY_COLUMN} IN ({days})", summary)
            if not is_current and expected:
                transaction.add_files(sorted(expected), summary, check_duplicate_files=False)

    schema = schema_of(tables, files, CHANGE_SCHEMA, CHANGE_DESCRIPTIONS)
    with as_iceberg_error(f"Iceberg table {tables.changes}"):
        table = commit_with_retry(tables, tables.changes, "changes", schema, change)
        return _state(table, tables.changes, table.metadata.current_snapshot_id)


def _add_dated_snapshot(
    transaction: Transaction, tables: IcebergTables, dated: _DatedFiles
) -> None:
    """Add a snapshot with exactly the files of a date, tagged with it."""
    summary = {DATE_PROPERTY: str(dated.day), IDENTITY_PROPERTY: dated.identity}
    files = [tables.store.uri(file) for file in dated.files]
    is_first = transaction.table_metadata.current_snapshot_id is None
    # A new branch has no history, so its snapshot has no files of other dates. The branch is
    # removed before the commit. (A table's first snapshot must be made on the main branch.)
    branch = MAIN_BRANCH if is_first else f"adding-{dated.day}"
    transaction.add_files(files, summary, check_duplicate_files=False, branch=branch)
    snapshot_id = transaction.table_metadata.refs[branch].snapshot_id
    rows = _rows(transaction.table_metadata.snapshot_by_id(snapshot_id))
    if rows != dated.rows:
        raise CorruptRecord(
            f"the files of {dated.day} hold {rows:,} records, but its manifest says "
            f"{dated.rows:,}; run the check listing_complete, remove the files it finds "
            "altered, then materialize object_listing and inventory_manifest again"
        )
    with ManageSnapshots(transaction) as references:
        references.create_tag(snapshot_id, tag_of(dated.day))
        if not is_first:
            references.remove_branch(branch)


def _files_by_day(table: Table) -> dict[str, set[str]]:
    """The files of the current snapshot of the change log's table, by date."""
    field_id = table.schema().find_field(_DAY_COLUMN).field_id
    found: defaultdict[str, set[str]] = defaultdict(set)
    for task in table.scan().plan_files():
        found[task.file.lower_bounds[field_id].decode()].add(task.file.file_path)
    return found


def _state(table: Table, identifier: str, snapshot_id: int | None) -> TableState:
    return TableState(identifier, snapshot_id, table.metadata_location)


def _rows(snapshot: Snapshot | None) -> int:
    return int(snapshot.summary["total-records"] or 0) if snapshot and snapshot.summary else 0


def _identity(snapshot: Snapshot) -> str | None:
    return snapshot.summary[IDENTITY_PROPERTY] if snapshot.summary else None
