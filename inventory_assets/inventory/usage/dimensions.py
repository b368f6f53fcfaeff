"""What records are grouped by besides their prefix, packed into one integer for each record."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from inventory_assets.inventory.errors import CorruptRecord
from inventory_assets.inventory.parts.schema import NO_STORAGE_CLASS, has_versions
from inventory_assets.inventory.usage.schema import SIZE_BOUNDS, State

Ints = npt.NDArray[np.int64]

RECORD_COLUMNS = [
    "key",
    "is_latest",
    "is_delete_marker",
    "size",
    "last_modified_date",
    "storage_class",
]
"""The columns of records that are needed; records without versions lack two of them."""

_STATES = tuple(State)
_STATE_BITS, _MONTH_BITS, _BAND_BITS, _CLASS_BITS = 2, 18, 4, 16
CODE_BITS = _STATE_BITS + _MONTH_BITS + _BAND_BITS + _CLASS_BITS
"""The bits of a code; the high ones are of the first column."""

_FIRST_MONTH = np.datetime64("0001-01", "M").astype(np.int64)
"""The month with the number 0; LastModified has years from 1 on."""

_NO_MONTH = (1 << _MONTH_BITS) - 1
_DAY_MS = 86_400_000
_MOST_NUMBERS = 2**16
"""The most numbers of which each may stand for a code. Without a limit, a batch with a time in the
year 1 and another in 9999 would have millions."""

_NO_CLASS = ""
"""The storage class of delete markers, which have none."""


@dataclass(frozen=True, slots=True)
class Codes:
    """The codes of records, of which few differ.

    Attributes:
        indices: For each record, the index of its code.
        distinct: All codes that occur, ascending.
    """

    indices: Ints
    distinct: Ints

    @classmethod
    def of(cls, classes: Ints, bands: Ints, months: Ints, states: Ints) -> Self:
        """Encode columns; at least one record."""
        first = int(months.min())
        known = months[months != _NO_MONTH]
        after = int(known.max()) + 1 if len(known) else first
        # A number for each combination of what occurs, in the order of the codes.
        radixes = (int(classes.max()) + 1, len(SIZE_BOUNDS) + 1, after - first + 1, len(_STATES))
        count = int(np.prod(radixes))
        if count > _MOST_NUMBERS:
            distinct, indices = np.unique(
                _packed(classes, bands, months, states), return_inverse=True
            )
            return cls(indices, distinct)
        numbers = classes * radixes[1] + bands
        numbers = numbers * radixes[2] + np.minimum(months, after) - first
        numbers = numbers * radixes[3] + states
        occurring = np.flatnonzero(np.bincount(numbers, minlength=count))
        index_of = np.zeros(count, np.int64)
        index_of[occurring] = np.arange(len(occurring))
        class_of, band_of, month_of, state_of = np.unravel_index(occurring, radixes)
        month_of = np.where(month_of == after - first, _NO_MONTH, month_of + first)
        return cls(index_of[numbers], _packed(class_of, band_of, month_of, state_of))


class Dimensions:
    """Codes of storage class, size band, month and state, in the order of these columns.

    Storage classes are numbered as they appear. `table` sorts them by name.
    """

    def __init__(self) -> None:
        self._classes: dict[str, int] = {}

    def codes(self, records: pa.RecordBatch, sizes: Ints) -> Codes:
        """The code of each record.

        Args:
            records: At least one record, with at least the columns of `RECORD_COLUMNS`.
            sizes: Their sizes in bytes; 0 where they have none.

        Raises:
            CorruptRecord: There are more storage classes than any store has.
        """
        states = _states_of(records)
        bands = np.zeros(len(sizes), np.int8)
        for bound in SIZE_BOUNDS:  # faster than a binary search for each size
            bands += sizes >= bound
        months = _months_of(records.column("last_modified_date"))
        classes = self._classes_of(encoded(records.column("storage_class")), NO_STORAGE_CLASS)
        is_marker = states == _STATES.index(State.DELETE_MARKER)
        if is_marker.any():
            classes = np.where(is_marker, self._number(_NO_CLASS), classes)
        return Codes.of(classes, bands.astype(np.int64), months, states)

    def codes_of_rows(self, rows: pa.Table) -> Ints:
        """The code of each row of an aggregate, with `USAGE_SCHEMA`."""
        days = rows.column("month").combine_chunks().cast(pa.int32())
        states = encoded(rows.column("state"))
        numbers_of = [_STATES.index(State(name)) for name in states.dictionary.to_pylist()]
        return _packed(
            self._classes_of(encoded(rows.column("storage_class")), _NO_CLASS),
            rows.column("size_band").to_numpy().astype(np.int64),
            _numbers_of_months(days),
            np.array(numbers_of, np.int64)[states.indices.to_numpy()],
        )

    def sorted_codes(self, codes: Ints) -> Ints:
        """Codes whose order is that of the columns; for `table` only."""
        names = sorted(self._classes)
        rank = np.empty(len(names), np.int64)
        rank[[self._classes[name] for name in names]] = np.arange(len(names))
        low = CODE_BITS - _CLASS_BITS
        return (rank[codes >> low] << low) | (codes & ((1 << low) - 1)) if len(codes) else codes

    def columns(self, sorted_codes: Ints) -> list[pa.Array]:
        """The columns from `storage_class` to `state` of codes from `sorted_codes`."""
        names = pa.array(sorted(self._classes), pa.string())
        codes = sorted_codes
        states, codes = codes & ((1 << _STATE_BITS) - 1), codes >> _STATE_BITS
        months, codes = codes & ((1 << _MONTH_BITS) - 1), codes >> _MONTH_BITS
        bands, classes = codes & ((1 << _BAND_BITS) - 1), codes >> _BAND_BITS
        is_unknown = months == _NO_MONTH
        first_days = np.where(is_unknown, 0, months + _FIRST_MONTH).astype("datetime64[M]")
        days = first_days.astype("datetime64[D]").astype(np.int32)
        return [
            names.take(pa.array(classes)),
            pa.array(bands.astype(np.int8)),
            pa.array(days, pa.int32(), mask=is_unknown).cast(pa.date32()),
            pa.array(_STATES, pa.string()).take(pa.array(states)),
        ]

    def _classes_of(self, column: pa.DictionaryArray, unnamed: str) -> Ints:
        names = column.dictionary.to_pylist()
        numbers = [self._number(name or unnamed) for name in names]
        if column.null_count:
            numbers.append(self._number(unnamed))
        indices = pc.fill_null(column.indices, len(names)).to_numpy()
        return np.array(numbers, np.int64)[indices] if len(indices) else np.empty(0, np.int64)

    def _number(self, name: str) -> int:
        number = self._classes.setdefault(name, len(self._classes))
        if number >> _CLASS_BITS:
            raise CorruptRecord(
                f"the records name more than {number:,} storage classes, the last {name!r}; list "
                "the bucket again"
            )
        return number


def encoded(column: pa.Array | pa.ChunkedArray) -> pa.DictionaryArray:
    """A column of text as a dictionary, whose values are in the order of their appearance."""
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    if isinstance(column, pa.ChunkedArray):
        column = column.unify_dictionaries().combine_chunks()
    return column


def sizes_of(records: pa.RecordBatch) -> Ints:
    """The sizes of records in bytes; 0 for delete markers and where the store names none."""
    sizes = records.column("size")
    if sizes.null_count:
        sizes = sizes.fill_null(0)
    found: Ints = sizes.to_numpy()
    return found


def _states_of(records: pa.RecordBatch) -> Ints:
    if not has_versions(records.schema):
        return np.zeros(records.num_rows, np.int64)
    is_latest, is_marker = (
        pc.fill_null(records.column(name), False).to_numpy(zero_copy_only=False)
        for name in ("is_latest", "is_delete_marker")
    )
    current, marker, noncurrent = range(3)
    return np.where(is_marker, marker, np.where(is_latest, current, noncurrent))


def _months_of(times: pa.TimestampArray) -> Ints:
    return _numbers_of_months(times.cast(pa.int64()), _DAY_MS)


def _numbers_of_months(times: pa.Array, a_day: int = 1) -> Ints:
    """The numbers of the months of times, which are counted from 1970 on."""
    is_null = None
    if times.null_count:
        is_null = times.is_null().to_numpy(zero_copy_only=False)
        times = times.fill_null(0)
    days = times.to_numpy()
    if a_day > 1:
        days = days // a_day
    if not len(days):
        return np.empty(0, np.int64)
    # Few days occur; converting each of them once is faster than converting each record.
    first = days.min()
    calendar = np.arange(first, days.max() + 1).astype("datetime64[D]")
    months: Ints = calendar.astype("datetime64[M]").astype(np.int64)[days - first] - _FIRST_MONTH
    return months if is_null is None else np.where(is_null, _NO_MONTH, months)


def _packed(classes: Ints, bands: Ints, months: Ints, states: Ints) -> Ints:
    codes = (classes << _BAND_BITS) | bands
    codes = (codes << _MONTH_BITS) | months
    return (codes << _STATE_BITS) | states
