"""The columns of a batch of records as arrays, and how the versions of a key follow each other."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from inventory_assets.inventory.parts.schema import has_versions

_MS_PER_DAY = 86_400_000

Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Days:
    """UTC days, counted from 1970.

    Attributes:
        values: The days; any value where a day is unknown.
        known: Which of them are known.
    """

    values: Integers
    known: Flags

    def __getitem__(self, rows: Integers | Flags | slice) -> "Days":
        return Days(self.values[rows], self.known[rows])


@dataclass(frozen=True, slots=True)
class RecordColumns:
    """Records in key order, as arrays.

    Attributes:
        keys: Their keys.
        sizes: Their bytes; 0 where unknown.
        created: When they were created.
        classes: Their storage classes; "" where the store names none.
        is_latest: Which are the latest of their keys.
        is_marker: Which are delete markers.
    """

    keys: pa.StringArray
    sizes: Integers
    created: Days
    classes: pa.StringArray
    is_latest: Flags
    is_marker: Flags

    @classmethod
    def of(cls, batch: pa.RecordBatch) -> "RecordColumns":
        """The columns of a batch."""
        count = batch.num_rows
        sizes = pc.fill_null(batch.column("size"), 0).to_numpy(zero_copy_only=False)
        is_latest, is_marker = np.ones(count, np.bool_), np.zeros(count, np.bool_)
        if has_versions(batch.schema):
            is_latest, is_marker = map(
                _flags, (batch.column("is_latest"), batch.column("is_delete_marker"))
            )
        return cls(
            batch.column("key"),
            sizes.astype(np.int64),
            _days(batch.column("last_modified_date")),
            pc.fill_null(batch.column("storage_class"), ""),
            is_latest,
            is_marker,
        )

    @property
    def current(self) -> Integers:
        """The rows of current objects."""
        return np.flatnonzero(self.is_latest & ~self.is_marker)

    @property
    def noncurrent(self) -> Integers:
        """The rows of noncurrent versions and delete markers."""
        return np.flatnonzero(~self.is_latest)

    @property
    def current_markers(self) -> Integers:
        """The rows of current delete markers."""
        return np.flatnonzero(self.is_latest & self.is_marker)


@dataclass(frozen=True, slots=True)
class VersionsBefore:
    """The versions of a key in the batches before.

    Attributes:
        created_day: The day of the last of them; None if unknown.
        newer: The number of noncurrent versions among them, without delete markers.
    """

    created_day: int | None
    newer: int


@dataclass(frozen=True, slots=True)
class VersionGroups:
    """How the versions in a batch belong together.

    Attributes:
        group: The number of each row's key. 0 is the key of the batch before, which may have no
            rows here.
        newer: For each row, the number of newer noncurrent versions, without delete markers.
        since: For each row, the day on which it became noncurrent if it is noncurrent: that of the
            version that follows it. A version without one counts from its own creation.
    """

    group: Integers
    newer: Integers
    since: Days

    @classmethod
    def of(cls, columns: RecordColumns, before: VersionsBefore | None) -> "VersionGroups":
        """Group the versions of a batch.

        Args:
            columns: The batch, which is not empty.
            before: The versions of the first key in the batches before; None if there are none.
        """
        keys, created = columns.keys, columns.created
        is_first = np.ones(len(keys), np.bool_)
        is_first[1:] = pc.not_equal(keys[1:], keys[:-1]).to_numpy(zero_copy_only=False)
        is_first[0] = before is None
        group: Integers = np.cumsum(is_first, dtype=np.int64)
        is_counted = ~columns.is_latest & ~columns.is_marker
        seen: Integers = np.cumsum(is_counted, dtype=np.int64) - is_counted
        base = np.zeros(int(group[-1]) + 1, np.int64)
        base[group[is_first]] = seen[is_first]
        since, known = created.values.copy(), created.known.copy()
        since[1:] = np.where(is_first[1:], since[1:], created.values[:-1])
        known[1:] = np.where(is_first[1:], known[1:], created.known[:-1])
        if before is not None:
            base[0] = -before.newer
            since[0], known[0] = before.created_day or 0, before.created_day is not None
        return cls(group, seen - base[group], Days(since, known))

    @property
    def last(self) -> int:
        """The number of the last key."""
        return int(self.group[-1])


def _days(times: pa.Array) -> Days:
    known = times.is_valid().to_numpy(zero_copy_only=False)
    milliseconds = pc.fill_null(times.cast(pa.timestamp("ms", tz="UTC")).cast(pa.int64()), 0)
    return Days(milliseconds.to_numpy() // _MS_PER_DAY, known)


def _flags(column: pa.Array) -> Flags:
    found: Flags = pc.fill_null(column, False).to_numpy(zero_copy_only=False)
    return found
