"""A source with versions: past dates are materialized from versions."""

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import pytest

from inventory_assets.inventory.changes.change_log import read_change_log
from inventory_assets.inventory.manifest.manifest_merge import read_manifest
from inventory_assets.inventory.parts.current import read_current
from inventory_assets.scan.keyspace.key_range import KeyRange
from inventory_assets_tests.assets.world import (
    TODAY,
    YESTERDAY,
    World,
    check_results,
    failure_text,
    materializations,
    metadata_of,
    noon,
)
from inventory_assets_tests.fakes.versioned_moto import VersionedBucket, listing_versions_as_s3_does

THEN = TODAY - timedelta(days=3)
BEFORE = TODAY - timedelta(days=4)


@pytest.fixture(autouse=True)
def lists_as_s3() -> Iterator[None]:
    with listing_versions_as_s3_does():
        yield


@pytest.fixture
def versioned(make_world: Callable[..., World]) -> World:
    """A world of today, in whose bucket something was done on each of the last days."""
    world = make_world([], versions=True)
    bucket = VersionedBucket(world.source.bucket)
    for day, key, body in (
        (BEFORE, "a/1", b"1"),
        (BEFORE, "a/2", b"1"),
        (BEFORE, "root", b"1"),
        (THEN, "a/1", b"22"),
        (THEN, "a/2", None),
        (THEN, "b/1", b"333"),
        (TODAY - timedelta(days=1), "a/1", b"4444"),
        (TODAY - timedelta(days=1), "b/1", None),
        (TODAY - timedelta(days=1), "late", b"5"),
    ):
        at = datetime.combine(day, time(13), UTC)
        if body is None:
            bucket.delete(at, key)
        else:
            bucket.put(at, key, body)
    world.discover()
    return world


def materialize(world: World, day: date) -> None:
    """Everything of a date, while the clock shows today."""
    assert world.run("object_listing", tags=world.range_tags(day)).success
    assert world.run("object_changes", tags=world.range_tags(day)).success
    assert world.run("inventory_manifest", str(day)).success
    assert world.run("change_log", str(day)).success


def held(world: World, day: date) -> dict[str, int]:
    """The current objects of a date's inventory, with their sizes."""
    manifest = read_manifest(world.store, world.layout, day)
    assert manifest is not None
    everything = [KeyRange.of_prefix("")]
    batches = read_current(world.store, manifest.parts, everything, ["key", "size"])
    return {row["key"]: row["size"] for batch in batches for row in batch.to_pylist()}


def test_dates_that_are_over_are_materialized_as_they_were(versioned: World) -> None:
    for day in (BEFORE, THEN, TODAY):
        materialize(versioned, day)
    assert held(versioned, BEFORE) == {"a/1": 1, "a/2": 1, "root": 1}
    assert held(versioned, THEN) == {"a/1": 2, "b/1": 3, "root": 1}
    assert held(versioned, TODAY) == {"a/1": 4, "late": 1, "root": 1}
    log = read_change_log(versioned.store, versioned.layout, THEN)
    assert log is not None
    assert {change.value: count for change, count in log.counts.items() if count} == {
        "created": 1,
        "modified": 1,
        "deleted": 1,
    }


def test_dates_compared_before_their_manifests_are_compared_again(versioned: World) -> None:
    days = [BEFORE, THEN]
    for name in ("object_listing", "object_changes"):
        for day in days:
            assert versioned.run(name, tags=versioned.range_tags(day)).success
    for day in days:
        assert versioned.run("inventory_manifest", str(day)).success
    assert versioned.run("change_log", str(BEFORE)).success
    said = failure_text(versioned.run("change_log", str(THEN)))
    assert f"materialize object_changes for {THEN} and these shards" in said
    assert versioned.run("object_changes", tags=versioned.range_tags(THEN)).success
    assert versioned.run("change_log", str(THEN)).success
    log = read_change_log(versioned.store, versioned.layout, THEN)
    assert log is not None
    assert (log.baseline_day, sum(log.counts.values())) == (BEFORE, 3)


def test_a_date_listed_with_versions_drops_shards_that_were_listed_without(
    versioned: World, tmp_path: Path
) -> None:
    """`b/` has lost its partition since, so it cannot be listed with versions."""
    fields = {**versioned.source.model_dump(), "versions": False}
    before = World(tmp_path, versioned.instance, fields)
    before.set_time(noon(TODAY) - timedelta(hours=1))
    materialize(before, YESTERDAY)
    versioned.instance.delete_dynamic_partition(versioned.assets.partitions.shards_name, "b/")
    materialize(versioned, YESTERDAY)
    assert held(versioned, YESTERDAY) == {"a/1": 4, "late": 1, "root": 1}
    manifest = read_manifest(versioned.store, versioned.layout, YESTERDAY)
    assert manifest is not None
    assert [entry.shard.prefix for entry in manifest.shards] == ["", "a/"]
    assert manifest.reconstruction is not None
    assert manifest.reconstruction.shards == 2


def test_a_manifest_of_the_past_says_so_and_agrees_with_the_bucket(versioned: World) -> None:
    assert versioned.run("object_listing", tags=versioned.range_tags(THEN)).success
    outcome = versioned.run("inventory_manifest", str(THEN))
    event = materializations(outcome)[str(THEN)]
    assert metadata_of(event, "as_of") == f"{THEN}T23:59:59.999000+00:00"
    assert str(TODAY) in metadata_of(event, "observed")
    assert "deleted for good" in metadata_of(event, "unrecoverable")
    assert (metadata_of(event, "dagster/row_count"), metadata_of(event, "objects")) == (6, 3)
    checks = check_results(outcome)
    assert {name for name, _ in checks} == {
        "listing_complete",
        "shards_cover_source",
        "data_files_exist",
        "shards_equally_fresh",
        "sample_matches_bucket",
        "records_readable",
        "publish_gate",
        "listing_speed_steady",
    }
    assert all(check.passed for check in checks.values())


def test_a_manifest_of_today_says_nothing_of_the_past(versioned: World) -> None:
    assert versioned.list_all().success
    event = materializations(versioned.run("inventory_manifest", str(TODAY)))[str(TODAY)]
    assert "as_of" not in event.metadata
    assert metadata_of(event, "objects") == 3


def test_every_rule_holds_where_the_files_are_read_again(versioned: World) -> None:
    versioned.list_all()
    outcome = versioned.run_check("inventory_manifest", "listing_complete", str(TODAY))
    check = check_results(outcome)["listing_complete", str(TODAY)]
    assert check.passed
    assert check.description == f"{len(versioned.shard_keys)} shard(s)"


def test_a_store_that_lists_no_versions_is_detected(
    versioned: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from moto.s3.responses import S3Response

    monkeypatch.setattr(S3Response, "list_object_versions", S3Response.list_objects)
    outcome = versioned.list_all()
    assert "it lists no versions; set versions = false" in failure_text(outcome)
