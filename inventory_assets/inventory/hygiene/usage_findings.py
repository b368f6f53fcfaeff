"""Findings that follow from the aggregate of a date by prefix, without reading records."""

from collections.abc import Iterator, Mapping
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc

from inventory_assets.inventory.hygiene.findings import StorageTotal, Tally
from inventory_assets.inventory.hygiene.prefix_counts import PrefixShare
from inventory_assets.inventory.hygiene.report import (
    SMALL,
    UNTOUCHED,
    Finding,
    StoragePrice,
    finding_of,
)
from inventory_assets.inventory.usage.schema import SIZE_BOUNDS, State

_STANDARD = "STANDARD"
_COLUMNS = ["prefix", "storage_class", "size_band", "month", "state", "objects", "bytes"]


def usage_findings(
    usage: pa.Table,
    day: date,
    price: StoragePrice,
    minimum_bytes: Mapping[str, int],
) -> Iterator[Finding]:
    """The findings of an aggregate.

    Args:
        usage: The aggregate, with `USAGE_SCHEMA`.
        day: The date.
        price: What storage costs.
        minimum_bytes: What an object is billed for at least, by storage class.
    """
    current = usage.select(_COLUMNS).filter(pc.equal(usage.column("state"), State.CURRENT))
    are_small = _are_small(current, minimum_bytes)
    yield finding_of(SMALL, _tally(current.filter(are_small)), price)
    # An object of a month that ended a year before the date is older than a year.
    first_month = pa.scalar(date(day.year - 1, day.month, 1), pa.date32())
    are_old = pc.and_(
        pc.equal(current.column("storage_class"), _STANDARD),
        pc.less(current.column("month"), first_month),
    )
    yield finding_of(UNTOUCHED, _tally(current.filter(are_old)), price)


def _are_small(rows: pa.Table, minimum_bytes: Mapping[str, int]) -> pa.ChunkedArray:
    """The rows of objects that are smaller than their class is billed for."""
    found = pc.equal(rows.column("size_band"), -1)
    for storage_class, minimum in minimum_bytes.items():
        bands = [number for number, bound in enumerate(SIZE_BOUNDS) if bound <= minimum]
        of_class = pc.equal(rows.column("storage_class"), storage_class)
        is_small = pc.is_in(rows.column("size_band"), pa.array(bands, pa.int8()))
        found = pc.or_(found, pc.and_(of_class, is_small))
    return found


def _tally(rows: pa.Table) -> Tally:
    sums = [("objects", "sum"), ("bytes", "sum")]
    whole = rows.filter(pc.equal(rows.column("prefix"), ""))
    totals = whole.group_by(["storage_class", "size_band"]).aggregate(sums).to_pylist()
    prefixes = rows.group_by("prefix").aggregate(sums).to_pylist()
    return Tally(
        tuple(
            sorted(
                (
                    StorageTotal(
                        row["storage_class"],
                        row["size_band"],
                        row["objects_sum"],
                        row["bytes_sum"],
                    )
                    for row in totals
                ),
                key=lambda total: (total.storage_class, total.size_band),
            )
        ),
        tuple(
            PrefixShare(row["prefix"], row["objects_sum"], row["bytes_sum"])
            for row in sorted(prefixes, key=lambda row: str(row["prefix"]))
        ),
        (),
    )
