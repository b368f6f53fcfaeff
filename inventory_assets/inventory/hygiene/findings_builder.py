"""Collect findings of records in key order, in bounded memory, and merge those of neighbours."""

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from inventory_assets.inventory.hygiene.findings import (
    EXAMPLES,
    HIDING_NOTHING,
    NONCURRENT,
    LargeObject,
    PartFindings,
    StorageTotal,
    Tally,
)
from inventory_assets.inventory.hygiene.odd_keys import odd_keys
from inventory_assets.inventory.hygiene.prefix_counts import PrefixCounts
from inventory_assets.inventory.parts.schema import NO_STORAGE_CLASS, has_versions
from inventory_assets.inventory.usage.schema import SIZE_BOUNDS

LARGEST = 20

MARKER_CLASS = "STANDARD"

_Flags = npt.NDArray[np.bool_]
_Sizes = npt.NDArray[np.int64]


class Totals:
    """Sums by storage class and size band."""

    def __init__(self) -> None:
        self._sums: dict[tuple[str, int], tuple[int, int]] = {}

    def add(self, totals: Iterable[StorageTotal]) -> None:
        """Add to the sums."""
        for total in totals:
            kind = total.storage_class, total.size_band
            objects, size = self._sums.get(kind, (0, 0))
            self._sums[kind] = objects + total.objects, size + total.bytes

    def finish(self) -> tuple[StorageTotal, ...]:
        """The sums, ascending."""
        return tuple(StorageTotal(*kind, *found) for kind, found in sorted(self._sums.items()))


class TallyBuilder:
    """Counts the objects of one finding, in key order."""

    def __init__(self) -> None:
        self._totals = Totals()
        self._prefixes = PrefixCounts(is_cumulative=True)
        self._examples: list[str] = []

    def add(self, keys: pa.StringArray, sizes: _Sizes, classes: pa.DictionaryArray) -> None:
        """Count objects that lie after all before.

        Args:
            keys: Their keys, in order.
            sizes: Their bytes.
            classes: Their storage classes.
        """
        self._totals.add(storage_totals(sizes, classes))
        self._prefixes.add(keys, sizes)
        if len(self._examples) < EXAMPLES:
            self._add_examples(pc.unique(keys).slice(0, EXAMPLES + 1).to_pylist())

    def merge(self, tally: Tally) -> None:
        """Add the tally of the neighbouring piece to the right."""
        self._totals.add(tally.totals)
        self._prefixes.merge(tally.prefixes)
        self._add_examples(tally.examples)

    def prune(self, first_key: str, last_key: str) -> None:
        """Bound the memory; see `PrefixCounts.prune`."""
        self._prefixes.prune(first_key, last_key)

    def finish(self, first_key: str, last_key: str) -> Tally:
        """The tally of the piece between two keys."""
        self._prefixes.prune(first_key, last_key, at_most=0)
        return Tally(self._totals.finish(), self._prefixes.shares(), tuple(self._examples))

    def _add_examples(self, keys: Iterable[str]) -> None:
        self._examples = list(dict.fromkeys([*self._examples, *keys]))[:EXAMPLES]


