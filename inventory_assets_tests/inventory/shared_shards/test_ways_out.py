"""Whatever was left of a shared listing, or is damaged, the shard can be listed."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from inventory_assets.inventory.errors import CorruptRecord, IncompleteListing, JoinRefused
from inventory_assets.inventory.listing.shard_lister import ShardLister
from inventory_assets.inventory.manifest.snapshot import Snapshot, publish_snapshot, read_snapshot
from inventory_assets.inventory.shared_listing import range_worker
from inventory_assets.inventory.shared_listing.claim_keeper import ClaimKeeper
from inventory_assets.inventory.shared_listing.listing_lifecycle import SharingOptions
from inventory_assets.inventory.shared_listing.range_board import RangeBoard
from inventory_assets.inventory.shared_listing.range_claim import decode_record
from inventory_assets.inventory.shared_shards import shard_goal
from inventory_assets.inventory.shared_shards.range_summary import read_summary
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets.inventory.storage.record_type import encode_json
from inventory_assets.scan.errors import KeysOutOfOrder
from inventory_assets.scan.validation.object_versions import Versions
from inventory_assets_tests.fakes.raw_s3 import RawS3
from inventory_assets_tests.fakes.simulated_bucket import Killed, Life, MortalStore
from inventory_assets_tests.fakes.versioned_s3 import EPOCH, History, VersionedS3
from inventory_assets_tests.inventory.killed_listings import KEYS, MODEL, SMALL, Bucket
from inventory_assets_tests.inventory.shared_shards.participants import (
    DAY,
    IMPATIENT,
    PATIENT,
    REMAINDER,
    Participants,
)

FEW = sorted(KEYS)[:80]
RECORD = MODEL.shared_listing(DAY, "")


@pytest.fixture
def those(tmp_path: Path) -> Participants:
    """Participants of a listing that was killed in the middle."""
    those = Participants(tmp_path / "shared", [*FEW])
    with pytest.raises(Killed):
        those.list_shard(store=MortalStore(those.root, Life(10)))
    return those


def change(those: Participants, key: str, old: bytes, new: bytes) -> None:
    data = those.store.read(key) or b""
    assert old in data
    those.store.publish(key, data.replace(old, new))


def of_another_version(those: Participants) -> None:
    change(those, RECORD, b'"program": "', b'"program": "9.')


def check(those: Participants, snapshot: Snapshot) -> None:
    assert those.keys_of(snapshot) == FEW
    assert read_snapshot(those.store, MODEL, DAY, "") == snapshot
    assert those.work() == []


# A listing with other arguments, such as one of another version


def test_a_listing_of_another_version_that_nobody_continues_is_replaced(
    those: Participants, logged: pytest.LogCaptureFixture
) -> None:
    of_another_version(those)
    check(those, those.list_shard())
    assert any("the version is '9." in message for message in logged.messages)


def test_so_it_is_whatever_its_records_look_like(those: Participants) -> None:
    of_another_version(those)
    for key in those.work():
        if "/ranges/" in key:
            those.store.publish(key, b"what a later version writes")
    check(those, those.list_shard())


def test_one_that_failed_is_replaced_at_once(those: Participants) -> None:
    of_another_version(those)
    change(those, RECORD, b'"failure": ""', b'"failure": "a key was lost"')
    check(those, those.list_shard(options=PATIENT))


def test_a_listing_of_another_version_that_goes_on_is_refused(those: Participants) -> None:
    of_another_version(those)
    (key,) = (key for key in those.work() if "/ranges/" in key)

    def renew(_seconds: float) -> None:
        change(those, key, b'"epoch":1', b'"epoch":2')

    before = those.store.read(RECORD)
    with pytest.raises(JoinRefused, match=r"the version is '9\..*; let that end, or give all"):
        those.list_shard(options=SharingOptions(60, 0.005, IMPATIENT.clock, sleep=renew))
    assert those.store.read(RECORD) == before


def test_the_versions_of_a_date_can_be_listed_when_it_is_over(tmp_path: Path) -> None:
    """Before midnight all versions stand for a date, later those at its end."""
    history = History()
    for key in FEW:
        history.put(key, 1, 10)
    those = Participants(tmp_path / "shared", versions=Versions())
    with pytest.raises(Killed):
        those.list_shard(lister=VersionedS3(history, 10), store=MortalStore(those.root, Life(10)))
    those.versions = Versions(EPOCH + timedelta(days=1))
    snapshot = those.list_shard(lister=VersionedS3(history, 10))
    assert those.keys_of(snapshot) == FEW
    assert snapshot.versions == those.versions


# Records that are damaged


@pytest.mark.parametrize("kind", ["ranges", "listing"])
def test_a_damaged_record_costs_the_listing_and_not_the_shard(
    those: Participants, kind: str
) -> None:
    for key in those.work():
        if f"/{kind}/" in key or (kind == "listing" and key == RECORD):
            those.store.publish(key, b"{")
    if kind == "ranges":
        with pytest.raises(CorruptRecord, match="is damaged, so what was listed cannot be joined"):
            those.list_shard()
    snapshot = those.list_shard()
    assert those.keys_of(snapshot) == FEW


def test_a_record_that_was_removed_ends_the_listing_and_no_run_waits_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a person, or by a rule of the bucket that removes old objects."""

    def die(_board: RangeBoard) -> None:
        raise Killed

    those = Participants(tmp_path / "shared", [*FEW])
    with monkeypatch.context() as patch:
        patch.setattr(range_worker, "ESTIMATE_SECONDS", 0.0)
        patch.setattr(range_worker, "PATIENCE_SECONDS", 0.0)
        always = property(lambda _: 0.0, lambda _, __: None)
        patch.setattr(ClaimKeeper, "asked_at", always, raising=False)
        patch.setattr(RangeBoard, "begin_closing", die)
        with pytest.raises(Killed):
            those.list_shard()
    records = [key for key in those.work() if "/ranges/" in key]
    assert len(records) > 1
    for key in records:
        record = decode_record(those.store.read(key) or b"")
        those.store.publish(key, encode_json(replace(record, given=())))
    those.store.remove_key(next(key for key in records if not key.endswith("/first.json")))
    with pytest.raises(IncompleteListing, match="records of the shared listing were removed"):
        those.list_shard()
    check(those, those.list_shard())


