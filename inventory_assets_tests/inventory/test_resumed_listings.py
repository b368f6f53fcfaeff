"""Resuming a listing, and the cases in which it must not be resumed."""

import tempfile
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from itertools import count, pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inventory_assets.inventory.errors import ConflictError, CorruptRecord
from inventory_assets.inventory.folder_listing import folder_listing, process_pool, range_listing
from inventory_assets.inventory.folder_listing.folder_listing import list_into_folder
from inventory_assets.inventory.folder_listing.range_listing import Work, open_checkpoint_log
from inventory_assets.inventory.listing import snapshot_builder
from inventory_assets.inventory.listing.part_reuse import replay_hashes, segments_of
from inventory_assets.inventory.listing.shard_lister import ShardLister
from inventory_assets.inventory.listing.snapshot_builder import ShardRequest
from inventory_assets.inventory.manifest.manifest_merge import merge, publish_manifest
from inventory_assets.inventory.manifest.snapshot import (
    Snapshot,
    publish_snapshot,
    read_snapshot,
)
from inventory_assets.inventory.parts.fingerprint import Fingerprint, joined
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets.s3.request_stats import RequestStats
from inventory_assets.s3.store_profile import AWS
from inventory_assets.scan.engine.progress import Report, ignore_events
from inventory_assets.scan.keyspace.key_order import KeyOrder
from inventory_assets.scan.keyspace.key_range import KeyRange
from inventory_assets.scan.keyspace.shard import make_shard
from inventory_assets.scan.prefix_discovery import Discovery
from inventory_assets.scan.validation.range_evidence import Ending
from inventory_assets_tests.fakes.simulated_bucket import Killed, Life, MortalStore
from inventory_assets_tests.inventory.killed_listings import (
    EITHER_ORDER,
    FOLDERS,
    KEYS,
    MODEL,
    SMALL,
    Bucket,
    killed_late,
    list_shard,
    records,
    small_files,
)
from inventory_assets_tests.inventory.samples import DAY, NOW, listed, parts_of, records_of

SHARD = make_shard("", [])
HOUR = timedelta(hours=1)


def finished(store: LocalStore, lister: Bucket, now: datetime) -> Snapshot:
    """The snapshot that another run takes; it is not published any more, but can be."""
    snapshot = list_shard(lister, store, SHARD, now)
    store.remove_key(MODEL.snapshot(DAY, ""))
    return snapshot


def retaken(
    store: LocalStore, lister: Bucket, now: datetime = NOW, report: Report = ignore_events
) -> Snapshot:
    shard_lister = ShardLister(
        lister, store, MODEL, lister.key_order, lambda: now, report=report, sizing=SMALL
    )
    return shard_lister.list_shard(DAY, SHARD)


def at_event(number: int, do: Callable[[], None]) -> Report:
    """Do something when the listing has come so far."""
    numbers = count()

    def report(_event: object) -> None:
        if next(numbers) == number:
            do()

    return report


def is_afresh(snapshot: Snapshot) -> bool:
    return all(row.ending is not Ending.RESUMED for row in snapshot.evidence)


@EITHER_ORDER
def test_a_listing_overtaken_by_another_run_leaves_no_checkpoints(
    keys: list[str], key_order: KeyOrder, store: LocalStore
) -> None:
    with small_files():
        newer = finished(store, Bucket(keys[1:], key_order=key_order), NOW + HOUR)
        overtake = at_event(20, lambda: publish_snapshot(store, MODEL, newer))
        with pytest.raises(ConflictError, match="materialize again to start over"):
            retaken(store, Bucket(keys, key_order=key_order), report=overtake)
        assert store.list_names(MODEL.checkpoints(DAY)) == []
        assert read_snapshot(store, MODEL, DAY, "") == newer


