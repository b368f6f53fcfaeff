"""`iceberg_tables`: a date in Iceberg tables, where the configuration asks for them."""

import sys
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from inventory_assets.config import Shards
from inventory_assets.definitions import build_definitions
from inventory_assets_tests.assets.world import (
    TODAY,
    YESTERDAY,
    Buckets,
    World,
    data_versions,
    failure_text,
    materializations,
    metadata_of,
    noon,
)

DAY = str(TODAY)

pytestmark = pytest.mark.filterwarnings("ignore:Iceberg scan planning with the polars_iceberg")


@pytest.fixture
def tabular(tmp_path: Path, buckets: Buckets) -> Iterator[World]:
    """A world whose source has Iceberg tables."""
    buckets.keys["memory"] = {"a/1", "a/2", "root +"}
    with dg.DagsterInstance.ephemeral() as instance:
        source = {"bucket": "memory", "shards": Shards(depth=1), "iceberg": True}
        yield World(tmp_path, instance, source)


def test_its_metadata_has_a_query_for_the_date(tabular: World, buckets: Buckets) -> None:
    tabular.pass_day(YESTERDAY)
    buckets.keys["memory"] = {"a/1", "b/1"}
    tabular.pass_day(TODAY)
    for day in (YESTERDAY, TODAY):
        outcome = tabular.run("iceberg_tables", str(day))
        assert outcome.success, failure_text(outcome)
    event = materializations(outcome)[DAY]
    assert metadata_of(event, "dagster/row_count") == 2
    assert metadata_of(event, "dagster/table_name") == "inventory.src"
    assert metadata_of(event, "tag") == f"inventory-{DAY}"
    assert metadata_of(event, "changed_records") == 3
    file, snapshot = metadata_of(event, "metadata_file"), metadata_of(event, "snapshot_id")
    frame = pl.scan_iceberg(file, snapshot_id=int(snapshot)).collect()
    assert sorted(frame["key"]) == ["a/1", "b/1"]
    changes = pl.scan_iceberg(metadata_of(event, "changes_metadata_file")).collect()
    assert sorted(changes["key"]) == ["a/2", "b/1", "root +"]


def test_an_equal_inventory_makes_an_equal_version(tabular: World) -> None:
    tabular.pass_day(TODAY)
    first = data_versions(tabular.run("iceberg_tables", DAY))
    tabular.pass_day(TODAY)
    assert first == data_versions(tabular.run("iceberg_tables", DAY)) != {}


def test_the_message_names_what_is_missing(tabular: World) -> None:
    said = failure_text(tabular.run("iceberg_tables", DAY))
    assert f"{DAY}: no manifest was published; materialize inventory_manifest first" in said
    tabular.pass_day(TODAY)
    tabular.store.remove_key(tabular.layout.change_log(TODAY))
    said = failure_text(tabular.run("iceberg_tables", DAY))
    assert f"{DAY}: no change log was published; materialize change_log first" in said


def test_without_pyiceberg_the_run_says_what_to_install(
    tabular: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    tabular.pass_day(TODAY)
    monkeypatch.setitem(sys.modules, "pyiceberg.catalog", None)
    said = failure_text(tabular.run("iceberg_tables", DAY))
    assert "pip install 'inventory-assets[iceberg]'" in said


def test_changed_dates_are_requested_once(tabular: World, buckets: Buckets) -> None:
    def requested(cursor: object) -> tuple[list[str], object]:
        key = tabular.assets.key("iceberg_tables")
        result = dg.evaluate_automation_conditions(
            tabular.definitions,
            tabular.instance,
            asset_selection=dg.AssetSelection.assets(key),
            evaluation_time=noon(TODAY),
            cursor=cursor,  # type: ignore[arg-type]
        )
        return sorted(map(str, result.get_requested_partitions(key))), result.cursor

    _, cursor = requested(None)
    tabular.pass_day(TODAY)
    wanted, cursor = requested(cursor)
    assert wanted == [DAY]
    assert tabular.run("iceberg_tables", DAY).success
    tabular.pass_day(TODAY)
    wanted, cursor = requested(cursor)
    assert wanted == []
    buckets.keys["memory"].add("a/3")
    tabular.pass_day(TODAY)
    wanted, cursor = requested(cursor)
    assert wanted == [DAY]


def test_a_source_without_iceberg_has_no_such_asset(world: World) -> None:
    keys = build_definitions(world.config).resolve_all_asset_keys()
    assert world.assets.key("iceberg_tables") not in keys
