"""Stores that former versions wrote are read, and continued; those from before are refused."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path

import boto3
import dagster as dg
import polars as pl
import pytest
from botocore.config import Config as BotoConfig

from inventory_assets.config import Retention, Shards
from inventory_assets.defs.assets.shards import add_remainder
from inventory_assets.inventory.errors import OtherFormat
from inventory_assets.inventory.query.dataset import Dataset
from inventory_assets.inventory.retention import policy
from inventory_assets.inventory.retention.collector import plan_collection
from inventory_assets.inventory.storage.layout import FileKind, parse_path, path_in_source
from inventory_assets.s3.bucket_config import BucketConfig
from inventory_assets_tests.assets.world import TODAY, World, failure_text
from inventory_assets_tests.upgrades.kept_stores import (
    EVERY_KIND,
    READ,
    REFUSED,
    KeptStore,
    kept_store,
)
from inventory_assets_tests.upgrades.test_formats import TYPES

UNNUMBERED_KINDS = {FileKind.S3_MANIFEST}


@pytest.fixture(params=READ)
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> KeptStore:
    return kept_store(request.param, tmp_path / "store")


def test_the_dates_are_read_as_the_bucket_was(kept: KeptStore) -> None:
    for source in kept.sources:
        for day, keys in kept.dates.items():
            dataset = Dataset.of_date(kept.store, kept.layout(source), day)
            frame = (
                dataset.scan().filter(pl.col("is_latest").fill_null(True))
                if ("is_latest" in dataset.scan().collect_schema())
                else dataset.scan()
            )
            if "is_delete_marker" in frame.collect_schema():
                frame = frame.filter(~pl.col("is_delete_marker"))
            assert frame.select("key").collect()["key"].to_list() == keys, (source, day)


def test_the_changes_are_those_between_the_dates(kept: KeptStore) -> None:
    for source in kept.sources:
        dataset = Dataset.of_date(kept.store, kept.layout(source), kept.last)
        found = dataset.changes(kept.last).collect()
        told = dict(zip(found["key"].to_list(), found["change"].to_list(), strict=True))
        assert told == kept.changes, source


def records(kept: KeptStore) -> dict[str, FileKind]:
    """The records of a store, by key."""
    parsed = {key: parse_path(path_in_source(key)) for key in kept.content}
    return {key: path.kind for key, path in parsed.items() if path and path.kind in TYPES}


def test_each_record_is_read(kept: KeptStore) -> None:
    found = records(kept)
    for key, kind in found.items():
        assert TYPES[kind].read(kept.store, key) is not None
    assert {FileKind.MANIFEST, FileKind.SNAPSHOT, FileKind.CHANGE_LOG} <= {*found.values()}


def test_one_store_has_every_kind_of_record(tmp_path: Path) -> None:
    """A kind that is added belongs to a store that is kept, too."""
    found = {*records(kept_store(EVERY_KIND, tmp_path / "store")).values()}
    assert TYPES.keys() - found == set()


def test_collecting_removes_nothing_that_is_needed(kept: KeptStore) -> None:
    for source in kept.sources:
        plan = plan_collection(
            kept.store, kept.layout(source), policy.Retention(), TODAY, datetime.now(UTC)
        )
        assert plan.removed == ()


@pytest.fixture
def make_continued(
    tmp_path: Path,
    moto_bucket: Callable[[Iterable[str]], BucketConfig],
    no_aws_environment: None,  # noqa: ARG001
    monkeypatch: pytest.MonkeyPatch,
) -> Iterable[Callable[[str], tuple[KeptStore, World]]]:
    """Makes the source of a kept store, whose bucket has lost a key since."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "any")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "any")
    with dg.DagsterInstance.ephemeral() as instance:

        def make(name: str) -> tuple[KeptStore, World]:
            kept = kept_store(name, tmp_path / "store")
            endpoint_url = str(moto_bucket([]).endpoint_url)
            put_content(endpoint_url, kept.bucket)
            layout = kept.layout("objects")
            # The bucket has another address now (docs/changing-a-source.md).
            kept.store.remove_key(layout.source_record)
            fields = {
                "name": "objects",
                "bucket": kept.bucket,
                "endpoint_url": endpoint_url,
                "addressing_style": "path",
                "shards": Shards(depth=1),
                "retention": Retention(keep_last=1),
            }
            return kept, World(tmp_path, instance, fields)

        yield make


def put_content(endpoint_url: str, bucket: str) -> None:
    from tools.write_store import AFTER

    client = boto3.client(
        "s3", endpoint_url=endpoint_url, config=BotoConfig(s3={"addressing_style": "path"})
    )
    client.create_bucket(Bucket=bucket)
    for key, body in AFTER.items():
        if key != "zz":
            client.put_object(Bucket=bucket, Key=key, Body=body)


@pytest.mark.parametrize("name", READ)
def test_the_next_date_is_compared_with_the_last(
    make_continued: Callable[[str], tuple[KeptStore, World]], name: str
) -> None:
    kept, world = make_continued(name)
    world.pass_day(TODAY)
    found = Dataset.of_date(world.store, world.layout, TODAY).changes(TODAY).collect()
    told = dict(zip(found["key"].to_list(), found["change"].to_list(), strict=True))
    # Each object was put again, with the same content.
    touched = dict.fromkeys({*kept.dates[kept.last]} - {"zz"}, "touched")
    assert {key: what for key, what in told.items() if what != "touched"} == {"zz": "deleted"}
    assert told.keys() <= touched.keys() | {"zz"}
    for asset in ("prefix_usage", "hygiene_report", "storage_report"):
        outcome = world.run(asset, str(TODAY))
        assert outcome.success, failure_text(outcome)


@pytest.mark.parametrize("name", REFUSED)
def test_a_store_from_before_the_first_release_is_refused_and_left(
    make_continued: Callable[[str], tuple[KeptStore, World]], name: str
) -> None:
    kept, world = make_continued(name)
    world.set_day(TODAY)
    before = kept.content
    add_remainder(world.assets, world.instance)
    for outcome in (world.run("shards"), world.list_all()):
        assert not outcome.success
        sentence = failure_text(outcome)
        assert "has format 1, and this version of inventory-assets reads 3 and 4" in sentence
        assert "move the folder of the source out of the store, and list again" in sentence
    with pytest.raises(OtherFormat, match="has format 1"):
        Dataset.of_date(kept.store, world.layout, kept.last)
    with pytest.raises(OtherFormat, match="has format 1"):
        plan_collection(
            kept.store, world.layout, policy.Retention(keep_last=1), TODAY, datetime.now(UTC)
        )
    after = kept.content
    added = {world.layout.source_record, world.layout.discovery}
    assert {key: after[key] for key in after if key not in added} == {
        key: before[key] for key in before if key not in added
    }
