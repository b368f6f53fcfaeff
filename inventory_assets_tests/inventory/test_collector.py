import shutil
import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import pytest

from inventory_assets.inventory.changes.change_log import publish_change_log
from inventory_assets.inventory.changes.shard_changes import publish_changes
from inventory_assets.inventory.errors import CorruptRecord
from inventory_assets.inventory.export.csv_inventory import publish_csv_inventory
from inventory_assets.inventory.listing.checkpoints import CheckpointLog
from inventory_assets.inventory.manifest.manifest import Manifest
from inventory_assets.inventory.manifest.manifest_merge import merge, publish_manifest
from inventory_assets.inventory.manifest.snapshot import publish_snapshot, read_snapshots
from inventory_assets.inventory.parts.part import Part
from inventory_assets.inventory.retention import collector
from inventory_assets.inventory.retention.collector import GRACE, execute, plan_collection
from inventory_assets.inventory.retention.policy import Retention
from inventory_assets.inventory.storage.store import LocalStore, Store
from inventory_assets.inventory.storage.tombstones import tombstone_key
from inventory_assets.s3.list_client import RequestStats
from inventory_assets.scan.keyspace.key_range import KeyRange
from inventory_assets.scan.keyspace.shard import Shard
from inventory_assets_tests.external_servers import Endpoint
from inventory_assets_tests.inventory.histories import (
    Killed,
    all_keys,
    collect,
    collect_all,
    dangling,
    data_files,
    day_after,
    keys_of,
    killed_after,
    marks,
    named,
    noon,
    out_of_order,
    publish_day,
    snapshots_of,
)
from inventory_assets_tests.inventory.samples import LAYOUT, listed, parts_of
from inventory_assets_tests.inventory.stores import bucket_store

DAYS = [day_after(age) for age in range(4)]
KEYS = [{"a/1", "b"}, {"a/1", "a/2", "b"}, {"a/1", "a/2", "b", "c"}, {"a/1", "c"}]
LAST = Retention(keep_last=1)
EVER = Retention()
NEXT_WEEK = noon(day_after(10))


@pytest.fixture(scope="module", autouse=True)
def _published(roomy_store: LocalStore) -> Iterator[None]:
    """Days are published once, and copied for each test."""
    yield
    for count in range(len(DAYS)):
        shutil.rmtree(published(count + 1), ignore_errors=True)
    published.cache_clear()
    assert roomy_store


@cache
def published(count: int) -> Path:
    """A store's folder with so many days."""
    store = LocalStore(Path(mkdtemp(prefix="days-")))
    for day, keys in zip(DAYS[:count], KEYS, strict=False):
        publish_day(store, day, keys)
    return store.root


def publish_days(store: Store, count: int = 4) -> None:
    if isinstance(store, LocalStore):
        shutil.copytree(published(count), store.root, dirs_exist_ok=True)
        return
    for day, keys in zip(DAYS[:count], KEYS, strict=False):
        publish_day(store, day, keys)


def journal_of(store: Store, day: date, now: Callable[[], datetime]) -> CheckpointLog:
    return CheckpointLog(store, LAYOUT.checkpoints(day), "stem", "identity", now)


def note(store: Store, day: date, parts: tuple[Part, ...]) -> None:
    """Let a checkpoint of a listing say that parts of it are safe."""
    journal = journal_of(store, day, lambda: noon(day))
    journal.record_completed(KeyRange("", "zz"), parts, RequestStats())
    journal.flush(RequestStats())


# Which dates go, and what with them


def test_a_date_that_goes_leaves_nothing_and_those_that_stay_have_all_their_records(
    store: LocalStore,
) -> None:
    publish_days(store)
    collect_all(store, Retention(keep_last=2), NEXT_WEEK)
    assert [keys_of(store, day) for day in DAYS[:2]] == [None, None]
    assert [keys_of(store, day) for day in DAYS[2:]] == [sorted(keys) for keys in KEYS[2:]]
    assert not [key for key in all_keys(store) if any(str(day) in key for day in DAYS[:2])]
    assert data_files(store) == named(store)
    assert marks(store) == []


def test_a_date_that_goes_leaves_no_empty_folder(store: LocalStore) -> None:
    publish_days(store)
    collect(store, LAST, NEXT_WEEK)
    for folder in (LAYOUT.base, LAYOUT.csv.base, f"{LAYOUT.base}/snapshots"):
        assert not [name for name in store.list_names(folder) if str(DAYS[0]) in name]


def test_where_no_retention_is_configured_every_date_stays(store: LocalStore) -> None:
    publish_days(store)
    before = all_keys(store)
    collect_all(store, EVER, NEXT_WEEK)
    assert all_keys(store) == before


