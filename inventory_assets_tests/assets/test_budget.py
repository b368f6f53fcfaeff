"""The budget of a listing: a run that is expected to cost more sends no request."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from inventory_assets.config import Budget, Shards
from inventory_assets.defs.assets.listing import FIND_SHARDS_TAG
from inventory_assets.inventory.manifest.manifest_merge import newest_manifest
from inventory_assets.units import human_usd
from inventory_assets_tests.assets.world import (
    TODAY,
    YESTERDAY,
    Buckets,
    World,
    failure_text,
    materializations,
    metadata_of,
)

Make = Callable[[Budget], World]


@pytest.fixture
def make(tmp_path: Path, buckets: Buckets) -> Iterator[Make]:
    """Makes a world with a budget; it has passed no day."""
    buckets.keys["memory"] = {"a/1", "b/1", "root"}
    with dg.DagsterInstance.ephemeral() as instance:

        def make(budget: Budget, **source: Any) -> World:
            fields = {"bucket": "memory", "shards": Shards(depth=1), "budget": budget}
            return World(tmp_path, instance, {**fields, **source})

        yield make


def listed_before(make: Make) -> Mapping[str, int]:
    """Let a day without a budget pass; return its requests by the prefixes of the shards."""
    world = make(Budget())
    world.pass_day(YESTERDAY)
    manifest = newest_manifest(world.store, world.layout, before=TODAY)
    assert manifest
    return {entry.shard.prefix: entry.requests for entry in manifest.shards}


def today(world: World) -> World:
    world.set_day(TODAY)
    return world


def test_a_run_beyond_its_requests_does_not_start(make: Make, buckets: Buckets) -> None:
    expected = sum(listed_before(make).values())
    world = today(make(Budget(requests=expected - 1)))
    buckets.listed.clear()
    outcome = world.run("object_listing", tags={**world.range_tags(), FIND_SHARDS_TAG: "true"})
    assert not outcome.success
    assert buckets.listed == []
    text = failure_text(outcome)
    first, _, _ = text.partition(" for ")
    assert first == (f"listing was not started: it is expected to take {expected} LIST requests")
    assert "estimated, prices of" in text
    assert (
        f"the budget is {expected - 1}; raise sources.src.budget.requests, or materialize fewer"
    ) in text
    assert "Traceback" not in text


def test_a_run_beyond_its_dollars_does_not_start(make: Make) -> None:
    expected = sum(listed_before(make).values())
    world = today(make(Budget(usd=0.000001)))
    text = failure_text(world.list_all())
    assert f"for {human_usd(expected * 0.000005)} (estimated" in text
    assert "the budget is 0.000001 USD; raise sources.src.budget.usd" in text


def test_a_run_within_its_budget_starts(make: Make) -> None:
    expected = sum(listed_before(make).values())
    world = today(make(Budget(requests=expected, usd=expected * 0.0000051)))
    assert world.list_all().success


def test_fewer_partitions_cost_less(make: Make) -> None:
    expected = listed_before(make)
    world = today(make(Budget(requests=expected["a/"])))
    assert not world.list_all().success
    assert world.run("object_listing", world.key("a/")).success


def test_on_the_first_day_nothing_is_known(make: Make) -> None:
    world = make(Budget(requests=1))
    world.discover()
    assert world.list_all().success


def test_a_new_shard_is_expected_to_cost_what_listed_its_keys_before(
    make: Make, buckets: Buckets
) -> None:
    expected = listed_before(make)
    world = today(make(Budget(requests=sum(expected.values()))))
    buckets.keys["memory"].add("new/1")
    world.discover()
    assert world.list_all().success  # the requests of the remainder count once
    alone = today(make(Budget(requests=expected[""] - 1)))
    assert f"take {expected['']} LIST" in failure_text(
        alone.run("object_listing", alone.key("new/"))
    )


def test_the_manifest_says_what_listing_cost(make: Make) -> None:
    world = make(Budget())
    world.discover()
    assert world.list_all().success
    (event,) = materializations(world.run("inventory_manifest", str(TODAY))).values()
    usd = metadata_of(event, "requests") * 0.000005
    assert metadata_of(event, "listing_usd") == pytest.approx(usd)
    assert metadata_of(event, "listing_cost").startswith(f"{human_usd(usd)} (estimated, prices of ")
