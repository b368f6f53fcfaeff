"""Compare two sorted streams of records, one bounded window of each at a time.

Both windows end at the same key. Records that are equal in both are found first, by comparing
columns row by row. Only the few other records are joined by key, and only those that differ are
copied. Meanwhile a thread for each side reads its next batches. So memory holds three batches for
each side and the changes that are not yielded yet, however long the streams are.
"""

from collections import deque
from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from enum import StrEnum

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from inventory_assets.inventory.parts.parquet_encoding import ROW_GROUP_ROWS
from inventory_assets.inventory.parts.schema import RECORD_SCHEMA, VERSION_RECORD_SCHEMA
from inventory_assets.scan.keyspace.sorted_keys import count_up_to

BATCHES_AHEAD = 2
"""Batches of each side that are read ahead while one is compared, to keep two cores busy."""

LOOK_UP_ROWS = 4096
"""Keys that are looked up at once; a hash table of this size fits into the cache of a core."""

MAX_SHIFT = 64
"""The maximum distance between rows of two windows that are compared without a lookup by key."""


class Change(StrEnum):
    """How the record of a key differs from the baseline; the ETag is compared first."""

    CREATED = "created"
    """The key is new."""
    MODIFIED = "modified"
    """The ETag or the size differs: other content, as far as an ETag can tell."""
    TOUCHED = "touched"
    """Same ETag and size, other LastModified: written again, or copied onto itself."""
    TRANSITIONED = "transitioned"
    """Only the storage class differs."""
    DELETED = "deleted"
    """The key is gone."""


COMPARED_COLUMNS = ["size", "last_modified_date", "e_tag", "storage_class"]
"""The columns that a change shows old and new, side by side."""

CARRIED_COLUMNS = ["checksum_algorithm", "version_id"]
"""The columns of which a change shows only the new value: they differ only if another one does."""

BASELINE_COLUMNS = ["key", *COMPARED_COLUMNS]
SNAPSHOT_COLUMNS = [*BASELINE_COLUMNS, *CARRIED_COLUMNS]

DIFFERENCE_SCHEMA = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("change", pa.string(), nullable=False),
        *[VERSION_RECORD_SCHEMA.field(name) for name in COMPARED_COLUMNS + CARRIED_COLUMNS],
        *[RECORD_SCHEMA.field(name).with_name(f"previous_{name}") for name in COMPARED_COLUMNS],
    ]
)
"""A changed record: the new values, null where deleted, and the old, null where created."""

_KINDS = list(Change)
_KIND_NAMES = pa.array([kind.value for kind in _KINDS])
_SAME = -1
_EMPTY = pa.RecordBatch.from_pylist([], VERSION_RECORD_SCHEMA)

_NUMBERS = ["size", "last_modified_date"]
_SPREADING = 0x9E3779B97F4A7C1
"""Spreads the bits of a time, so that different times and sizes seldom have equal hashes."""

_Rows = npt.NDArray[np.int64]
_Flags = npt.NDArray[np.bool_]


def diff_sorted(
    baseline: Iterable[pa.RecordBatch], snapshot: Iterable[pa.RecordBatch]
) -> Generator[pa.Table, None, None]:
    """The changes from `baseline` to `snapshot`, in key order.

    A thread for each side reads some batches ahead; the threads end with the iterator.

    Args:
        baseline: Batches with at least `BASELINE_COLUMNS`, keys strictly ascending.
        snapshot: Batches with at least `SNAPSHOT_COLUMNS`, likewise; without `version_id` where no
            versions were listed.

    Yields:
        Non-empty tables with `DIFFERENCE_SCHEMA`; all but the last have at least `ROW_GROUP_ROWS`.
    """
    waiting: list[pa.RecordBatch] = []
    rows = 0
    with ThreadPoolExecutor(1, "baseline") as reader, ThreadPoolExecutor(1, "snapshot") as another:
        old = _BufferedStream(reader, baseline, BASELINE_COLUMNS)
        new = _BufferedStream(another, snapshot, SNAPSHOT_COLUMNS)
        while bounds := [side.last_key for side in (old, new) if side.has_records()]:
            differing = _differences(old.read_up_to(min(bounds)), new.read_up_to(min(bounds)))
            if differing is None:
                continue
            waiting.append(differing)
            rows += differing.num_rows
            if rows >= ROW_GROUP_ROWS:
                yield pa.Table.from_batches(waiting).combine_chunks()
                waiting, rows = [], 0
    if waiting:
        yield pa.Table.from_batches(waiting).combine_chunks()


