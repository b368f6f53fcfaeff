"""The history of years: an instance with the runs of each day, and what it takes on disk."""

import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import sqlalchemy as sa
from dagster._core.storage.event_log import SqliteEventLogStorage
from dagster._core.storage.event_log.schema import (
    AssetCheckExecutionsTable,
    AssetEventTagsTable,
    AssetKeyTable,
    DynamicPartitionsTable,
    SqlEventLogStorageTable,
)
from dagster._core.storage.runs.schema import RunsTable, RunTagsTable, SnapshotsTable

from benchmarks.dagster_instances import bytes_of, opened_instance
from benchmarks.years_source import Simulated
from benchmarks.years_tables import Copier, Template, storages
from inventory_assets.defs.check_results import delete_results, passed_results
from inventory_assets.defs.expired_runs import delete_runs, expired_runs, partitioned_keys
from inventory_assets.defs.source.partitions import first_listed_date

DAYS_TO_COLLECT = 3
"""Days beyond the window that are copied in full, for the collection to delete."""


def build(simulated: Simulated, postgres: str | None) -> None:
    """Make the history, and let the collection delete the days that have left the window."""
    today, yesterday = simulated.today, simulated.today - timedelta(days=1)
    simulated.configure()
    started = time.perf_counter()
    database = f"{postgres}/template" if postgres else None
    with opened_instance(simulated.folder / "template", database) as lived:
        for day in (yesterday, today):
            simulated.live_a_day(lived, day)
        template = Template.of(lived, today)
        print(f"a day: {sum(map(len, template.tables.values())):,} rows, two real ones", end=" ")
        print(f"in {time.perf_counter() - started:.0f} s", flush=True)
        first_listed = first_listed_date(simulated.source, today)
        first_full = first_listed - timedelta(days=DAYS_TO_COLLECT)
        database = f"{postgres}/years" if postgres else None
        with opened_instance(simulated.folder, database) as instance:
            started = time.perf_counter()
            copier = Copier(template, instance)
            copier.copy_fixed()
            days = [today - timedelta(days=back) for back in reversed(range(simulated.days))]
            for day in (day for day in days if day < first_full):
                copier.copy(day, with_shards=False)
            before = counts(instance)
            for day in (day for day in days if first_full <= day < first_listed):
                copier.copy(day, with_shards=True)
            copied = counts(instance)
            print(f"copied in {time.perf_counter() - started:.0f} s", flush=True)
            started = time.perf_counter()
            run_ids = expired_runs(simulated.assets, instance, today, None)
            delete_runs(simulated.assets, instance, run_ids)
            results = passed_results(partitioned_keys(simulated.assets), instance, first_listed)
            delete_results(instance, results)
            print(
                f"collection of {len(run_ids)} runs, {len(results)} results of checks: "
                f"{time.perf_counter() - started:.1f} s"
            )
            left = counts(instance)
            for name in copied:
                print(
                    f"  {name}: {(copied[name] - before[name]) / DAYS_TO_COLLECT:,.0f} a day, "
                    f"{(left[name] - before[name]) / DAYS_TO_COLLECT:,.0f} after the collection"
                )
            for day in (day for day in days if day >= first_listed):
                copier.copy(day, with_shards=True)
            for name, count in counts(instance).items():
                print(f"  {name}: {count:,} at last")
            if postgres:
                _advance_sequences(instance)


def counts(instance: dg.DagsterInstance) -> dict[str, int]:
    """The number of rows of each table, and of the files of SQLite."""
    events, runs = storages(instance)
    found: dict[str, Any] = {}
    with runs.connect() as connection:
        for table in (RunsTable, RunTagsTable, SnapshotsTable):
            found[table.name] = _count(connection, table)
    with events.index_connection() as connection:
        for table in (SqlEventLogStorageTable, AssetEventTagsTable, AssetCheckExecutionsTable):
            found[table.name] = _count(connection, table)
    if isinstance(events, SqliteEventLogStorage):
        found["files of runs"] = len(events.get_all_run_ids())
    return found


def _count(connection: sa.Connection, table: sa.Table) -> int:
    return int(connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one())


def _advance_sequences(instance: dg.DagsterInstance) -> None:
    """Let PostgreSQL number further rows after those that were copied."""
    events, runs = storages(instance)
    with runs.connect() as connection:
        for table in (RunsTable, RunTagsTable, SnapshotsTable):
            _advance(connection, table)
    with events.index_connection() as connection:
        for table in (
            SqlEventLogStorageTable,
            AssetEventTagsTable,
            AssetCheckExecutionsTable,
            AssetKeyTable,
            DynamicPartitionsTable,
        ):
            _advance(connection, table)


def _advance(connection: sa.Connection, table: sa.Table) -> None:
    sequence = f"pg_get_serial_sequence('{table.name}', 'id')"
    connection.execute(
        sa.text(f"SELECT setval({sequence}, (SELECT coalesce(max(id), 1) FROM {table.name}))")  # noqa: S608
    )


def print_sizes(folder: Path, postgres: str | None) -> None:
    """Print what the history takes."""
    if postgres:
        with sa.create_engine(f"{postgres}/years").connect() as connection:
            size = connection.execute(sa.text("SELECT pg_database_size('years')")).scalar_one()
        print(f"database: {size / 1e6:,.0f} MB")
        return
    history = folder / "data" / ".dagster" / "history"
    index = sum(path.stat().st_size for path in (history / "runs").glob("index.db*"))
    print(f"SQLite: {bytes_of(history) / 1e6:,.0f} MB, of it {index / 1e6:,.0f} MB in index.db")
