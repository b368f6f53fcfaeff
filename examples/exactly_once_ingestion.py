"""An asset without partitions that ingests every new object of a source exactly once."""

import sqlite3
from typing import Any

import dagster as dg

from examples.database import Database
from inventory_assets import ChangeFeed, Layout

LOGS = Layout("acme-logs", "logs")  # the bucket, and the name of the source

# Whenever a change log is published. A run that is missed costs nothing: the next one reads on.
WHEN_LOGGED = (
    dg.AutomationCondition.any_deps_updated().since_last_handled()
    & ~dg.AutomationCondition.any_deps_in_progress()
    & ~dg.AutomationCondition.in_progress()
)


@dg.asset(
    deps=[dg.AssetKey(["logs", "change_log"])],
    automation_condition=WHEN_LOGGED,
    retry_policy=dg.RetryPolicy(max_retries=2),
    pool="logs_ingestion",  # with a limit of 1, two runs do not wait for each other in the database
)
def ingested_objects(
    logs_store: dg.ResourceParam[Any], database: Database
) -> dg.MaterializeResult[None]:
    """All objects since the first run, which begins with those of the newest inventory."""
    feed = ChangeFeed(logs_store.open(), LOGS)
    count = 0
    while True:
        # One transaction has the objects of a step and the cursor after it: both or none.
        with database.transaction() as connection:
            connection.execute("BEGIN IMMEDIATE")  # a second run waits here
            step = feed.next_step(feed.cursor(_read_cursor(connection)))
            if step is None:
                return dg.MaterializeResult(metadata={"ingested": count})
            for batch in step.created_batches():
                count += _ingest(connection, batch.select(["key", "e_tag"]).to_pylist())
            connection.execute(
                "REPLACE INTO cursors VALUES (?, ?)", ["logs", step.cursor.to_json()]
            )


def _ingest(connection: sqlite3.Connection, objects: list[dict[str, Any]]) -> int:
    """What is done with the objects; here, their keys and ETags are written down."""
    rows = [(found["key"], found["e_tag"]) for found in objects]
    connection.executemany("INSERT INTO objects VALUES (?, ?)", rows)
    return len(rows)


def _read_cursor(connection: sqlite3.Connection) -> str | None:
    connection.execute("CREATE TABLE IF NOT EXISTS objects (key, e_tag)")
    connection.execute("CREATE TABLE IF NOT EXISTS cursors (source PRIMARY KEY, cursor)")
    row = connection.execute("SELECT cursor FROM cursors WHERE source = 'logs'").fetchone()
    return row[0] if row else None


defs = dg.Definitions(
    assets=[ingested_objects], resources={"database": Database(path="ingested.sqlite")}
)