class _BufferedStream:
    """The records of one stream that were read and not yet compared."""

    def __init__(
        self,
        reader: ThreadPoolExecutor,
        batches: Iterable[pa.RecordBatch],
        columns: Sequence[str],
    ) -> None:
        self._records = _EMPTY.select(columns)
        self._columns = columns
        self._batches = iter(batches)
        self._reader = reader
        self._ahead = deque(self._read() for _ in range(BATCHES_AHEAD))

    def _read(self) -> "Future[pa.RecordBatch | None]":
        return self._reader.submit(next, self._batches, None)

    def has_records(self) -> bool:
        """Whether a record is buffered; waits for the next batch if none is."""
        while not self._records.num_rows:
            batch = self._ahead.popleft().result()
            self._ahead.append(self._read())
            if batch is None:
                return False
            self._records = _selected(batch, self._columns)
        return True

    @property
    def last_key(self) -> str:
        """The last buffered key."""
        return str(self._records.column("key")[-1])

    def read_up_to(self, bound: str) -> pa.RecordBatch:
        """Remove and return the records up to a key."""
        count = count_up_to(self._records.column("key"), bound)
        taken = self._records.slice(0, count)
        self._records = self._records.slice(count)
        return taken


def _selected(records: pa.RecordBatch, columns: Sequence[str]) -> pa.RecordBatch:
    if "version_id" in columns and "version_id" not in records.schema.names:
        records = records.append_column("version_id", pa.nulls(records.num_rows, pa.string()))
    return records.select(columns)


def _differences(old: pa.RecordBatch, new: pa.RecordBatch) -> pa.RecordBatch | None:
    """The differences between two windows of the same keys, in key order; None without any."""
    is_same_old, is_same_new = _unchanged(old, new)
    old, new = old.filter(pa.array(~is_same_old)), new.filter(pa.array(~is_same_new))
    positions = _positions(old.column("key"), new.column("key"))
    is_kept = positions >= 0
    is_old = np.zeros(new.num_rows, np.bool_)
    is_old[positions[is_kept]] = True
    kinds = _kinds(_rows_where(is_kept, old), _rows_where(is_old, new))
    kept = np.flatnonzero(is_kept)[kinds != _SAME]
    created, deleted = np.flatnonzero(~is_old), np.flatnonzero(~is_kept)
    if not (len(kept) or len(created) or len(deleted)):
        return None
    before = old.take(_or_null(len(created), np.concatenate([kept, deleted]), 0))
    after = new.take(_or_null(0, np.concatenate([created, positions[kept]]), len(deleted)))
    codes = np.concatenate(
        [
            np.full(len(created), _code(Change.CREATED)),
            kinds[kinds != _SAME],
            np.full(len(deleted), _code(Change.DELETED)),
        ]
    )
    changed_keys = pc.coalesce(after.column("key"), before.column("key"))
    columns = [
        changed_keys,
        _KIND_NAMES.take(pa.array(codes)),
        *after.columns[1:],
        *before.columns[1:],
    ]
    rows = pa.RecordBatch.from_arrays(
        [_plain(column) for column in columns], schema=DIFFERENCE_SCHEMA
    )
    return rows.take(pc.sort_indices(changed_keys))


def _unchanged(old: pa.RecordBatch, new: pa.RecordBatch) -> tuple[_Flags, _Flags]:
    """Flags of the records in each window that are equal in the other; a few may be missed.

    Size and LastModified are fast to compare and seldom equal for nearby objects. So they give the
    candidates, whose other columns are then compared.
    """
    is_same_old, is_same_new = np.zeros(old.num_rows, np.bool_), np.zeros(new.num_rows, np.bool_)
    if not (old.num_rows and new.num_rows):
        return is_same_old, is_same_new
    if any(side.column(name).null_count for side in (old, new) for name in _NUMBERS):
        return is_same_old, is_same_new
    guesses = _guesses(_row_hashes(old), _row_hashes(new))
    is_same_old = guesses >= 0
    guesses = np.maximum(guesses, 0)
    is_same_old &= _times(old) == _times(new)[guesses]  # hashes are equal, so sizes are equal, too
    at = pa.array(guesses)
    for name in ("key", "e_tag", "storage_class"):
        is_same_old &= ~_differs(old.column(name), new.column(name).take(at))
    is_same_new[guesses[is_same_old]] = True
    return is_same_old, is_same_new


