"""A shard of versions that several participants list together."""

import threading
import time
from datetime import timedelta
from pathlib import Path
from random import Random

import pytest

from inventory_assets.inventory.listing.shard_lister import ShardLister
from inventory_assets.inventory.manifest.manifest_merge import merge, publish_manifest
from inventory_assets.inventory.manifest.snapshot import Snapshot, read_snapshot
from inventory_assets.inventory.manifest.snapshot_validation import (
    failed_rules,
    validate,
    validate_files,
)
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets.s3.decoding.page import Page
from inventory_assets.s3.decoding.page_peek import RawPage
from inventory_assets.s3.page_request import PageRequest
from inventory_assets.s3.request_stats import RequestStats
from inventory_assets.scan.keyspace.shard import Shard
from inventory_assets.scan.validation.object_versions import Versions
from inventory_assets_tests.fakes.simulated_bucket import Killed, Life, MortalStore
from inventory_assets_tests.fakes.versioned_s3 import EPOCH, History, VersionedS3
from inventory_assets_tests.inventory.killed_listings import KEYS, MODEL, SMALL
from inventory_assets_tests.inventory.shared_shards.participants import (
    DAY,
    GAPS,
    PATIENT,
    REMAINDER,
    Participants,
    together,
    utc_now,
)

VERSIONS = pytest.mark.parametrize("as_of", [None, 2])
"""All versions, or those as of the moment 2."""


def versions_of(as_of: int | None) -> Versions:
    return Versions(None if as_of is None else EPOCH + timedelta(milliseconds=as_of))


def history_of(keys: list[str], seed: int = 7) -> History:
    """Three moments at which some of the keys are written, and some removed."""
    chances = Random(seed)  # noqa: S311
    history = History()
    for moment in (1, 2, 3):
        for key in keys:
            if chances.random() < 0.8:
                history.put(key, moment, 10 * moment)
            elif moment > 1:
                history.put(key, moment, None)
    return history


def alone(root: Path, shard: Shard, history: History, versions: Versions) -> Snapshot:
    """The snapshot of an ordinary listing."""
    lister = ShardLister(VersionedS3(history, 10), LocalStore(root), MODEL, sizing=SMALL)
    return lister.list_shard(DAY, shard, versions)


def check(
    those: Participants, snapshot: Snapshot, history: History, as_of: int | None, shard: Shard
) -> None:
    """The snapshot has the versions of the history, and is proven and published."""
    rows = those.records(snapshot).select(["key", "version_id"]).to_pylist()
    expected = [
        {"key": each.key, "version_id": each.version_id}
        for each in history.listed(as_of)
        if shard.covers(each.key)
    ]
    assert rows == expected
    assert failed_rules(validate(snapshot)) == []
    assert failed_rules(validate_files(those.store, snapshot)) == []
    assert read_snapshot(those.store, MODEL, DAY, shard.prefix) == snapshot


@VERSIONS
@pytest.mark.parametrize("shard", [REMAINDER, GAPS, Shard("a")])
def test_one_participant_makes_the_snapshot_of_an_ordinary_listing(
    tmp_path: Path, shard: Shard, as_of: int | None
) -> None:
    history, versions = history_of(KEYS), versions_of(as_of)
    those = Participants(tmp_path / "shared", versions=versions)
    snapshot = those.list_shard(shard, lister=VersionedS3(history, 10))
    check(those, snapshot, history, as_of, shard)
    expected = alone(tmp_path / "alone", shard, history, versions)
    assert snapshot.fingerprint == expected.fingerprint
    assert snapshot.versions == expected.versions == versions
    assert those.records(snapshot).equals(Participants(tmp_path / "alone").records(expected))


class Slow(VersionedS3):
    """A bucket that takes real time, so that threads run at the same time."""

    async def fetch_raw_page(
        self, request: PageRequest, stats: RequestStats, body: bytearray
    ) -> RawPage:
        time.sleep(0.002)  # noqa: ASYNC251 - each participant has a loop of its own
        return await super().fetch_raw_page(request, stats, body)

    def list_page_sync(self, request: PageRequest, stats: RequestStats) -> Page:
        time.sleep(0.002)
        return super().list_page_sync(request, stats)


@VERSIONS
@pytest.mark.usefixtures("eager")
def test_several_participants_end_with_one_snapshot(tmp_path: Path, as_of: int | None) -> None:
    history, versions = history_of([f"{number:06}" for number in range(2_000)]), versions_of(as_of)
    those = Participants(tmp_path / "shared", versions=versions)
    buckets, since = [Slow(history, 10) for _ in range(3)], utc_now()
    snapshots = together(
        3,
        lambda number: those.list_shard(lister=buckets[number], options=PATIENT, since=since),
    )
    assert snapshots[0] == snapshots[1] == snapshots[2]
    check(those, snapshots[0], history, as_of, REMAINDER)
    assert sum(len(bucket.requests) > 20 for bucket in buckets) >= 2, "nothing was shared"


