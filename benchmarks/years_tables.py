"""The rows of a day in Dagster's storage, and their copies as those of other days."""

import re
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_OID, uuid5

import dagster as dg
import sqlalchemy as sa
from dagster._core.storage.event_log import SqlEventLogStorage, SqliteEventLogStorage
from dagster._core.storage.event_log.schema import (
    AssetCheckExecutionsTable,
    AssetEventTagsTable,
    AssetKeyTable,
    DynamicPartitionsTable,
    SqlEventLogStorageTable,
)
from dagster._core.storage.runs import SqlRunStorage
from dagster._core.storage.runs.schema import RunsTable, RunTagsTable, SnapshotsTable

_ROWS_AT_ONCE = 500
_TIMESTAMP = re.compile(r'("(?:timestamp|storage_id)": )([0-9.]+)')

Row = dict[str, Any]


@dataclass(frozen=True)
class Template:
    """The rows of a day in the storage of an instance.

    Attributes:
        day: The day.
        tables: The rows of each table of which there are more with each day.
        fixed: The rows of tables that do not grow with days.
        run_ids: The day's runs, and whether each is one by date and shard.
        run_files: SQLite's files of events of the runs.
    """

    day: date
    tables: dict[str, list[Row]]
    fixed: dict[str, list[Row]]
    run_ids: dict[str, bool]
    run_files: dict[str, Path] = field(default_factory=dict)

    @classmethod
    def of(cls, instance: dg.DagsterInstance, day: date) -> "Template":
        """Read the rows of the runs whose tags have the date, and of the collection after them."""
        events, runs = storages(instance)
        tables = {}
        with runs.connect() as connection:
            run_rows = rows_of(connection, RunsTable)
            tags = rows_of(connection, RunTagsTable)
            fixed = {"snapshots": rows_of(connection, SnapshotsTable)}
        dated = {row["run_id"]: "|" in row["value"] for row in tags if str(day) in row["value"]}
        last = max(run_rows, key=lambda row: int(row["id"]))["run_id"]  # the collection
        run_ids = {**dated, last: False}
        tables["runs"] = [row for row in run_rows if row["run_id"] in run_ids]
        tables["run_tags"] = [row for row in tags if row["run_id"] in run_ids]
        with events.index_connection() as connection:
            for table in (SqlEventLogStorageTable, AssetCheckExecutionsTable):
                found = rows_of(connection, table)
                tables[table.name] = [row for row in found if row["run_id"] in run_ids]
            ids = {row["id"] for row in tables["event_logs"]}
            found = rows_of(connection, AssetEventTagsTable)
            tables["asset_event_tags"] = [row for row in found if row["event_id"] in ids]
            for table in (AssetKeyTable, DynamicPartitionsTable):
                fixed[table.name] = rows_of(connection, table)
        files = (
            {run_id: Path(events.path_for_shard(run_id)) for run_id in run_ids}
            if isinstance(events, SqliteEventLogStorage)
            else {}
        )
        return cls(day, tables, fixed, run_ids, files)


