"""The changes of a shard since the baseline: the newest complete manifest older than the date."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import date, datetime

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from inventory_assets.inventory.changes.journal_format import CHANGE_SCHEMA, to_journal
from inventory_assets.inventory.changes.sorted_diff import (
    BASELINE_COLUMNS,
    SNAPSHOT_COLUMNS,
    Change,
    diff_sorted,
)
from inventory_assets.inventory.errors import CorruptRecord
from inventory_assets.inventory.manifest.manifest import Manifest
from inventory_assets.inventory.manifest.snapshot import Snapshot
from inventory_assets.inventory.parts.current import count_current, read_current
from inventory_assets.inventory.parts.parquet_encoding import ROW_GROUP_ROWS, parquet_writer
from inventory_assets.inventory.parts.part import Part
from inventory_assets.inventory.storage.commit import publish
from inventory_assets.inventory.storage.layout import FileKind, Layout
from inventory_assets.inventory.storage.record_type import RecordType
from inventory_assets.inventory.storage.store import Store
from inventory_assets.inventory.storage.tombstones import unmarked_key
from inventory_assets.scan.keyspace.key_range import KeyRange
from inventory_assets.scan.keyspace.shard import Shard
from inventory_assets.scan.keyspace.sorted_keys import count_up_to

FORMAT = 3
"""The format of the records; it rises when older code could misread a record."""

FEW_VALUES = ["storage_class", "checksum_algorithm"]
"""Columns that are compared faster as indices of a dictionary."""


@dataclass(frozen=True, slots=True)
class Changes:
    """How one shard differs from the baseline.

    Attributes:
        day: The date.
        shard: The keys compared.
        baseline_day: The baseline's date; None for a first inventory, which has no changes.
        baseline_identity: The baseline's identity when it was compared; None without one.
        baseline_rows: Current objects that the baseline held in the shard's key ranges.
        snapshot_fingerprint: The fingerprint of the snapshot compared.
        snapshot_rows: Current objects in it.
        file: The key of the Parquet file of the changed records.
        counts: Changed records by kind, including kinds without any.
        created_at: When the comparison was made.
        format: The number of the format of this record.
        unreadable: Keys of the baseline whose records could not be decoded this time. They count
            neither as deleted nor as compared.
    """

    day: date
    shard: Shard
    baseline_day: date | None
    baseline_identity: str | None
    baseline_rows: int
    snapshot_fingerprint: str
    snapshot_rows: int
    file: str
    counts: Mapping[Change, int]
    created_at: datetime
    format: int = FORMAT
    unreadable: tuple[str, ...] = ()

    @property
    def total(self) -> int:
        """All changed records."""
        return sum(self.counts.values())

    @property
    def balance_violation(self) -> str | None:
        """Why the counts do not add up to the snapshot; None if they do."""
        if self.baseline_day is None:
            return None
        return balance_violation(
            self.baseline_rows,
            self.counts,
            len(self.unreadable),
            self.snapshot_rows,
            "the snapshot",
        )


CHANGES = RecordType(
    kind=FileKind.CHANGES,
    title="record of changes",
    remedy="materialize object_changes for {day} and this shard again",
    data_files="file",
    written_at="created_at",
    formats=(FORMAT,),
    model=Changes,
)


def balance_violation(
    baseline_rows: int, counts: Mapping[Change, int], unreadable: int, rows: int, compared: str
) -> str | None:
    """Why baseline + created - deleted - unreadable is not `rows`; None where it is.

    Args:
        baseline_rows: Current objects of the baseline.
        counts: Changed records by kind.
        unreadable: Objects of the baseline whose records could not be decoded this time.
        rows: Current objects of the snapshot or inventory that was compared with the baseline.
        compared: Its name in the message.
    """
    created, deleted = counts[Change.CREATED], counts[Change.DELETED]
    balance = baseline_rows + created - deleted - unreadable
    if balance == rows:
        return None
    lost = f" - {unreadable:,} unreadable" if unreadable else ""
    return (
        f"{baseline_rows:,} + {created:,} created - {deleted:,} deleted{lost} = {balance:,}, "
        f"but {compared} holds {rows:,}"
    )


def publish_changes(
    store: Store,
    layout: Layout,
    snapshot: Snapshot,
    baseline: Manifest | None,
    now: datetime,
) -> Changes:
    """Compare a snapshot with its baseline and publish the changes.

    The baseline is restricted to the key ranges of the snapshot, whatever its shards are. If
    versions are listed, the current objects of both days are compared. The Parquet file is
    published before the record.

    Raises:
        CorruptRecord: A part is missing or damaged.
    """
    old, new = _differing(baseline, snapshot)
    ranges = snapshot.shard.ranges
    differences = diff_sorted(
        read_current(store, old, ranges, BASELINE_COLUMNS, FEW_VALUES),
        read_current(store, new, ranges, SNAPSHOT_COLUMNS, FEW_VALUES),
    )
    unread = _UnreadableKeys(snapshot)
    file, counts = publish_changed_records(
        store,
        layout,
        (
            to_journal(table, layout.bucket, snapshot.day, snapshot.finished_at)
            for table in unread.exclude(differences)
        ),
    )
    changes = Changes(
        day=snapshot.day,
        shard=snapshot.shard,
        baseline_day=baseline.day if baseline else None,
        baseline_identity=baseline.identity if baseline else None,
        baseline_rows=_rows(store, baseline, snapshot.shard),
        snapshot_fingerprint=snapshot.fingerprint,
        snapshot_rows=snapshot.objects,
        file=file,
        counts=counts,
        created_at=now,
        unreadable=tuple(unread.found),
    )
    key = layout.changes(snapshot.day, snapshot.shard.prefix)
    publish(store, CHANGES.file(key, changes))
    return changes


def read_changes(store: Store, layout: Layout, day: date, prefix: str) -> Changes | None:
    """Read the changes of a shard on a date; None where none were published.

    Raises:
        CorruptRecord: The file is damaged or of another format.
    """
    return CHANGES.read(store, layout.changes(day, prefix))


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


class _UnreadableKeys:
    """Objects that a snapshot lacks only because their records could not be decoded.

    Attributes:
        found: Their keys in the baseline; complete when all differences were read.
    """

    def __init__(self, snapshot: Snapshot) -> None:
        keys = {record.key for record in snapshot.unreadable.first if record.key is not None}
        self._keys = pa.array(sorted(keys), pa.string())
        self.found: list[str] = []

    def exclude(self, differences: Iterable[pa.Table]) -> Iterator[pa.Table]:
        """The differences without the deletions of such objects."""
        for table in differences:
            if not len(self._keys):
                yield table
                continue
            is_deleted = pc.equal(table.column("change"), Change.DELETED.value)
            is_unread = pc.is_in(table.column("key"), value_set=self._keys)
            is_missing = pc.and_(is_deleted, is_unread)
            self.found += table.filter(is_missing).column("key").to_pylist()
            kept = table.filter(pc.invert(is_missing))
            if kept.num_rows:
                yield kept


def _differing(
    baseline: Manifest | None, snapshot: Snapshot
) -> tuple[Sequence[Part], Sequence[Part]]:
    """The parts of both sides to compare, without common parts; none without a baseline."""
    if baseline is None:
        return (), ()
    shared = baseline.part_keys & {part.key for part in snapshot.parts}
    return (
        [part for part in baseline.parts if part.key not in shared],
        [part for part in snapshot.parts if part.key not in shared],
    )


def _rows(store: Store, baseline: Manifest | None, shard: Shard) -> int:
    if baseline is None:
        return 0
    parts = baseline.parts
    return sum(count_current(store, parts, key_range) for key_range in shard.ranges)


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
