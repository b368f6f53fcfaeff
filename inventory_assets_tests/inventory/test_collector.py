import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from inventory_assets.inventory.errors import CorruptRecord, OtherFormat
from inventory_assets.inventory.manifest.snapshot import publish_snapshot
from inventory_assets.inventory.retention.collector import GRACE, execute, plan_collection
from inventory_assets.inventory.retention.policy import Retention
from inventory_assets.inventory.storage import parallel_reads
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets.s3.request_stats import RequestStats
from inventory_assets.scan.keyspace.key_range import KeyRange
from inventory_assets_tests.inventory.collected_days import (
    DAYS,
    EVER,
    KEYS,
    LAST,
    NEXT_WEEK,
    checkpoint_log_of,
    publish_days,
    remove_published,
    write_checkpoint,
)
from inventory_assets_tests.inventory.histories import (
    all_keys,
    collect,
    collect_all,
    data_files,
    day_after,
    keys_of,
    named,
    noon,
    part_names,
    part_usages,
    snapshots_of,
    tombstone_keys,
)
from inventory_assets_tests.inventory.samples import LAYOUT, listed, parts_of


@pytest.fixture(scope="module", autouse=True)
def _published(roomy_store: LocalStore) -> Iterator[None]:
    """Days are published once, and copied for each test."""
    yield
    remove_published()
    assert roomy_store


# Which dates go, and what with them


def test_an_expired_date_is_removed_completely_and_kept_dates_have_all_records(
    store: LocalStore,
) -> None:
    publish_days(store)
    collect_all(store, Retention(keep_last=2), NEXT_WEEK)
    assert [keys_of(store, day) for day in DAYS[:2]] == [None, None]
    assert [keys_of(store, day) for day in DAYS[2:]] == [sorted(keys) for keys in KEYS[2:]]
    assert not [key for key in all_keys(store) if any(str(day) in key for day in DAYS[:2])]
    assert data_files(store) == named(store)
    assert tombstone_keys(store) == []


def test_the_usage_of_a_part_goes_with_the_part_and_not_before(store: LocalStore) -> None:
    publish_days(store)
    assert part_usages(store) == part_names(store)
    collect_all(store, LAST, NEXT_WEEK)
    assert part_usages(store) == part_names(store) != set()


def test_findings_of_a_part_are_kept_as_long_as_the_part(store: LocalStore) -> None:
    publish_days(store)
    for key in _parts(store):
        store.publish(LAYOUT.part_findings(key), b"{}")
    for day in DAYS:
        store.publish(LAYOUT.hygiene(day), b"{}")
    collect_all(store, LAST, NEXT_WEEK)
    left = [key for key in all_keys(store) if "/findings/" in key or "/hygiene.json" in key]
    kept = [*map(LAYOUT.part_findings, _parts(store)), *map(LAYOUT.hygiene, DAYS[3:])]
    assert sorted(left) == sorted(kept)


def test_run_records_go_with_their_date(store: LocalStore) -> None:
    publish_days(store)
    for day in DAYS:
        store.publish(LAYOUT.shard_run(day, "a/"), b"{}")
        store.publish(LAYOUT.date_run(day), b"{}")
    collect_all(store, LAST, NEXT_WEEK)
    left = [key for key in all_keys(store) if "/runs/" in key]
    assert sorted(left) == sorted([LAYOUT.date_run(DAYS[3]), LAYOUT.shard_run(DAYS[3], "a/")])


def _parts(store: LocalStore) -> set[str]:
    """The keys of all parts."""
    return {key for key in data_files(store) if key.startswith(LAYOUT.data_folder)}


def test_an_expired_date_leaves_no_empty_folder(store: LocalStore) -> None:
    publish_days(store)
    collect(store, LAST, NEXT_WEEK)
    folders = (f"{LAYOUT.base}/snapshots", f"{LAYOUT.base}/usage")
    for folder in (LAYOUT.base, LAYOUT.csv.base, *folders):
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


# Reports


