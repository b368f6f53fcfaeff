from dataclasses import replace
from datetime import date, timedelta

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inventory_assets.inventory.changes.changed_records import read_changed_records
from inventory_assets.inventory.changes.journal_format import CHANGE_SCHEMA
from inventory_assets.inventory.changes.shard_changes import (
    Changes,
    publish_changes,
    read_changes,
)
from inventory_assets.inventory.changes.sorted_diff import Change
from inventory_assets.inventory.errors import CorruptRecord, OtherFormat
from inventory_assets.inventory.listing.shard_lister import ShardLister
from inventory_assets.inventory.manifest.manifest import Manifest
from inventory_assets.inventory.manifest.manifest_merge import merge, publish_manifest
from inventory_assets.inventory.manifest.snapshot import Snapshot
from inventory_assets.inventory.storage.layout import Layout
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets.scan.keyspace.key_range import KeyRange
from inventory_assets.scan.keyspace.shard import Shard, make_shard
from inventory_assets_tests.fakes.listings import Listed
from inventory_assets_tests.fakes.model_s3 import ModelS3
from inventory_assets_tests.inventory.samples import DAY, LAYOUT, NOW, listed, snapshot_of

YESTERDAY = DAY - timedelta(days=1)
keys = st.text(st.sampled_from("ab/é"), min_size=1, max_size=4)
prefixes = st.text(st.sampled_from("ab/é"), min_size=1, max_size=3)


def inventory(
    store: LocalStore, objects: list[Listed], shard_prefixes: set[str], day: date
) -> tuple[dict[str, Snapshot], Manifest]:
    """The snapshots of all shards, and their manifest."""
    every = sorted({"", *shard_prefixes})
    snapshots = {
        prefix: snapshot_of(
            store,
            make_shard(prefix, every),
            [found for found in objects if make_shard(prefix, every).covers(found.key)],
            day,
        )
        for prefix in every
    }
    return snapshots, merge(store, LAYOUT, "", snapshots, NOW)


def log_of(store: LocalStore, changes: Changes) -> list[tuple[str, str]]:
    table = pq.read_table(store.path(changes.file))
    assert table.schema == CHANGE_SCHEMA
    return list(zip(table["key"].to_pylist(), table["change"].to_pylist(), strict=True))


def stored_changes(store: LocalStore) -> list[str]:
    return store.list_names(f"{LAYOUT.base}/changes/data")


def whole(store: LocalStore, keys_then: str, keys_now: str) -> Changes:
    """The changes of a bucket of one shard between two days."""
    _, baseline = inventory(store, listed(keys_then), set(), YESTERDAY)
    snapshot = snapshot_of(store, Shard(""), listed(keys_now))
    return publish_changes(store, LAYOUT, snapshot, baseline, NOW)


@given(
    st.sets(keys, max_size=12),
    st.sets(keys, max_size=12),
    st.sets(prefixes, max_size=3),
    st.sets(prefixes, max_size=3),
)
def test_changes_do_not_depend_on_the_shards_of_both_days(
    roomy_store: LocalStore,
    then: set[str],
    now: set[str],
    shards_then: set[str],
    shards_now: set[str],
) -> None:
    _, baseline = inventory(roomy_store, listed(then), shards_then, YESTERDAY)
    snapshots, _ = inventory(roomy_store, listed(now), shards_now, DAY)
    found: list[tuple[str, str]] = []
    for snapshot in snapshots.values():
        changes = publish_changes(roomy_store, LAYOUT, snapshot, baseline, NOW)
        assert changes.balance_violation is None
        covered = [key for key in then if snapshot.shard.covers(key)]
        assert changes.baseline_rows == len(covered)
        log = log_of(roomy_store, changes)
        assert log == sorted(log)
        assert changes.total == len(log)
        found += log
    expected = {**dict.fromkeys(now - then, "created"), **dict.fromkeys(then - now, "deleted")}
    assert dict(found) == expected
    assert len(found) == len(expected)


def test_every_kind_is_counted(store: LocalStore) -> None:
    then = [Listed(key) for key in "abcde"]
    now = [
        Listed("a", e_tag="other"),
        Listed("b", modified=1_800_000_000_000),
        Listed("c", storage_class=None),
        Listed("e"),
        Listed("f"),
    ]
    _, baseline = inventory(store, then, set(), YESTERDAY)
    changes = publish_changes(store, LAYOUT, snapshot_of(store, Shard(""), now), baseline, NOW)
    assert changes.counts == dict.fromkeys(Change, 1)
    assert dict(log_of(store, changes)) == {
        "a": "modified",
        "b": "touched",
        "c": "transitioned",
        "d": "deleted",
        "f": "created",
    }


