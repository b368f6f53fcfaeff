"""The findings of one part, computed once in one pass and kept beside it under its name.

The findings of a date are merged of those of its parts. The merge is exact, however the records are
divided into parts: totals are added, the largest objects and the first examples of all are among
those of the parts, and `prefix_counts` says why its sums are right.
"""

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from inventory_assets.inventory.errors import CorruptRecord
from inventory_assets.inventory.hygiene.odd_keys import odd_keys
from inventory_assets.inventory.hygiene.prefix_counts import PrefixCounts, PrefixShare
from inventory_assets.inventory.parts.open_part import NO_STORAGE_CLASS
from inventory_assets.inventory.parts.part import Part, open_files
from inventory_assets.inventory.parts.schema import has_versions
from inventory_assets.inventory.storage.layout import FileKind, Layout
from inventory_assets.inventory.storage.record_type import RecordType
from inventory_assets.inventory.storage.store import Store
from inventory_assets.inventory.usage.schema import SIZE_BOUNDS

FORMAT = 1
EXAMPLES = 3
LARGEST = 20

NONCURRENT = "noncurrent_versions"
HIDING_NOTHING = "markers_that_hide_nothing"

MARKER_CLASS = "STANDARD"

_COLUMNS = (
    "key",
    "size",
    "last_modified_date",
    "storage_class",
    "is_latest",
    "is_delete_marker",
)
_Flags = npt.NDArray[np.bool_]
_Sizes = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class StorageTotal:
    """Objects and bytes of one storage class and size band, of which the price follows.

    Attributes:
        storage_class: The class; `NO_STORAGE_CLASS` where the store names none.
        size_band: The number of `SIZE_BOUNDS` that the sizes reach.
        objects: The number of objects.
        bytes: Their bytes.
    """

    storage_class: str
    size_band: int
    objects: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Tally:
    """What is counted of one finding.

    Attributes:
        totals: By storage class and size band, ascending.
        prefixes: What the largest prefixes hold beneath them, by prefix.
        examples: The first keys.
    """

    totals: tuple[StorageTotal, ...]
    prefixes: tuple[PrefixShare, ...]
    examples: tuple[str, ...]

    @property
    def objects(self) -> int:
        """The number of objects."""
        return sum(total.objects for total in self.totals)

    @property
    def bytes(self) -> int:
        """Their bytes."""
        return sum(total.bytes for total in self.totals)


@dataclass(frozen=True, slots=True)
class LargeObject:
    """One of the largest objects.

    Attributes:
        key: Its key.
        size: Its bytes.
        storage_class: Its storage class.
        last_modified_date: When it was created or last replaced.
        is_current: Whether it is no noncurrent version.
    """

    key: str
    size: int
    storage_class: str
    last_modified_date: datetime | None
    is_current: bool


@dataclass(frozen=True, slots=True)
class PartFindings:
    """The findings of a part, or of several neighbours.

    Delete markers are counted only as `HIDING_NOTHING`, with the bytes of their keys.

    Attributes:
        totals: Objects and noncurrent versions by storage class and size band, ascending.
        tallies: What is counted of each finding that occurs, by name.
        largest: The largest objects, from the largest on.
        crowded: The prefixes that hold most objects directly in them, by prefix.
        format: The number of the format of this record.
    """

    totals: tuple[StorageTotal, ...]
    tallies: Mapping[str, Tally]
    largest: tuple[LargeObject, ...]
    crowded: tuple[PrefixShare, ...]
    format: int = FORMAT

    @property
    def objects(self) -> int:
        """Objects and noncurrent versions."""
        return sum(total.objects for total in self.totals)

    @property
    def bytes(self) -> int:
        """Their bytes."""
        return sum(total.bytes for total in self.totals)


PART_FINDINGS = RecordType(
    kind=FileKind.PART_FINDINGS,
    title="record of a part's findings",
    remedy="remove it; it is computed again",
    formats=(FORMAT,),
    model=PartFindings,
    indent=None,
)


def part_findings(
    store: Store, layout: Layout, part: Part, *, is_kept: bool = True
) -> PartFindings:
    """The findings of a part; they are computed only if no earlier run has kept them.

    Args:
        store: The store of the part.
        layout: The layout of the source.
        part: The part.
        is_kept: Whether to keep them once they are computed.

    Raises:
        CorruptRecord: The part is missing or damaged.
    """
    key = layout.part_findings(part.key)
    try:
        found = PART_FINDINGS.read(store, key)
    except CorruptRecord:
        found = None
    if found is None:
        found = compute_findings(part, row_groups(store, part))
        if is_kept:
            store.publish(key, PART_FINDINGS.encode(found))
    return found


def row_groups(
    store: Store, part: Part, columns: Sequence[str] = _COLUMNS
) -> Iterator[pa.RecordBatch]:
    """Those of some columns that a part has, a batch for each row group."""
    with open_files(store, part, ["storage_class"]) as file:
        existing = [name for name in columns if name in file.schema_arrow.names]
        for group in range(file.num_row_groups):
            table = file.read_row_group(group, columns=existing, use_threads=False)
            yield from table.combine_chunks().to_batches()


def compute_findings(part: Part, batches: Iterable[pa.RecordBatch]) -> PartFindings:
    """Compute the findings of the records of a part.

    Args:
        part: The part.
        batches: Its records; all versions of a key are in one batch.
    """
    builder = FindingsBuilder(part.first_key)
    for batch in batches:
        builder.add(batch)
    return builder.finish()


def merge_findings(parts: Sequence[Part], findings: Iterable[PartFindings]) -> PartFindings:
    """Merge the findings of parts.

    Args:
        parts: The parts, in key order.
        findings: Their findings.
    """
    builder = FindingsBuilder(parts[0].first_key if parts else "")
    for part, each in zip(parts, findings, strict=True):
        builder.merge(each, part.last_key)
    return builder.finish()


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