@VERSIONS
@pytest.mark.parametrize("left", [*range(1, 30, 4), 40, 60, 90, 120])
def test_a_participant_killed_at_any_point_costs_only_time(
    tmp_path: Path, as_of: int | None, left: int
) -> None:
    history = history_of(KEYS[:120])
    those = Participants(tmp_path, versions=versions_of(as_of))
    mortal = MortalStore(tmp_path, Life(left))
    try:
        those.list_shard(GAPS, lister=VersionedS3(history, 10), store=mortal)
    except Killed:
        pass
    else:
        assert left >= 60, "it ended before it was killed"
    snapshot = those.list_shard(GAPS, lister=VersionedS3(history, 10))
    check(those, snapshot, history, as_of, GAPS)


@VERSIONS
def test_parts_of_the_baseline_are_reused(tmp_path: Path, as_of: int | None) -> None:
    history, versions = history_of(KEYS), versions_of(as_of)
    those = Participants(tmp_path, versions=versions)
    first = those.list_shard(lister=VersionedS3(history, 10))
    publish_manifest(those.store, MODEL, merge(those.store, MODEL, "", {"": first}, utc_now()))
    those.day = DAY + timedelta(days=1)
    again = those.list_shard(lister=VersionedS3(history, 10))
    assert again.fingerprint == first.fingerprint
    assert again.parts == first.parts


# A date that ends while its shard is listed


def after_its_end(those: Participants, *, in_hours: float = 1) -> Participants:
    """Those that are to list the same date as of its end, which comes only now."""
    end = Versions(utc_now() + timedelta(hours=in_hours))
    return Participants(those.root, versions=end)


def of_all(root: Path) -> tuple[Participants, History]:
    return Participants(root, versions=Versions()), history_of(KEYS)


def test_a_listing_that_was_given_up_before_the_end_of_its_date_begins_anew(
    tmp_path: Path, logged: pytest.LogCaptureFixture
) -> None:
    """What is listed now of the rest would show the next day."""
    those, history = of_all(tmp_path)
    with pytest.raises(Killed):
        those.list_shard(lister=VersionedS3(history, 10), store=MortalStore(tmp_path, Life(60)))
    late = after_its_end(those)
    snapshot = late.list_shard(lister=VersionedS3(history, 10))
    assert snapshot.versions == late.versions
    check(late, snapshot, history, None, REMAINDER)
    assert late.work() == []
    assert any("nobody continues another listing here" in message for message in logged.messages)


@pytest.mark.parametrize("is_asked_for_before", [True, False])
def test_a_listing_under_way_at_the_end_of_its_date_is_finished_by_all(
    tmp_path: Path, is_asked_for_before: bool
) -> None:
    """Who asks for the date after its end takes part, too, and then lists it as of its end."""
    those, history = of_all(tmp_path)
    begun = threading.Event()

    class Signalling(Slow):
        async def fetch_raw_page(
            self, request: PageRequest, stats: RequestStats, body: bytearray
        ) -> RawPage:
            begun.set()
            return await super().fetch_raw_page(request, stats, body)

    before, after = utc_now(), Participants(tmp_path)

    def take_part(number: int) -> Snapshot:
        if number == 0:
            return those.list_shard(lister=Signalling(history, 10), options=PATIENT, since=before)
        assert begun.wait(10)
        after.versions = Versions(utc_now())
        since = before if is_asked_for_before else utc_now()
        return after.list_shard(lister=Slow(history, 10), options=PATIENT, since=since)

    *_, last = sorted(together(2, take_part), key=lambda each: each.finished_at)
    expected = Versions() if is_asked_for_before else after.versions
    assert last.versions == expected
    check(those, last, history, None, REMAINDER)


def test_a_finished_listing_stands_for_the_end_of_its_date_if_it_was_asked_for_before(
    tmp_path: Path,
) -> None:
    those, history = of_all(tmp_path)
    since = utc_now()
    first = those.list_shard(lister=VersionedS3(history, 10))
    late, bucket = after_its_end(those), VersionedS3(history, 10)
    assert late.list_shard(lister=bucket, since=since) == first
    assert bucket.requests == []
    assert late.list_shard(lister=bucket).versions == late.versions
    ended = after_its_end(those, in_hours=-1)  # it shows what came after that
    assert ended.list_shard(lister=bucket, since=since).versions == ended.versions


def test_a_listing_of_objects_that_was_given_up_is_replaced_by_one_of_versions(
    tmp_path: Path,
) -> None:
    history = history_of(KEYS)
    before, after = (Participants(tmp_path, versions=versions) for versions in (None, Versions()))
    with pytest.raises(Killed):
        before.list_shard(lister=VersionedS3(history, 10), store=MortalStore(tmp_path, Life(60)))
    check(after, after.list_shard(lister=VersionedS3(history, 10)), history, None, REMAINDER)
