"""Unreadable records are stored as received, counted, and do not count as changes."""

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from inventory_assets.inventory.changes.changed_records import read_changed_records
from inventory_assets.inventory.changes.shard_changes import publish_changes
from inventory_assets.inventory.errors import RecordsUnreadable
from inventory_assets.inventory.folder_listing.folder_listing import list_into_folder
from inventory_assets.inventory.listing.checkpoints import CheckpointLog
from inventory_assets.inventory.listing.shard_lister import ShardLister
from inventory_assets.inventory.manifest.manifest_merge import (
    merge,
    publish_manifest,
    read_manifest,
)
from inventory_assets.inventory.manifest.snapshot import read_snapshot
from inventory_assets.inventory.manifest.snapshot_validation import failed_rules_of
from inventory_assets.inventory.manifest.unreadable_records import UnreadableRecords, unreadable_of
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets.s3.decoding.page import Unreadable
from inventory_assets.s3.request_stats import RequestStats
from inventory_assets.s3.unreadable_log import MAX_STORED, UnreadableLog
from inventory_assets.scan.keyspace.key_range import KeyRange
from inventory_assets.scan.keyspace.shard import make_shard
from inventory_assets_tests.fakes.raw_s3 import RawS3
from inventory_assets_tests.inventory.samples import DAY, LAYOUT, NOW, listed, parts_of

KEYS = [f"k{number:02}".encode() for number in range(20)]
SIZELESS = KEYS[3::7]


def unreadable(key: str, text: bytes = b"<Contents/>") -> Unreadable:
    return Unreadable(text, "it has no <Size>", key, key)


