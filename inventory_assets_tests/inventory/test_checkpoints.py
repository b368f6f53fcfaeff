"""Listings that are killed at any time and resumed."""

import tempfile
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inventory_assets.inventory.folder_listing import folder_listing
from inventory_assets.inventory.folder_listing.folder_listing import list_into_folder
from inventory_assets.inventory.listing import checkpoint_record
from inventory_assets.inventory.listing.checkpoint_record import listing_fingerprint
from inventory_assets.inventory.listing.checkpoints import CheckpointLog
from inventory_assets.inventory.listing.shard_lister import ShardLister
from inventory_assets.inventory.manifest.manifest_merge import merge, publish_manifest
from inventory_assets.inventory.manifest.snapshot_validation import failed_rules_of, validate_files
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets.s3.bucket_config import BucketConfig
from inventory_assets.s3.errors import TransientError
from inventory_assets.s3.request_stats import RequestStats
from inventory_assets.scan.keyspace.key_order import KeyOrder
from inventory_assets.scan.keyspace.key_range import KeyRange
from inventory_assets.scan.keyspace.shard import make_shard
from inventory_assets.scan.validation.range_evidence import Ending
from inventory_assets_tests.fakes.simulated_bucket import Killed, Life, MortalStore
from inventory_assets_tests.inventory.killed_listings import (
    EITHER_ORDER,
    KEYS,
    MODEL,
    SMALL,
    Bucket,
    killed_late,
    list_shard,
    records,
    small_files,
)
from inventory_assets_tests.inventory.samples import DAY, LAYOUT, NOW, listed, parts_of


@EITHER_ORDER
@given(
    kills=st.lists(st.integers(0, 60), min_size=1, max_size=4),
    count=st.integers(0, 400),
    excluded=st.lists(st.sampled_from(["3", "ab", "a/b", "f", "0"]), max_size=2),
    seed=st.integers(0, 999),
)
@settings(max_examples=25)
def test_a_listing_killed_at_any_point_ends_like_an_undisturbed_one(
    keys: list[str],
    key_order: KeyOrder,
    kills: list[int],
    count: int,
    excluded: list[str],
    seed: int,
) -> None:
    # By directories, each file holds but what a folder does.
    count = count if key_order is KeyOrder.BYTES else count // 6
    keys, shard = keys[:count], make_shard("", excluded)
    with tempfile.TemporaryDirectory() as folder, small_files():
        undisturbed = LocalStore(Path(folder) / "undisturbed")
        expected = list_shard(Bucket(keys, key_order=key_order), undisturbed, shard)
        root = Path(folder) / "killed"
        for number, left in enumerate(kills):
            try:
                list_shard(
                    Bucket(keys, seed + number, key_order), MortalStore(root, Life(left)), shard
                )
            except Killed:
                continue
        store = LocalStore(root)
        found = list_shard(Bucket(keys, seed + 99, key_order), store, shard)
        assert records(store, found).equals(records(undisturbed, expected))
        assert found.fingerprint == expected.fingerprint
        assert failed_rules_of(found) == []
        assert all(result.violation is None for result in validate_files(store, found))
        assert store.list_names(MODEL.checkpoints(DAY)) == []


@given(
    kills=st.lists(st.integers(0, 60), min_size=1, max_size=4),
    changed=st.sets(st.sampled_from(KEYS), max_size=3),
    seed=st.integers(0, 999),
)
@settings(max_examples=8, deadline=None)
def test_a_listing_that_reuses_parts_may_be_killed_at_any_point(
    kills: list[int], changed: set[str], seed: int
) -> None:
    shard = make_shard("", [])
    keys = [key for key in KEYS if key not in changed] + [f"{key}0" for key in changed]
    with tempfile.TemporaryDirectory() as folder, small_files():
        store = LocalStore(Path(folder))
        yesterday = list_shard(Bucket(KEYS), store, shard)
        publish_manifest(store, MODEL, merge(store, MODEL, "", {"": yesterday}, NOW))
        for number, left in enumerate(kills):
            shard_lister = ShardLister(
                Bucket(keys, seed + number),
                MortalStore(Path(folder), Life(left)),
                MODEL,
                sizing=SMALL,
            )
            with suppress(Killed):
                shard_lister.list_shard(DAY + timedelta(days=1), shard)
        found = ShardLister(Bucket(keys, seed + 99), store, MODEL, sizing=SMALL).list_shard(
            DAY + timedelta(days=1), shard
        )
        assert records(store, found).column("key").to_pylist() == sorted(keys)
        assert failed_rules_of(found) == []
        assert all(result.violation is None for result in validate_files(store, found))
        assert found.reuse.unchanged is (not changed)
        assert changed or found.parts == yesterday.parts
        assert store.list_names(MODEL.checkpoints(DAY + timedelta(days=1))) == []


