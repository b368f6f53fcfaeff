"""Iceberg tables over the Parquet files that are published anyway; none is copied or rewritten.

The table `<namespace>.<source>` has a snapshot for each published date, under the tag
`inventory-<date>`; the current one is the newest date's. Each is made in one commit, without a
parent, and lists its date's files, no matter what other dates hold: so dates come, are replaced and
go in any order. `<namespace>_changes.<source>` is the change log of all dates.

What Iceberg writes itself, metadata and manifests, lies under `Layout.iceberg`. The files have no
field ids, so the tables carry a name mapping
(https://iceberg.apache.org/spec/#name-mapping-serialization).
"""

from collections import defaultdict
from dataclasses import dataclass
from datetime import date

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
from inventory_assets.inventory.errors import CorruptRecord, ManifestIncomplete
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
from inventory_assets.inventory.manifest.manifest_merge import manifest_etag, read_manifest
from inventory_assets.inventory.parts.schema import COLUMN_DESCRIPTIONS, RECORD_SCHEMA

DATE_PROPERTY = "inventory.date"
"""In a snapshot's summary: the date."""

IDENTITY_PROPERTY = "inventory.identity"
"""In a snapshot's summary: the identity of the manifest or change log that it shows."""

_DAY_COLUMN = "sequence_number"


@dataclass(frozen=True, slots=True)
class TableState:
    """What a table shows of a date.

    Attributes:
        identifier: The table's name in the catalogue.
        snapshot_id: The snapshot that shows it; None where the table has none yet.
        metadata_file: The table's metadata, for readers without the catalogue.
    """

    identifier: str
    snapshot_id: int | None
    metadata_file: str


@dataclass(frozen=True, slots=True)
class DateSync:
    """A date as both tables show it.

    Attributes:
        manifest: Of the date.
        log: Its change log.
        inventory: Where the one is found.
        changes: Where the other is.
    """

    manifest: Manifest
    log: ChangeLog
    inventory: TableState
    changes: TableState


def sync_date(tables: IcebergTables, day: date) -> DateSync:
    """Let both tables show a date as it is published.

    Of two runs at once the one that commits last may have read what is older; so each looks again
    when it has committed.

    Raises:
        ManifestIncomplete: The date has no manifest, or no change log.
        CorruptRecord: A file is missing or damaged.
        IcebergError: A table cannot be used, or others keep changing it.
    """
    store, layout = tables.store, tables.layout
    while True:
        published = manifest_etag(store, layout, day), change_log_etag(store, layout, day)
        manifest = read_manifest(store, layout, day)
        if manifest is None:
            raise ManifestIncomplete(
                "no manifest was published; materialize inventory_manifest first"
            )
        log = read_change_log(store, layout, day)
        if log is None:
            raise ManifestIncomplete("no change log was published; materialize change_log first")
        shown = DateSync(
            manifest, log, show_manifest(tables, manifest), show_change_log(tables, log)
        )
        now = manifest_etag(store, layout, day), change_log_etag(store, layout, day)
        if now == published:
            return shown


def show_manifest(tables: IcebergTables, manifest: Manifest) -> TableState:
    """Let the inventory's table show a published date, and no date that is published no more.

    In one commit: the date's snapshot and its tag, the tags that go, and which snapshot is current.
    What is so already is left alone; a run that was killed is made up for by the next.

    Args:
        tables: Where.
        manifest: As it was published.

    Raises:
        CorruptRecord: A part is missing or no Parquet file.
        IcebergError: The catalogue or table cannot be used, or others keep changing it.
    """
    store, layout, day = tables.store, tables.layout, manifest.day
    files = [part.key for part in manifest.parts]

    def change(table: Table) -> None:
        tagged = tagged_snapshots(table)
        gone = [
            other for other in tagged if other != day and store.size(layout.checksum(other)) is None
        ]
        shown = tagged.get(day)
        is_shown = shown is not None and _identity(shown) == manifest.identity
        newest = max(tagged.keys() - set(gone) | {day})
        if (
            is_shown
            and not gone
            and table.metadata.current_snapshot_id == tagged[newest].snapshot_id
        ):
            return
        with table.transaction() as transaction:
            expect_unchanged(transaction)
            with ManageSnapshots(transaction) as references:
                for other in gone:
                    references.remove_tag(tag_of(other))
            if not is_shown:
                _add_dated_snapshot(transaction, tables, manifest)
            current = transaction.table_metadata.refs[tag_of(newest)].snapshot_id
            if transaction.table_metadata.current_snapshot_id != current:
                ManageSnapshots(transaction).set_current_snapshot(snapshot_id=current)

    schema = schema_of(tables, files, RECORD_SCHEMA, COLUMN_DESCRIPTIONS)
    with as_iceberg_error(f"Iceberg table {tables.inventory}"):
        table = commit_with_retry(tables, tables.inventory, "inventory", schema, change)
        return _state(table, tables.inventory, table.metadata.refs[tag_of(day)].snapshot_id)