def test_a_record_of_a_later_format_is_left_with_a_remedy(those: Participants) -> None:
    change(those, RECORD, b'"format": 1', b'"format": 2')
    before = those.store.read(RECORD)
    with pytest.raises(CorruptRecord, match=r"has format 2.*, or set shards\.shared = false"):
        those.list_shard()
    assert those.store.read(RECORD) == before


def test_a_lost_summary_costs_the_listing_and_not_the_shard(
    those: Participants, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lose(store: LocalStore, folder: str, name: str) -> object:
        store.remove_key(f"{folder}/{name}")
        return read_summary(store, folder, name)

    with monkeypatch.context() as patch:
        patch.setattr(shard_goal, "read_summary", lose)
        with pytest.raises(CorruptRecord, match="lists it from the beginning"):
            those.list_shard()
    check(those, those.list_shard())


# Snapshots of others


def publish_alone(those: Participants) -> None:
    ShardLister(Bucket(FEW), those.store, MODEL, sizing=SMALL).list_shard(DAY, REMAINDER)


def test_a_listing_that_may_not_be_published_any_more_is_not_continued(
    those: Participants,
) -> None:
    publish_alone(those)
    check(those, those.list_shard())


def test_nor_do_those_go_on_that_had_joined_it(those: Participants) -> None:
    """Another run finds that it may not be published, and begins anew."""
    ended: list[Snapshot] = []

    def meanwhile(_seconds: float) -> None:
        publish_alone(those)
        ended.append(those.list_shard())

    waiting = SharingOptions(60, 0.005, sleep=meanwhile)
    assert those.list_shard(options=waiting) == ended[0]
    check(those, ended[0])


def test_a_snapshot_that_is_published_at_the_end_is_not_replaced(
    those: Participants, monkeypatch: pytest.MonkeyPatch
) -> None:
    def late(*arguments: object) -> None:
        publish_alone(those)
        publish_snapshot(*arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(shard_goal, "publish_snapshot", late)
        with pytest.raises(IncompleteListing, match="was published by another run"):
            those.list_shard()
    check(those, those.list_shard())


# What an ordinary listing does, too


def test_a_shard_whose_only_record_cannot_be_decoded_is_listed(tmp_path: Path) -> None:
    those = Participants(tmp_path / "shared")
    snapshot = those.list_shard(lister=RawS3([b"a"], [b"a"], 50))
    assert (snapshot.rows, snapshot.unreadable.count) == (0, 1)


def test_keys_that_turn_out_to_be_in_directory_order_are_refused_with_the_remedy(
    tmp_path: Path,
) -> None:
    """An ordinary listing begins anew in that order."""
    keys = [f"d{number:03}" for number in range(300)]
    keys += [f"m{number:02}{end}" for number in range(40) for end in ("/x", "-y")]
    bucket = Bucket(keys)
    # The first keys, which tell the order, are the same in both.
    bucket._keys = sorted(keys, key=lambda key: key.split("/"))
    bucket._rank = lambda key: [name.encode() for name in key.split("/")]
    those = Participants(tmp_path / "shared")
    with pytest.raises(KeysOutOfOrder, match=r"out of byte order; set shards\.shared = false"):
        those.list_shard(lister=bucket)
