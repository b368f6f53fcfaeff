"""Aggregate sorted records by prefix, in one pass and in bounded memory.

`keeping.py` says which prefixes are kept, and why pruning the pieces does not change the result.
"""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from inventory_assets.inventory.usage.aggregate_rows import CODE_MASK, Rows, rolled_up, sum_rows
from inventory_assets.inventory.usage.dimensions import (
    CODE_BITS,
    Dimensions,
    Ints,
    encoded,
    sizes_of,
)
from inventory_assets.inventory.usage.keeping import KEEP, KeepRule
from inventory_assets.inventory.usage.prefix_tree import PrefixTree, SortedKeys, rows_to_compare
from inventory_assets.inventory.usage.schema import MAX_DEPTH, USAGE_SCHEMA

BATCH_ROWS = 65_536
"""Records that are aggregated at a time."""

BATCH_KEY_BYTES = 2**22
"""Bytes of keys that are aggregated at a time, which bounds memory where keys are long."""

BATCH_PREFIXES = 2**19
"""Prefixes of all keys that are aggregated at a time, which bounds memory where keys are deep."""

_MIN_PENDING_BYTES = 2**23
"""Bytes of rows and prefixes that may be added before prefixes are dropped again."""


class UsageAggregate:
    """The aggregate of neighbouring pieces of sorted records, each added after the one before.

    Args:
        rule: Which prefixes are kept.
        within: The records and bytes of all pieces together, where they are known. Prefixes that
            are too small for the whole are then dropped early; the result is the same.
    """

    def __init__(self, rule: KeepRule = KEEP, within: tuple[int, int] = (0, 0)) -> None:
        self._rule = rule
        self._within = within
        self._dimensions = Dimensions()
        self._prefixes: list[pa.StringArray] = []
        self._rows: list[Rows] = []
        self._count = 0
        self._pending_bytes = 0
        self._most_pending_bytes = _MIN_PENDING_BYTES
        self._first_path = 0
        self._path: list[str] = []
        self._path_numbers: Ints = np.empty(0, np.int64)

    def add_records(self, records: pa.RecordBatch) -> None:
        """Add records, whose keys are greater than all before, or versions of the last one.

        Args:
            records: Records with at least the columns of `RECORD_COLUMNS`, except those that only
                versions have.

        Raises:
            CorruptRecord: There are more storage classes than any store has.
        """
        for batch in _slices(records):
            self._add_batch(batch)

    def _add_batch(self, batch: pa.RecordBatch) -> None:
        # Of keys with the same last prefix as the one before, most are left out.
        chosen = rows_to_compare(batch.column("key"))
        keys = SortedKeys.of(batch.column("key").take(pa.array(chosen)))
        if keys.depths.sum() > BATCH_PREFIXES and batch.num_rows > 1:
            half = batch.num_rows // 2
            self._add_batch(batch.slice(0, half))
            self._add_batch(batch.slice(half))
            return
        tree = PrefixTree.of(keys)
        sizes = sizes_of(batch)
        bounds = np.append(chosen, batch.num_rows)
        firsts, ends = bounds[tree.rows], bounds[tree.ends]
        before = np.concatenate([[0], np.cumsum(sizes)])
        kept = self._rule.kept(ends - firsts, before[ends] - before[firsts], self._within)
        # The prefixes of the first key come first; those of the last key end last.
        kept[: keys.depths[0] + 1] = True
        kept |= ends == batch.num_rows
        numbers = np.flatnonzero(kept)
        # Each record counts in its deepest kept prefix, which is added to its ancestors.
        nearest = np.where(kept, np.cumsum(kept) - 1, 0)
        for depth in range(1, int(tree.depths.max()) + 1):
            at = np.flatnonzero((tree.depths == depth) & ~kept)
            nearest[at] = nearest[tree.parents[at]]
        rows = rolled_up(
            np.repeat(nearest[tree.deepest], np.diff(bounds)),
            self._dimensions.codes(batch, sizes),
            sizes,
            tree.depths[numbers],
            nearest[tree.parents[numbers]],
            np.searchsorted(tree.rows[numbers], tree.ends[numbers]),
        )
        self._add(
            keys.prefixes(tree.rows[numbers], tree.depths[numbers]),
            rows,
            batch.column("key")[0].as_py(),
            batch.column("key")[-1].as_py(),
        )

    def add(self, rows: pa.Table, first_key: str, last_key: str) -> None:
        """Add the aggregate of records whose keys are greater than all before.

        Args:
            rows: The aggregate, with `USAGE_SCHEMA`; at least one row. It may lack the depth, and
                text may be encoded as dictionaries.
            first_key: The first of these keys.
            last_key: The last of these keys.
        """
        # Rows are sorted by prefix, so its dictionary is, too.
        prefixes = encoded(rows.column("prefix"))
        numbers = prefixes.indices.to_numpy().astype(np.int64)
        places = (numbers << CODE_BITS) | self._dimensions.codes_of_rows(rows)
        objects, sizes = (rows.column(name).to_numpy() for name in ("objects", "bytes"))
        self._add(prefixes.dictionary, Rows(places, objects, sizes), first_key, last_key)

    def _add(self, prefixes: pa.StringArray, rows: Rows, first_key: str, last_key: str) -> None:
        """Add a piece with all prefixes of its first and last key."""
        first, last = path_of(first_key), path_of(last_key)
        shared = sum(1 for mine, other in zip(self._path, first, strict=False) if mine == other)
        # The prefixes of the first key are the first ones. Some are open here.
        added = len(prefixes) - shared
        numbers = np.concatenate([self._path_numbers[:shared], self._count + np.arange(added)])
        if not self._count:
            self._first_path = len(first)
        self._prefixes.append(prefixes.slice(shared))
        self._rows.append(rows.moved(numbers))
        self._count += added
        self._path = last
        self._path_numbers = numbers[
            pc.index_in(pa.array(last, pa.string()), prefixes).to_numpy().astype(np.int64)
        ]
        self._pending_bytes += rows.nbytes + prefixes.nbytes
        if self._pending_bytes > self._most_pending_bytes:
            self._prune()

    def _prune(self) -> None:
        """Drop the prefixes that the rule does not keep in the records so far."""
        rows = sum_rows(self._rows)
        kept = self._rule.kept(*rows.totals(self._count), self._within)
        kept[: self._first_path] = True
        kept[self._path_numbers] = True
        prefixes = pa.chunked_array(self._prefixes, pa.string()).filter(pa.array(kept))
        numbers = np.cumsum(kept) - 1
        rows = rows.at(kept[rows.prefixes]).moved(numbers)
        self._prefixes, self._rows = prefixes.chunks, [rows]
        self._path_numbers = numbers[self._path_numbers]
        self._count = len(prefixes)
        self._pending_bytes = rows.nbytes + prefixes.nbytes
        # Each pruning reads all rows; so it waits until their number has doubled.
        self._most_pending_bytes = max(_MIN_PENDING_BYTES, 2 * self._pending_bytes)

    def table(self) -> pa.Table:
        """The aggregate of all records so far, with `USAGE_SCHEMA`; no rows without records."""
        if not self._count:
            return USAGE_SCHEMA.empty_table()
        self._prune()
        (rows,) = self._rows
        prefixes = pa.chunked_array(self._prefixes, pa.string()).combine_chunks()
        codes = self._dimensions.sorted_codes(rows.places & CODE_MASK)
        order = np.argsort((rows.prefixes << CODE_BITS) | codes)
        numbers = pa.array(rows.prefixes[order])
        depths = pc.count_substring(prefixes, "/")
        return pa.Table.from_arrays(
            [
                prefixes.take(numbers),
                depths.take(numbers),
                *self._dimensions.columns(codes[order]),
                pa.array(rows.objects[order]),
                pa.array(rows.bytes[order]),
            ],
            schema=USAGE_SCHEMA,
        )


def path_of(key: str) -> list[str]:
    """All prefixes of a key: "", and each that ends in a slash, down to `MAX_DEPTH`."""
    path = [""]
    for name in key.split("/", MAX_DEPTH)[:-1]:
        path.append(f"{path[-1]}{name}/")
    return path


def _slices(records: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """The records in batches that are not too large."""
    start = 0
    while start < records.num_rows:
        batch = records.slice(start, BATCH_ROWS)
        _, offsets, _ = batch.column("key").buffers()
        ends = np.frombuffer(offsets, np.int32, batch.num_rows + 1, 4 * batch.column("key").offset)
        fitting = int(np.searchsorted(ends, int(ends[0]) + BATCH_KEY_BYTES, side="right")) - 1
        batch = batch.slice(0, max(fitting, 1))
        yield batch
        start += batch.num_rows
