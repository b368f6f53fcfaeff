"""A shard that several participants list together has the snapshot of one that lists it alone."""

import re
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inventory_assets.inventory.errors import JoinRefused
from inventory_assets.inventory.listing.shard_lister import ShardLister
from inventory_assets.inventory.listing.shared_work import present_listings
from inventory_assets.inventory.manifest.manifest_merge import merge, publish_manifest
from inventory_assets.inventory.manifest.snapshot import Snapshot, publish_snapshot, read_snapshot
from inventory_assets.inventory.manifest.snapshot_validation import (
    failed_rules,
    validate,
    validate_files,
)
from inventory_assets.inventory.retention.collector import execute, plan_collection
from inventory_assets.inventory.retention.policy import Retention
from inventory_assets.inventory.runs.shard_run import read_shard_run
from inventory_assets.inventory.shared_listing.listing_lifecycle import (
    SharingOptions,
)
from inventory_assets.inventory.shared_shards import shard_goal
from inventory_assets.inventory.storage.layout import parse_path, path_in_source
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets.s3.errors import AccessDenied
from inventory_assets.scan.errors import KeysOutOfOrder
from inventory_assets.scan.keyspace.key_order import KeyOrder
from inventory_assets.scan.keyspace.shard import Shard, make_shard
from inventory_assets_tests.fakes.simulated_bucket import Killed, Life, MortalStore
from inventory_assets_tests.inventory.killed_listings import (
    KEYS,
    MODEL,
    SMALL,
    Bucket,
)
from inventory_assets_tests.inventory.shared_shards.participants import (
    BRISK,
    DAY,
    GAPS,
    LONG_AGO,
    PATIENT,
    REMAINDER,
    Participants,
    together,
    utc_now,
)

ORDERED = sorted(KEYS)


@pytest.fixture
def those(tmp_path: Path) -> Participants:
    return Participants(tmp_path / "shared")


def alone(root: Path, shard: Shard, keys: list[str] = KEYS) -> Snapshot:
    """The snapshot of an ordinary listing."""
    lister = ShardLister(Bucket(keys), LocalStore(root), MODEL, sizing=SMALL)
    return lister.list_shard(DAY, shard)


def check(
    those: Participants, snapshot: Snapshot, truth: list[str], shard: Shard = REMAINDER
) -> None:
    """The snapshot is the truth, is proven and published, and nothing else is left."""
    assert those.keys_of(snapshot) == sorted(key for key in truth if shard.covers(key))
    assert failed_rules(validate(snapshot)) == []
    assert failed_rules(validate_files(those.store, snapshot)) == []
    assert read_snapshot(those.store, MODEL, DAY, shard.prefix) == snapshot
    # One that was killed at the very end has left what a collection removes.
    assert present_listings(those.store, MODEL.shared_work(DAY)) == {}
    now = utc_now()
    execute(those.store, plan_collection(those.store, MODEL, Retention(), DAY, now), utc_now)
    assert those.work() == []


@pytest.mark.parametrize("shard", [REMAINDER, GAPS, Shard("a"), Shard("zz")])
def test_one_participant_makes_the_snapshot_of_an_ordinary_listing(
    those: Participants, tmp_path: Path, shard: Shard
) -> None:
    lister = Bucket(KEYS)
    snapshot = those.list_shard(shard, lister=lister)
    check(those, snapshot, KEYS, shard)
    expected = alone(tmp_path / "alone", shard)
    assert snapshot.fingerprint == expected.fingerprint
    assert those.records(snapshot).equals(Participants(tmp_path / "alone").records(expected))
    assert snapshot.requests == len(lister.requests)
    run = read_shard_run(those.store, MODEL, DAY, shard.prefix, snapshot.finished_at)
    assert run is not None
    assert run.figures.rows == snapshot.rows


class Slow(Bucket):
    """A bucket that takes real time, so that threads run at the same time."""

    def list_page_sync(self, request, stats):  # type: ignore[no-untyped-def]
        time.sleep(0.002)
        return super().list_page_sync(request, stats)


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("shard", [REMAINDER, make_shard("", ["000123", "0045", "005999"])])
def test_several_participants_end_with_one_snapshot(
    those: Participants, tmp_path: Path, shard: Shard
) -> None:
    keys = [f"{number:06}" for number in range(6_000)]
    buckets = [Slow(keys, seed) for seed in range(3)]
    since = utc_now()
    snapshots = together(
        3,
        lambda number: those.list_shard(
            shard, lister=buckets[number], options=PATIENT, since=since
        ),
    )
    assert snapshots[0] == snapshots[1] == snapshots[2]
    check(those, snapshots[0], keys, shard)
    assert sum(len(bucket.requests) > 20 for bucket in buckets) >= 2, "nothing was shared"
    assert sum(len(bucket.requests) for bucket in buckets) < 1.6 * len(keys) / 10
    assert snapshots[0].fingerprint == alone(tmp_path / "alone", shard, keys).fingerprint