class FindingsBuilder:
    """Collects the findings of records in key order, in bounded memory.

    Args:
        first_key: The first key.
    """

    def __init__(self, first_key: str) -> None:
        self._first_key = self._last_key = first_key
        self._totals = Totals()
        self._tallies: dict[str, TallyBuilder] = {}
        self._crowded = PrefixCounts(is_cumulative=False)
        self._largest: tuple[LargeObject, ...] = ()

    def add(self, records: pa.RecordBatch) -> None:
        """Add records after all before; all versions of a key are among them."""
        of_versions = has_versions(records.schema)
        if of_versions:
            hiding_nothing = records.filter(pa.array(_hide_nothing(records)))
            keys = hiding_nothing.column("key")
            sizes = pc.binary_length(keys).to_numpy().astype(np.int64)
            # Amazon bills them as objects of this class with the size of the key:
            # https://docs.aws.amazon.com/AmazonS3/latest/userguide/DeleteMarker.html
            classes = pa.repeat(MARKER_CLASS, len(keys)).dictionary_encode()
            self._count(HIDING_NOTHING, hiding_nothing, sizes, classes)
            objects = records.filter(pc.invert(records.column("is_delete_marker")))
        else:
            objects = records
        sizes = objects.column("size").fill_null(0).to_numpy()
        self._totals.add(storage_totals(sizes, objects.column("storage_class")))
        if of_versions:
            is_old = ~objects.column("is_latest").to_numpy(zero_copy_only=False)
            self._count(NONCURRENT, objects.filter(pa.array(is_old)), sizes[is_old])
        for kind, positions in odd_keys(objects.column("key")):
            self._count(kind, objects.take(pa.array(positions)), sizes[positions])
        self._crowded.add(objects.column("key"), sizes)
        self._largest = _largest_of([*self._largest, *_largest(objects, sizes, self._least_size)])
        self._prune(records.column("key")[-1].as_py())

    def merge(self, findings: PartFindings, last_key: str) -> None:
        """Add the findings of the next part, whose last key is `last_key`."""
        self._totals.add(findings.totals)
        for name, tally in findings.tallies.items():
            self._tallies.setdefault(name, TallyBuilder()).merge(tally)
        self._crowded.merge(findings.crowded)
        self._largest = _largest_of([*self._largest, *findings.largest])
        self._prune(last_key)

    def finish(self) -> PartFindings:
        """The findings of all records."""
        self._crowded.prune(self._first_key, self._last_key, at_most=0)
        return PartFindings(
            self._totals.finish(),
            {
                name: tally.finish(self._first_key, self._last_key)
                for name, tally in sorted(self._tallies.items())
            },
            self._largest,
            self._crowded.shares(),
        )

    @property
    def _least_size(self) -> int:
        return self._largest[-1].size if len(self._largest) == LARGEST else 0

    def _count(
        self,
        name: str,
        records: pa.RecordBatch,
        sizes: _Sizes,
        classes: pa.DictionaryArray | None = None,
    ) -> None:
        if records.num_rows:
            tally = self._tallies.setdefault(name, TallyBuilder())
            if classes is None:
                classes = records.column("storage_class")
            tally.add(records.column("key"), sizes, classes)

    def _prune(self, last_key: str) -> None:
        self._last_key = last_key
        self._crowded.prune(self._first_key, last_key)
        for tally in self._tallies.values():
            tally.prune(self._first_key, last_key)


def storage_totals(sizes: _Sizes, classes: pa.DictionaryArray) -> Iterator[StorageTotal]:
    """Totals by storage class and size band."""
    names = [*(name or NO_STORAGE_CLASS for name in classes.dictionary.to_pylist())]
    names.append(NO_STORAGE_CLASS)
    codes = classes.indices.fill_null(len(names) - 1).to_numpy().astype(np.int64)
    bands = np.searchsorted(SIZE_BOUNDS, sizes, "right")
    kinds = codes * (len(SIZE_BOUNDS) + 1) + bands
    for kind in np.unique(kinds).tolist():
        code, band = divmod(kind, len(SIZE_BOUNDS) + 1)
        of_kind = sizes[kinds == kind]
        yield StorageTotal(names[code], band, len(of_kind), int(of_kind.sum()))


def _hide_nothing(records: pa.RecordBatch) -> _Flags:
    """The delete markers after which no version of their key follows."""
    is_marker: _Flags = records.column("is_delete_marker").to_numpy(zero_copy_only=False)
    if not is_marker.any():
        return is_marker
    keys = records.column("key")
    is_first = np.ones(len(keys), np.bool_)
    is_first[1:] = pc.not_equal(keys[1:], keys[:-1]).to_numpy(zero_copy_only=False)
    numbers = np.arange(len(keys))
    # The position of the last version of each key; -1 for a key with delete markers alone.
    last = np.maximum.reduceat(np.where(is_marker, -1, numbers), np.flatnonzero(is_first))
    hides_nothing: _Flags = is_marker & (numbers > last[np.cumsum(is_first) - 1])
    return hides_nothing


def _largest(objects: pa.RecordBatch, sizes: _Sizes, least: int) -> list[LargeObject]:
    """The largest objects of a batch that have more than `least` bytes, or as many."""
    if len(sizes) > LARGEST:
        least = max(least, int(np.partition(sizes, -LARGEST)[-LARGEST]))
    found = objects.filter(pa.array(sizes >= least))
    # Of equal ones the first count, so few rows are needed however many are equal.
    order = np.argsort(-sizes[sizes >= least], kind="stable")[:LARGEST]
    return [_large_object(row) for row in found.take(pa.array(order)).to_pylist()]


def _large_object(row: Mapping[str, Any]) -> LargeObject:
    return LargeObject(
        row["key"],
        row["size"] or 0,
        row["storage_class"] or NO_STORAGE_CLASS,
        row["last_modified_date"],
        row.get("is_latest", True),
    )


def _largest_of(objects: Sequence[LargeObject]) -> tuple[LargeObject, ...]:
    """The largest of objects in key order; the first of equal ones."""
    return tuple(heapq.nsmallest(LARGEST, objects, key=lambda each: (-each.size, each.key)))
