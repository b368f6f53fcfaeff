"""Measure Dagster after years of daily use: `python -m benchmarks.years --shards 250`.

Two days of a source are listed, compared and merged by real runs in a template instance. Its last
day is then copied, row by row, as if the same had happened every day: other run ids, dates, times
and storage ids, in the tables in which Dagster would have them. Runs by date are copied for every
day, runs by date and shard for the days that the window of listings holds, and for a few days
more: these the project's own collection deletes, so that what it leaves behind is seen. Then
`dagster dev` runs on the result, and pages are opened in a browser without a window.

Ticks are not copied. Without `--postgres`, Dagster's storage is SQLite, in files of a new folder.
With it, the argument is the URL of a server without the database's name, on which two databases are
made anew: `template` and `years`.
"""

import argparse
import re
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_OID, uuid5

import dagster as dg
import psutil
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

from benchmarks.dagster_overhead import QUIET, StubBucket, bytes_of
from inventory_assets.config import Config, Retention, Schedule, Shards, Source
from inventory_assets.definitions import build_definitions
from inventory_assets.defs.assets.listing import FIND_SHARDS_TAG
from inventory_assets.defs.expired_runs import delete_runs, expired_runs
from inventory_assets.defs.source.context import SourceAssets
from inventory_assets.defs.source.partitions import first_listed_date
from inventory_assets.defs.source.resources import Clock
from inventory_assets_tests.ui.browser import Browser, installed_browser, opened_browser
from inventory_assets_tests.ui.running_dagster import REPOSITORY, RunningDagster

NAME = "years"
YEARS_OF_DAYS = 1_095
DAYS_TO_COLLECT = 3
"""Days beyond the window that are copied in full, for the collection to delete."""

_ROWS_AT_ONCE = 500
_QUIET = 0.5  # seconds without a query, after which a page is taken as loaded
_TIMESTAMP = re.compile(r'("(?:timestamp|storage_id)": )([0-9.]+)')
_SCHEDULE_TICK = """
mutation Tick($selector: ScheduleSelector!, $at: Float) {
  scheduleDryRun(selectorData: $selector, timestamp: $at) {
    __typename
    ... on DryRunInstigationTick {
      evaluationResult { runRequests { runKey } error { message } }
    }
    ... on PythonError { message }
  }
}"""

PAGES = [
    ("lineage", "/asset-groups", r"\d+% filled"),
    ("catalogue", "/assets", r"^[\d,]+ partitions"),
    ("listing", f"/assets/{NAME}/object_listing?view=overview", r"^\d{4}-\d\d-\d\d\|"),
    (
        "listing-partitions",
        f"/assets/{NAME}/object_listing?view=partitions",
        r"Materialized \([1-9]",
    ),
    ("listing-checks", f"/assets/{NAME}/object_listing?view=checks", r"^Passed$"),
    ("listing-events", f"/assets/{NAME}/object_listing?view=events", r"materialized in run"),
    ("changes", f"/assets/{NAME}/object_changes?view=overview", r"^\d{4}-\d\d-\d\d\|"),
    ("manifest", f"/assets/{NAME}/inventory_manifest?view=overview", r"^\d{4}-\d\d-\d\d$"),
    (
        "manifest-partitions",
        f"/assets/{NAME}/inventory_manifest?view=partitions",
        r"Materialized \([1-9]",
    ),
    ("runs", "/runs", r"object_changes"),
]
"""Name and path of each page that is opened, and a text of the history that it shows."""

Row = dict[str, Any]


@dataclass(frozen=True)
class Loaded:
    """How a page was loaded.

    Attributes:
        shown: Seconds until its text was there.
        answered: Seconds until the last response had come.
        slowest: The query whose response took longest.
        seconds: How long it took.
        cpu: CPU-seconds of the web server.
    """

    shown: float
    answered: float
    slowest: str
    seconds: float
    cpu: float