@pytest.mark.parametrize("left", [*range(1, 30, 4), 40, 60, 90, 130, 160, 168, 176])
@pytest.mark.parametrize("shard", [REMAINDER, GAPS])
def test_a_participant_killed_at_any_point_costs_only_time(
    those: Participants, left: int, shard: Shard
) -> None:
    try:
        those.list_shard(shard, store=MortalStore(those.root, Life(left)))
    except Killed:
        check(those, those.list_shard(shard, since=LONG_AGO), KEYS, shard)


def test_a_chain_of_killed_participants(those: Participants) -> None:
    for left in (25, 12, 30, 5, 18, 22):
        with pytest.raises(Killed):
            those.list_shard(store=MortalStore(those.root, Life(left)), options=BRISK)
    check(those, those.list_shard(), KEYS)


def die_after_publishing(those: Participants, monkeypatch: pytest.MonkeyPatch) -> None:
    """List the shard, and die when its snapshot is published and its records are still there."""

    def die(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(shard_goal, "record_shard_run", die)
        with pytest.raises(Killed):
            those.list_shard()


def test_a_publisher_that_dies_before_it_removed_the_records_has_published(
    those: Participants, monkeypatch: pytest.MonkeyPatch
) -> None:
    die_after_publishing(those, monkeypatch)
    published = read_snapshot(those.store, MODEL, DAY, "")
    assert published is not None
    lister = Bucket(KEYS)
    assert those.list_shard(lister=lister, since=published.started_at) == published
    assert not lister.requests
    check(those, published, KEYS)


def test_a_new_request_does_not_take_a_snapshot_whose_records_are_left(
    those: Participants, monkeypatch: pytest.MonkeyPatch
) -> None:
    die_after_publishing(those, monkeypatch)
    those.keys.append("new")
    check(those, those.list_shard(), [*KEYS, "new"])


def test_a_listing_whose_record_is_removed_begins_anew(those: Participants) -> None:
    with pytest.raises(Killed):
        those.list_shard(store=MortalStore(those.root, Life(60)))

    def remove(_seconds: float) -> None:
        those.store.remove_key(MODEL.shared_listing(DAY, ""))

    waiting = SharingOptions(60, 0.005, lambda: time.monotonic() * 1000, sleep=remove)
    snapshot = those.list_shard(options=waiting)
    assert those.keys_of(snapshot) == ORDERED


# Whose listing it is


def test_a_late_participant_takes_the_snapshot_and_a_new_request_lists_anew(
    those: Participants,
) -> None:
    before = utc_now()
    first = those.list_shard()
    lister = Bucket(KEYS)
    assert those.list_shard(lister=lister, since=before) == first
    assert not lister.requests
    those.keys.append("new")
    second = those.list_shard()
    assert second.started_at > first.started_at
    check(those, second, [*KEYS, "new"])


def test_a_participant_that_was_requested_later_joins_what_is_going_on(
    those: Participants,
) -> None:
    with pytest.raises(Killed):
        those.list_shard(store=MortalStore(those.root, Life(60)))
    lister = Bucket(KEYS)
    since = utc_now()
    snapshot = those.list_shard(lister=lister, since=since)
    assert snapshot.started_at < since
    assert len(lister.requests) < 0.75 * len(KEYS) / 10
    check(those, snapshot, KEYS)


def test_the_first_participant_decides_what_the_shard_excludes(those: Participants) -> None:
    with pytest.raises(Killed):
        those.list_shard(store=MortalStore(those.root, Life(60)))
    snapshot = those.list_shard(GAPS)
    check(those, snapshot, KEYS)
    assert snapshot.shard == REMAINDER


def test_a_snapshot_of_fewer_keys_is_not_taken(those: Participants) -> None:
    before = utc_now()
    check(those, those.list_shard(GAPS), KEYS, GAPS)
    check(those, those.list_shard(since=before), KEYS)


def test_an_unfinished_listing_of_yesterday_begins_anew(those: Participants) -> None:
    with pytest.raises(Killed):
        those.list_shard(store=MortalStore(those.root, Life(60)))
    key = MODEL.shared_listing(DAY, "")
    data = those.store.read(key)
    assert data is not None
    begun = utc_now() - timedelta(days=1, minutes=1)
    text = re.sub('"begun_at": "[^"]*"', f'"begun_at": "{begun.isoformat()}"', data.decode())
    those.store.publish(key, text.encode())
    snapshot = those.list_shard()
    assert snapshot.started_at > begun + timedelta(days=1)
    check(those, snapshot, KEYS)


def test_a_damaged_snapshot_is_replaced(those: Participants) -> None:
    those.list_shard()
    those.store.publish(MODEL.snapshot(DAY, ""), b"{}")
    check(those, those.list_shard(since=LONG_AGO), KEYS)


# The baseline


def baseline_of(those: Participants, snapshot: Snapshot) -> None:
    yesterday = replace(snapshot, day=DAY - timedelta(days=1))
    publish_snapshot(those.store, MODEL, yesterday)
    manifest = merge(those.store, MODEL, "", {"": yesterday}, utc_now())
    publish_manifest(those.store, MODEL, manifest)


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("changed", [False, True])
def test_parts_of_the_baseline_are_reused(those: Participants, changed: bool) -> None:
    keys = [f"{number:06}" for number in range(3_000)]
    those.keys = keys
    before = those.list_shard()
    baseline_of(those, before)
    if changed:
        keys = those.keys = sorted([*keys, "001500+"])
    snapshots = together(
        3,
        lambda number: those.list_shard(
            lister=Slow(keys, number), options=PATIENT, since=utc_now() - timedelta(seconds=1)
        ),
    )
    check(those, snapshots[0], keys)
    reuse = snapshots[0].reuse
    assert reuse.unchanged is not changed
    if changed:
        assert len(before.parts) - 10 <= reuse.parts < len(before.parts)
    else:
        assert snapshots[0].parts == before.parts
        assert snapshots[0].fingerprint == before.fingerprint


def test_parts_are_reused_after_a_kill(those: Participants) -> None:
    before = those.list_shard()
    baseline_of(those, before)
    with pytest.raises(Killed):
        those.list_shard(store=MortalStore(those.root, Life(50)))
    snapshot = those.list_shard()
    check(those, snapshot, KEYS)
    assert snapshot.reuse.unchanged
    assert snapshot.parts == before.parts


# Errors


def test_a_participant_that_fails_leaves_its_ranges_to_the_others(those: Participants) -> None:
    class Refusing(Bucket):
        def list_page_sync(self, request, stats):  # type: ignore[no-untyped-def]
            if len(self.requests) > 20:
                raise AccessDenied("these credentials have expired")
            return super().list_page_sync(request, stats)

    with pytest.raises(AccessDenied):
        those.list_shard(lister=Refusing(KEYS))
    check(those, those.list_shard(options=PATIENT), KEYS)


def test_a_listing_that_is_wrong_fails_and_the_next_begins_anew(those: Participants) -> None:
    class Lying(Bucket):
        def list_page_sync(self, request, stats):  # type: ignore[no-untyped-def]
            if len(self.requests) > 20:
                raise KeysOutOfOrder("the keys do not ascend")
            return super().list_page_sync(request, stats)

    with pytest.raises(KeysOutOfOrder):
        those.list_shard(lister=Lying(KEYS))
    assert read_snapshot(those.store, MODEL, DAY, "") is None
    check(those, those.list_shard(), KEYS)


def test_a_store_that_lists_in_directory_order_is_refused_with_the_remedy(
    those: Participants,
) -> None:
    keys = [f"d{number:02}{end}" for number in range(60) for end in ("/x", "-y")]
    with pytest.raises(JoinRefused, match=r"directory order; set shards\.shared = false"):
        those.list_shard(lister=Bucket(keys, key_order=KeyOrder.DIRECTORY))


def test_an_empty_bucket_has_an_empty_snapshot(those: Participants) -> None:
    those.keys = []
    check(those, those.list_shard(), [])


# Any keys, shards and kills


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_rows_are_the_truth_whatever_is_excluded_and_killed(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    seed = data.draw(st.integers(0, 2**32))
    chances = Random(seed)  # noqa: S311 - a repeatable test
    letters = "ab/ñ"
    keys = sorted({"".join(chances.choices(letters, k=chances.randint(1, 6))) for _ in range(200)})
    prefixes = data.draw(st.lists(st.text(letters, min_size=1, max_size=3), max_size=4))
    shard = make_shard("", prefixes)
    those = Participants(tmp_path_factory.mktemp("any"), keys)
    for left in data.draw(st.lists(st.integers(1, 120), max_size=3)):
        try:
            those.list_shard(
                shard,
                store=MortalStore(those.root, Life(left)),
                lister=Bucket(keys, chances.randrange(100)),
                options=BRISK,
                since=LONG_AGO,
            )
        except Killed:
            kinds = {parse_path(path_in_source(key)) for key in those.work()}
            assert None not in kinds
    check(those, those.list_shard(shard, since=LONG_AGO), keys, shard)
