"""Everything that a date has agrees with the versions of the bucket, however the source changes."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from random import Random
from typing import Any

import polars as pl
import pytest
from moto.s3.models import FakeDeleteMarker

from inventory_assets.config import Exports, Hygiene, Metadata, Shards
from inventory_assets.inventory.hygiene.findings import HIDING_NOTHING, NONCURRENT
from inventory_assets.inventory.hygiene.survey import read_report
from inventory_assets.inventory.query.dataset import Dataset
from inventory_assets_tests.assets.world import (
    TODAY,
    YESTERDAY,
    World,
    check_results,
    failure_text,
    noon,
)
from inventory_assets_tests.fakes.versioned_moto import (
    VersionedBucket,
    backend,
    listing_versions_as_s3_does,
)

THEN = TODAY - timedelta(days=3)
KEYS = ["a", "a/1/x", "a/1/y z+%", "a/2/é", "b/1", "b/2/&<>", "c/🦄", "root", "~"]

BY_SHARD = ("object_listing", "object_changes", "object_metadata")
ASSETS = (
    "object_listing",
    "inventory_manifest",
    *BY_SHARD[1:],
    "change_log",
    "prefix_usage",
    "hygiene_report",
    "inventory_exports",
)
EXPORTED = "jsonl"

pytestmark = pytest.mark.filterwarnings("ignore:Iceberg scan planning with the polars_iceberg")


@pytest.fixture(autouse=True)
def lists_as_s3() -> Iterator[None]:
    with listing_versions_as_s3_does():
        yield


@dataclass(frozen=True, slots=True)
class Row:
    """A version or delete marker; a delete marker has no size."""

    key: str
    version_id: str
    is_latest: bool
    size: int | None

    @property
    def state(self) -> str:
        """As in the usage of a date."""
        if self.size is None:
            return "delete_marker"
        return "current" if self.is_latest else "noncurrent"


def rows_of(bucket: str, day: date) -> list[Row]:
    """All versions that a date has: those of its end, or of now."""
    end = datetime.combine(day + timedelta(days=1), time())
    keys, found = backend().get_bucket(bucket).keys, list[Row]()
    for key in sorted(keys):
        there = [each for each in reversed(keys.getlist(key)) if each.last_modified < end]
        for number, each in enumerate(there):
            size = None if isinstance(each, FakeDeleteMarker) else each.size
            found.append(Row(key, each.version_id, number == 0, size))
    return found


@pytest.fixture
def world(make_world: Callable[..., World]) -> World:
    """A source whose bucket has changed on each of the last days."""
    world = make_world(
        [],
        versions=True,
        shards=Shards(depth=0),
        metadata=Metadata(),
        hygiene=Hygiene(duplicates=True),
        exports=Exports(csv_inventory=True, files=(EXPORTED,), metadata=True),
    )
    bucket, chances = VersionedBucket(world.source.bucket), Random(5)  # noqa: S311
    for day in (THEN - timedelta(days=1), THEN, YESTERDAY):
        for hour, key in enumerate(chances.choices(KEYS, k=20)):
            at = datetime.combine(day, time(hour), UTC)
            if chances.random() < 0.3:
                bucket.delete(at, key)
            else:
                bucket.put(at, key, b"x" * chances.randrange(9))
    return world


def changed(world: World, folder: Path, hours: int, **fields: Any) -> World:
    """The same source some hours later, with other fields, and the shards that it finds then."""
    world = World(folder, world.instance, {**world.source.model_dump(), **fields})
    world.set_time(noon(TODAY) + timedelta(hours=hours))
    world.discover()
    return world


def make(world: World, day: date) -> Dataset:
    """Everything of a date, all of which succeeds, and whose checks pass."""
    for name in ASSETS:
        tags = world.range_tags(day) if name in BY_SHARD else None
        outcome = world.run(name, None if tags else str(day), tags)
        assert outcome.success, (name, failure_text(outcome))
        checks = check_results(outcome).items()
        failed = {key: check.description for key, check in checks if not check.passed}
        assert failed == {}
    return Dataset.of_date(world.store, world.layout, day)


def check(world: World, day: date) -> None:
    """A date with versions, with all that is made of it."""
    found, expected = make(world, day), rows_of(world.source.bucket, day)
    rows = found.scan().select("key", "version_id", "is_latest", "size").collect().rows()
    assert [Row(*row) for row in rows] == expected
    objects = [row for row in expected if row.size is not None]

    usage = found.usage().filter(pl.col("prefix") == "").group_by("state")
    totals = usage.agg(pl.sum("objects"), pl.sum("bytes")).collect().rows()
    counts, sizes = Counter(row.state for row in expected), Counter[str]()
    for row in expected:
        sizes[row.state] += row.size or 0
    assert sorted(totals) == sorted((state, counts[state], sizes[state]) for state in counts)

    metadata = found.metadata().collect()
    ids = [(row.key, row.version_id) for row in objects]
    assert metadata.select("key", "version_id").rows() == ids
    assert metadata["error"].null_count() == len(ids)

    report = read_report(world.store, world.layout, day)
    assert report is not None
    findings = {each.name: each for each in report.findings}
    assert report.objects == len(objects)
    assert findings[NONCURRENT].objects == counts["noncurrent"]
    assert findings[HIDING_NOTHING].objects == hiding_nothing(expected)

    text = (world.store.read(world.layout.export(day, EXPORTED)) or b"").decode()
    exported = [json.loads(line) for line in text.splitlines()]
    assert [(row["key"], row["version_id"], row.get("size")) for row in exported] == [
        (row.key, row.version_id, row.size) for row in expected
    ]
    assert [row["content_type"] is None for row in exported] == [
        row.size is None for row in expected
    ]


def hiding_nothing(rows: list[Row]) -> int:
    """The delete markers after which no version of their key follows."""
    return sum(
        row.size is None
        and not any(each.key == row.key and each.size is not None for each in rows[number:])
        for number, row in enumerate(rows)
    )


def test_everything_of_a_date_agrees_with_the_bucket_however_the_source_changes(
    world: World, tmp_path: Path
) -> None:
    world.discover()
    check(world, THEN)
    plain = changed(world, tmp_path, hours=1, versions=False, shards=Shards(depth=1))
    current = [row for row in rows_of(world.source.bucket, YESTERDAY) if row.state == "current"]
    found = make(plain, YESTERDAY).scan().select("key", "size").collect().rows()
    assert found == [(row.key, row.size) for row in current]
    deeper = changed(plain, tmp_path, hours=2, versions=True, shards=Shards(depth=2))
    check(deeper, TODAY)
    assert {"a/", "a/1/"} <= {*deeper.shard_keys}
    deeper.instance.delete_dynamic_partition(deeper.assets.partitions.shards_name, "a/")
    VersionedBucket(world.source.bucket).put(noon(TODAY), "a/new", b"1")
    deeper.set_time(noon(TODAY) + timedelta(hours=3))
    for day in (YESTERDAY, TODAY, THEN):
        check(deeper, day)