@dataclass(frozen=True)
class Simulated:
    """A source, and the folder of its store and configuration.

    Attributes:
        folder: The folder, which is DAGSTER_HOME too.
        shards: The number of its shards, besides the remainder.
        days: The number of days, today included.
        today: The last day.
    """

    folder: Path
    shards: int
    days: int
    today: date

    @cached_property
    def source(self) -> Source:
        """The source, with a history as long as all days."""
        return Source(
            name=NAME,
            bucket=NAME,
            endpoint_url="http://127.0.0.1:9",
            shards=Shards(depth=1, max_shards=max(256, self.shards)),
            schedule=Schedule(start_date=self.today - timedelta(days=self.days - 1)),
            retention=Retention(keep_days=self.days),
        )

    @cached_property
    def assets(self) -> SourceAssets:
        """What its definitions share."""
        return SourceAssets(self.source)

    def configure(self) -> None:
        """Write `inventory.toml` and the project's files for Dagster into the folder."""
        project = Path(__file__).parents[1]
        shutil.copy(project / "workspace.yaml", self.folder)
        text = (project / "dagster.yaml").read_text()
        text = text.replace("base_dir: data", f"base_dir: {self.folder}/data")
        self.folder.joinpath("dagster.yaml").write_text(text)
        self.folder.joinpath("inventory.toml").write_text(
            f"""[sources.{NAME}]
bucket = "{NAME}"
endpoint_url = "http://127.0.0.1:9"
shards.depth = 1
shards.max_shards = {max(256, self.shards)}
schedule.start_date = {self.today - timedelta(days=self.days - 1)}
retention.keep_days = {self.days}
"""
        )

    def live_a_day(self, instance: dg.DagsterInstance, day: date) -> None:
        """List, compare and merge a day, and collect, by runs as schedules and automation do."""
        clock = Clock(fixed=datetime.combine(day, datetime.min.time(), UTC).isoformat())
        config = Config(
            store=self.folder / "data" / "inventory", sources={self.source.name: self.source}
        )
        definitions = build_definitions(config, clock)
        bucket = StubBucket(bucket=NAME, shards=self.shards)
        definitions = dg.Definitions(
            assets=definitions.assets,
            jobs=definitions.jobs,
            schedules=definitions.schedules,
            resources={**(definitions.resources or {}), self.assets.bucket_resource: bucket},
            executor=dg.in_process_executor,
        )
        assets = self.assets
        if not instance.get_dynamic_partitions(assets.partitions.shards_name):
            self._run(definitions, instance, "__ASSET_JOB", {}, ("shards",))
        keys = list(instance.get_dynamic_partitions(assets.partitions.shards_name))
        of_shards = assets.partitions.range_tags(day, keys)
        of_date = {"dagster/partition": day.isoformat()}
        find = {FIND_SHARDS_TAG: "true"}
        self._run(definitions, instance, assets.listing_job, {**of_shards, **find})
        self._run(definitions, instance, "__ASSET_JOB", of_shards, ("object_changes",))
        for name in ("inventory_manifest", "change_log"):
            self._run(definitions, instance, "__ASSET_JOB", of_date, (name,))
        self._run(definitions, instance, f"{NAME}_collect_garbage", {})

    def _run(
        self,
        definitions: dg.Definitions,
        instance: dg.DagsterInstance,
        job_name: str,
        tags: Mapping[str, str],
        names: Sequence[str] = (),
    ) -> None:
        job = (
            definitions.resolve_implicit_global_asset_job_def()
            if names
            else definitions.resolve_job_def(job_name)
        )
        job.execute_in_process(
            instance=instance,
            run_config=QUIET,
            tags=dict(tags),
            asset_selection=[self.assets.key(name) for name in names] or None,
        )


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