@EITHER_ORDER
def test_a_listing_begun_before_the_present_snapshot_was_finished_is_not_resumed(
    keys: list[str], key_order: KeyOrder, tmp_path: Path, logged: pytest.LogCaptureFixture
) -> None:
    store = LocalStore(tmp_path)
    with small_files():
        newer = finished(store, Bucket(keys[1:], key_order=key_order), NOW + HOUR)
        killed_late(tmp_path, keys, key_order)
        publish_snapshot(store, MODEL, newer)
        found = list_shard(Bucket(keys[2:], key_order=key_order), store, SHARD, NOW + 2 * HOUR)
    (message,) = logged.messages
    assert "older than the published one" in message
    assert is_afresh(found)
    assert records(store, found).column("key").to_pylist() == sorted(keys[2:])


def test_a_listing_begun_after_the_present_snapshot_was_finished_is_resumed(
    tmp_path: Path,
) -> None:
    store = LocalStore(tmp_path)
    with small_files():
        list_shard(Bucket(KEYS[1:]), store, SHARD, NOW - HOUR)
        killed_late(tmp_path)
        found = list_shard(Bucket(KEYS), store, SHARD)
    assert not is_afresh(found)
    assert found.rows == len(KEYS)


def test_a_resumed_listing_does_not_replace_a_snapshot_published_meanwhile(
    tmp_path: Path,
) -> None:
    """Its turn may come long after what is safe of it was read."""
    store = LocalStore(tmp_path)
    with small_files():
        newer = finished(store, Bucket(KEYS[1:]), NOW + HOUR)
        killed_late(tmp_path)
        overtake = at_event(0, lambda: publish_snapshot(store, MODEL, newer))
        with pytest.raises(ConflictError):
            retaken(store, Bucket(KEYS), NOW + HOUR, overtake)
        assert read_snapshot(store, MODEL, DAY, "") == newer


def test_a_listing_killed_after_its_publication_is_not_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = LocalStore(tmp_path)

    def kill(_store: LocalStore, _key: str) -> None:
        raise Killed

    with small_files():
        with monkeypatch.context() as patch:
            patch.setattr(LocalStore, "remove_key", kill)
            with pytest.raises(Killed):
                list_shard(Bucket(KEYS), store, SHARD)
        assert store.list_names(MODEL.checkpoints(DAY)) != []
        found = list_shard(Bucket(KEYS[1:]), store, SHARD, NOW + HOUR)
    assert found.rows == len(KEYS) - 1


def test_where_the_present_snapshot_cannot_be_read_everything_is_listed_again(
    tmp_path: Path,
) -> None:
    store = LocalStore(tmp_path)
    with small_files():
        killed_late(tmp_path)
        store.publish(MODEL.snapshot(DAY, ""), b"{")
        found = list_shard(Bucket(KEYS), store, SHARD, NOW + HOUR)
    assert is_afresh(found)


class LastBreath(LocalStore):
    """The state after a process was killed between listing and publishing."""

    def put_if_match(self, *_record: object) -> str:
        raise Killed


@EITHER_ORDER
@pytest.mark.parametrize("is_whole", [False, True])
def test_a_damaged_part_of_a_checkpoint_is_listed_again_at_the_next_attempt(
    keys: list[str], key_order: KeyOrder, is_whole: bool, tmp_path: Path
) -> None:
    store = LocalStore(tmp_path)
    with small_files():
        if is_whole:
            with pytest.raises(Killed):
                list_shard(Bucket(keys, key_order=key_order), LastBreath(tmp_path), SHARD)
        else:
            killed_late(tmp_path, keys, key_order)
        name = store.list_names(MODEL.data_folder)[0]
        path = store.path(MODEL.data(name))
        path.write_bytes(bytes(path.stat().st_size))
        with pytest.raises(CorruptRecord, match="is missing or damaged"):
            list_shard(Bucket(keys, key_order=key_order), store, SHARD)
        found = list_shard(Bucket(keys, key_order=key_order), store, SHARD)
        assert records(store, found).column("key").to_pylist() == sorted(keys)


