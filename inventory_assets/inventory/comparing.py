"""Compare two sorted streams of records, a bounded window at a time.

Both sides are cut at the smaller of the two windows' last keys, joined, and classified; so memory
is two windows, however long the streams are.
"""

from collections.abc import Iterable, Iterator
from enum import StrEnum

import polars as pl
import pyarrow as pa

from inventory_assets.inventory.records import RECORD_SCHEMA


class Change(StrEnum):
    """How a key's record differs from the baseline's, the ETag looked at first."""

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

CHANGE_SCHEMA = pa.schema(
    [
        pa.field("bucket", pa.string(), nullable=False),
        pa.field("key", pa.string(), nullable=False),
        pa.field("change", pa.string(), nullable=False),
        *[RECORD_SCHEMA.field(name) for name in COMPARED_COLUMNS],
        *[RECORD_SCHEMA.field(name).with_name(f"previous_{name}") for name in COMPARED_COLUMNS],
    ]
)
"""A changed record: the new values, null where deleted, and the old, null where created."""

_READ_COLUMNS = ["key", *COMPARED_COLUMNS]


def compare(
    baseline: Iterable[pa.RecordBatch], snapshot: Iterable[pa.RecordBatch], bucket: str
) -> Iterator[pa.Table]:
    """The changes from `baseline` to `snapshot`, in key order.

    Args:
        baseline: Batches with at least `key` and `COMPARED_COLUMNS`, keys strictly ascending.
        snapshot: Likewise.
        bucket: What the `bucket` column says.

    Yields:
        Tables with `CHANGE_SCHEMA`, none empty.
    """
    old, new = _Window(baseline), _Window(snapshot)
    while True:
        old.fill()
        new.fill()
        bounds = [window.last_key for window in (old, new) if window.rows]
        if not bounds:
            return
        before, after = old.take(min(bounds)), new.take(min(bounds))
        if not before.equals(after):
            changes = _join(before, after, bucket)
            if changes.num_rows:
                yield changes


class _Window:
    """The records of a stream that were read and not yet taken."""

    def __init__(self, batches: Iterable[pa.RecordBatch]) -> None:
        self._batches = iter(batches)
        self._frame = pl.DataFrame(pa.Table.from_batches([], _READ_SCHEMA))

    @property
    def rows(self) -> int:
        return self._frame.height

    @property
    def last_key(self) -> str:
        return str(self._frame["key"][-1])

    def fill(self) -> None:
        while not self._frame.height:
            batch = next(self._batches, None)
            if batch is None:
                return
            self._frame = pl.DataFrame(pa.Table.from_batches([batch]).select(_READ_COLUMNS))

    def take(self, bound: str) -> pl.DataFrame:
        """Remove and return the records up to a key."""
        count = self._frame["key"].search_sorted(bound, side="right") if self.rows else 0
        taken = self._frame.head(count)
        self._frame = self._frame.slice(count)
        return taken


_READ_SCHEMA = pa.schema([RECORD_SCHEMA.field(name) for name in _READ_COLUMNS])


def _join(before: pl.DataFrame, after: pl.DataFrame, bucket: str) -> pa.Table:
    old = before.rename({name: f"previous_{name}" for name in COMPARED_COLUMNS})
    joined = after.with_columns(is_new=True).join(
        old.with_columns(is_old=True), on="key", how="full", coalesce=True, nulls_equal=False
    )
    changed = (
        joined.with_columns(change=_classify(), bucket=pl.lit(bucket))
        .filter(pl.col("change").is_not_null())
        .sort("key")
    )
    return changed.select(CHANGE_SCHEMA.names).to_arrow().cast(CHANGE_SCHEMA)


def _classify() -> pl.Expr:
    def differs(name: str) -> pl.Expr:
        return pl.col(name).ne_missing(pl.col(f"previous_{name}"))

    return (
        pl.when(pl.col("is_old").is_null())
        .then(pl.lit(Change.CREATED.value))
        .when(pl.col("is_new").is_null())
        .then(pl.lit(Change.DELETED.value))
        .when(differs("e_tag") | differs("size"))
        .then(pl.lit(Change.MODIFIED.value))
        .when(differs("last_modified_date"))
        .then(pl.lit(Change.TOUCHED.value))
        .when(differs("storage_class"))
        .then(pl.lit(Change.TRANSITIONED.value))
    )
