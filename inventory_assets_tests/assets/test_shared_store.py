"""Sources of several projects over one store."""

from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from inventory_assets.inventory.errors import OtherSource
from inventory_assets.inventory.listing.source_record import SourceRecord, claim_source
from inventory_assets.inventory.storage.layout import Layout
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets_tests.assets.world import TODAY, Buckets, Outcome, World, materializations

OTHERS = {"prefix": "a/"}, {"endpoint_url": "http://127.0.0.1:9"}


def failure_of(outcome: Outcome) -> str:
    assert not outcome.success
    (event,) = [event for event in outcome.events if event.is_step_failure]
    failure = event.step_failure_data.user_failure_data
    assert failure is not None, "it is a sentence without a trace"
    return str(failure.description)


@pytest.fixture
def listed(world: World) -> World:
    """A project that has listed its source."""
    world.pass_day(TODAY)
    return world


@pytest.mark.parametrize("fields", OTHERS)
@pytest.mark.parametrize("asset", ["shards", "object_listing"])
def test_another_bucket_or_prefix_in_the_same_folder_is_refused(
    listed: World, tmp_path: Path, fields: dict[str, Any], asset: str
) -> None:
    before = {file.key for file in listed.store.files("")}
    with dg.DagsterInstance.ephemeral() as instance:
        other = World(tmp_path, instance, {"bucket": "memory", **fields})
        instance.add_dynamic_partitions(other.assets.partitions.shards_name, ["@remainder"])
        partition = other.key("@remainder") if asset == "object_listing" else None
        sentence = failure_of(other.run(asset, partition))
    assert sentence.startswith(
        f"{listed.store.where(listed.layout.base)} holds the inventories of s3://memory/ at AWS, "
        "and this source is s3://memory/"
    )
    assert "give this source another name, or its project another store" in sentence
    remedy = (
        "to start afresh" if "prefix" in fields else "if it is the same bucket at a new address"
    )
    assert f"; or, {remedy}, remove " in sentence
    assert {file.key for file in listed.store.files("")} == before


def test_the_same_bucket_at_a_new_address_goes_on_without_the_record(
    listed: World, tmp_path: Path
) -> None:
    other = World(
        tmp_path, listed.instance, {"bucket": "memory", "endpoint_url": "http://127.0.0.1:9"}
    )
    assert not other.run("shards").success
    other.store.remove_key(other.layout.source_record)
    assert other.run("shards").success
    assert other.list_all().success


def test_a_bucket_that_was_not_reached_gets_no_folder(
    world: World, tmp_path: Path, buckets: Buckets
) -> None:
    """So a wrong address can be corrected."""
    away = World(
        tmp_path,
        world.instance,
        {"bucket": "away", "endpoint_url": "http://127.0.0.1:9", "max_outage_seconds": 0},
    )
    assert not away.run("shards").success
    buckets.keys["away"] = {"a/1"}
    right = World(tmp_path, world.instance, {"bucket": "away"})
    assert right.run("shards").success


def test_sources_of_other_names_or_buckets_share_a_store(
    listed: World, tmp_path: Path, buckets: Buckets
) -> None:
    buckets.keys["other"] = {"b/1"}
    for fields in ({"bucket": "other"}, {"bucket": "memory", "name": "second", "prefix": "a/"}):
        other = World(tmp_path, listed.instance, fields)
        other.forget_shards()
        assert other.run("shards").success
        assert materializations(other.list_all())


def test_of_two_first_listings_one_gets_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, layout = LocalStore(tmp_path), Layout("bucket", "source")
    first, second = (SourceRecord("bucket", prefix, None) for prefix in ("a/", "b/"))
    read = LocalStore.read

    def read_before_the_other(opened: LocalStore, key: str) -> bytes | None:
        monkeypatch.setattr(LocalStore, "read", read)
        found = opened.read(key)
        claim_source(opened, layout, first)
        return found

    monkeypatch.setattr(LocalStore, "read", read_before_the_other)
    with pytest.raises(OtherSource, match="holds the inventories of s3://bucket/a/ at AWS"):
        claim_source(store, layout, second)
    claim_source(store, layout, first)
