"""`iceberg_tables`: a date in Iceberg tables, where the configuration asks for them."""

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
)

DAY = str(TODAY)


@pytest.fixture
def tabular(tmp_path: Path, buckets: Buckets) -> Iterator[World]:
    """A world whose source has Iceberg tables."""
    buckets.keys["memory"] = {"a/1", "a/2", "root +"}
    with dg.DagsterInstance.ephemeral() as instance:
        source = {"bucket": "memory", "shards": Shards(depth=1), "iceberg": True}
        yield World(tmp_path, instance, source)


def test_its_metadata_say_how_a_date_is_read(tabular: World, buckets: Buckets) -> None:
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
