"""What `inventory demo` prints at its end: the dates, what changed, and what the report says."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path

from inventory_assets.defs.source.context import SourceAssets
from inventory_assets.errors import InventoryError, printable
from inventory_assets.inventory.changes.change_log import read_change_log
from inventory_assets.inventory.changes.sorted_diff import Change
from inventory_assets.inventory.manifest.manifest import Manifest
from inventory_assets.inventory.manifest.manifest_merge import read_manifest
from inventory_assets.inventory.report.date_report import ReportPrices, collect
from inventory_assets.inventory.report.report_data import ReportData
from inventory_assets.inventory.storage.store import Store
from inventory_assets.inventory.usage.date_usage import read_usage
from inventory_assets.inventory.usage.schema import PREFIX_SCHEMA
from inventory_assets.inventory.usage.usage_files import read_table
from inventory_assets.units import human_bytes, human_change, human_share, human_usd
from inventory_assets.wiring.prices import usage_pricing

_WEEK = timedelta(days=7)

_EXPLAINED = 0.9
"""A prefix with this share of the growth of the one above explains it."""


class DemoFailed(InventoryError):
    """A run of the demo did not succeed."""


def print_result(assets: SourceAssets, store: Store, days: Sequence[date]) -> None:
    """Print the inventories of some dates, and what the report of the last one says.

    Args:
        assets: The source.
        store: The store of the results.
        days: The dates, ascending.

    Raises:
        DemoFailed: Something of these dates was not published.
    """
    print("\nInventory    objects   records             bytes   shards   parts   requests")
    for manifest in (_published(store, assets, day) for day in days):
        requests = sum(entry.requests for entry in manifest.shards)
        print(
            f"{manifest.day}   {manifest.objects:>7,}   {manifest.rows:>7,}   "
            f"{manifest.object_bytes:>15,}   {len(manifest.shards):>6}   "
            f"{len(manifest.parts):>5}   {requests:>8}"
        )
    today = days[-1]
    print(f"\nChanges since {days[-2]}")
    for change, count in _changes(store, assets, today).items():
        print(f"  {change:<13} {count:>6,}")
    _print_readers(store, assets, today)
    print(f"\nreport     {_short(store.where(assets.layout.report(today)))}")
    for line in _lines_of_report(store, assets, today):
        print(f"  {line}")


def _lines_of_report(store: Store, assets: SourceAssets, day: date) -> Iterator[str]:
    prices = ReportPrices(usage_pricing(assets.prices), assets.prices.label)
    data = collect(store, assets.layout, day, prices)
    now = data.now
    yield f"size       {human_bytes(now.total.bytes)} in {now.total.objects:,} objects and versions"
    yield f"growth     {_growth(data)}"
    yield f"cost       {human_usd(now.total.monthly_usd)} per month ({data.prices})"
    if now.waste:
        share = human_share(now.waste.bytes, now.total.bytes)
        yield (
            f"waste      {human_bytes(now.waste.bytes)} ({share}), estimated "
            f"{human_usd(now.waste.monthly_usd)} per month: old versions, unfinished uploads"
        )
    yield f"grew most  {_grown_most(store, assets, day)}"


def _growth(data: ReportData) -> str:
    earlier = [each for each in data.history if each.day <= data.day - _WEEK]
    if not earlier:
        return "unknown, as there is no inventory of a week ago"
    change = data.now.total.bytes - earlier[-1].total.bytes
    share = human_share(change, earlier[-1].total.bytes)
    return f"{human_change(change)} ({share}) since {earlier[-1].day}"


def _grown_most(store: Store, assets: SourceAssets, day: date) -> str:
    """The deepest prefix that explains the largest growth within a week."""
    usage = read_usage(store, assets.layout, day)
    if usage is None:
        raise DemoFailed(f"the usage of {day} was not published")
    table = read_table(store, usage.by_prefix.key, PREFIX_SCHEMA)
    columns = (table.column(name).to_pylist() for name in ("prefix", "bytes", "bytes_change_7d"))
    rows = [(prefix, size, grown or 0) for prefix, size, grown in zip(*columns, strict=True)]
    largest = max((grown for prefix, _, grown in rows if prefix), default=0)
    if largest <= 0:
        return "no prefix grew within a week"
    first = next(row for row in rows if row[0] and row[2] == largest)
    beneath = [row for row in rows if row[0].startswith(first[0]) and row[2] > _EXPLAINED * largest]
    prefix, size, grown = max(beneath, key=lambda row: row[0].count("/"))
    sizes = f"from {human_bytes(size - grown)} to {human_bytes(size)}"
    return f"{printable(prefix)}, {sizes} ({human_change(grown)}) in a week"


def _published(store: Store, assets: SourceAssets, day: date) -> Manifest:
    manifest = read_manifest(store, assets.layout, day)
    if manifest is None:
        raise DemoFailed(f"the manifest of {day} was not published")
    return manifest


def _changes(store: Store, assets: SourceAssets, day: date) -> Mapping[Change, int]:
    log = read_change_log(store, assets.layout, day)
    if log is None:
        raise DemoFailed(f"the change log of {day} was not published")
    return log.counts


def _print_readers(store: Store, assets: SourceAssets, day: date) -> None:
    symlink = _short(store.where(assets.layout.symlink(day)))
    changes = _short(store.where(assets.layout.change_log_symlink(day)))
    manifest = _short(store.where(assets.layout.s3_manifest(day)))
    python = _short(sys.executable)
    # Paths consist of validated names, and this text is printed, not executed.
    readers = f"""
manifest   {manifest}
files      {symlink}
changes    {changes}

Read it with Polars:
  {python} -c "import polars as pl; print(pl.scan_parquet(open('{symlink}').read().splitlines())\
.filter('is_latest', ~pl.col('is_delete_marker')).group_by('storage_class')\
.agg(pl.len(), pl.sum('size')).collect())"
with DuckDB:
  {python} -c "import duckdb; print(duckdb.read_parquet(open('{changes}').read().splitlines())\
.aggregate('change, count(*) AS keys').order('change'))"
or look at it in the Dagster UI: make dev"""
    print(readers)


def _short(place: str) -> Path:
    """The path relative to the working directory, if it is beneath it."""
    path, here = Path(place), Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path
