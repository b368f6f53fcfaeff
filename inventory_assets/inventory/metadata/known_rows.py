"""Look up rows of metadata that are known already, for records whose keys ascend.

The rows are in files that are sorted by key. Their ranges may overlap: those of runs that were
killed lie over those of earlier dates. Memory holds a row group of each file that meets the keys
that are looked up.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from inventory_assets.inventory.metadata.metadata_files import damaged, open_metadata
from inventory_assets.inventory.metadata.schema import IDENTITY_COLUMNS, METADATA_SCHEMA
from inventory_assets.inventory.storage.store import Store
from inventory_assets.scan.keyspace.sorted_keys import count_up_to

_KEY = METADATA_SCHEMA.get_field_index("key")


@dataclass(frozen=True, slots=True)
class SortedFile:
    """A file of rows, sorted by key.

    Attributes:
        key: Its key in the store.
        first_key: Its first key.
        last_key: Its last key.
    """

    key: str
    first_key: str
    last_key: str


class KnownRows:
    """Rows in several files; where an object is in more than one, the first file counts.

    Args:
        store: The store of the files.
        files: The files.
    """

    def __init__(self, store: Store, files: Sequence[SortedFile]) -> None:
        self._store = store
        self._waiting = [*enumerate(files)]
        self._open: dict[int, _OpenFile] = {}

    def close(self) -> None:
        """Close the open files."""
        for file in self._open.values():
            file.close()
        self._open = {}

    def rows_of(self, identities: pa.Table) -> pa.Table:
        """The known row of each record, with null in all columns where there is none.

        Args:
            identities: Records with `IDENTITY_COLUMNS`, keys ascending, and after those of the last
                call. There is at least one.

        Returns:
            A table with `METADATA_SCHEMA`, whose identity columns are those of the records.

        Raises:
            CorruptRecord: A file is missing or damaged.
        """
        keys = identities.column("key")
        known = self._within(keys[0].as_py(), keys[-1].as_py())
        others = [name for name in METADATA_SCHEMA.names if name not in IDENTITY_COLUMNS]
        if known.num_rows:
            at = pc.index_in(_ids(identities), value_set=_ids(known))
            found = known.select(others).take(at)
        else:
            count = identities.num_rows
            fields = [METADATA_SCHEMA.field(name) for name in others]
            found = pa.table([pa.nulls(count, field.type) for field in fields], pa.schema(fields))
        columns = [
            (identities if name in IDENTITY_COLUMNS else found).column(name)
            for name in METADATA_SCHEMA.names
        ]
        return pa.Table.from_arrays(columns, schema=METADATA_SCHEMA)

    def _within(self, first: str, last: str) -> pa.Table:
        later = []
        for rank, file in self._waiting:
            if file.first_key > last:
                later.append((rank, file))
            elif file.last_key >= first:
                self._open[rank] = _OpenFile(self._store, file)
        self._waiting = later
        for rank in [rank for rank, file in self._open.items() if file.last_key < first]:
            self._open.pop(rank).close()
        pieces = [
            piece for rank in sorted(self._open) for piece in self._open[rank].within(first, last)
        ]
        return pa.concat_tables(pieces) if pieces else METADATA_SCHEMA.empty_table()


def key_bounds(store: Store, key: str) -> tuple[str, str] | None:
    """The first and last key of a file, by its statistics; None for a file without rows.

    Raises:
        CorruptRecord: The file is missing or damaged.
    """
    try:
        with open_metadata(store, key) as opened, pq.ParquetFile(opened) as file:
            count = file.metadata.num_row_groups
            found = [file.metadata.row_group(at).column(_KEY).statistics for at in range(count)]
            return (found[0].min, found[-1].max) if found else None
    except (pa.ArrowException, OSError, AttributeError) as error:
        raise damaged(store, key, error) from None


def _ids(rows: pa.Table) -> pa.Array:
    """What identifies each row, as one text."""
    version, e_tag = (pc.fill_null(rows.column(name), "") for name in ("version_id", "e_tag"))
    times = rows.column("last_modified_date").cast(pa.int64()).cast(pa.string())
    joined = pc.binary_join_element_wise(
        version, e_tag, pc.fill_null(times, ""), rows.column("key"), "\n"
    )
    return joined.combine_chunks() if isinstance(joined, pa.ChunkedArray) else joined


class _OpenFile:
    """An open file, whose row groups are read in order; the last ones stay in memory."""

    def __init__(self, store: Store, file: SortedFile) -> None:
        self.last_key = file.last_key
        self._store, self._key = store, file.key
        self._stack = ExitStack()
        self._groups: dict[int, pa.Table] = {}
        try:
            opened = self._stack.enter_context(open_metadata(store, file.key))
            self._file = self._stack.enter_context(pq.ParquetFile(opened))
        except (pa.ArrowException, OSError) as error:
            raise damaged(store, file.key, error) from None

    def close(self) -> None:
        self._stack.close()

    def within(self, first: str, last: str) -> list[pa.Table]:
        """The rows with keys from `first` to `last`."""
        found = []
        for group in range(self._file.num_row_groups):
            statistics = self._file.metadata.row_group(group).column(_KEY).statistics
            if statistics.max < first:
                self._groups.pop(group, None)
            elif statistics.min <= last:
                found.append(_between(self._read(group), first, last))
        return found

    def _read(self, group: int) -> pa.Table:
        if group not in self._groups:
            try:
                table = self._file.read_row_group(group, use_threads=False)
                self._groups[group] = table.cast(METADATA_SCHEMA).combine_chunks()
            except (pa.ArrowException, OSError, ValueError) as error:
                raise damaged(self._store, self._key, error) from None
        return self._groups[group]


def _between(table: pa.Table, first: str, last: str) -> pa.Table:
    keys = table.column("key").combine_chunks()
    start = count_up_to(keys, first)
    # The rows with the first key itself, of which there may be several versions.
    while start and keys[start - 1].as_py() == first:
        start -= 1
    return table.slice(start, count_up_to(keys, last) - start)