class Copier:
    """Writes a template's day into another instance, as often as it is asked."""

    def __init__(self, template: Template, instance: dg.DagsterInstance) -> None:
        self._template = template
        self._events, self._runs = storages(instance)
        if isinstance(self._events, SqliteEventLogStorage):
            self._files = Path(self._events.path_for_shard("any")).parent
        self._days = 0
        # The ids of each day follow those of the day before.
        self._stride = {
            name: max((int(row["id"]) for row in rows), default=0)
            for name, rows in template.tables.items()
        }

    def copy_fixed(self) -> None:
        """Write the tables that do not grow."""
        fixed = self._template.fixed
        with self._runs.connect() as connection:
            insert(connection, SnapshotsTable, fixed["snapshots"])
        with self._events.index_connection() as connection:
            for table in (AssetKeyTable, DynamicPartitionsTable):
                insert(connection, table, fixed[table.name])

    def copy(self, day: date, *, with_shards: bool) -> None:
        """Write the runs of a day.

        Args:
            day: The day.
            with_shards: Whether the runs by date and shard are written, or only those by date.
        """
        translate = self._translation(day)
        chosen = {
            run_id
            for run_id, is_by_shard in self._template.run_ids.items()
            if with_shards or not is_by_shard
        }
        tables = self._template.tables
        with self._runs.connect() as connection:
            for table in (RunsTable, RunTagsTable):
                rows = [row for row in tables[table.name] if row["run_id"] in chosen]
                insert(connection, table, (translate(table.name, row) for row in rows))
        events = [row for row in tables["event_logs"] if row["run_id"] in chosen]
        ids = {row["id"] for row in events}
        checks = [row for row in tables["asset_check_executions"] if row["run_id"] in chosen]
        tags = [row for row in tables["asset_event_tags"] if row["event_id"] in ids]
        with self._events.index_connection() as connection:
            for table, rows in (
                (SqlEventLogStorageTable, events),
                (AssetCheckExecutionsTable, checks),
                (AssetEventTagsTable, tags),
            ):
                insert(connection, table, (translate(table.name, row) for row in rows))
        for run_id in chosen & self._template.run_files.keys():
            self._copy_file(run_id, translate)
        self._days += 1

    def _copy_file(self, run_id: str, translate: Callable[[str, Row], Row]) -> None:
        """Copy SQLite's file of a run's events; ids are the file's own, and stay."""
        source = self._template.run_files[run_id]
        target = self._files / f"{translate('', {'run_id': run_id})['run_id']}.db"
        shutil.copy(source, target)
        table = SqlEventLogStorageTable
        with sa.create_engine(f"sqlite:///{target}").begin() as connection:
            rows = [{**translate("", row), "id": row["id"]} for row in rows_of(connection, table)]
            connection.execute(table.delete())
            insert(connection, table, rows)

    def _translation(self, day: date) -> Callable[[str, Row], Row]:
        """A function that changes a row of a table to one of another day."""
        template = self._template
        later = day - template.day
        texts = {
            run_id: str(uuid5(NAMESPACE_OID, f"{day} {run_id}")) for run_id in template.run_ids
        }
        for back in (0, 1):  # the date, and that of its baseline
            texts[str(template.day - timedelta(days=back))] = str(day - timedelta(days=back))
        known = re.compile("|".join(map(re.escape, texts)))
        shift = {name: self._days * stride for name, stride in self._stride.items()}

        def number(found: re.Match[str]) -> str:
            if "timestamp" in found[1]:
                return f"{found[1]}{float(found[2]) + later.total_seconds()!r}"
            return f"{found[1]}{int(found[2]) + shift['event_logs']}"

        def value_of(table: str, name: str, value: Any) -> Any:
            match value:
                case str():
                    return _TIMESTAMP.sub(number, known.sub(lambda found: texts[found[0]], value))
                case datetime():
                    return value + later
                case float() if name in {"start_time", "end_time"}:
                    return value + later.total_seconds()
                case int() if name == "id":
                    return value + shift.get(table, 0)
                case int() if name.endswith(("event_id", "storage_id")):
                    return value + shift["event_logs"]
            return value

        return lambda table, row: {
            name: value_of(table, name, value) for name, value in row.items()
        }


def storages(instance: dg.DagsterInstance) -> tuple[SqlEventLogStorage, SqlRunStorage]:
    """The storages of events and of runs."""
    events, runs = instance.event_log_storage, instance.run_storage
    if not (isinstance(events, SqlEventLogStorage) and isinstance(runs, SqlRunStorage)):
        raise TypeError("Dagster's storage is no database")
    return events, runs


def rows_of(connection: sa.Connection, table: sa.Table) -> list[Row]:
    """All rows of a table, in the order of their ids."""
    found = connection.execute(table.select().order_by(table.c.id))
    return [dict(row) for row in found.mappings()]


def insert(connection: sa.Connection, table: sa.Table, rows: Iterable[Row]) -> None:
    """Insert rows, some hundred at once."""
    waiting: list[Row] = []
    for row in rows:
        waiting.append(row)
        if len(waiting) == _ROWS_AT_ONCE:
            connection.execute(table.insert(), waiting)
            waiting = []
    if waiting:
        connection.execute(table.insert(), waiting)