def test_files_of_other_kinds_and_other_sources_are_left_alone(store: LocalStore) -> None:
    publish_days(store, 2)
    others = ["discovery.json", "prefixes/long.json", "notes/dt=2026-05-05/mine", "data.txt"]
    keys = [*(f"{LAYOUT.base}/{name}" for name in others), "bucket/other/data/x.parquet"]
    for key in keys:
        store.publish(key, b"mine")
    collect_all(store, LAST, NEXT_WEEK)
    assert [store.read(key) for key in keys] == [b"mine"] * len(keys)


def test_a_date_that_is_listed_again_stays_with_its_baseline(store: LocalStore) -> None:
    publish_days(store)
    for snapshot in snapshots_of(store, DAYS[1], {"a/9"}):
        publish_snapshot(store, LAYOUT, replace(snapshot, finished_at=NEXT_WEEK))
    plan = plan_collection(store, LAYOUT, LAST, NEXT_WEEK.date(), NEXT_WEEK + timedelta(hours=1))
    assert plan.kept == (DAYS[0], DAYS[1], DAYS[3])


# What is told


def test_a_plan_changes_nothing_and_tells_what_then_goes(store: LocalStore) -> None:
    publish_days(store)
    before = {key: store.read(key) for key in all_keys(store)}
    plan = plan_collection(store, LAYOUT, LAST, NEXT_WEEK.date(), NEXT_WEEK)
    assert {key: store.read(key) for key in all_keys(store)} == before
    assert [each.day for each in plan.expired] == DAYS[:3]
    execute(store, plan, lambda: NEXT_WEEK)
    gone = before.keys() - set(all_keys(store))
    assert gone == {file.key for file in plan.removed}
    assert plan.bytes == sum(len(before[key] or b"") for key in gone)
    assert plan.needed + len(plan.waiting) == len(data_files(store))


def test_what_nothing_needs_is_removed_after_it_was_found_and_found_again(
    store: LocalStore,
) -> None:
    publish_days(store, 1)
    (part,) = parts_of(store, listed(["left/over"]))
    seen = []
    for later in range(6):
        plan = collect(store, EVER, NEXT_WEEK + later * GRACE / 2)
        seen.append((len(plan.waiting), len(plan.removable)))
    assert seen == [(1, 0), (1, 0), (1, 0), (1, 0), (0, 1), (0, 0)]
    assert store.size(part.key) is None


# What cannot be read

RECORDS = {
    "inventory.json": LAYOUT.dated(DAYS[0], "inventory.json"),
    "manifest of S3 Inventory": LAYOUT.dated(DAYS[0], "manifest.json"),
    "snapshot": LAYOUT.snapshot(DAYS[0], "a/"),
    "record of changes": LAYOUT.changes(DAYS[0], "a/"),
    "change log": LAYOUT.change_log(DAYS[0]),
    "list of data files": LAYOUT.symlink(DAYS[0]),
    "checkpoint of an unfinished listing": f"{LAYOUT.checkpoints(DAYS[0])}/x.y-0.json",
}


@pytest.mark.parametrize(
    ("kind", "damage"),
    [
        *((kind, b"\xff") for kind in RECORDS),
        # Any text is a list.
        *((kind, b"{}") for kind in RECORDS if kind != "list of data files"),
        ("snapshot", b""),
    ],
)
def test_nothing_is_removed_while_a_record_cannot_be_read(
    store: LocalStore, kind: str, damage: bytes
) -> None:
    publish_days(store, 2)
    store.publish(RECORDS[kind], damage)
    before = all_keys(store)
    with pytest.raises(CorruptRecord, match=f"is no {kind} that .* materialize .* or remove it"):
        collect(store, LAST, NEXT_WEEK)
    assert all_keys(store) == before


def test_a_record_of_newer_code_is_not_guessed_at(store: LocalStore) -> None:
    publish_days(store, 1)
    key = RECORDS["snapshot"]
    data = store.read(key) or b""
    store.publish(key, data.replace(b'"format": 3', b'"format": 99'))
    with pytest.raises(CorruptRecord, match="is no snapshot that this version can read"):
        collect(store, EVER, NEXT_WEEK)


def test_names_are_held_once_however_many_dates_name_them(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collector, "READS_AT_ONCE", 1)  # what is being read takes memory, too
    every = [store.uri(LAYOUT.part(f"{number:064}")) for number in range(2000)]
    for age in range(40):
        own = store.uri(LAYOUT.part(f"{age:064x}-own"))
        store.publish(LAYOUT.symlink(day_after(age)), "\n".join([*every, own]).encode())
    tracemalloc.start()
    plan_collection(store, LAYOUT, EVER, day_after(99), NEXT_WEEK)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 40 * 2000 * 50, "it is 100 bytes and more, where each record has its own names"


# What is needed although no inventory names it


