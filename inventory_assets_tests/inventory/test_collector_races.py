"""Collections while runs publish, and collections that are killed."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from inventory_assets.inventory.changes.change_log import publish_change_log
from inventory_assets.inventory.changes.shard_changes import publish_changes
from inventory_assets.inventory.export.csv_inventory import publish_csv_inventory
from inventory_assets.inventory.manifest.manifest import Manifest
from inventory_assets.inventory.manifest.manifest_merge import merge, publish_manifest
from inventory_assets.inventory.manifest.snapshot import publish_snapshot, read_snapshots
from inventory_assets.inventory.retention.collector import GRACE, execute, plan_collection
from inventory_assets.inventory.retention.policy import Retention
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets.inventory.storage.store import Store
from inventory_assets.inventory.storage.tombstones import tombstone_key
from inventory_assets.inventory.usage.date_usage import publish_usage
from inventory_assets.scan.keyspace.shard import Shard
from inventory_assets_tests.external_servers import Endpoint
from inventory_assets_tests.inventory.collected_days import (
    DAYS,
    EVER,
    KEYS,
    LAST,
    NEXT_WEEK,
    publish_days,
    remove_published,
    write_checkpoint,
)
from inventory_assets_tests.inventory.histories import (
    Killed,
    all_keys,
    collect,
    collect_all,
    dangling,
    data_files,
    keys_of,
    killed_after,
    out_of_order,
    publish_day,
    snapshots_of,
    tombstone_keys,
)
from inventory_assets_tests.inventory.samples import LAYOUT, listed, parts_of
from inventory_assets_tests.inventory.stores import bucket_store


@pytest.fixture(scope="module", autouse=True)
def _published(roomy_store: LocalStore) -> Iterator[None]:
    """Days are published once, and copied for each test."""
    yield
    remove_published()
    assert roomy_store


# While runs publish


def test_a_scan_that_publishes_between_plan_and_removal_loses_nothing(store: LocalStore) -> None:
    publish_days(store, 2)
    plan = plan_collection(store, LAYOUT, LAST, NEXT_WEEK.date(), NEXT_WEEK)
    publish_day(store, DAYS[2], KEYS[0])  # the very parts of the date that goes
    execute(store, plan, lambda: NEXT_WEEK)
    collect_all(store, LAST, NEXT_WEEK + timedelta(hours=1))
    assert keys_of(store, DAYS[2]) == sorted(KEYS[0])


def test_a_part_that_is_about_to_be_removed_is_not_used_again(store: LocalStore) -> None:
    publish_days(store, 1)
    (garbage,) = parts_of(store, listed(["again"]))
    for later in (0, 1):
        collect(store, EVER, NEXT_WEEK + later * GRACE)
    now = NEXT_WEEK + 2 * GRACE
    plan = plan_collection(store, LAYOUT, EVER, now.date(), now)
    assert [file.key for file in plan.removable] == [garbage.key]
    (part,) = parts_of(store, listed(["again"]))  # by a run that lists just now
    execute(store, plan, lambda: now)
    assert store.size(garbage.key) is None
    assert (part.md5, part.key) == (garbage.md5, garbage.key.replace(".parquet", ".2.parquet"))
    assert store.size(part.key) == part.file_bytes


def test_the_tombstone_of_a_part_is_removed_when_the_part_is_recorded(store: LocalStore) -> None:
    publish_days(store, 1)
    running = snapshots_of(store, DAYS[1], {"new"})[0]
    collect(store, EVER, NEXT_WEEK)
    assert tombstone_keys(store) == [tombstone_key(running.parts[0].key)]
    publish_snapshot(store, LAYOUT, running)
    assert tombstone_keys(store) == []


class FindingStore(LocalStore):
    """A store in which a collection finds each data file as soon as it is published."""

    def publish_file(self, key: str, file: Path, digest: str | None = None) -> None:
        super().publish_file(key, file, digest)
        if "/data/" in key and "/tombstones/" not in key:
            self.publish(tombstone_key(key), b"")


def record_snapshot(store: Store, manifest: Manifest) -> Iterable[str]:
    snapshot = read_snapshots(store, LAYOUT, manifest.day)["a/"]
    publish_snapshot(store, LAYOUT, snapshot)
    return [part.key for part in snapshot.parts]


def record_changes(store: Store, manifest: Manifest) -> Iterable[str]:
    snapshot = read_snapshots(store, LAYOUT, manifest.day)["a/"]
    return [publish_changes(store, LAYOUT, snapshot, manifest, NEXT_WEEK).file]


def record_manifest(store: Store, manifest: Manifest) -> Iterable[str]:
    publish_manifest(store, LAYOUT, manifest)
    return [part.key for part in manifest.parts]


def record_change_log(store: Store, manifest: Manifest) -> Iterable[str]:
    return publish_change_log(store, LAYOUT, manifest, NEXT_WEEK).files


def record_usage(store: Store, manifest: Manifest) -> Iterable[str]:
    return [table.key for table in publish_usage(store, LAYOUT, manifest, NEXT_WEEK).tables]


def record_csv_inventory(store: Store, manifest: Manifest) -> Iterable[str]:
    return [file.key for file in publish_csv_inventory(store, LAYOUT, manifest)]


def record_checkpoint(store: Store, manifest: Manifest) -> Iterable[str]:
    write_checkpoint(store, manifest.day, manifest.parts)
    return [part.key for part in manifest.parts]


@pytest.mark.parametrize(
    "record",
    [
        record_snapshot,
        record_changes,
        record_manifest,
        record_change_log,
        record_usage,
        record_csv_inventory,
        record_checkpoint,
    ],
)
def test_every_record_removes_the_tombstones_of_its_files(
    store: LocalStore, record: Callable[[Store, Manifest], Iterable[str]]
) -> None:
    manifest = publish_day(store, DAYS[0], KEYS[0])
    for key in data_files(store):
        store.publish(tombstone_key(key), b"")
    keys = record(FindingStore(store.root), manifest)
    assert set(keys) <= data_files(store)
    assert not {tombstone_key(key) for key in keys} & set(tombstone_keys(store))


def test_a_record_published_during_a_collection_keeps_its_tombstones_removed(
    store: LocalStore,
) -> None:
    publish_days(store, 1)
    running = snapshots_of(store, DAYS[1], {"new"})[0]
    collect(store, EVER, NEXT_WEEK)
    now = NEXT_WEEK + GRACE
    plan = plan_collection(store, LAYOUT, EVER, now.date(), now)
    publish_snapshot(store, LAYOUT, running)
    execute(store, plan, lambda: now)
    assert tombstone_keys(store) == []


def test_replacing_a_record_removes_no_file_that_a_reader_of_the_old_one_uses(
    store: LocalStore,
) -> None:
    publish_days(store, 1)
    old = snapshots_of(store, DAYS[1], {"old"})
    collect(store, EVER, NEXT_WEEK)  # it finds their parts, which no record names yet
    for snapshot in old:
        publish_snapshot(store, LAYOUT, snapshot)
    late = NEXT_WEEK + 2 * GRACE
    manifest = merge(store, LAYOUT, "", read_snapshots(store, LAYOUT, DAYS[1]), late)
    for snapshot in snapshots_of(store, DAYS[1], {"other"}):
        publish_snapshot(store, LAYOUT, snapshot)
    for later in range(4):  # none of them can know of the merge
        collect(store, EVER, late + later * GRACE / 4)
    publish_manifest(store, LAYOUT, manifest)
    assert keys_of(store, DAYS[1]) == ["old"]


def test_a_scan_may_reuse_parts_of_a_baseline_that_expires_meanwhile(store: LocalStore) -> None:
    publish_days(store, 1)
    baseline = publish_day(store, DAYS[1], {"a/1", "b"})
    running = replace(
        snapshots_of(store, DAYS[2], ())[0], parts=baseline.shards[0].parts, shard=Shard("", ())
    )
    publish_day(store, DAYS[3], {"z"})
    for later in range(4):
        collect(store, LAST, NEXT_WEEK + later * GRACE / 4)
    assert keys_of(store, DAYS[1]) is None
    publish_snapshot(store, LAYOUT, running)
    collect_all(store, Retention(keep_days=60), NEXT_WEEK + GRACE)
    assert all(store.size(part.key) == part.file_bytes for part in running.parts)


def test_of_two_concurrent_collections_the_later_removes_no_new_file(
    store: LocalStore,
) -> None:
    publish_days(store, 1)
    parts_of(store, listed(["again"]))
    for later in (0, 1):
        collect(store, EVER, NEXT_WEEK + later * GRACE)
    now = NEXT_WEEK + 2 * GRACE
    slow = plan_collection(store, LAYOUT, EVER, now.date(), now)
    for minutes in (1, 2):
        collect(store, EVER, now + timedelta(minutes=minutes))
    (part,) = parts_of(store, listed(["again"]))
    execute(store, slow, lambda: now + timedelta(minutes=3))
    assert store.size(part.key) == part.file_bytes


def test_an_unreadable_tombstone_is_replaced_by_a_new_one(store: LocalStore) -> None:
    publish_days(store, 1)
    (part,) = parts_of(store, listed(["again"]))
    store.publish(tombstone_key(part.key), b"?")
    collect(store, EVER, NEXT_WEEK)
    collect(store, EVER, NEXT_WEEK + GRACE)
    assert store.size(part.key) is not None
    collect(store, EVER, NEXT_WEEK + 2 * GRACE)
    assert store.size(part.key) is None


# Killed in the middle


def killed_everywhere(make: Callable[[], Store], days: int, stages: Iterable[int]) -> int:
    """Kill collections after each of their operations; how often that was.

    At no moment anything dangles, nothing is there without what it was made of, and the collections
    that follow end as undisturbed ones.

    Args:
        make: Makes an empty store.
        days: How many days are published in it.
        stages: Which of the collections in a row is the one that is killed.
    """

    def begin() -> Store:
        store = make()
        publish_days(store, days)
        parts_of(store, listed(["left/over"]))
        return store

    undisturbed = begin()
    collect_all(undisturbed, LAST, NEXT_WEEK)
    kills = 0
    for stage in stages:
        store = begin()
        for earlier in range(stage):
            collect(store, LAST, NEXT_WEEK + earlier * GRACE)
        now = NEXT_WEEK + stage * GRACE
        while is_killed(store, now):
            kills += 1
            assert dangling(store, DAYS) == []
            assert [out_of_order(store, day) for day in DAYS] == [False] * len(DAYS)
        collect_all(store, LAST, now)
        assert all_keys(store) == all_keys(undisturbed)
        assert keys_of(store, DAYS[days - 1]) == sorted(KEYS[days - 1])
    return kills


def is_killed(store: Store, now: datetime) -> bool:
    """Whether a collection that is killed after its first operation has not done all."""
    plan = plan_collection(store, LAYOUT, LAST, now.date(), now)
    try:
        execute(killed_after(store, 1), plan, lambda: now)
    except Killed:
        return True
    return False


def test_a_collection_killed_after_any_operation_leaves_nothing_dangling(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    def make() -> Store:
        return LocalStore(tmp_path_factory.mktemp("killed"))

    assert killed_everywhere(make, 3, range(5)) > 50


@pytest.mark.slow
def test_a_collection_killed_on_a_bucket_leaves_nothing_dangling(moto: Endpoint) -> None:
    assert killed_everywhere(lambda: bucket_store(moto), 2, [0]) > 15
