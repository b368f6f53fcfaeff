"""Open, change and expire snapshots of a source's Iceberg tables, safely under concurrency."""

import random
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date

import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import (
    CommitFailedException,
    CommitStateUnknownException,
    NoSuchNamespaceError,
    NoSuchTableError,
)
from pyiceberg.table import Table, Transaction
from pyiceberg.table.snapshots import Snapshot
from pyiceberg.table.update.snapshot import ManageSnapshots

from inventory_assets.errors import InventoryError
from inventory_assets.inventory.errors import CorruptRecord, IcebergError
from inventory_assets.inventory.storage.layout import Layout
from inventory_assets.inventory.storage.store import Store

TAG_PREFIX = "inventory-"
"""The tag of a date is this prefix and the date."""

_PROPERTIES = {
    "format-version": "2",
    # Expiry by another engine would delete the published data files.
    "gc.enabled": "false",
    # Whole keys, as the first 16 characters rarely distinguish files.
    "write.metadata.metrics.column.key": "full",
    # The files have no statistics of ETags and maps; each would cause a warning.
    "write.metadata.metrics.column.e_tag": "none",
    "write.metadata.metrics.column.previous_e_tag": "none",
    **{
        f"write.metadata.metrics.column.{column}.{side}": "none"
        for column in ("user_metadata", "object_tags")
        for side in ("key", "value")
    },
    "write.metadata.delete-after-commit.enabled": "true",
    # pyiceberg (0.12) would retry a commit without its tags and with outdated metadata.
    "commit.retry.num-retries": "0",
}
_ATTEMPTS = 10
_LONGEST_WAIT_SECONDS = 2.0
_CONFLICTS = (CommitFailedException, CommitStateUnknownException, FileNotFoundError)
"""Exceptions after another run's commit, which may have removed files that were being read."""

_RESERVED_CHARACTERS = "#?;%"
"""Characters with a special meaning in URIs."""

_SECRET = re.compile(r"://.*[@?]|A[KS]IA[A-Z0-9]{12}")


@dataclass(frozen=True, slots=True)
class IcebergTables:
    """The tables of one source.

    Attributes:
        catalog: The catalogue.
        store: The store of results.
        layout: The keys of the source.
        namespace: The namespace of the inventory's table; `_changes` is appended for the change
            log's, and `_metadata` for the metadata's, so that source names cannot collide.
    """

    catalog: Catalog
    store: Store
    layout: Layout
    namespace: str

    @property
    def inventory(self) -> str:
        """The identifier of the inventory's table."""
        return f"{self.namespace}.{self.layout.source}"

    @property
    def changes(self) -> str:
        """The identifier of the change log's table."""
        return f"{self.namespace}_changes.{self.layout.source}"

    @property
    def metadata(self) -> str:
        """The identifier of the table with the metadata of objects."""
        return f"{self.namespace}_metadata.{self.layout.source}"


def tag_of(day: date) -> str:
    """The tag of a date's snapshot."""
    return f"{TAG_PREFIX}{day}"


def expect_unchanged(transaction: Transaction) -> None:
    """Make the commit fail if another run changes the current snapshot.

    pyiceberg keeps only the first requirement on a reference, so this no-op must be the first
    change. (The first snapshot of a table is written on the main branch, which has the
    requirement.)
    """
    current = transaction.table_metadata.current_snapshot_id
    if current is not None:
        ManageSnapshots(transaction).set_current_snapshot(snapshot_id=current)


def commit_with_retry(
    tables: IcebergTables,
    identifier: str,
    folder: str,
    schema: pa.Schema,
    change: Callable[[Table], None],
) -> Table:
    """Commit `change` and return the table; after a conflict, retry on the reloaded table."""
    for attempt in range(_ATTEMPTS):
        table = _open(tables, identifier, folder, schema)
        unreferenced = _unreferenced(table)
        try:
            _add_columns(table, schema)
            change(table)
        except _CONFLICTS as error:
            conflict = error
            longest = min(_LONGEST_WAIT_SECONDS, 0.05 * 2**attempt)
            time.sleep(random.uniform(0, longest))  # noqa: S311 - no secret
            continue
        _expire(table, unreferenced)
        return table
    is_missing = isinstance(conflict, FileNotFoundError)
    why = "a file is missing" if is_missing else "other runs keep changing it"
    raise IcebergError(
        f"the Iceberg table {identifier} could not be changed in {_ATTEMPTS} attempts, as {why} "
        f"({_describe(conflict)}); {'materialize the date' if is_missing else 'run it'} again"
    )