@contextmanager
def opened_instance(folder: Path, database: str | None) -> Iterator[dg.DagsterInstance]:
    """An instance whose home is a folder, with SQLite in it or in a new database of PostgreSQL."""
    folder.mkdir(parents=True, exist_ok=True)
    if database:
        server, _, name = database.rpartition("/")
        engine = sa.create_engine(f"{server}/postgres", isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(sa.text(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
            connection.execute(sa.text(f"CREATE DATABASE {name}"))
        text = (folder / "dagster.yaml").read_text() if (folder / "dagster.yaml").exists() else ""
        text = re.sub(r"(?ms)^storage:.*?(?=^\S|\Z)", "", text)
        (folder / "dagster.yaml").write_text(
            f"storage:\n  postgres:\n    postgres_url: {database}\n\n{text}"
        )
    elif not (folder / "dagster.yaml").exists():
        (folder / "dagster.yaml").touch()
    with dg.DagsterInstance.from_config(str(folder)) as instance:
        yield instance


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
            print(f"collection of {len(run_ids)} runs: {time.perf_counter() - started:.1f} s")
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


def measure(simulated: Simulated, opened: int) -> None:
    """Start Dagster's servers, open pages, wait for ticks, and print what it took."""
    running = RunningDagster(simulated.folder, {}, is_hurried=False)
    try:
        started = time.perf_counter()
        running.wait_until_it_answers()
        print(f"dagster dev answers after {time.perf_counter() - started:.1f} s")
        time.sleep(90)  # the first ticks
        print_memory(running, "before any page")
        print_schedule_tick(running)
        server = processes(running)["web server"]
        executable = installed_browser()
        if executable is None:
            raise SystemExit("no Chromium or Chrome is installed")
        with opened_browser(executable, running.url) as browser:
            for name, path, text in PAGES:
                loads = [load(browser, server, path, text) for _ in range(opened)]
                later = sorted(loads[1:], key=lambda each: each.shown)[len(loads[1:]) // 2]
                print(
                    f"page {name}: shown after {later.shown:.2f} s ({loads[0].shown:.2f} s at "
                    f"first), answered after {later.answered:.2f} s; slowest: {later.slowest} "
                    f"in {later.seconds:.2f} s; {later.cpu:.2f} CPU-s of the web server",
                    flush=True,
                )
                browser.keep(f"years-{name}")
        print_memory(running, "after the pages")
    finally:
        running.stop()
    with dg.DagsterInstance.from_config(str(simulated.folder)) as instance:
        print_automation_ticks(instance)


def load(browser: Browser, server: psutil.Process, path: str, text: str) -> Loaded:
    """Open a page, and wait until it shows a text and no response to a query is awaited."""
    page = browser.page
    began: dict[Any, float] = {}
    ended: dict[Any, float] = {}

    def begin(request: Any) -> None:
        if "/graphql" in request.url:
            began[request] = time.perf_counter()

    def end(request: Any) -> None:
        if request in began:
            ended[request] = time.perf_counter()

    page.on("request", begin)
    page.on("requestfinished", end)
    page.on("requestfailed", end)
    busy = sum(server.cpu_times()[:2])
    started = time.perf_counter()
    browser.open(path)
    browser.see(re.compile(text))
    shown = time.perf_counter()
    while len(ended) < len(began) or time.perf_counter() - max(shown, *ended.values()) < _QUIET:
        page.wait_for_timeout(20)
    page.remove_listener("request", begin)
    page.remove_listener("requestfinished", end)
    page.remove_listener("requestfailed", end)
    slowest = max(ended, key=lambda each: ended[each] - began[each])
    return Loaded(
        shown - started,
        max(shown, *ended.values()) - started,
        slowest.post_data_json.get("operationName", ""),
        ended[slowest] - began[slowest],
        sum(server.cpu_times()[:2]) - busy,
    )


def processes(running: RunningDagster) -> dict[str, psutil.Process]:
    """Dagster's processes, by what they do."""
    parts = {"dagster_webserver": "web server", "_daemon": "daemon", "code-server": "code server"}
    found: dict[str, Any] = {}
    for process in psutil.Process(running.process.pid).children(recursive=True):
        command = " ".join(process.cmdline())
        found |= {name: process for part, name in parts.items() if part in command}
    return found


def print_memory(running: RunningDagster, when: str) -> None:
    """Print the resident memory of each of Dagster's processes."""
    for name, process in processes(running).items():
        print(f"{name}: {process.memory_info().rss / 1e6:,.0f} MB {when}")


def print_schedule_tick(running: RunningDagster) -> None:
    """Evaluate the daily schedule for now, without starting its run."""
    selector = {**REPOSITORY, "scheduleName": f"{NAME}_daily"}
    for _ in range(2):
        started = time.perf_counter()
        tick = running.ask(_SCHEDULE_TICK, selector=selector, at=time.time())
        print(f"tick of the schedule: {time.perf_counter() - started:.2f} s, {tick}"[:300])


def print_automation_ticks(instance: dg.DagsterInstance) -> None:
    """Print the duration of each tick of automation."""
    for state in instance.all_instigator_state():
        ticks = instance.get_ticks(state.instigator_origin_id, state.selector_id)
        seconds = [
            f"{tick.tick_data.end_timestamp - tick.timestamp:.2f} ({len(tick.run_ids)} runs)"
            for tick in reversed(ticks)
            if tick.tick_data.end_timestamp
        ]
        print(f"ticks of {state.name}, s: {', '.join(seconds)}")


def main() -> None:
    """Build the history, then measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shards", type=int, default=250)
    parser.add_argument("--days", type=int, default=YEARS_OF_DAYS)
    parser.add_argument("--opened", type=int, default=4, help="how often each page is opened")
    parser.add_argument("--postgres", metavar="URL", help="of a server, without a database")
    parser.add_argument("--folder", type=Path, help="keep the history here")
    parser.add_argument("--only-measure", action="store_true", help="the folder has a history")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as temporary:
        folder = (arguments.folder or Path(temporary)).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        simulated = Simulated(folder, arguments.shards, arguments.days, datetime.now(UTC).date())
        if not arguments.only_measure:
            build(simulated, arguments.postgres)
        print_sizes(folder, arguments.postgres)
        measure(simulated, arguments.opened)


if __name__ == "__main__":
    main()
