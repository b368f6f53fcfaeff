"""The usage of a date: the aggregates of its parts, merged, and compared with earlier dates.

The record names two tables: the aggregate (`USAGE_SCHEMA`), and the one with a row for each prefix
(`PREFIX_SCHEMA`). Other files of usage are those of the parts (`part_usage.py`).
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import pyarrow as pa

from inventory_assets.inventory.errors import CorruptRecord
from inventory_assets.inventory.manifest.manifest import Manifest
from inventory_assets.inventory.parts.part import Part
from inventory_assets.inventory.storage.commit import commit
from inventory_assets.inventory.storage.layout import FileKind, Layout, day_of_partition
from inventory_assets.inventory.storage.record_type import RecordType
from inventory_assets.inventory.storage.store import Store
from inventory_assets.inventory.usage.aggregate import UsageAggregate
from inventory_assets.inventory.usage.by_prefix import COMPARED_COLUMNS, Pricing, by_prefix
from inventory_assets.inventory.usage.part_usage import publish_part_usage, published_part_usage
from inventory_assets.inventory.usage.schema import CHANGES_SINCE, PREFIX_SCHEMA
from inventory_assets.inventory.usage.usage_files import publish_table, read_table

FORMAT = 1
"""The format of the record; it rises when older code could misread it."""

_COMPARED = {
    "": (timedelta(days=1), timedelta.max),
    "_7d": (timedelta(days=7), timedelta(days=10)),
    "_30d": (timedelta(days=30), timedelta(days=37)),
}
"""How old a usage table is that a date is compared with: at least, and at most. Of several, the
newest is taken. So a week may be up to 10 days, and a month up to 37, where dates are missing."""


@dataclass(frozen=True, slots=True)
class UsageTotals:
    """What an inventory holds.

    Attributes:
        objects: Objects, current and noncurrent.
        bytes: The sum of their sizes.
        current_objects: Current objects.
        current_bytes: The sum of their sizes.
        noncurrent_objects: Noncurrent versions.
        noncurrent_bytes: The sum of their sizes.
        delete_markers: Delete markers.
        monthly_usd: The estimated cost of storage in USD a month; None where it is unknown.
    """

    objects: int
    bytes: int
    current_objects: int
    current_bytes: int
    noncurrent_objects: int
    noncurrent_bytes: int
    delete_markers: int
    monthly_usd: float | None


@dataclass(frozen=True, slots=True)
class UsageTable:
    """A table of a date's usage.

    Attributes:
        key: The key of its Parquet file.
        rows: Its rows.
        file_bytes: The size of the file.
    """

    key: str
    rows: int
    file_bytes: int


@dataclass(frozen=True, slots=True)
class ComparedUsage:
    """An earlier usage that a date is compared with.

    Attributes:
        since: The ending of the columns with the changes since, one of `CHANGES_SINCE`.
        day: The date of the earlier usage.
        identity: Its identity.
        objects_change: Objects more than then, in the whole inventory.
        bytes_change: Bytes more than then.
    """

    since: str
    day: date
    identity: str
    objects_change: int
    bytes_change: int


@dataclass(frozen=True, slots=True)
class DateUsage:
    """The usage of a date.

    Attributes:
        bucket: The bucket inventoried.
        source: The source's name.
        day: The date.
        manifest_identity: The identity of the manifest that it was made of.
        totals: What the inventory holds.
        tables: The aggregate, and the table with one row for each prefix.
        compared: The earlier dates that it is compared with.
        parts: The parts of the inventory.
        created_at: When it was published.
        format: The number of the format of this record.
    """

    bucket: str
    source: str
    day: date
    manifest_identity: str
    totals: UsageTotals
    tables: tuple[UsageTable, UsageTable]
    compared: tuple[ComparedUsage, ...]
    parts: int
    created_at: datetime
    format: int = FORMAT

    @property
    def aggregate(self) -> UsageTable:
        """The table with `USAGE_SCHEMA`."""
        return self.tables[0]

    @property
    def by_prefix(self) -> UsageTable:
        """The table with `PREFIX_SCHEMA`."""
        return self.tables[1]

    @property
    def identity(self) -> str:
        """A hash of the manifest and the tables; equal usage has an equal one."""
        identifying = [self.manifest_identity, *(table.key for table in self.tables)]
        return hashlib.sha256(json.dumps(identifying).encode()).hexdigest()[:32]

    def compared_with(self, since: str) -> ComparedUsage | None:
        """The earlier usage of one of `CHANGES_SINCE`; None where there is none."""
        return next((each for each in self.compared if each.since == since), None)


USAGE = RecordType(
    kind=FileKind.USAGE,
    title="record of usage",
    remedy="materialize prefix_usage for {day} again",
    data_files="tables[].key",
    written_at="created_at",
    formats=(FORMAT,),
    model=DateUsage,
)


def usage_etag(store: Store, layout: Layout, day: date) -> str:
    """The ETag of the usage of a date; it changes when another run publishes it."""
    return store.etag(layout.usage(day))


def publish_usage(
    store: Store,
    layout: Layout,
    manifest: Manifest,
    now: datetime,
    expected_etag: str | None = None,
    *,
    pricing: Pricing | None = None,
) -> DateUsage:
    """Publish the usage of a manifest. Only the records of new parts are read.

    Args:
        store: Where.
        layout: The layout of the source.
        manifest: The manifest of the date.
        now: The time.
        expected_etag: The `usage_etag` when this run began to read the manifest; None for the
            present one.
        pricing: What storage costs; without it, costs are unknown.

    Raises:
        ConflictError: Another run published the usage of the date in the meantime.
        CorruptRecord: A part, or an earlier table, is missing or damaged.
        StoreError: A file cannot be written.
    """
    if expected_etag is None:
        expected_etag = usage_etag(store, layout, manifest.day)
    rows = merged_usage(store, layout, manifest)
    compared = dict(_earlier(store, layout, manifest.day))
    tables = {
        since: read_table(store, usage.by_prefix.key, PREFIX_SCHEMA, COMPARED_COLUMNS)
        for since, usage in compared.items()
    }
    prefixes = by_prefix(rows, tables, pricing)
    whole = prefixes.slice(0, 1).to_pylist()[0]
    usage = DateUsage(
        bucket=layout.bucket,
        source=layout.source,
        day=manifest.day,
        manifest_identity=manifest.identity,
        totals=UsageTotals(**{name: whole[name] for name in UsageTotals.__slots__}),
        tables=(_published(store, layout, rows), _published(store, layout, prefixes)),
        compared=tuple(
            ComparedUsage(
                since,
                each.day,
                each.identity,
                whole[f"objects_change{since}"],
                whole[f"bytes_change{since}"],
            )
            for since, each in compared.items()
        ),
        parts=len(manifest.parts),
        created_at=now,
    )
    commit(store, USAGE.file(layout.usage(usage.day), usage), expected_etag)
    return usage


def merged_usage(store: Store, layout: Layout, manifest: Manifest) -> pa.Table:
    """The aggregate of a manifest, with `USAGE_SCHEMA`; that of each part is published beside it.

    Raises:
        CorruptRecord: A part is missing or damaged.
        StoreError: A file cannot be written.
    """
    return merge_usage(manifest.parts, lambda part: part_usage(store, layout, part))


def merge_usage(parts: Sequence[Part], usage_of: Callable[[Part], pa.Table]) -> pa.Table:
    """The aggregate of some parts, with `USAGE_SCHEMA`.

    Args:
        parts: The parts, in key order.
        usage_of: Gives the aggregate of a part.
    """
    records = sum(part.rows for part in parts)
    merged = UsageAggregate(within=(records, sum(part.object_bytes for part in parts)))
    for part in parts:
        merged.add(usage_of(part), part.first_key, part.last_key)
    return merged.table()


def part_usage(store: Store, layout: Layout, part: Part) -> pa.Table:
    """The aggregate of a part: as it is kept beside it, or computed and published there."""
    rows = published_part_usage(store, layout, part)
    return publish_part_usage(store, layout, part) if rows is None else rows


def read_usage(store: Store, layout: Layout, day: date) -> DateUsage | None:
    """The published usage of a date, or None where there is none that can be read."""
    try:
        usage = USAGE.read(store, layout.usage(day))
    except CorruptRecord:
        return None
    return usage if usage and usage.day == day else None


def read_usage_of(store: Store, layout: Layout, day: date, identity: str) -> DateUsage | None:
    """The usage of a date that was made of the manifest with an identity; None without one."""
    usage = read_usage(store, layout, day)
    return usage if usage and usage.manifest_identity == identity else None


def days_with_usage(store: Store, layout: Layout) -> list[date]:
    """The dates that have a folder for usage, in order; its record may be missing."""
    folder = layout.usage(date.min).rpartition("/dt=")[0]
    return sorted(filter(None, map(day_of_partition, store.list_names(folder))))


def newest_usage(
    store: Store, layout: Layout, last: date = date.max, first: date = date.min
) -> DateUsage | None:
    """The usage of the newest date of a range that has one; None without any."""
    days = (day for day in reversed(days_with_usage(store, layout)) if first <= day <= last)
    return next((found for day in days if (found := read_usage(store, layout, day))), None)


def violations_of(store: Store, usage: DateUsage, manifest: Manifest) -> list[str]:
    """Describe how the usage contradicts the manifest of its date; normally not at all."""
    if usage.manifest_identity != manifest.identity:
        outdated = f"the manifest of {usage.day} was published again after its usage"
        return [f"{outdated}; materialize prefix_usage for this date"]
    totals = usage.totals
    records = totals.objects + totals.delete_markers
    compared = (
        ("records", records, manifest.rows),
        ("current objects", totals.current_objects, manifest.objects),
        ("bytes", totals.bytes, manifest.object_bytes),
    )
    found = [
        f"the usage counts {counted:,} {what}, but the manifest {held:,}"
        for what, counted, held in compared
        if counted != held
    ]
    missing = [each.key for each in usage.tables if store.size(each.key) != each.file_bytes]
    return found + [f"{store.where(key)} is missing or was altered" for key in missing]


def _earlier(store: Store, layout: Layout, day: date) -> Iterator[tuple[str, DateUsage]]:
    for since in CHANGES_SINCE:
        least, most = _COMPARED[since]
        first = date.min if most is timedelta.max else day - most
        if found := newest_usage(store, layout, day - least, first):
            yield since, found


def _published(store: Store, layout: Layout, table: pa.Table) -> UsageTable:
    key, size = publish_table(store, layout, table)
    return UsageTable(key, table.num_rows, size)