def test_a_folder_keeps_unreadable_records_beside_its_files(tmp_path: Path) -> None:
    found = list_into_folder(RawS3([*KEYS, b"caf\xe9"], SIZELESS), "", tmp_path)
    assert found.rows == len(KEYS) - len(SIZELESS)
    assert found.unreadable.count == len(SIZELESS) + 1
    lines = (tmp_path / "unreadable.jsonl").read_text("utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    assert [record["key"] for record in records] == [None, *(key.decode() for key in SIZELESS)]
    assert "not UTF-8" in records[0]["reason"]
    assert "<Key>caf%E9</Key>" in records[0]["xml"]
    keys = pq.read_table(found.files[0]).column("key").to_pylist()
    assert keys == [key.decode() for key in KEYS if key not in SIZELESS]


def test_a_folder_without_them_has_no_such_file(tmp_path: Path) -> None:
    (tmp_path / "unreadable.jsonl").write_text("of a listing whose files are gone")
    assert list_into_folder(RawS3(KEYS), "", tmp_path).unreadable == UnreadableRecords()
    assert not (tmp_path / "unreadable.jsonl").exists()


def test_a_listing_of_which_nothing_can_be_read_is_rejected_by_name(tmp_path: Path) -> None:
    with pytest.raises(RecordsUnreadable, match=r"2 of 2 records .* it has no <Size>: .*<Key>k03"):
        list_into_folder(RawS3(SIZELESS[:2], SIZELESS), "", tmp_path)
    assert not [*tmp_path.iterdir()] or not [*tmp_path.rglob("*.parquet")]


def test_a_shard_of_which_most_cannot_be_read_is_rejected_and_a_small_one_is_not(
    store: LocalStore,
) -> None:
    many = [f"k{number:03}".encode() for number in range(250)]
    shard = make_shard("", [])
    with pytest.raises(RecordsUnreadable, match="200 of 250 records"):
        ShardLister(RawS3(many, many[50:], 50), store, LAYOUT).list_shard(DAY, shard)
    assert read_snapshot(store, LAYOUT, DAY, "") is None
    snapshot = ShardLister(RawS3([b"a/"], [b"a"], 50), store, LAYOUT).list_shard(DAY, shard)
    assert snapshot.rows == 1
    snapshot = ShardLister(RawS3([b"a"], [b"a"], 50), store, LAYOUT).list_shard(DAY, shard)
    assert (snapshot.rows, snapshot.unreadable.count) == (0, 1)


def test_snapshot_and_manifest_report_unreadable_records(
    store: LocalStore,
) -> None:
    snapshot = ShardLister(RawS3([*KEYS, b"x\xff"], SIZELESS), store, LAYOUT).list_shard(
        DAY, make_shard("", [])
    )
    assert not failed_rules_of(snapshot)
    assert read_snapshot(store, LAYOUT, DAY, "") == snapshot
    assert snapshot.unreadable.count == len(SIZELESS) + 1
    publish_manifest(store, LAYOUT, merge(store, LAYOUT, "", {"": snapshot}, NOW))
    manifest = read_manifest(store, LAYOUT, DAY)
    assert manifest
    assert manifest.unreadable == manifest.shards[0].unreadable == len(SIZELESS) + 1
    document = json.loads(store.read(LAYOUT.manifest(DAY)) or b"")
    assert document["unreadable"] == len(SIZELESS) + 1


def test_an_object_that_became_unreadable_is_not_reported_as_deleted(store: LocalStore) -> None:
    shard = make_shard("", [])
    before = ShardLister(RawS3(KEYS), store, LAYOUT).list_shard(DAY, shard)
    baseline = merge(store, LAYOUT, "", {"": before}, NOW)
    there = [key for key in KEYS if key != b"k05"]
    today = ShardLister(RawS3(there, SIZELESS), store, LAYOUT).list_shard(
        DAY + timedelta(days=1), shard
    )
    changes = publish_changes(store, LAYOUT, today, baseline, NOW)
    tables = read_changed_records(store, changes.file, [KeyRange.of_prefix("")])
    found = [row for table in tables for row in table.to_pylist()]
    assert [(row["key"], row["change"]) for row in found] == [("k05", "deleted")]
    assert changes.unreadable == tuple(key.decode() for key in SIZELESS)
    assert changes.balance_violation is None
    assert "- 3 unreadable" in (replace(changes, snapshot_rows=0).balance_violation or "")


def test_a_resumed_listing_knows_the_unreadable_records_of_earlier_runs(
    store: LocalStore,
) -> None:
    def checkpoint_log() -> CheckpointLog:
        return CheckpointLog(store, "work", "listing", "same", lambda: NOW)

    first, stats = checkpoint_log(), RequestStats()
    (part,) = parts_of(store, listed(["b", "c"]))
    stats.set_aside([unreadable("bb"), unreadable("x")])
    first.record_completed(KeyRange("a", "c"), [part], stats)
    first.flush(stats)
    stats.set_aside([unreadable("dd")])
    first.record_completed(KeyRange("c", "e"), [], stats)
    first.flush(stats)
    kept = checkpoint_log().resumed.unreadable
    assert (kept.count, [record.key for record in kept.first]) == (2, ["bb", "dd"])
    again = RequestStats()
    again.set_aside([unreadable("bb"), unreadable("x")])
    joined = kept.joined(again.unreadable)
    assert (joined.count, [record.key for record in joined.first]) == (3, ["bb", "dd", "x"])


def test_all_are_counted_and_the_first_are_kept() -> None:
    log, other = UnreadableLog(), UnreadableLog()
    log.add(unreadable(f"k{number:05}") for number in range(MAX_STORED + 5))
    log.add(unreadable(f"k{number:05}") for number in range(MAX_STORED + 5))
    assert (log.count, len(log.first)) == (MAX_STORED + 5, MAX_STORED)
    other.add([unreadable("a")])
    other.merge(log)
    assert (other.count, len(other.first)) == (MAX_STORED + 6, MAX_STORED)


def test_the_bytes_of_an_unreadable_record_can_be_restored() -> None:
    log = UnreadableLog()
    log.add([unreadable("k", b"a\\xe9 \xe9 \xc3\xa9")])
    assert unreadable_of(log).first[0].xml == "a\\\\xe9 \\xe9 é"
