"""`inventory_exports`: a date in other formats, where the configuration asks for them."""

import gzip
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from inventory_assets.config import Exports, Shards
from inventory_assets.definitions import build_definitions
from inventory_assets_tests.assets.world import (
    TODAY,
    Buckets,
    World,
    data_versions,
    failure_text,
    materializations,
    metadata_of,
    noon,
    table_of,
)

DAY = str(TODAY)
EXPORTS = Exports(csv_inventory=True, files=("csv.gz", "batch-operations.csv"))


@pytest.fixture
def exporting(tmp_path: Path, buckets: Buckets) -> Iterator[World]:
    """A world whose source is exported."""
    buckets.keys["memory"] = {"a/1", "a/2", "root +"}
    with dg.DagsterInstance.ephemeral() as instance:
        source = {"bucket": "memory", "shards": Shards(depth=1), "exports": EXPORTS}
        yield World(tmp_path, instance, source)


def test_a_date_is_published_in_every_format_asked_for(exporting: World) -> None:
    exporting.pass_day(TODAY)
    outcome = exporting.run("inventory_exports", DAY)
    event = materializations(outcome)[DAY]
    assert metadata_of(event, "dagster/row_count") == 3
    assert metadata_of(event, "csv_files") == 2
    store, layout = exporting.store, exporting.layout
    assert metadata_of(event, "csv_manifest") == store.where(layout.csv.s3_manifest(TODAY))
    assert [(row["format"], row["file"]) for row in table_of(event, "files")] == [
        (name, store.where(layout.export(TODAY, name))) for name in EXPORTS.files
    ]
    batch = store.read(layout.export(TODAY, "batch-operations.csv"))
    assert batch == b"memory,a/1\nmemory,a/2\nmemory,root%20%2B\n"
    lines = gzip.decompress(store.read(layout.export(TODAY, "csv.gz")) or b"")
    assert lines.startswith(b'"memory","a/1",')


def test_an_equal_inventory_makes_an_equal_version(exporting: World) -> None:
    exporting.pass_day(TODAY)
    first = data_versions(exporting.run("inventory_exports", DAY))
    exporting.pass_day(TODAY)
    assert first == data_versions(exporting.run("inventory_exports", DAY)) != {}


def test_without_a_manifest_it_says_what_to_do(exporting: World) -> None:
    outcome = exporting.run("inventory_exports", DAY)
    assert f"{DAY}: no manifest was published; materialize inventory_manifest" in failure_text(
        outcome
    )


def test_a_manifest_that_changed_is_exported_once(exporting: World, buckets: Buckets) -> None:
    def requested(cursor: object) -> tuple[list[str], object]:
        result = dg.evaluate_automation_conditions(
            exporting.definitions,
            exporting.instance,
            asset_selection=dg.AssetSelection.assets(exporting.assets.key("inventory_exports")),
            evaluation_time=noon(TODAY),
            cursor=cursor,  # type: ignore[arg-type]
        )
        keys = result.get_requested_partitions(exporting.assets.key("inventory_exports"))
        return sorted(map(str, keys)), result.cursor

    _, cursor = requested(None)
    exporting.pass_day(TODAY)
    wanted, cursor = requested(cursor)
    assert wanted == [DAY]
    assert exporting.run("inventory_exports", DAY).success
    exporting.pass_day(TODAY)
    wanted, cursor = requested(cursor)
    assert wanted == []
    buckets.keys["memory"].add("a/3")
    exporting.pass_day(TODAY)
    wanted, cursor = requested(cursor)
    assert wanted == [DAY]


def test_a_source_without_exports_has_no_such_asset(world: World) -> None:
    keys = build_definitions(world.config).resolve_all_asset_keys()
    assert world.assets.key("inventory_exports") not in keys
