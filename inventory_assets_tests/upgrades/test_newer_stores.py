"""This version neither replaces nor removes what a newer one wrote, whatever runs."""

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import dagster as dg
import pytest

from inventory_assets.config import Shards
from inventory_assets.inventory.errors import OtherFormat
from inventory_assets.inventory.listing.source_record import SOURCE
from inventory_assets.inventory.retention.collector import execute, plan_collection
from inventory_assets.inventory.retention.policy import Retention
from inventory_assets.inventory.storage.layout import FileKind, parse_path, path_in_source
from inventory_assets_tests.assets.world import TODAY, Buckets, World
from inventory_assets_tests.upgrades.kept_stores import EVERY_KIND, KeptStore, kept_store
from inventory_assets_tests.upgrades.test_formats import TYPES

BY_DATE = ("inventory_manifest", "change_log", "prefix_usage", "hygiene_report", "storage_report")


def made_newer(kept: KeptStore, kinds: set[FileKind]) -> dict[str, bytes]:
    """Let a newer version have written the records of some kinds; these by key."""
    newer = {}
    for key, data in kept.content.items():
        parsed = parse_path(path_in_source(key))
        if parsed and parsed.kind in kinds and "/tombstones/" not in key:
            number = max(TYPES[parsed.kind].formats) + 1
            newer[key] = json.dumps({**json.loads(data), "format": number}).encode()
            kept.store.publish(key, newer[key])
    return newer


@pytest.fixture
def make(tmp_path: Path, buckets: Buckets) -> Iterator[Callable[[], tuple[KeptStore, World]]]:
    """Makes a source of the store with every kind of record, whose bucket has changed."""
    with dg.DagsterInstance.ephemeral() as instance:

        def made() -> tuple[KeptStore, World]:
            kept = kept_store(EVERY_KIND, tmp_path / "store")
            buckets.keys[kept.bucket] = {*kept.dates[kept.last]} - {"root"}
            record = SOURCE.read(kept.store, kept.layout("objects").source_record)
            assert record is not None
            fields = {
                "name": "objects",
                "bucket": kept.bucket,
                "endpoint_url": record.endpoint_url,
                "shards": Shards(depth=1),
            }
            world = World(tmp_path, instance, fields)
            world.set_day(kept.last)
            return kept, world

        yield made


def everything(world: World) -> list[bool]:
    """Run all assets for the date of the clock; whether each succeeded."""
    outcomes = [world.run("shards")]
    if not world.shard_keys:
        world.instance.add_dynamic_partitions(
            world.assets.partitions.shards_name, ["@remainder", "a/", "b/", "c/", "new/"]
        )
    outcomes += [world.list_all(), world.run("object_changes", tags=world.range_tags())]
    outcomes += [world.run(name, str(world.day)) for name in BY_DATE]
    return [outcome.success for outcome in outcomes]


def collect(kept: KeptStore, retention: Retention) -> None:
    """Collect, as often as it takes until a file is removed that no record names."""
    now = datetime.now(UTC)
    for age in (3, 6, 9):
        then = now + timedelta(days=age)
        plan = plan_collection(kept.store, kept.layout("objects"), retention, TODAY, then)
        execute(kept.store, plan, partial(_same, then))


def _same(moment: datetime) -> datetime:
    return moment


def test_the_runs_of_the_test_replace_records_that_this_version_wrote(
    make: Callable[[], tuple[KeptStore, World]],
) -> None:
    """So the other tests would find a run that does not look first."""
    kept, world = make()
    before = kept.content
    assert all(everything(world))
    after = kept.content
    parsed = {
        key: parse_path(path_in_source(key)) for key in before if after.get(key) != before[key]
    }
    kinds = {path.kind for path in parsed.values() if path}
    assert {
        FileKind.DISCOVERY,
        FileKind.SNAPSHOT,
        FileKind.SHARD_RUN,
        FileKind.CHANGES,
        FileKind.MANIFEST,
        FileKind.DATE_RUN,
        FileKind.CHANGE_LOG,
        FileKind.USAGE,
        FileKind.HYGIENE,
    } <= kinds


def test_in_a_store_of_a_newer_version_nothing_is_listed_merged_or_collected(
    make: Callable[[], tuple[KeptStore, World]],
) -> None:
    kept, world = make()
    made_newer(kept, set(TYPES))
    before = kept.content
    assert not any(everything(world))
    world.set_day(TODAY)
    assert not any(everything(world))
    for retention in (Retention(), Retention(keep_last=1)):
        with pytest.raises(OtherFormat, match="a newer version wrote it"):
            collect(kept, retention)
    assert kept.content == before


@pytest.mark.slow
@pytest.mark.parametrize("kind", TYPES, ids=lambda kind: kind.name)
def test_records_of_one_kind_of_a_newer_version_are_left(
    make: Callable[[], tuple[KeptStore, World]], kind: FileKind
) -> None:
    kept, world = make()
    newer = made_newer(kept, {kind})
    assert newer
    everything(world)
    world.set_day(TODAY)
    everything(world)
    with suppress(OtherFormat):
        collect(kept, Retention())
    after = kept.content
    assert {key: after.get(key) for key in newer} == newer
