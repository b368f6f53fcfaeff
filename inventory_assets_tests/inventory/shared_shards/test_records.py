"""The records of a shared shard are known to collection, migration and `inventory status`."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from inventory_assets.config import Growth
from inventory_assets.inventory.errors import CorruptRecord
from inventory_assets.inventory.growth.bounds import GrowthBounds
from inventory_assets.inventory.listing.shared_work import (
    SHARED_KINDS,
    listing_id_of,
    present_listings,
)
from inventory_assets.inventory.migration.stages import LeftOut, stage_of
from inventory_assets.inventory.retention.collector import GRACE, Plan, execute, plan_collection
from inventory_assets.inventory.retention.policy import Retention
from inventory_assets.inventory.source_status import status_of
from inventory_assets.inventory.storage.layout import FileKind, parse_path, path_in_source
from inventory_assets_tests.fakes.simulated_bucket import Killed, Life, MortalStore
from inventory_assets_tests.inventory.killed_listings import KEYS, MODEL
from inventory_assets_tests.inventory.shared_shards.participants import (
    DAY,
    PATIENT,
    Participants,
    utc_now,
)


@pytest.fixture
def those(tmp_path: Path) -> Participants:
    """Participants of a listing that was killed in the middle."""
    those = Participants(tmp_path)
    with pytest.raises(Killed):
        those.list_shard(store=MortalStore(tmp_path, Life(80)), options=PATIENT)
    return those


def collected(those: Participants, now: datetime, retention: Retention | None = None) -> Plan:
    store = those.store
    plan = plan_collection(store, MODEL, retention or Retention(), now.date(), now)
    execute(store, plan, lambda: now)
    return plan


def kinds(those: Participants) -> set[FileKind]:
    parsed = [parse_path(path_in_source(key)) for key in those.work()]
    assert None not in parsed
    return {each.kind for each in parsed if each}


def test_each_record_is_of_a_known_kind(those: Participants) -> None:
    folder = MODEL.shared_work(DAY)
    ((identity, record),) = present_listings(those.store, folder).items()
    those.store.publish(f"{folder}/{identity}/wanted/first", b"me")
    those.store.publish(f"{folder}/{identity}/summaries/x", b"")
    assert kinds(those) == {*SHARED_KINDS}
    assert record == MODEL.shared_listing(DAY, "")
    assert {listing_id_of(key) for key in those.work()} == {None, identity}


def test_a_listing_that_is_going_on_keeps_its_records_and_parts(those: Participants) -> None:
    before = those.work()
    for hours in range(0, 46, 9):
        plan = collected(those, utc_now() + timedelta(hours=hours))
        assert plan.abandoned == ()
        assert plan.waiting == ()  # the records name all parts
    assert those.work() == before
    snapshot = those.list_shard()
    assert those.keys_of(snapshot) == sorted(KEYS)
    assert those.work() == []


def test_parts_of_completed_ranges_are_needed(those: Participants) -> None:
    """One participant gives nothing away, so the range is completed by hand."""
    folder = MODEL.shared_work(DAY)
    ((identity, _),) = present_listings(those.store, folder).items()
    parts = [file.key for file in those.store.files(MODEL.data_folder)]
    named = ", ".join(f'{{"key": "{key}"}}' for key in parts)
    for key in those.work():
        if "/checkpoints/" in key:
            those.store.remove_key(key)
    record = f'{{"result": {{"parts": [{named}]}}}}'
    those.store.publish(f"{folder}/{identity}/ranges/done.json", record.encode())
    assert collected(those, utc_now()).waiting == ()
    those.store.publish(f"{folder}/{identity}/ranges/done.json", b'{"result": 7}')
    with pytest.raises(CorruptRecord, match="no range of a shared listing"):
        collected(those, utc_now())


def test_a_listing_that_nobody_continues_loses_all_but_its_record(those: Participants) -> None:
    collected(those, utc_now() + GRACE + timedelta(minutes=1))
    assert those.work() == [MODEL.shared_listing(DAY, "")]
    snapshot = those.list_shard()  # it begins anew, as the old one has no ranges
    assert those.keys_of(snapshot) == sorted(KEYS)


def test_what_a_finished_listing_left_is_removed(those: Participants) -> None:
    left = [key for key in those.work() if listing_id_of(key)]
    contents = {key: those.store.read(key) or b"" for key in left}
    those.list_shard()
    for key, data in contents.items():
        those.store.publish(key, data)
    collected(those, utc_now())
    assert those.work() == []


def test_a_listing_that_begins_during_a_collection_is_left_alone(those: Participants) -> None:
    """Its record was not there when the files were listed."""
    record = MODEL.shared_listing(DAY, "")
    data = those.store.read(record)
    assert data is not None
    files = type(those.store).files

    class Late(type(those.store)):  # type: ignore[misc]
        def files(self, folder: str):  # type: ignore[no-untyped-def]
            yield from (file for file in files(self, folder) if file.key != record)

    store = Late(those.root)
    later = utc_now() + GRACE + timedelta(minutes=1)
    assert plan_collection(store, MODEL, Retention(), later.date(), later).abandoned == ()


def test_an_expired_date_goes_with_its_shared_listings(those: Participants) -> None:
    snapshot = those.list_shard()
    assert snapshot.rows
    with pytest.raises(Killed):
        those.list_shard(store=MortalStore(those.root, Life(60)), options=PATIENT)
    assert those.work()
    collected(those, utc_now() + timedelta(days=9), Retention(keep_days=2))
    assert those.work() == []


def test_the_status_counts_it_as_unfinished(those: Participants) -> None:
    bounds = GrowthBounds(**Growth().model_dump(exclude={"severity"}))
    (found,) = status_of(those.store, MODEL, bounds).unfinished
    assert (found.day, found.listings) == (DAY, 1)
    assert found.last_checkpoint_at is not None
    those.list_shard()
    for folder in sorted((those.root / MODEL.base / "work").rglob("*"), reverse=True):
        folder.rmdir()  # a bucket has no empty folders
    assert status_of(those.store, MODEL, bounds).unfinished == ()


def test_a_migration_leaves_them_out(those: Participants) -> None:
    assert {stage_of(key) for key in those.work()} == {LeftOut.SHARED}
