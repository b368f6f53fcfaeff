"""An asset partitioned by date: the objects that were created or modified on its date."""

from datetime import date
from typing import Any

import dagster as dg

from examples.database import Database
from inventory_assets import Dataset, Layout

LOGS = Layout("acme-logs", "logs")  # the bucket, and the name of the source

# The dates of the source: same time zone, and with today as the last partition.
DATES = dg.DailyPartitionsDefinition("2026-01-01", timezone="UTC", end_offset=1)

# Whenever the change log of a date is published, also for dates other than the newest.
WHEN_LOGGED = dg.AutomationCondition.eager().without(dg.AutomationCondition.in_latest_time_window())


@dg.asset(
    deps=[dg.AssetKey(["logs", "change_log"])],
    partitions_def=DATES,
    automation_condition=WHEN_LOGGED,
)
def new_objects(
    context: dg.AssetExecutionContext, logs_store: dg.ResourceParam[Any], database: Database
) -> dg.MaterializeResult[None]:
    """The keys and sizes of the date; materialized again, they are replaced."""
    day = date.fromisoformat(context.partition_key)
    inventory = Dataset.of_date(logs_store.open(), LOGS, day)
    count = 0
    with database.transaction() as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS new_objects (day, key, size)")
        connection.execute("DELETE FROM new_objects WHERE day = ?", [str(day)])
        for batch in inventory.created_batches(day):
            rows = [
                (str(day), found["key"], found["size"])
                for found in batch.select(["key", "size"]).to_pylist()
            ]
            connection.executemany("INSERT INTO new_objects VALUES (?, ?, ?)", rows)
            count += len(rows)
    return dg.MaterializeResult(metadata={"dagster/partition_row_count": count})


defs = dg.Definitions(assets=[new_objects], resources={"database": Database(path="new.sqlite")})