OUT_OF_ORDER = [*FOLDERS, *(f"{name}-x" for name in "0123456789abcdef")]
"""Where directories are folders, `0-x` comes after all of `0/`."""


def test_a_listing_in_directory_order_is_resumed_after_the_order_is_detected_again(
    tmp_path: Path, logged: pytest.LogCaptureFixture
) -> None:
    store = LocalStore(tmp_path)
    with small_files():
        killed_late(tmp_path, OUT_OF_ORDER, KeyOrder.DIRECTORY)
        logged.clear()
        lister = Bucket(OUT_OF_ORDER, key_order=KeyOrder.DIRECTORY)
        found = ShardLister(lister, store, MODEL, None, lambda: NOW, sizing=SMALL).list_shard(
            DAY, SHARD
        )
        assert records(store, found).column("key").to_pylist() == sorted(OUT_OF_ORDER)
    assert found.key_order is KeyOrder.DIRECTORY
    assert not is_afresh(found)
    assert all("afresh" not in message for message in logged.messages)


def test_a_folder_is_resumed_after_the_store_order_was_misdetected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, logged: pytest.LogCaptureFixture
) -> None:
    misdetected = Discovery((), KeyOrder.BYTES, 0)
    monkeypatch.setattr(folder_listing, "discover", lambda *_arguments: misdetected)
    lister = Bucket(OUT_OF_ORDER, key_order=KeyOrder.DIRECTORY)
    with small_files():
        with monkeypatch.context() as patch:
            patch.setattr(folder_listing, "LocalStore", lambda root: MortalStore(root, Life(350)))
            with pytest.raises(Killed):
                list_into_folder(lister, "", tmp_path)
        logged.clear()
        assert list_into_folder(lister, "", tmp_path).rows == len(OUT_OF_ORDER)
    assert "objects of it are kept" in logged.messages[-1]
    assert all("afresh" not in message for message in logged.messages)


class ReadsCounted(LocalStore):
    """Counts how often the manifest of a date is read."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.manifests_read = 0

    def read(self, key: str) -> bytes | None:
        self.manifests_read += key.endswith("inventory.json")
        return super().read(key)


@EITHER_ORDER
def test_a_baseline_is_read_once_for_all_dates_and_shards(
    keys: list[str], key_order: KeyOrder, tmp_path: Path
) -> None:
    store = ReadsCounted(tmp_path)
    lister = Bucket(keys[:40], key_order=key_order)
    shards = [make_shard("", "abc"), *(make_shard(prefix, []) for prefix in "abc")]
    with small_files():
        yesterday = list_shard(lister, store, SHARD)
        publish_manifest(store, MODEL, merge(store, MODEL, "", {"": yesterday}, NOW))
        days = [DAY + timedelta(days=number) for number in (1, 2)]
        store.manifests_read = 0
        shard_lister = ShardLister(lister, store, MODEL, key_order, lambda: NOW, sizing=SMALL)
        results = [
            *shard_lister.list_shards(
                [ShardRequest(day, shard) for day in days for shard in shards]
            )
        ]
    assert all(isinstance(result, Snapshot) for _, result in results)
    assert store.manifests_read == 1


def test_adjacent_completed_ranges_are_hashed_to_one_fingerprint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fingerprints contain records at their ends, and long listings have many parts."""
    store = LocalStore(tmp_path)
    lister = Bucket(FOLDERS, key_order=KeyOrder.DIRECTORY)
    held: list[int] = []

    def counted(fingerprints: Sequence[tuple[str, Fingerprint]]) -> Fingerprint:
        held.append(len(fingerprints))
        return joined(fingerprints)

    with small_files():
        undisturbed = list_shard(lister, LocalStore(tmp_path / "undisturbed"), SHARD)
        with pytest.raises(Killed):
            list_shard(lister, LastBreath(tmp_path), SHARD)
        monkeypatch.setattr(snapshot_builder, "joined", counted)
        found = list_shard(lister, store, SHARD)
    assert len(found.parts) > 100
    assert held == [1]
    assert found.fingerprint == undisturbed.fingerprint


