"""The table with one row for each prefix, made of the aggregate."""

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from inventory_assets.inventory.usage.dimensions import Ints
from inventory_assets.inventory.usage.schema import (
    CHANGES_SINCE,
    PREFIX_SCHEMA,
    USAGE_SCHEMA,
    State,
)

COMPARED_COLUMNS = ["prefix", "objects", "bytes"]
"""The columns of an earlier table that are needed for the changes since."""


_NOTHING = {
    "prefix": "",
    "depth": 0,
    "storage_class": "",
    "size_band": 0,
    "state": State.CURRENT.value,
    "objects": 0,
    "bytes": 0,
}
"""The row of an inventory without records."""


class Pricing(Protocol):
    """What storage costs."""

    def __call__(self, rows: pa.Table, /) -> pa.DoubleArray:
        """The estimated cost of storage of each row in USD a month; null where it is unknown.

        Args:
            rows: Rows of an aggregate, with `USAGE_SCHEMA`, without delete markers. Those of the
                prefix "" have the totals, on which tiered prices depend.
        """


def by_prefix(
    rows: pa.Table, earlier: Mapping[str, pa.Table] | None = None, pricing: Pricing | None = None
) -> pa.Table:
    """One row for each prefix of an aggregate, with `PREFIX_SCHEMA`; at least that of "".

    Args:
        rows: The aggregate, with `USAGE_SCHEMA`.
        earlier: The `COMPARED_COLUMNS` of earlier tables, by the ending in `CHANGES_SINCE`.
        pricing: What storage costs; without it, costs are null.
    """
    if not rows.num_rows:
        rows = pa.Table.from_pylist([_NOTHING], schema=USAGE_SCHEMA)
    encoded = rows.column("prefix").combine_chunks().dictionary_encode()
    prefixes = encoded.dictionary
    starts = np.searchsorted(encoded.indices.to_numpy(), np.arange(len(prefixes)))
    columns: dict[str, pa.Array] = {
        "prefix": prefixes,
        "depth": rows.column("depth").take(pa.array(starts)).combine_chunks(),
    }
    sums = {
        (state, name): _sum_where(rows, name, state, starts)
        for state in State
        for name in ("objects", "bytes")
    }
    for name in ("objects", "bytes"):
        current, noncurrent = sums[State.CURRENT, name], sums[State.NONCURRENT, name]
        columns[name] = pa.array(current + noncurrent)
        columns[f"current_{name}"] = pa.array(current)
        columns[f"noncurrent_{name}"] = pa.array(noncurrent)
    columns["delete_markers"] = pa.array(sums[State.DELETE_MARKER, "objects"])
    columns["monthly_usd"] = _costs(rows, encoded, pricing)
    for since in CHANGES_SINCE:
        before = (earlier or {}).get(since)
        for name in ("objects", "bytes"):
            columns[f"{name}_change{since}"] = _changes(prefixes, columns[name], before, name)
    return pa.Table.from_arrays(
        [columns[name] for name in PREFIX_SCHEMA.names], schema=PREFIX_SCHEMA
    )


def _sum_where(rows: pa.Table, name: str, state: State, starts: Ints) -> Ints:
    is_state = pc.equal(rows.column("state"), state.value).to_numpy()
    sums: Ints = np.add.reduceat(np.where(is_state, rows.column(name).to_numpy(), 0), starts)
    return sums


def _costs(rows: pa.Table, encoded: pa.DictionaryArray, pricing: Pricing | None) -> pa.Array:
    count = len(encoded.dictionary)
    if pricing is None:
        return pa.nulls(count, pa.float64())
    are_objects = pc.not_equal(rows.column("state"), State.DELETE_MARKER.value)
    costs = pricing(rows.filter(are_objects))
    prefixes = encoded.indices.filter(are_objects.combine_chunks()).to_numpy()
    sums = np.bincount(prefixes, pc.fill_null(costs, 0.0).to_numpy(), count)
    is_unknown = costs.is_null().to_numpy(zero_copy_only=False)
    unknown = np.bincount(prefixes, is_unknown.astype(np.int64), count) > 0
    return pa.array(sums, mask=unknown)


def _changes(
    prefixes: pa.StringArray, numbers: pa.Int64Array, before: pa.Table | None, name: str
) -> pa.Int64Array:
    if before is None:
        return pa.nulls(len(prefixes), pa.int64())
    earlier = before.column("prefix").combine_chunks()
    then = before.column(name).combine_chunks().take(pc.index_in(prefixes, earlier))
    return pc.subtract(numbers, then)