def test_a_plan_changes_nothing_and_matches_what_is_removed(store: LocalStore) -> None:
    publish_days(store)
    before = {key: store.read(key) for key in all_keys(store)}
    plan = plan_collection(store, LAYOUT, LAST, NEXT_WEEK.date(), NEXT_WEEK)
    assert {key: store.read(key) for key in all_keys(store)} == before
    assert [each.day for each in plan.expired] == DAYS[:3]
    execute(store, plan, lambda: NEXT_WEEK)
    gone = before.keys() - set(all_keys(store))
    assert gone == {file.key for file in plan.removed}
    assert plan.bytes == sum(len(before[key] or b"") for key in gone)
    assert plan.needed + len(plan.waiting) == len(data_files(store) | part_usages(store))


def test_an_unnamed_file_is_removed_after_it_was_found_twice(
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


# Unreadable records

RECORDS = {
    "inventory.json": LAYOUT.manifest(DAYS[0]),
    "manifest of S3 Inventory": LAYOUT.s3_manifest(DAYS[0]),
    "snapshot": LAYOUT.snapshot(DAYS[0], "a/"),
    "record of changes": LAYOUT.changes(DAYS[0], "a/"),
    "change log": LAYOUT.change_log(DAYS[0]),
    "record of usage": LAYOUT.usage(DAYS[0]),
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
    with pytest.raises(
        CorruptRecord, match=f"is no {kind} that .* materialize .* or remove the record"
    ):
        collect(store, LAST, NEXT_WEEK)
    assert all_keys(store) == before


def test_a_record_of_newer_code_is_not_guessed_at(store: LocalStore) -> None:
    publish_days(store, 1)
    key = RECORDS["snapshot"]
    data = store.read(key) or b""
    store.publish(key, data.replace(b'"format": 3', b'"format": 99'))
    before = all_keys(store)
    with pytest.raises(OtherFormat, match=r"\(snapshot\) has format 99"):
        collect(store, EVER, NEXT_WEEK)
    assert all_keys(store) == before


def test_names_are_held_once_however_many_dates_name_them(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parallel_reads, "READS_AT_ONCE", 1)  # what is being read takes memory, too
    every = [store.uri(LAYOUT.part(f"{number:064}")) for number in range(2000)]
    for age in range(40):
        own = store.uri(LAYOUT.part(f"{age:064x}-own"))
        store.publish(LAYOUT.symlink(day_after(age)), "\n".join([*every, own]).encode())
    tracemalloc.start()
    plan_collection(store, LAYOUT, EVER, day_after(99), NEXT_WEEK)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 40 * 2000 * 50, "it is 100 bytes and more, where each record has its own names"


# Files that are needed although no inventory names them


@pytest.mark.parametrize("name", ["manifest.json", "symlink.txt"])
def test_files_named_only_by_s3_inventory_files_are_needed(store: LocalStore, name: str) -> None:
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


def test_parts_of_an_unfinished_listing_are_needed_until_it_is_abandoned(
    store: LocalStore,
) -> None:
    publish_days(store, 2)
    parts = parts_of(store, listed(["a/safe"]))
    write_checkpoint(store, DAYS[1], parts)
    for hours in range(0, 46, 9):
        assert collect(store, EVER, noon(DAYS[1]) + timedelta(hours=hours)).waiting == ()
    collect_all(store, EVER, noon(DAYS[1]) + GRACE)
    assert store.size(parts[0].key) is None
    assert store.list_names(LAYOUT.checkpoints(DAYS[1])) == []


def test_a_listing_that_still_writes_checkpoints_keeps_its_old_ones(store: LocalStore) -> None:
    publish_days(store, 1)
    parts = parts_of(store, listed(["a/safe"]))
    write_checkpoint(store, DAYS[0], parts)
    late = checkpoint_log_of(store, DAYS[0], lambda: NEXT_WEEK)
    late.record_completed(KeyRange("zz", "zzz"), (), RequestStats())
    late.flush(RequestStats())
    for hours in range(0, 46, 9):
        assert collect(store, EVER, NEXT_WEEK + timedelta(hours=hours)).abandoned == ()
    assert store.size(parts[0].key) is not None