@EITHER_ORDER
def test_completed_ranges_are_not_listed_again_and_the_user_is_told(
    keys: list[str], key_order: KeyOrder, tmp_path: Path, logged: pytest.LogCaptureFixture
) -> None:
    with small_files():
        killed_late(tmp_path, keys, key_order)
        lister = Bucket(keys, key_order=key_order)
        found = list_shard(lister, LocalStore(tmp_path), make_shard("", []))
    kept = sum(row.rows for row in found.evidence if row.ending is Ending.RESUMED)
    assert kept > 200
    assert logged.messages == [
        f"{DAY}, '': continuing an unfinished listing: {kept} objects of it are kept"
    ]
    if key_order is KeyOrder.BYTES:
        listings = [request for request in lister.requests if request.delimiter is None]
        assert len(listings) < 40
    else:
        assert len(lister.requests) < 2 / 3 * len({key[:4] for key in keys})
    assert found.requests > len(lister.requests), "those of the run that was killed count as well"


def test_a_listing_begins_when_its_first_run_began(tmp_path: Path) -> None:
    with small_files():
        killed_late(tmp_path)
        later = NOW + timedelta(hours=3)
        found = list_shard(Bucket(KEYS), LocalStore(tmp_path), make_shard("", []), later)
    assert (found.started_at, found.finished_at) == (NOW, later)


@pytest.mark.parametrize(
    ("change", "hours"),
    [("endpoint", 0), ("code", 0), ("", 25)],
)
def test_another_configuration_code_or_day_starts_afresh_and_says_so(
    change: str,
    hours: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    logged: pytest.LogCaptureFixture,
) -> None:
    with small_files():
        killed_late(tmp_path)
        lister = Bucket(KEYS)
        if change == "endpoint":
            lister.bucket_config = replace(lister.bucket_config, endpoint_url="http://elsewhere")
        if change == "code":
            monkeypatch.setattr(checkpoint_record, "_LISTING_VERSION", -1)
        now = NOW + timedelta(hours=hours)
        found = list_shard(lister, LocalStore(tmp_path), make_shard("", []), now)
    (message,) = logged.messages
    assert "listing from the beginning" in message
    assert all(row.ending is not Ending.RESUMED for row in found.evidence)
    assert found.rows == len(KEYS)


def test_the_keys_of_a_missing_part_are_listed_again(tmp_path: Path) -> None:
    with small_files():
        killed_late(tmp_path)
        store = LocalStore(tmp_path)
        for name in store.list_names(MODEL.data_folder)[::3]:
            store.remove_key(MODEL.data(name))
        found = list_shard(Bucket(KEYS), store, make_shard("", []))
        assert records(store, found).column("key").to_pylist() == sorted(KEYS)