@pytest.mark.parametrize("name", ["manifest.json", "symlink.txt"])
def test_what_only_readers_of_s3_inventory_find_is_needed(store: LocalStore, name: str) -> None:
    publish_days(store, 1)
    records = [key for key in all_keys(store) if not key.endswith((name, ".parquet", ".gz"))]
    parts = {key for key in data_files(store) if key.startswith(LAYOUT.data_folder)}
    for key in records:
        store.remove_key(key)
    collect_all(store, EVER, NEXT_WEEK)
    assert parts <= data_files(store)


def test_parts_of_a_date_without_an_inventory_are_needed(store: LocalStore) -> None:
    publish_days(store, 1)
    snapshot = snapshots_of(store, DAYS[1], {"new"})[0]
    publish_snapshot(store, LAYOUT, snapshot)
    collect_all(store, Retention(keep_days=30), NEXT_WEEK)
    assert store.size(snapshot.parts[0].key) is not None


def test_parts_of_an_unfinished_listing_are_needed_until_nobody_goes_on_with_it(
    store: LocalStore,
) -> None:
    publish_days(store, 2)
    parts = parts_of(store, listed(["a/safe"]))
    note(store, DAYS[1], parts)
    for hours in range(0, 46, 9):
        assert collect(store, EVER, noon(DAYS[1]) + timedelta(hours=hours)).waiting == ()
    collect_all(store, EVER, noon(DAYS[1]) + GRACE)
    assert store.size(parts[0].key) is None
    assert store.list_names(LAYOUT.checkpoints(DAYS[1])) == []


def test_a_listing_that_still_notes_keeps_what_it_noted_long_ago(store: LocalStore) -> None:
    publish_days(store, 1)
    parts = parts_of(store, listed(["a/safe"]))
    note(store, DAYS[0], parts)
    late = journal_of(store, DAYS[0], lambda: NEXT_WEEK)
    late.record_completed(KeyRange("zz", "zzz"), (), RequestStats())
    late.flush(RequestStats())
    for hours in range(0, 46, 9):
        assert collect(store, EVER, NEXT_WEEK + timedelta(hours=hours)).abandoned == ()
    assert store.size(parts[0].key) is not None


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


def test_a_part_found_before_it_was_recorded_is_pardoned_when_it_is(store: LocalStore) -> None:
    publish_days(store, 1)
    running = snapshots_of(store, DAYS[1], {"new"})[0]
    collect(store, EVER, NEXT_WEEK)
    assert marks(store) == [tombstone_key(running.parts[0].key)]
    publish_snapshot(store, LAYOUT, running)
    assert marks(store) == []


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


def record_csv_inventory(store: Store, manifest: Manifest) -> Iterable[str]:
    return [file.key for file in publish_csv_inventory(store, LAYOUT, manifest)]


def record_checkpoint(store: Store, manifest: Manifest) -> Iterable[str]:
    note(store, manifest.day, manifest.parts)
    return [part.key for part in manifest.parts]


@pytest.mark.parametrize(
    "record",
    [
        record_snapshot,
        record_changes,
        record_manifest,
        record_change_log,
        record_csv_inventory,
        record_checkpoint,
    ],
)
def test_whoever_records_a_file_removes_its_mark(
    store: LocalStore, record: Callable[[Store, Manifest], Iterable[str]]
) -> None:
    manifest = publish_day(store, DAYS[0], KEYS[0])
    for key in data_files(store):
        store.publish(tombstone_key(key), b"")
    keys = record(FindingStore(store.root), manifest)
    assert set(keys) <= data_files(store)
    assert not {tombstone_key(key) for key in keys} & set(marks(store))


def test_a_record_that_comes_while_a_collection_is_under_way_keeps_its_pardon(
    store: LocalStore,
) -> None:
    publish_days(store, 1)
    running = snapshots_of(store, DAYS[1], {"new"})[0]
    collect(store, EVER, NEXT_WEEK)
    now = NEXT_WEEK + GRACE
    plan = plan_collection(store, LAYOUT, EVER, now.date(), now)
    publish_snapshot(store, LAYOUT, running)
    execute(store, plan, lambda: now)
    assert marks(store) == []


def test_a_record_that_replaces_another_gives_no_file_away_to_who_read_the_other(
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


def test_a_scan_may_share_the_parts_of_a_baseline_that_goes_meanwhile(store: LocalStore) -> None:
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


def test_of_two_collections_at_once_the_later_removes_no_file_that_is_new(
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


def test_a_mark_that_cannot_be_read_begins_anew(store: LocalStore) -> None:
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
def test_nor_does_it_on_a_bucket(moto: Endpoint) -> None:
    assert killed_everywhere(lambda: bucket_store(moto), 2, [0]) > 15