def show_change_log(tables: IcebergTables, log: ChangeLog) -> TableState:
    """Let the change log's table hold a date's changes once, and no date's whose log is gone.

    Raises:
        CorruptRecord: A file is missing or no Parquet file.
        IcebergError: The catalogue or table cannot be used, or others keep changing it.
    """
    store, layout, day = tables.store, tables.layout, str(log.day)
    files = [entry.file for entry in log.entries if any(entry.counts.values())]
    wanted = {store.uri(file) for file in files}

    def change(table: Table) -> None:
        present = _files_by_day(table)
        outdated = [
            other
            for other in present
            if other != day and store.size(layout.change_log(date.fromisoformat(other))) is None
        ]
        is_shown = present.get(day, set()) == wanted
        if not is_shown and day in present:
            outdated.append(day)
        if is_shown and not outdated:
            return
        summary = {DATE_PROPERTY: day, IDENTITY_PROPERTY: log.identity}
        with table.transaction() as transaction:
            if outdated:
                # Each file is of one day and its statistics say so: files go whole.
                days = ", ".join(f"'{each}'" for each in outdated)
                transaction.delete(f"{_DAY_COLUMN} IN ({days})", summary)
            if not is_shown and wanted:
                transaction.add_files(sorted(wanted), summary, check_duplicate_files=False)

    schema = schema_of(tables, files, CHANGE_SCHEMA, CHANGE_DESCRIPTIONS)
    with as_iceberg_error(f"Iceberg table {tables.changes}"):
        table = commit_with_retry(tables, tables.changes, "changes", schema, change)
        return _state(table, tables.changes, table.metadata.current_snapshot_id)


def _add_dated_snapshot(
    transaction: Transaction, tables: IcebergTables, manifest: Manifest
) -> None:
    """A snapshot of just a manifest's files, under its date's tag."""
    summary = {DATE_PROPERTY: str(manifest.day), IDENTITY_PROPERTY: manifest.identity}
    files = [tables.store.uri(part.key) for part in manifest.parts]
    is_first = transaction.table_metadata.current_snapshot_id is None
    # A branch that is new has no history, so the files of no other date come with it. It is gone
    # before the commit. (Only the first snapshot of a table must be made on the main branch.)
    branch = MAIN_BRANCH if is_first else f"adding-{manifest.day}"
    transaction.add_files(files, summary, check_duplicate_files=False, branch=branch)
    made = transaction.table_metadata.refs[branch].snapshot_id
    rows = _rows(transaction.table_metadata.snapshot_by_id(made))
    if rows != manifest.rows:
        raise CorruptRecord(
            f"the files of {manifest.day} hold {rows:,} records, but its manifest says "
            f"{manifest.rows:,}; run the check listing_complete, remove the files it finds "
            "altered, "
            "then materialize object_listing and inventory_manifest again"
        )
    with ManageSnapshots(transaction) as references:
        references.create_tag(made, tag_of(manifest.day))
        if not is_first:
            references.remove_branch(branch)


def _files_by_day(table: Table) -> dict[str, set[str]]:
    """The files of the change log's current snapshot, by their date."""
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
