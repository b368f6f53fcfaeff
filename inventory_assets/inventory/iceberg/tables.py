"""Opening, changing and tidying the Iceberg tables of a source, together with other runs."""

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
"""A date's tag is this and the date."""

_PROPERTIES = {
    "format-version": "2",
    # Another engine's expiry would delete data files, which are not Iceberg's.
    "gc.enabled": "false",
    # Whole keys, as 16 characters of them rarely tell files apart.
    "write.metadata.metrics.column.key": "full",
    # The files have no statistics of ETags, and each would be warned of.
    "write.metadata.metrics.column.e_tag": "none",
    "write.metadata.metrics.column.previous_e_tag": "none",
    "write.metadata.delete-after-commit.enabled": "true",
    # pyiceberg (0.12) would repeat a commit without its tags, and on what it read before.
    "commit.retry.num-retries": "0",
}
_ATTEMPTS = 10
_LONGEST_WAIT_SECONDS = 2.0
_LOST_RACES = (CommitFailedException, CommitStateUnknownException, FileNotFoundError)
"""What another run's commit in the meantime looks like; it may have removed what was being read."""

_NOT_IN_ADDRESSES = "#?;%"
"""What readers of a file's address take for more than a part of its path."""

_SECRET = re.compile(r"://.*[@?]|A[KS]IA[A-Z0-9]{12}")


@dataclass(frozen=True, slots=True)
class IcebergTables:
    """The two tables of one source.

    Attributes:
        catalog: Where they are registered.
        store: The results.
        layout: Under which keys.
        namespace: That of the inventory; the change log's has `_changes` after it, so that no
            source's name can make one of the other.
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


def tag_of(day: date) -> str:
    """The tag of a date's snapshot."""
    return f"{TAG_PREFIX}{day}"


def expect_unchanged(transaction: Transaction) -> None:
    """Let the commit fail if another run sets the current snapshot in the meantime.

    pyiceberg keeps only the first requirement on a reference, so this must be the first change; it
    changes nothing. (A table without snapshots is written on its main branch, which requires it.)
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
    """The table after `change` was committed; again on the table as it is, where others won."""
    for attempt in range(_ATTEMPTS):
        table = _open(tables, identifier, folder, schema)
        idle = _unreferenced(table)
        try:
            _add_columns(table, schema)
            change(table)
        except _LOST_RACES as error:
            lost = error
            longest = min(_LONGEST_WAIT_SECONDS, 0.05 * 2**attempt)
            time.sleep(random.uniform(0, longest))  # noqa: S311 - no secret
            continue
        _expire(table, idle)
        return table
    is_missing = isinstance(lost, FileNotFoundError)
    why = "a file is missing" if is_missing else "others change it all the time"
    raise IcebergError(
        f"the Iceberg table {identifier} could not be changed in {_ATTEMPTS} attempts, as {why} "
        f"({_log(lost)}); {'materialize the date' if is_missing else 'run it'} again"
    )


def _open(tables: IcebergTables, identifier: str, folder: str, schema: pa.Schema) -> Table:
    location = tables.store.uri(tables.layout.iceberg(folder))
    bad = sorted(set(location) & set(_NOT_IN_ADDRESSES))
    if bad:
        raise IcebergError(
            f"{location} has {' '.join(bad)} in it, which readers of Iceberg take for a part of "
            "an address; keep the results in a folder without"
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
            f"the Iceberg table {identifier} of the catalogue lies in {table.location()}, but "
            f"these results belong in {location}; configure another namespace, or drop the table"
        )
    return table


def _create_namespace(catalog: Catalog, namespace: str) -> None:
    try:
        catalog.create_namespace_if_not_exists(namespace)
    except Exception:
        # Another run was faster, which catalogues tell in their own ways.
        if not catalog.namespace_exists(namespace):
            raise


def _add_columns(table: Table, schema: pa.Schema) -> None:
    """Let the table have the columns that the files have; the name mapping follows."""
    if set(schema.names) - set(table.schema().column_names):
        with table.update_schema() as update:
            update.union_by_name(schema)


def _expire(table: Table, idle: Mapping[int, Snapshot]) -> None:
    """Forget the snapshots that nothing referred to when this run began.

    So what one run lets go is there until the next, for readers that have just looked it up.
    Whatever fails here is left for the next run.
    """
    expired = [idle[snapshot_id] for snapshot_id in _unreferenced(table).keys() & idle.keys()]
    if not expired:
        return
    # A snapshot with a date's tag shares its manifests with no other.
    dated = {snapshot.snapshot_id for snapshot in tagged_snapshots(table).values()}
    kept = [
        snapshot
        for snapshot in table.snapshots()
        if snapshot not in expired and snapshot.snapshot_id not in dated
    ]
    try:
        doomed = _metadata_files(table, expired) - _metadata_files(table, kept)
        table.maintenance.expire_snapshots().by_ids([each.snapshot_id for each in expired]).commit()
        for path in doomed:
            table.io.delete(path)
    except (*_LOST_RACES, OSError, ValueError):  # as a rule, another run has expired them
        return


def _metadata_files(table: Table, snapshots: Iterable[Snapshot]) -> set[str]:
    """The manifest lists of snapshots, and their manifests."""
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
        except ValueError:  # someone else's
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
    """The columns of files, which a source has alike, with what they mean."""
    schema = default
    if files:
        try:
            with tables.store.open(files[0]) or _missing(tables, files[0]) as file:
                schema = pq.read_schema(file)
        except pa.ArrowInvalid as error:
            where = tables.store.where(files[0])
            raise CorruptRecord(f"{where} is no Parquet file ({error})") from None
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
    """Whatever a catalogue raises, as an `IcebergError` without secrets."""
    try:
        yield
    except InventoryError:
        raise
    # Catalogues of many kinds raise what their clients raise.
    except Exception as error:  # noqa: BLE001
        raise IcebergError(f"the {what} cannot be used: {_log(error)}") from None


def _log(error: Exception) -> str:
    """An error in words; what may hold an address with a password, or a key, is left out."""
    name, text = type(error).__name__, str(error).partition("\n")[0][:300]
    return (
        f"{name} (not shown, as it may hold a secret)"
        if _SECRET.search(text)
        else f"{name}: {text}"
    )
