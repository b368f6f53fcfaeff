"""`inventory_manifest`: a date's shards, merged."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster import AssetCheckEvaluation

from inventory_assets.defs.source.metadata_tables import PREVIEW_ROWS
from inventory_assets.defs.source.resources import SourceBucket
from inventory_assets.inventory.manifest.manifest_merge import read_manifest
from inventory_assets.s3.errors import AccessDenied
from inventory_assets_tests.assets.world import (
    REMAINDER,
    TODAY,
    YESTERDAY,
    Buckets,
    Outcome,
    World,
    check_results,
    data_versions,
    failure_text,
    materializations,
    metadata_of,
    table_of,
)
from inventory_assets_tests.fakes.raw_s3 import RawS3

DAY = str(TODAY)


def test_a_manifest_is_published_with_its_metadata_and_checks(
    make_world: Callable[..., World],
) -> None:
    world = make_world(["a/1", "a/2", "b/1", "root"])
    world.discover()
    world.list_all()
    outcome = world.run("inventory_manifest", DAY)
    manifest = read_manifest(world.store, world.layout, TODAY)
    assert manifest is not None
    assert manifest.rows == 4
    event = materializations(outcome)[DAY]
    assert metadata_of(event, "dagster/row_count") == 4
    assert data_versions(outcome) == {DAY: manifest.identity}
    document = json.loads(world.store.path(world.layout.s3_manifest(TODAY)).read_bytes())
    assert str(world.store.root / world.layout.s3_manifest(TODAY)) == metadata_of(event, "manifest")
    assert len(document["files"]) == 3
    names = {
        "listing_complete",
        "shards_cover_source",
        "data_files_exist",
        "shards_equally_fresh",
        "records_readable",
        "publish_gate",
        "sample_matches_bucket",
    }
    checks = check_results(outcome)
    assert checks.keys() == {(name, DAY) for name in names}
    assert all(check.passed for check in checks.values())


def test_the_preview_has_the_first_records_of_all_shards(make_world: Callable[..., World]) -> None:
    keys = [f"{number:02}/x" for number in range(PREVIEW_ROWS - 2)] + ["y/1", "y/2", "y/3"]
    world = make_world(keys)
    world.discover()
    world.list_all()
    event = materializations(world.run("inventory_manifest", DAY))[DAY]
    assert [row["key"] for row in table_of(event, "preview")] == keys[:PREVIEW_ROWS]
    assert re.fullmatch(r"[\d.]+ kB", metadata_of(event, "parquet_size"))


def test_a_bucket_without_objects_has_a_manifest(make_world: Callable[..., World]) -> None:
    world = make_world([])
    world.pass_day(TODAY)
    manifest = read_manifest(world.store, world.layout, TODAY)
    assert manifest is not None
    assert (manifest.rows, manifest.parts) == (0, ())
    assert world.shard_keys == [REMAINDER]


def test_a_date_without_listings_says_what_to_do(world: World) -> None:
    outcome = world.run("inventory_manifest", DAY)
    assert f"{DAY}: no shard of this date has been listed yet" in failure_text(outcome)
    assert "1 of 1" not in failure_text(outcome)  # there are no others, which were kept
    assert materializations(outcome) == {}


def test_a_manifest_of_equal_content_is_the_same_version(world: World) -> None:
    world.discover()
    world.list_all()
    first = world.run("inventory_manifest", DAY)
    world.list_all()
    assert data_versions(first) == data_versions(world.run("inventory_manifest", DAY)) != {}


def test_a_range_of_dates_publishes_those_that_are_complete(world: World) -> None:
    world.discover()
    world.list_all()
    tags = {
        "dagster/asset_partition_range_start": str(YESTERDAY),
        "dagster/asset_partition_range_end": DAY,
    }
    outcome = world.run("inventory_manifest", tags=tags)
    assert f"{YESTERDAY}: no shard of this date" in failure_text(outcome)
    assert list(materializations(outcome)) == [DAY]


def test_a_shard_found_after_the_remainder_was_listed_neither_doubles_nor_loses_a_key(
    world: World, buckets: Buckets
) -> None:
    world.discover()
    buckets.keys["memory"].add("new/1")
    world.list_all()
    world.discover()
    assert world.run("object_listing", world.key("new/")).success
    assert world.run("inventory_manifest", DAY).success
    manifest = read_manifest(world.store, world.layout, TODAY)
    assert manifest is not None
    assert {entry.shard.prefix: entry.rows for entry in manifest.shards} == {
        "": 1,
        "a/": 2,
        "b/": 1,
        "c/": 1,
        "new/": 1,
    }


def test_a_file_that_vanished_later_is_found_by_the_check_on_its_own(world: World) -> None:
    world.pass_day(TODAY)
    manifest = read_manifest(world.store, world.layout, TODAY)
    assert manifest is not None
    world.store.path(manifest.parts[0].key).unlink()
    outcome = world.run_check("inventory_manifest", "data_files_exist", DAY)
    assert not check_results(outcome)["data_files_exist", DAY].passed


def sample_of(outcome: Outcome) -> AssetCheckEvaluation:
    return check_results(outcome)["sample_matches_bucket", DAY]


def test_a_sample_is_listed_again_and_agrees(world: World) -> None:
    world.discover()
    world.list_all()
    check = sample_of(world.run("inventory_manifest", DAY))
    assert (check.passed, check.blocking) == (True, False)
    values: dict[str, Any] = {name: value.value for name, value in check.metadata.items()}
    assert (values["records"], values["missing"], values["gone"]) == (5, 0, 0)
    # The end of the whole range, and of that of one prefix, is confirmed by a request each.
    assert (values["ranges"], values["prefixes"], values["requests"]) == (2, 0, 4)
    assert (values["asked_again"], values["notes"]) == (0, "none")


def test_a_key_older_than_the_listing_that_is_not_in_it_is_found(
    world: World, buckets: Buckets
) -> None:
    world.pass_day(TODAY)
    buckets.keys["memory"] |= {"b/lost\n"}
    buckets.keys["memory"] -= {"c/1"}
    outcome = world.run_check("inventory_manifest", "sample_matches_bucket", DAY)
    assert outcome.success
    check = sample_of(outcome)
    assert (check.passed, check.description) == (False, r"missing: 'b/lost\n'")
    assert table_of(check, "differences") == [
        {"finding": "gone", "key": "c/1"},
        {"finding": "missing", "key": r"b/lost\n"},
    ]


def test_a_failed_verification_does_not_block_the_manifest(world: World, buckets: Buckets) -> None:
    world.discover()
    world.list_all()
    buckets.failing[""] = AccessDenied("bucket 'x' at y: listing is not allowed")
    outcome = world.run("inventory_manifest", DAY)
    assert outcome.success
    assert sample_of(outcome).description == "bucket 'x' at y: listing is not allowed"
    assert read_manifest(world.store, world.layout, TODAY) is not None


def test_another_check_on_its_own_sends_no_request_to_the_bucket(
    world: World, buckets: Buckets
) -> None:
    world.pass_day(TODAY)
    buckets.listed.clear()
    world.run_check("inventory_manifest", "data_files_exist", DAY)
    assert buckets.listed == []


def test_an_emptied_bucket_fails_the_check_and_holds_no_manifest_back(
    world: World, buckets: Buckets
) -> None:
    world.pass_day(TODAY)
    buckets.keys["memory"] -= buckets.keys["memory"]
    outcome = world.run_check("inventory_manifest", "sample_matches_bucket", DAY)
    assert outcome.success
    check = sample_of(outcome)
    assert (check.passed, check.blocking) == (False, False)
    assert "5 of 5 sampled records are gone: is this the right bucket" in str(check.description)


def test_a_store_in_directory_order_is_sampled_by_prefixes(
    tmp_path: Path, world: World, buckets: Buckets
) -> None:
    buckets.keys["folders"] = {"a/1", "b"}
    source = {"bucket": "folders", "key_order": "directory"}
    folders = World(tmp_path / "folders", world.instance, source)
    folders.pass_day(TODAY)
    buckets.keys["folders"] |= {"c/lost"}
    check = sample_of(folders.run_check("inventory_manifest", "sample_matches_bucket", DAY))
    assert (check.passed, check.description) == (False, "missing: 'c/lost'")
    values: dict[str, Any] = {name: value.value for name, value in check.metadata.items()}
    assert (values["ranges"], values["prefixes"], values["records"]) == (0, 1, 2)


def test_records_that_could_not_be_decoded_are_warned_about(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = [f"a/{number}".encode() for number in range(5)]
    monkeypatch.setattr(SourceBucket, "lister", lambda _bucket, _now: RawS3(keys, keys[:2]))
    world.instance.add_dynamic_partitions(world.assets.partitions.shards_name, [REMAINDER, "a/"])
    assert world.list_all().success
    outcome = world.run("inventory_manifest", DAY)
    assert outcome.success
    check = check_results(outcome)["records_readable", DAY]
    assert not check.passed
    assert check.severity == dg.AssetCheckSeverity.WARN
    assert check.description == "2 record(s) could not be decoded and are in no part"
    assert [row["key"] for row in table_of(check, "records")] == ["a/0", "a/1"]


AUTOMATIC = {"dagster/partition": DAY, "dagster/from_automation_condition": "true"}


def stop_listing_at(world: World, buckets: Buckets, prefix: str) -> None:
    """Terminate the listing of the day while it lists a shard."""
    world.discover()
    buckets.failing[prefix] = KeyboardInterrupt()
    outcome = world.list_all()
    del buckets.failing[prefix]
    run = world.instance.get_run_by_id(outcome.run_id)
    assert run
    world.instance.report_run_canceled(run)


def test_automation_makes_no_manifest_of_a_listing_that_was_terminated(
    world: World, buckets: Buckets
) -> None:
    """Not a red one either: the user who terminated the listing knows that it is incomplete."""
    stop_listing_at(world, buckets, "b/")
    outcome = world.run("inventory_manifest", tags=AUTOMATIC)
    assert outcome.success
    assert materializations(outcome) == {}
    said = [entry.user_message for entry in world.instance.all_logs(outcome.run_id)]
    assert sum("its listing was terminated" in sentence for sentence in said) == 1
    assert not world.run("inventory_manifest", DAY).success, "a user who asks for it is told"


def test_automation_reports_an_incomplete_date_whose_listing_failed_after_all(
    world: World, buckets: Buckets
) -> None:
    stop_listing_at(world, buckets, "b/")
    buckets.failing["b/"] = AccessDenied("bucket 'x' at y: listing is not allowed")
    assert not world.list_all().success
    outcome = world.run("inventory_manifest", tags=AUTOMATIC)
    assert not outcome.success
    assert "'b/'" in failure_text(outcome)