def _row_hashes(records: pa.RecordBatch) -> _Rows:
    """A hash of each record. If LastModified is equal, hashes are equal only for equal sizes."""
    hashes: _Rows = _times(records) * _SPREADING ^ records.column("size").to_numpy()
    return hashes


def _times(records: pa.RecordBatch) -> _Rows:
    times: _Rows = records.column("last_modified_date").view(pa.int64()).to_numpy()
    return times


def _guesses(old: _Rows, new: _Rows) -> _Rows:
    """For each row of `old`, a row of `new` with the same hash; -1 if none was found.

    A created or deleted key shifts all rows after it by one. So the two arrays are compared at
    growing shifts, until a shift finds nothing more.
    """
    guesses = np.full(len(old), -1)
    for distance in range(MAX_SHIFT):
        found = 0
        for shift in {distance, -distance}:
            first = max(0, -shift)
            count = max(0, min(len(old), len(new) - shift) - first)
            beside = new[first + shift : first + shift + count]
            rows = np.flatnonzero(old[first : first + count] == beside) + first
            guesses[rows] = rows + shift
            found += len(rows)
        if distance and not found:
            break
    return guesses


def _positions(old: pa.StringArray, new: pa.StringArray) -> _Rows:
    """The row of `new` with each key of `old`; -1 where there is none."""
    pieces = [np.zeros(0, np.int64)]
    start = 0
    for row in range(0, len(old), LOOK_UP_ROWS):
        keys = old.slice(row, LOOK_UP_ROWS)
        stop = start + count_up_to(new.slice(start), keys[-1].as_py())
        found = pc.index_in(keys, value_set=new.slice(start, stop - start))
        at = found.fill_null(-1).to_numpy().astype(np.int64)
        pieces.append(np.where(at < 0, at, at + start))
        start = stop
    return np.concatenate(pieces)


def _kinds(old: pa.RecordBatch, new: pa.RecordBatch) -> _Rows:
    """The code of each record's change, or `_SAME`; both sides have the same keys."""
    kinds = np.full(old.num_rows, _SAME)
    if not old.num_rows:
        return kinds
    # The last kind that is written wins.
    for name, kind in (
        ("storage_class", Change.TRANSITIONED),
        ("last_modified_date", Change.TOUCHED),
        ("size", Change.MODIFIED),
        ("e_tag", Change.MODIFIED),
    ):
        kinds[_differs(old.column(name), new.column(name))] = _code(kind)
    return kinds


def _differs(old: pa.Array, new: pa.Array) -> _Flags:
    """Flags of the rows in which two columns differ; null differs from all values but null."""
    if pa.types.is_dictionary(old.type):
        both = pa.chunked_array([old, new]).unify_dictionaries()
        old, new = (chunk.indices for chunk in both.chunks)
    differs = pc.not_equal(old, new)
    if differs.null_count:
        differs = pc.coalesce(differs, pc.xor(old.is_null(), new.is_null()))
    found: _Flags = differs.to_numpy(zero_copy_only=False)
    return found


def _rows_where(mask: _Flags, records: pa.RecordBatch) -> pa.RecordBatch:
    records = records.select(COMPARED_COLUMNS)
    return records if mask.all() else records.filter(pa.array(mask))


def _plain(column: pa.Array) -> pa.Array:
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def _or_null(before: int, rows: _Rows, after: int) -> pa.Array:
    """Row numbers for `take`, with `before` nulls before and `after` nulls after them."""
    pieces = [pa.nulls(before, pa.int64()), pa.array(rows), pa.nulls(after, pa.int64())]
    return pa.concat_arrays(pieces)


def _code(kind: Change) -> int:
    return _KINDS.index(kind)