@given(st.data())
@settings(max_examples=60)
def test_a_truncated_or_damaged_checkpoint_is_ignored(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder, small_files():
        store = LocalStore(Path(folder))
        checkpoint_log = opened(store)
        checkpoint_log.record_completed(
            KeyRange("", "m"), parts_of(store, listed("abc")), RequestStats()
        )
        (name,) = store.list_names("checkpoints")
        whole = store.read(f"checkpoints/{name}") or b""
        damaged = bytearray(whole[: data.draw(st.integers(0, len(whole) - 1))])
        if damaged and data.draw(st.booleans()):
            damaged[data.draw(st.integers(0, len(damaged) - 1))] ^= 1 << 3
        store.publish(f"checkpoints/{name}", bytes(damaged))
        assert opened(store).resumed.completed == ()


def opened(store: LocalStore, name: str = "listing", now: datetime = NOW) -> CheckpointLog:
    identity = listing_fingerprint(BucketConfig("bucket"), "", ())
    return CheckpointLog(store, "checkpoints", name, identity, lambda: now)


def test_overlapping_checkpoints_of_two_runs_can_be_resumed(store: LocalStore) -> None:
    """If they overlap, only one of them is used."""
    with small_files():
        one, other = opened(store), opened(store)
        one.record_completed(KeyRange("", "m"), parts_of(store, listed("abc")), RequestStats())
        other.record_completed(KeyRange("", "f"), parts_of(store, listed("abc")), RequestStats())
        other.record_completed(KeyRange("m", "z"), parts_of(store, listed("nop")), RequestStats())
        kept = opened(store).resumed
    assert [each.key_range for each in kept.completed] == [
        KeyRange("", "f"),
        KeyRange("m", "z"),
    ]
    assert kept.missing([KeyRange("", "p")]) == (KeyRange("f", "m"),)


bounds = st.lists(st.text("abc", min_size=1, max_size=3), max_size=8, unique=True).map(sorted)


@given(bounds, bounds)
def test_missing_and_completed_ranges_tile_the_requested_ranges(
    one: list[str], other: list[str]
) -> None:
    def ranges(found: list[str]) -> list[KeyRange]:
        return [KeyRange(*pair) for pair in zip(found[::2], found[1::2], strict=False)]

    whole, kept = ranges(one), ranges(other)
    completed = tuple(checkpoint_record.CompletedRange(each, ()) for each in kept)
    missing = checkpoint_record.ResumedWork(completed).missing(whole)
    for key in (a + b + c for a in "abc" for b in ["", *"abc"] for c in ["", *"abc"]):
        wanted = any(key in each for each in whole) and not any(key in each for each in kept)
        assert sum(key in each for each in missing) == wanted


def test_records_of_one_listing_are_not_taken_for_another_s(store: LocalStore) -> None:
    with small_files():
        opened(store, "a").record_completed(
            KeyRange("", "m"), parts_of(store, listed("a")), RequestStats()
        )
        assert opened(store, "a.b").resumed.completed == ()
        assert opened(store, "a").resumed.rows == 1


def test_checkpoints_are_written_every_few_seconds_and_at_the_end(store: LocalStore) -> None:
    moments = iter([NOW, NOW, NOW, NOW + timedelta(seconds=6), NOW + timedelta(seconds=6), NOW])
    identity = listing_fingerprint(BucketConfig("bucket"), "", ())
    checkpoint_log = CheckpointLog(store, "f", "n", identity, lambda: next(moments))
    stats = RequestStats(requests=3)
    stats.failed(TransientError.RESET)
    part = parts_of(store, listed("a"))
    checkpoint_log.record_completed(KeyRange("", "b"), part, stats)
    checkpoint_log.record_completed(KeyRange("b", "c"), (), stats)
    written = [len(store.list_names("f"))]
    checkpoint_log.record_completed(KeyRange("c", "d"), (), stats)
    written.append(len(store.list_names("f")))
    checkpoint_log.flush(stats)
    written.append(len(store.list_names("f")))
    assert written == [0, 1, 1]
    kept = CheckpointLog(store, "f", "n", identity, lambda: NOW).resumed
    assert [each.key_range.until for each in kept.completed] == ["b", "c", "d"]
    assert (kept.requests, kept.faults) == (3, {"reset": 1})


# Listing into a folder.


@EITHER_ORDER
def test_a_folder_is_filled_by_the_second_call_where_the_first_was_killed(
    keys: list[str],
    key_order: KeyOrder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    logged: pytest.LogCaptureFixture,
) -> None:
    with small_files():
        with monkeypatch.context() as patch:
            patch.setattr(folder_listing, "LocalStore", lambda root: MortalStore(root, Life(50)))
            with pytest.raises(Killed):
                list_into_folder(Bucket(keys, key_order=key_order), "", tmp_path)
        assert list(tmp_path.glob("*.parquet")) == []
        lister = Bucket(keys, key_order=key_order)
        logged.clear()
        listing = list_into_folder(lister, "", tmp_path)
    assert "objects of it are kept" in logged.messages[0]
    assert listing.rows == len(keys)
    assert keys_in(tmp_path) == sorted(keys)
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == []


def test_files_that_were_being_named_when_it_was_killed_get_their_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the first and the last of them no other listing can begin."""
    moved = 0
    link_file = Path.hardlink_to

    def linked(self: Path, target: Path) -> None:
        nonlocal moved
        if self.name.startswith("part-"):
            moved += 1
            if moved > 3:
                raise Killed
        link_file(self, target)

    with small_files():
        with monkeypatch.context() as patch:
            patch.setattr(Path, "hardlink_to", linked)
            with pytest.raises(Killed):
                list_into_folder(Bucket(KEYS), "", tmp_path)
        assert len(list(tmp_path.glob("*.parquet"))) == 3
        lister = Bucket(["another"])
        assert list_into_folder(lister, "", tmp_path).rows == len(KEYS)
    assert lister.requests == []
    assert keys_in(tmp_path) == sorted(KEYS)


def keys_in(folder: Path) -> list[str]:
    tables = [pq.read_table(file) for file in sorted(folder.glob("*.parquet"))]
    return [key for table in tables for key in table.column("key").to_pylist()]


def test_the_layout_of_a_checkpoint_is_that_of_its_date() -> None:
    assert LAYOUT.checkpoints(DAY) == f"bucket/source/checkpoints/dt={DAY}"