def _open(tables: IcebergTables, identifier: str, folder: str, schema: pa.Schema) -> Table:
    location = tables.store.uri(tables.layout.iceberg(folder))
    bad = sorted(set(location) & set(_RESERVED_CHARACTERS))
    if bad:
        raise IcebergError(
            f"{location} contains {' '.join(bad)}, which readers of Iceberg take for a delimiter "
            "in a URI; keep the results in a folder whose path has no such character"
        )
    try:
        table = tables.catalog.load_table(identifier)
    except (NoSuchTableError, NoSuchNamespaceError):
        _create_namespace(tables.catalog, identifier.rpartition(".")[0])
        table = tables.catalog.create_table_if_not_exists(
            identifier, schema, location=location, properties=_PROPERTIES
        )
    if table.location().rstrip("/") != location:
        raise IcebergError(
            f"the Iceberg table {identifier} of the catalogue is in {table.location()}, but these "
            f"results need a table in {location}; configure another namespace, or drop the table"
        )
    return table


def _create_namespace(catalog: Catalog, namespace: str) -> None:
    try:
        catalog.create_namespace_if_not_exists(namespace)
    except Exception:
        # Another run may have created it; the exception depends on the catalogue.
        if not catalog.namespace_exists(namespace):
            raise


def _add_columns(table: Table, schema: pa.Schema) -> None:
    """Add the files' columns that the table lacks; pyiceberg updates the name mapping."""
    if set(schema.names) - set(table.schema().column_names):
        with table.update_schema() as update:
            update.union_by_name(schema)


def _expire(table: Table, unreferenced: Mapping[int, Snapshot]) -> None:
    """Expire the snapshots that were unreferenced when this run began.

    A snapshot that a run replaces thus remains until the next run, for readers that use it now.
    Errors are left to the next run.
    """
    still_unreferenced = _unreferenced(table).keys() & unreferenced.keys()
    expired = [unreferenced[snapshot_id] for snapshot_id in still_unreferenced]
    if not expired:
        return
    # A dated snapshot shares no manifests with others.
    dated = {snapshot.snapshot_id for snapshot in tagged_snapshots(table).values()}
    remaining = [
        snapshot
        for snapshot in table.snapshots()
        if snapshot not in expired and snapshot.snapshot_id not in dated
    ]
    try:
        orphans = _metadata_files(table, expired) - _metadata_files(table, remaining)
        table.maintenance.expire_snapshots().by_ids([each.snapshot_id for each in expired]).commit()
        for path in orphans:
            table.io.delete(path)
    except (*_CONFLICTS, OSError, ValueError):  # usually, another run has expired them
        return


def _metadata_files(table: Table, snapshots: Iterable[Snapshot]) -> set[str]:
    """The manifest lists and manifests of snapshots."""
    files = set()
    for snapshot in snapshots:
        files.add(snapshot.manifest_list)
        files.update(manifest.manifest_path for manifest in snapshot.manifests(table.io))
    return files


def tagged_snapshots(table: Table) -> dict[date, Snapshot]:
    """The snapshots with a date's tag."""
    found = {}
    for name in table.refs():
        snapshot = table.snapshot_by_name(name)
        try:
            day = date.fromisoformat(name.removeprefix(TAG_PREFIX))
        except ValueError:  # another tag
            continue
        if snapshot and name == tag_of(day):
            found[day] = snapshot
    return found


def _unreferenced(table: Table) -> dict[int, Snapshot]:
    referenced = {reference.snapshot_id for reference in table.refs().values()}
    return {
        each.snapshot_id: each for each in table.snapshots() if each.snapshot_id not in referenced
    }


def schema_of(
    tables: IcebergTables, files: Sequence[str], default: pa.Schema, descriptions: Mapping[str, str]
) -> pa.Schema:
    """The schema of the files, which all have the same, with column descriptions."""
    schema = default
    if files:
        try:
            with tables.store.open(files[0]) or _missing(tables, files[0]) as file:
                schema = pq.read_schema(file)
        except pa.ArrowInvalid as error:
            where = tables.store.where(files[0])
            raise CorruptRecord(f"{where} is not a Parquet file ({error})") from None
    return pa.schema(
        field.with_metadata({"doc": descriptions[field.name]})
        if field.name in descriptions
        else field
        for field in schema
    )


def _missing(tables: IcebergTables, file: str) -> pa.NativeFile:
    raise CorruptRecord(f"{tables.store.where(file)} is missing; materialize its date again")


@contextmanager
def as_iceberg_error(what: str) -> Iterator[None]:
    """Raise errors of a catalogue as `IcebergError`, without secrets."""
    try:
        yield
    except InventoryError:
        raise
    # Each kind of catalogue raises exceptions of its own.
    except Exception as error:  # noqa: BLE001
        raise IcebergError(f"the {what} cannot be used: {_describe(error)}") from None


def _describe(error: Exception) -> str:
    """The name and message of an error; the message is omitted if it may contain a secret."""
    name, text = type(error).__name__, str(error).partition("\n")[0][:300]
    return (
        f"{name} (not shown, as it may hold a secret)"
        if _SECRET.search(text)
        else f"{name}: {text}"
    )
