"""What the report shows of a usage table: prefixes, storage classes, ages and sizes."""

from collections.abc import Mapping, Sequence
from datetime import date

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from inventory_assets.inventory.report.report_data import AgeTable, ClassRow, PrefixRow, Total
from inventory_assets.inventory.usage.by_prefix import Pricing
from inventory_assets.inventory.usage.schema import SIZE_BANDS, State

AGES = (
    ("less than a month", 1),
    ("1 to 3 months", 3),
    ("3 to 6 months", 6),
    ("6 to 12 months", 12),
    ("1 to 2 years", 24),
    ("2 to 5 years", 60),
    ("5 years and more", 1 << 30),
)
"""The names of the age bands, and their ends in months, exclusive. Usage counts months of
LastModified, so an age is right to a month."""

UNKNOWN_AGE = "unknown"

_EXPLAINING_SHARE = 0.9
"""A prefix that changed by so much of the change of the one above, give or take, explains it."""


def prefix_rows(prefixes: pa.Table, usage: pa.Table) -> list[PrefixRow]:
    """The rows of the prefixes, in byte order.

    Args:
        prefixes: With `PREFIX_SCHEMA`.
        usage: The aggregate, with `USAGE_SCHEMA`.
    """
    main_class = _main_classes(usage)
    columns = ["prefix", "objects", "bytes", "monthly_usd", "objects_change", "bytes_change"]
    rows = zip(*(prefixes.column(name).to_pylist() for name in columns), strict=True)
    return [
        PrefixRow(
            prefix,
            Total(objects, size, usd),
            main_class.get(prefix, ""),
            objects_change,
            bytes_change,
        )
        for prefix, objects, size, usd, objects_change, bytes_change in rows
    ]


def most_changed(rows: Sequence[PrefixRow]) -> list[PrefixRow]:
    """Prefixes that grew or shrank, most bytes first, without those that one beneath explains."""
    change = {row.prefix: row.bytes_change or 0 for row in rows}
    below = [row for row in rows if row.prefix]
    explained = {
        row.parent
        for row in below
        if abs(change[row.prefix] - change[row.parent])
        <= (1 - _EXPLAINING_SHARE) * abs(change[row.parent])
    }
    changed = [row for row in below if row.bytes_change and row.prefix not in explained]
    return sorted(changed, key=lambda row: (-abs(row.bytes_change or 0), row.prefix))


def current_total(prefixes: pa.Table) -> Total | None:
    """The current objects of the whole inventory; None if there are no other versions.

    Args:
        prefixes: With `PREFIX_SCHEMA`; the first row is that of the whole.
    """
    columns = ["noncurrent_objects", "current_objects", "current_bytes"]
    others, objects, size = (prefixes.column(name)[0].as_py() for name in columns)
    return Total(objects, size) if others else None


def class_rows(usage: pa.Table, pricing: Pricing | None) -> list[ClassRow]:
    """The storage classes of the whole inventory, the largest first.

    Args:
        usage: The aggregate, with `USAGE_SCHEMA`.
        pricing: What storage costs; without it, costs are unknown.
    """
    whole = _objects_of_the_whole(usage)
    costs = pricing(whole) if pricing else pa.nulls(whole.num_rows, pa.float64())
    totals = (
        _frame(whole.append_column("monthly_usd", costs))
        .group_by("storage_class")
        .agg(
            pl.sum("objects", "bytes"),
            pl.when(pl.col("monthly_usd").null_count() == 0).then(pl.sum("monthly_usd")),
        )
        .sort(["bytes", "objects", "storage_class"], descending=[True, True, False])
    )
    return [
        ClassRow(storage_class, Total(objects, size, usd))
        for storage_class, objects, size, usd in totals.iter_rows()
    ]


def age_table(usage: pa.Table, day: date) -> AgeTable | None:
    """Objects and versions by age and size; None without any.

    Args:
        usage: The aggregate, with `USAGE_SCHEMA`.
        day: The date at which ages are counted.
    """
    whole = _objects_of_the_whole(usage)
    if not whole.num_rows:
        return None
    sums: dict[tuple[int, int], tuple[int, int]] = {}
    columns = ("month", "size_band", "objects", "bytes")
    for month, band, objects, size in zip(
        *(whole.column(name).to_pylist() for name in columns), strict=True
    ):
        place = _age_of(month, day), band
        before = sums.get(place, (0, 0))
        sums[place] = before[0] + objects, before[1] + size
    ages = sorted({age for age, _ in sums})
    bands = range(min(band for _, band in sums), max(band for _, band in sums) + 1)
    names = [*(name for name, _ in AGES), UNKNOWN_AGE]
    return AgeTable(
        ages=[names[age] for age in ages],
        sizes=[SIZE_BANDS[band][0] for band in bands],
        totals=[[Total(*sums.get((age, band), (0, 0))) for band in bands] for age in ages],
    )


def _age_of(month: date | None, day: date) -> int:
    """The number of an age band in `AGES`; one more for an unknown age."""
    if month is None:
        return len(AGES)
    months = (day.year - month.year) * 12 + day.month - month.month
    return next(at for at, (_, end) in enumerate(AGES) if months < end)


def _objects_of_the_whole(usage: pa.Table) -> pa.Table:
    """The rows of the prefix "", without delete markers."""
    return usage.filter(
        pc.and_(
            pc.equal(usage.column("prefix"), ""),
            pc.not_equal(usage.column("state"), State.DELETE_MARKER.value),
        )
    )


def _main_classes(usage: pa.Table) -> Mapping[str, str]:
    """The storage class of most bytes of each prefix; of equal ones, the one with most objects."""
    totals = (
        _frame(usage)
        .filter(pl.col("state") != State.DELETE_MARKER.value)
        .group_by("prefix", "storage_class")
        .agg(pl.sum("objects", "bytes"))
        .sort(["bytes", "objects", "storage_class"], descending=[True, True, False])
        .unique("prefix", keep="first", maintain_order=True)
    )
    return dict(totals.select("prefix", "storage_class").iter_rows())


def _frame(table: pa.Table) -> pl.DataFrame:
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)  # noqa: S101 - a table has columns
    return frame
