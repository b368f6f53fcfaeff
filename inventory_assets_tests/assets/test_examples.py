"""The examples of assets downstream of an inventory, over two and more dates."""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from examples import exactly_once_ingestion, new_objects_by_date, run_per_object
from examples.database import Database
from examples.read_changes import report
from inventory_assets import ChangeCursor
from inventory_assets.config import Shards
from inventory_assets.inventory.retention.collector import execute, plan_collection
from inventory_assets.inventory.retention.policy import Retention
from inventory_assets_tests.assets.world import (
    QUIET,
    TODAY,
    YESTERDAY,
    Buckets,
    Outcome,
    World,
    failure_text,
    noon,
)

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning")
EXAMPLES = Path(exactly_once_ingestion.__file__).parent
BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)


@pytest.fixture
def logs(tmp_path: Path, buckets: Buckets) -> Iterator[World]:
    """The source of the examples."""
    buckets.keys["acme-logs"] = {"a/1", "a/2", "tables/1.parquet", "root"}
    with dg.DagsterInstance.ephemeral() as instance:
        fields = {"name": "logs", "bucket": "acme-logs", "shards": Shards(depth=1)}
        yield World(tmp_path, instance, fields)


class Downstream:
    """An example beside the assets of the source, in one code location."""

    def __init__(self, world: World, defs: dg.Definitions, folder: Path) -> None:
        self.world = world
        self._file = folder / "example.sqlite"
        resources = {"database": Database(path=str(self._file))}
        self._defs = dg.Definitions(
            assets=defs.assets, jobs=defs.jobs, sensors=defs.sensors, resources=resources
        )

    @property
    def definitions(self) -> dg.Definitions:
        return dg.Definitions.merge(self.world.definitions, self._defs)

    def run(self, name: str, partition_key: str | None = None) -> bool:
        job = self.definitions.resolve_implicit_global_asset_job_def()
        result = job.execute_in_process(
            instance=self.world.instance,
            asset_selection=[dg.AssetKey(name)],
            partition_key=partition_key,
            run_config=QUIET,
            raise_on_error=False,
        )
        self.run_id = result.run_id
        return result.success

    def failure(self) -> str:
        """All that the failures of the last run say."""
        logs = self.world.instance.all_logs(self.run_id)
        events = tuple(entry.dagster_event for entry in logs if entry.dagster_event)
        return failure_text(Outcome(False, self.run_id, events))

    def rows(self, sql: str) -> list[Any]:
        with closing(sqlite3.connect(self._file)) as connection:
            return sorted(connection.execute(sql).fetchall())


def keys_of(rows: list[Any]) -> list[str]:
    return [row[0] for row in rows]


def test_an_asset_by_date_has_exactly_the_new_objects_of_its_date(
    logs: World, buckets: Buckets, tmp_path: Path
) -> None:
    example = Downstream(logs, new_objects_by_date.defs, tmp_path)
    logs.pass_day(YESTERDAY)
    buckets.keys["acme-logs"] ^= {"a/1", "a/3", "'; DROP TABLE new_objects; --"}
    logs.pass_day(TODAY)
    for _ in range(2):  # materialized again, it has the same
        assert example.run("new_objects", str(TODAY))
        assert example.run("new_objects", str(YESTERDAY))
        assert example.rows("SELECT day, key FROM new_objects") == [
            (str(TODAY), "'; DROP TABLE new_objects; --"),
            (str(TODAY), "a/3"),
        ]


def test_an_asset_of_a_date_without_an_inventory_says_what_to_do(
    logs: World, tmp_path: Path
) -> None:
    example = Downstream(logs, new_objects_by_date.defs, tmp_path)
    logs.pass_day(TODAY)
    assert not example.run("new_objects", str(YESTERDAY))
    said = example.failure()
    assert f"no inventory of logs was published for {YESTERDAY} under" in said
    assert f"or, if it was removed, name a date from {TODAY} on" in said


def test_an_asset_of_a_date_that_was_removed_says_which_is_the_oldest(
    logs: World, buckets: Buckets, tmp_path: Path
) -> None:
    example = Downstream(logs, new_objects_by_date.defs, tmp_path)
    for number, day in enumerate((YESTERDAY - timedelta(days=1), YESTERDAY, TODAY)):
        buckets.keys["acme-logs"].add(f"new/{number}")
        logs.pass_day(day)
    later = noon(TODAY) + timedelta(days=30)
    plan = plan_collection(logs.store, logs.layout, Retention(keep_last=1), later.date(), later)
    execute(logs.store, plan, lambda: later)
    assert not example.run("new_objects", str(YESTERDAY))
    removed = f"the inventory of {YESTERDAY} of logs under {logs.store.where(logs.layout.base)} was"
    assert (
        f"{removed} removed by retention; the oldest that is left is that of {TODAY}: name a date "
        "from then on"
    ) in example.failure()


def test_every_new_object_is_ingested_once(logs: World, buckets: Buckets, tmp_path: Path) -> None:
    """Over a date that is missed, and dates that are published again."""
    example = Downstream(logs, exactly_once_ingestion.defs, tmp_path)
    held = buckets.keys["acme-logs"]

    def ingested() -> list[str]:
        assert example.run("ingested_objects")
        return keys_of(example.rows("SELECT key FROM objects"))

    logs.pass_day(TODAY - timedelta(days=3))
    assert ingested() == sorted(held)
    held |= {"a/3"}
    logs.pass_day(YESTERDAY)
    assert ingested() == sorted(held)
    held |= {"a/4"}
    logs.pass_day(YESTERDAY)
    assert ingested() == sorted(held), "a date that was published again"
    held |= {"new/1"}
    logs.pass_day(TODAY)
    held |= {"new/2"}
    logs.pass_day(TODAY)
    assert ingested() == sorted(held)
    assert ingested() == sorted(held), "nothing is new"


