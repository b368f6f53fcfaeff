"""`lifecycle_simulation`: where rules are configured, each date says what they would do."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from inventory_assets.config import Shards
from inventory_assets.inventory.lifecycle.date_simulation import DATE_SIMULATION
from inventory_assets.inventory.pricing.price_table import load_prices
from inventory_assets_tests.assets.world import (
    TODAY,
    Buckets,
    World,
    data_versions,
    failure_text,
    materializations,
    metadata_of,
    table_of,
)
from inventory_assets_tests.s3.test_lifecycle_client import put_rules

DAY = str(TODAY)
RULE = {"ID": "all", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 1}}


@pytest.fixture
def make(tmp_path: Path, buckets: Buckets) -> Iterator[Callable[..., World]]:
    """Makes a world over a bucket in memory, with rules in a file."""
    buckets.keys["memory"] = {"a/1", "a/2", "root"}
    path = tmp_path / "rules.json"
    with dg.DagsterInstance.ephemeral() as instance:

        def make(*rules: dict[str, Any], **source: Any) -> World:
            path.write_text(json.dumps({"Rules": rules}))
            fields = {"bucket": "memory", "shards": Shards(depth=1), "lifecycle": str(path)}
            return World(tmp_path, instance, {**fields, **source})

        yield make


def test_a_date_says_what_its_rules_would_do(make: Callable[..., World]) -> None:
    world = make(RULE)
    world.pass_day(TODAY)
    outcome = world.run("lifecycle_simulation", DAY)
    event = materializations(outcome)[DAY]
    (row,) = table_of(event, "rules")
    assert (row["rule"], row["action"], row["at_rest"]) == ("all", "delete", 3)
    assert [row["prefix"] for row in table_of(event, "prefixes")] == ["a/"]
    assert table_of(event, "disputes") == []
    assert metadata_of(event, "monthly_usd_at_rest") == 0.0
    assert load_prices().label in metadata_of(event, "summary")


def test_the_simulation_is_stored_and_shown_in_the_report(make: Callable[..., World]) -> None:
    world = make(RULE)
    world.pass_day(TODAY)
    for name in ("lifecycle_simulation", "prefix_usage", "storage_report"):
        assert world.run(name, DAY).success
    record = DATE_SIMULATION.read(world.store, world.layout.lifecycle(TODAY))
    assert record is not None
    assert record.simulation.rules[0].actions[0].at_rest.objects == 3
    page = world.store.read(world.layout.report(TODAY))
    assert page is not None
    assert "What lifecycle rules would do" in page.decode()


def test_tables_have_twenty_rows_at_most(make: Callable[..., World]) -> None:
    moves = [
        {
            "ID": f"r{n}",
            "Status": "Enabled",
            "Filter": {"ObjectSizeLessThan": 1_000},
            "Transitions": [{"Days": n, "StorageClass": "GLACIER"}],
        }
        for n in range(29)
    ]
    world = make(RULE, *moves)
    world.pass_day(TODAY)
    event = materializations(world.run("lifecycle_simulation", DAY))[DAY]
    rules = table_of(event, "rules")
    assert len(rules) == 20
    assert rules[-1]["rule"] == "(and 11 more)"
    assert len(table_of(event, "disputes")) == 20


def test_equal_rules_and_an_equal_inventory_make_an_equal_version(
    make: Callable[..., World],
) -> None:
    world = make(RULE)
    world.pass_day(TODAY)
    first = data_versions(world.run("lifecycle_simulation", DAY))
    assert first == data_versions(world.run("lifecycle_simulation", DAY)) != {}
    changed = make({**RULE, "Expiration": {"Days": 2}})
    assert data_versions(changed.run("lifecycle_simulation", DAY)) != first


def test_the_rules_of_the_bucket_are_asked_for(make_world: Callable[..., World]) -> None:
    world = make_world(["a/1"], lifecycle="bucket")
    world.pass_day(TODAY)
    text = failure_text(world.run("lifecycle_simulation", DAY))
    assert "has no lifecycle rules; name a file of rules instead" in text
    work = world.definitions.resources or {}
    put_rules(work[world.assets.bucket_resource].lister(world.assets.loaded_at).bucket_config, RULE)
    event = materializations(world.run("lifecycle_simulation", DAY))[DAY]
    assert table_of(event, "rules")[0]["at_rest"] == 1


def test_mistakes_in_the_rules_fail_the_date(make: Callable[..., World]) -> None:
    world = make({**RULE, "Status": "On"})
    world.pass_day(TODAY)
    text = failure_text(world.run("lifecycle_simulation", DAY))
    assert 'Rules[0] (all).Status: found "On", expected Enabled or Disabled' in text


def test_without_rules_there_is_no_asset(make: Callable[..., World]) -> None:
    world = make(RULE, lifecycle=None)
    keys = world.definitions.resolve_all_asset_keys()
    assert world.assets.key("lifecycle_simulation") not in keys