def test_a_first_inventory_has_no_changes(store: LocalStore) -> None:
    snapshot = snapshot_of(store, Shard(""), listed("abc"))
    changes = publish_changes(store, LAYOUT, snapshot, None, NOW)
    assert changes.counts == dict.fromkeys(Change, 0)
    assert (changes.baseline_day, changes.baseline_identity, changes.balance_violation) == (
        None,
    ) * 3
    assert log_of(store, changes) == []


def test_shards_without_changes_share_one_empty_file(store: LocalStore) -> None:
    snapshots, baseline = inventory(store, listed(["a", "b/1"]), {"b/"}, YESTERDAY)
    files = {
        publish_changes(store, LAYOUT, replace(snapshot, day=day), baseline, NOW).file
        for snapshot in snapshots.values()
        for day in (DAY, DAY + timedelta(days=1))
    }
    assert [f"{LAYOUT.base}/changes/data/{name}" for name in stored_changes(store)] == list(files)


def test_changed_records_are_read_by_their_ranges(store: LocalStore) -> None:
    changes = whole(store, "abc", "cdef")
    ranges = (KeyRange("", "a"), KeyRange("c", "e"))
    tables = list(read_changed_records(store, changes.file, ranges))
    assert [key for table in tables for key in table["key"].to_pylist()] == ["a", "d", "e"]


def test_a_damaged_file_of_changed_records_is_named(store: LocalStore) -> None:
    changes = whole(store, "abc", "bcd")
    store.path(changes.file).write_bytes(b"damaged")
    with pytest.raises(CorruptRecord, match="materialize object_changes again"):
        list(read_changed_records(store, changes.file, Shard("").ranges))


def test_a_bucket_that_became_empty_has_every_key_deleted(store: LocalStore) -> None:
    changes = whole(store, "abc", "")
    assert log_of(store, changes) == [("a", "deleted"), ("b", "deleted"), ("c", "deleted")]
    assert changes.balance_violation is None


def test_parts_that_both_days_share_are_not_read(store: LocalStore) -> None:
    snapshots, baseline = inventory(store, listed("abc"), set(), YESTERDAY)
    for part in baseline.parts:
        store.path(part.key).unlink()
    changes = publish_changes(store, LAYOUT, replace(snapshots[""], day=DAY), baseline, NOW)
    assert (changes.total, changes.baseline_rows, changes.balance_violation) == (0, 3, None)


def test_an_unchanged_shard_has_no_changes_and_no_part_is_opened(store: LocalStore) -> None:
    layout = Layout("model", "source")
    first = ShardLister(ModelS3("abc"), store, layout).list_shard(YESTERDAY, Shard(""))
    baseline = merge(store, layout, "", {"": first}, NOW)
    publish_manifest(store, layout, baseline)
    second = ShardLister(ModelS3("abc"), store, layout).list_shard(DAY, Shard(""))
    for part in second.parts:
        store.remove_key(part.key)
    changes = publish_changes(store, layout, second, baseline, NOW)
    assert changes.total == 0
    assert pq.read_table(store.path(changes.file)).num_rows == 0


def test_an_imbalance_is_reported(store: LocalStore) -> None:
    changes = replace(whole(store, "abc", "bcde"), snapshot_rows=5)
    assert changes.balance_violation == ("3 + 2 created - 1 deleted = 4, but the snapshot holds 5")


def test_a_record_of_changes_is_read_as_it_was_published(store: LocalStore) -> None:
    changes = whole(store, "abc", "bcd")
    assert read_changes(store, LAYOUT, DAY, "") == changes
    assert read_changes(store, LAYOUT, YESTERDAY, "") is None


@pytest.mark.parametrize("damage", [b"", b"{", b"{}", b"[]", b"\xff"])
def test_a_damaged_record_of_changes_is_named(store: LocalStore, damage: bytes) -> None:
    whole(store, "abc", "bcd")
    store.publish(LAYOUT.changes(DAY, ""), damage)
    with pytest.raises(CorruptRecord, match="materialize object_changes for 2026-05-05"):
        read_changes(store, LAYOUT, DAY, "")


def test_a_record_of_changes_of_an_older_format_is_named(store: LocalStore) -> None:
    whole(store, "abc", "bcd")
    text = store.read(LAYOUT.changes(DAY, "")) or b""
    store.publish(LAYOUT.changes(DAY, ""), text.replace(b'"format": 3', b'"format": 1'))
    with pytest.raises(OtherFormat, match=r"has format 1, and this version .* reads 3"):
        read_changes(store, LAYOUT, DAY, "")


def test_a_damaged_baseline_is_named_and_nothing_is_published(store: LocalStore) -> None:
    _, baseline = inventory(store, listed("abc"), set(), YESTERDAY)
    store.path(baseline.parts[0].key).write_bytes(b"damaged")
    with pytest.raises(CorruptRecord, match="is missing or damaged"):
        publish_changes(store, LAYOUT, snapshot_of(store, Shard(""), []), baseline, NOW)
    assert read_changes(store, LAYOUT, DAY, "") is None
    assert stored_changes(store) == []
