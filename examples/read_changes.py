"""Read what changed, without Dagster."""

from datetime import date

import polars as pl

from inventory_assets import Dataset


def report(folder: str, first: date, last: date) -> pl.DataFrame:
    """Objects and bytes by date and kind of change, and since the first date by storage class."""
    logs = Dataset.at(folder)  # a source's folder, such as data/inventory/acme-logs/logs
    changes = logs.changes((first, last))  # or one date: logs.changes(last)
    by_date = changes.group_by("sequence_number", "change").agg(pl.len(), pl.sum("size"))
    created = logs.with_prefix("tables/").created(since=first)  # all dates after the first
    print(created.group_by("storage_class").agg(pl.len(), pl.sum("size")).collect())
    return by_date.sort("sequence_number", "change").collect()