@pytest.mark.parametrize("place", ["_ingest", "_read_cursor", "commit"])
def test_a_run_that_dies_loses_and_repeats_nothing(
    logs: World, buckets: Buckets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """While it reads, between two batches, or after the last and before the commit."""
    example = Downstream(logs, exactly_once_ingestion.defs, tmp_path)
    logs.pass_day(YESTERDAY)
    assert example.run("ingested_objects")
    buckets.keys["acme-logs"] |= {"a/3", "new/1"}
    logs.pass_day(TODAY)

    def dies(*arguments: Any) -> int:
        if place == "_ingest":
            connection, (first, *_) = arguments
            connection.execute("INSERT INTO objects VALUES (?, ?)", [first["key"], "half"])
        raise RuntimeError("killed")

    with monkeypatch.context() as patch:
        if place == "commit":
            patch.setattr(ChangeCursor, "to_json", dies)
        else:
            patch.setattr(exactly_once_ingestion, place, dies)
        assert not example.run("ingested_objects")
    assert len(example.rows("SELECT key FROM objects")) == 4
    assert example.run("ingested_objects")
    assert keys_of(example.rows("SELECT key FROM objects")) == sorted(buckets.keys["acme-logs"])


def test_a_sensor_starts_a_run_for_each_new_file(
    logs: World, buckets: Buckets, tmp_path: Path
) -> None:
    example = Downstream(logs, run_per_object.defs, tmp_path)
    logs.pass_day(YESTERDAY)
    repository = example.definitions.get_repository_def()
    sensor = repository.get_sensor_def("logs_new_objects")
    cursor: str | None = None

    def requests() -> list[dg.RunRequest]:
        nonlocal cursor
        with dg.build_sensor_context(
            cursor=cursor, resources=logs.resources(), repository_def=repository
        ) as context:
            data = sensor.evaluate_tick(context)
        cursor = data.cursor
        return list(data.run_requests or [])

    assert requests() == []
    buckets.keys["acme-logs"] |= {"tables/2.parquet", "tables/3.parquet", "tables/x", "b.parquet"}
    logs.pass_day(TODAY)
    assert requests() == []
    started = requests()
    assert len(started) == 2
    job = example.definitions.resolve_job_def("process_new_file")
    for request in started:
        assert job.execute_in_process(run_config=request.run_config, tags=request.tags).success


def test_the_assets_are_materialized_after_the_change_log(
    logs: World, buckets: Buckets, tmp_path: Path
) -> None:
    assets = [
        *(exactly_once_ingestion.defs.assets or ()),
        *(new_objects_by_date.defs.assets or ()),
    ]
    example = Downstream(logs, dg.Definitions(assets=assets), tmp_path)
    names = ("ingested_objects", "new_objects")
    last: dg.EvaluateAutomationConditionsResult | None = None

    def requested() -> dict[str, set[Any]]:
        nonlocal last
        last = dg.evaluate_automation_conditions(
            example.definitions,
            logs.instance,
            evaluation_time=noon(logs.day),
            cursor=last.cursor if last else None,
        )
        return {name: set(last.get_requested_partitions(dg.AssetKey(name))) for name in names}

    logs.pass_day(YESTERDAY)
    logs.set_day(TODAY)
    requested()
    assert requested() == {"ingested_objects": set(), "new_objects": set()}
    buckets.keys["acme-logs"].add("a/3")
    logs.pass_day(TODAY)
    assert requested() == {"ingested_objects": {None}, "new_objects": {str(TODAY)}}
    assert requested() == {"ingested_objects": set(), "new_objects": set()}
    assert logs.run("change_log", str(YESTERDAY)).success
    assert requested() == {"ingested_objects": {None}, "new_objects": {str(YESTERDAY)}}


def test_changes_are_reported_without_dagster(logs: World, buckets: Buckets) -> None:
    logs.pass_day(YESTERDAY)
    buckets.keys["acme-logs"] ^= {"a/1", "a/3", "tables/2.parquet"}
    logs.pass_day(TODAY)
    found = report(str(logs.store.root / logs.layout.base), YESTERDAY, TODAY)
    assert found.select("change", "len").rows() == [("created", 2), ("deleted", 1)]


class UserAssets(dg.Model, dg.Resolvable):
    """Assets that a user declares in YAML, as in a component."""

    assets: list[dg.ResolvedAssetSpec]


def test_a_dependency_is_named_in_yaml_as_in_the_interface(logs: World) -> None:
    text = "assets:\n  - key: report\n    deps: [logs/change_log]\n"
    component = UserAssets.resolve_from_yaml(text)
    definitions = dg.Definitions.merge(logs.definitions, dg.Definitions(assets=[*component.assets]))
    graph = definitions.resolve_asset_graph()
    assert graph.get(dg.AssetKey("report")).parent_keys == {logs.assets.key("change_log")}
    assert graph.get(logs.assets.key("change_log")).is_materializable


def test_the_page_quotes_the_examples() -> None:
    page = EXAMPLES.parent / "docs" / "downstream.md"
    quoted = BLOCK.findall(page.read_text("utf-8"))
    files = [file.read_text("utf-8") for file in EXAMPLES.glob("*.py")]
    assert len(quoted) >= 4
    assert [code for code in quoted if not any(code in text for text in files)] == []
