"""The Parquet files of changed records: named for their hash, so that equal ones share a file."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

import pyarrow as pa
import pyarrow.parquet as pq

from inventory_assets.inventory.changes.journal_format import CHANGE_SCHEMA
from inventory_assets.inventory.changes.sorted_diff import Change
from inventory_assets.inventory.errors import CorruptRecord
from inventory_assets.inventory.parts.parquet_encoding import ROW_GROUP_ROWS, parquet_writer
from inventory_assets.inventory.storage.layout import Layout
from inventory_assets.inventory.storage.store import Store
from inventory_assets.inventory.storage.tombstones import unmarked_key
from inventory_assets.scan.keyspace.key_range import KeyRange
from inventory_assets.scan.keyspace.sorted_keys import count_up_to


def publish_changed_records(
    store: Store, layout: Layout, tables: Iterable[pa.Table]
) -> tuple[str, Mapping[Change, int]]:
    """Publish changed records in a file that is named for its hash; equal records share a file.

    Args:
        store: Where.
        layout: The layout of the source.
        tables: Tables with `CHANGE_SCHEMA`, keys ascending.

    Returns:
        The key of the Parquet file, and how many records of each kind are in it.
    """
    counts: Counter[Change] = Counter()
    with store.scratch() as folder:
        path = folder / "changes.parquet"
        with parquet_writer(path, CHANGE_SCHEMA, layout.encodings) as writer:
            for table in tables:
                for row in table.column("change").value_counts().to_pylist():
                    counts[Change(row["values"])] += row["counts"]
                writer.write_table(table, row_group_size=ROW_GROUP_ROWS)
        with path.open("rb") as written:
            digest = hashlib.file_digest(written, "sha256").hexdigest()
        key = unmarked_key(store, layout.changed_records(digest), ".parquet")
        store.publish_file(key, path, digest)
    return key, {change: counts[change] for change in Change}


def read_changed_records(store: Store, key: str, ranges: Sequence[KeyRange]) -> Iterator[pa.Table]:
    """Read the changed records of some ranges, in key order, a row group at a time.

    Args:
        store: Where.
        key: The key of their file.
        ranges: Disjoint and in key order.

    Yields:
        Tables with `CHANGE_SCHEMA`, none empty.

    Raises:
        CorruptRecord: The file is missing or damaged.
    """
    with _opened(store, key) as file:
        for group in range(file.num_row_groups):
            table = file.read_row_group(group)
            keys = table.column("key").combine_chunks()
            for key_range in ranges:
                start = count_up_to(keys, key_range.after)
                stop = count_up_to(keys, key_range.until)
                if stop > start:
                    yield table.slice(start, stop - start)


class ChangedRecordsFile:
    """An open file of changed records, of which ranges are read one after the other.

    The last row group stays in memory: neighbouring ranges often lie in the same one.

    Args:
        store: Where.
        key: The key of the file.

    Raises:
        CorruptRecord: The file is missing or damaged; so do the methods.
    """

    def __init__(self, store: Store, key: str) -> None:
        self._store, self._key = store, key
        self._stack = ExitStack()
        self._file = self._stack.enter_context(_opened(store, key))
        self._group = -1
        self._table = CHANGE_SCHEMA.empty_table()

    def close(self) -> None:
        """Close the file."""
        self._stack.close()

    def read(self, key_range: KeyRange) -> Iterator[pa.RecordBatch]:
        """The records of a range, in key order, without the row groups that have none of them.

        Yields:
            Batches with `CHANGE_SCHEMA`, none empty.
        """
        for group in range(self._file.num_row_groups):
            if not self._may_contain(group, key_range):
                continue
            for batch in self._read_group(group).to_batches():
                start = count_up_to(batch.column("key"), key_range.after)
                stop = count_up_to(batch.column("key"), key_range.until)
                if stop > start:
                    yield batch.slice(start, stop - start)

    def _read_group(self, group: int) -> pa.Table:
        if group != self._group:
            try:
                self._table = self._file.read_row_group(group, use_threads=False)
            except (pa.ArrowException, OSError) as error:
                raise _damaged(self._store, self._key, error) from None
            self._group = group
        return self._table

    def _may_contain(self, group: int, key_range: KeyRange) -> bool:
        column = CHANGE_SCHEMA.get_field_index("key")
        statistics = self._file.metadata.row_group(group).column(column).statistics
        if statistics is None or not statistics.has_min_max:
            return True
        return bool(statistics.min <= key_range.until and statistics.max > key_range.after)


def open_changed_records(store: Store, key: str) -> pa.NativeFile:
    """Open a file of changed records.

    Raises:
        CorruptRecord: The file is missing.
    """
    source = store.open(key)
    if source is None:
        raise _damaged(store, key, "the file does not exist")
    return source


@contextmanager
def _opened(store: Store, key: str) -> Iterator[pq.ParquetFile]:
    source = open_changed_records(store, key)
    try:
        with source, pq.ParquetFile(source) as file:
            yield file
    except (pa.ArrowException, OSError) as error:
        raise _damaged(store, key, error) from None


def _damaged(store: Store, key: str, reason: Exception | str) -> CorruptRecord:
    return CorruptRecord(
        f"{store.where(key)} is missing or damaged ({reason}); materialize object_changes again "
        "for the shard and date that use it"
    )