SOME = sorted(KEYS[:40])


@given(
    st.sets(st.sampled_from(SOME), max_size=3),
    st.sets(st.integers(1, 39), min_size=6, max_size=12),
    st.integers(0, 10),
    st.integers(29, 39),
)
@settings(max_examples=40)
def test_replayed_hashes_tell_which_segments_are_unchanged(
    changed: set[str], cuts: set[int], first: int, last: int
) -> None:
    with tempfile.TemporaryDirectory() as folder, small_files():
        store = LocalStore(Path(folder))
        bounds = [0, *sorted(cuts), len(SOME)]
        groups = [listed(SOME[start:stop]) for start, stop in pairwise(bounds)]
        baseline = parts_of(store, *groups)
        segments = segments_of(baseline, [KeyRange.of_prefix("")], SMALL)
        key_range = KeyRange(SOME[first], SOME[last])
        now = [key for key in SOME if key not in changed and key in key_range]
        batches = [records_of(listed(now[start : start + 3])) for start in range(0, len(now), 3)]
        found = replay_hashes(batches, key_range, segments)
    within = [each for each in segments if key_range.after <= each.after < each.until]
    within = [each for each in within if each.until <= key_range.until]
    assert [*found.unchanged] == [
        each.part
        for each in within
        if each.part
        and [key for key in now if each.after < key <= each.until]
        == [key for key in SOME if each.after < key <= each.until]
    ]
    whole = Fingerprint()
    whole.update(records_of(listed(now)))
    assert found.fingerprint.hexdigest() == whole.hexdigest()
    assert len(found.partial_hashes) <= 2
    for first_key, _ in found.partial_hashes:
        assert not any(each.after < first_key <= each.until for each in within)


def test_processes_keep_the_checkpoints_of_other_processes_of_their_listing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even if a listing takes longer than the lifetime of another's drafts."""
    store, lister = LocalStore(tmp_path), Bucket(KEYS)
    monkeypatch.setattr(process_pool, "_list_client", lambda _bucket_config, _retry: lister)
    monkeypatch.setattr(process_pool, "_send_progress", lambda _progress: None)
    began = datetime.fromisoformat("2026-01-01T00:00:00+00:00")
    with small_files():
        noting = open_checkpoint_log(Work(lister, "", 1, store), KeyOrder.BYTES, began)
        noting.record_completed(KeyRange("", "0"), parts_of(store, listed(["*"])), RequestStats())
        noting.flush(RequestStats())
        before = store.list_names(range_listing.CHECKPOINTS)
        found, _ = process_pool._list_range(
            lister.bucket_config,
            AWS,
            lister.retry,
            "",
            None,
            tmp_path,
            began,
            KeyRange("0", "zz"),
        )
        after = store.list_names(range_listing.CHECKPOINTS)
        kept = open_checkpoint_log(Work(lister, "", 1, store), KeyOrder.BYTES).resumed
    assert sum(part.rows for part in found.parts) == len(KEYS)
    assert len(before) == 1
    assert {*before} < {*after}
    assert kept.completed == (), "all of it began on another day"


def test_the_first_process_clears_the_checkpoints_of_all_processes(tmp_path: Path) -> None:
    work = Work(Bucket(KEYS), "", 2, LocalStore(tmp_path))
    with small_files():
        first = open_checkpoint_log(work, KeyOrder.BYTES)
        noting = open_checkpoint_log(work, KeyOrder.BYTES, first.started_at)
        noting.record_completed(
            KeyRange("", "0"), parts_of(work.store, listed(["*"])), RequestStats()
        )
        noting.flush(RequestStats())
        assert open_checkpoint_log(work, KeyOrder.BYTES).resumed.rows == 1
        first.clear()
    assert work.store.list_names(range_listing.CHECKPOINTS) == []
