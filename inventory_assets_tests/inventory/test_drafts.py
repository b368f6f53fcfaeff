"""The work that remains of a listing that is killed or stopped, or whose disk is full."""

import random
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inventory_assets.inventory.listing import checkpoints
from inventory_assets.inventory.listing.checkpoint_record import listing_fingerprint
from inventory_assets.inventory.listing.checkpoints import CheckpointLog
from inventory_assets.inventory.listing.part_assembler import PartAssembler
from inventory_assets.inventory.listing.part_stream import RowBuffer
from inventory_assets.inventory.parts import drafts, hashing_file
from inventory_assets.inventory.parts.fingerprint import Fingerprint
from inventory_assets.inventory.storage import local_store
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets.s3.bucket_config import BucketConfig
from inventory_assets.s3.request_stats import RequestStats
from inventory_assets.scan.keyspace.key_range import KeyRange
from inventory_assets_tests.fakes.listings import objects_of
from inventory_assets_tests.inventory.assemblies import (
    LAST,
    CheckedBudget,
    Driver,
    keys_of,
    numbered,
    small_files,
)
from inventory_assets_tests.inventory.samples import LAYOUT, NOW, listed, records_of

AT_MOST_AGAIN = timedelta(seconds=15)


def checkpoint_log_in(
    store: LocalStore, now: Callable[[], datetime] = lambda: NOW
) -> CheckpointLog:
    identity = listing_fingerprint(BucketConfig("bucket"), "", ())
    return CheckpointLog(store, "checkpoints", "listing", identity, now, layout=LAYOUT)


@contextmanager
def quick(group_rows: int, part_rows: int = 10**6) -> Iterator[LocalStore]:
    with (
        tempfile.TemporaryDirectory() as folder,
        small_files(group_rows, part_rows),
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(local_store, "_flush", lambda _path: None)
        yield LocalStore(Path(folder))


def kept_keys(store: LocalStore) -> list[str]:
    """The keys that a resumed run need not list: exactly those of the completed ranges."""
    checkpoint_log = checkpoint_log_in(store)
    for each in checkpoint_log.resumed.completed:
        for part in each.parts:
            whole = Fingerprint()
            whole.update(records_of(listed(keys_of(store, part))))
            assert part.fingerprint == whole.hexdigest()
            assert part.rows == len(keys_of(store, part))
            assert part.file_bytes == store.size(part.key)
    checkpoint_log.close()
    return keys_of(store, *checkpoint_log.resumed.parts)


def covered(store: LocalStore, keys: list[str]) -> list[str]:
    """The keys in the resumed work."""
    checkpoint_log = checkpoint_log_in(store)
    checkpoint_log.close()
    ranges = [each.key_range for each in checkpoint_log.resumed.completed]
    return [key for key in keys if any(key in each for each in ranges)]


@given(
    seed=st.integers(0, 9999),
    steps=st.integers(0, 60),
    group_rows=st.integers(1, 12),
    part_rows=st.sampled_from([4, 16, 10**6]),
    budget_rows=st.integers(4, 40),
)
@settings(max_examples=25)
def test_all_received_objects_survive_when_a_listing_is_stopped(
    seed: int, steps: int, group_rows: int, part_rows: int, budget_rows: int
) -> None:
    chances = random.Random(seed)  # noqa: S311 - a repeatable test
    with quick(group_rows, part_rows) as store:
        checkpoint_log = checkpoint_log_in(store)
        budget = CheckedBudget(budget_rows)
        keys, bounds = numbered(60), [0, 9, 20, 60]
        driver = Driver(store, keys, bounds, [1], budget, chances, checkpoint_log=checkpoint_log)
        for _ in range(steps):
            if not driver.is_done:
                driver.step()
        checkpoint_log.save_drafts(RequestStats())
        driver.assembler.close()
        checkpoint_log.close()
        assert kept_keys(store) == sorted(driver.written)
        # And once more: a resumed listing loses nothing, even if it is killed, too.
        assert kept_keys(store) == sorted(driver.written)
        assert covered(store, driver.expected) == kept_keys(store)


@given(
    seed=st.integers(0, 9999),
    gap=st.sampled_from([0.001, 0.1, 1.0, 4.0]),
    events=st.integers(1, 150),
    group_rows=st.sampled_from([3, 50]),
)
@settings(max_examples=25)
def test_a_kill_at_any_moment_costs_fifteen_seconds_of_listing_at_most(
    seed: int, gap: float, events: int, group_rows: int
) -> None:
    """At any rate of records."""
    chances = random.Random(seed)  # noqa: S311
    keys = numbered(1000)
    with quick(group_rows, 40) as store:
        clock = [NOW]
        checkpoint_log = checkpoint_log_in(store, lambda: clock[0])
        bounds = [0, 100, 300, 500, 1000]
        budget = CheckedBudget(200)
        driver = Driver(
            store, keys, bounds, [], budget, chances, most=9, checkpoint_log=checkpoint_log
        )
        written_at: dict[str, datetime] = {}
        for _ in range(events):
            if driver.is_done:
                break
            clock[0] += timedelta(seconds=chances.uniform(0, 2 * gap))
            driver.step()
            for key in driver.written[len(written_at) :]:
                written_at[key] = clock[0]
        checkpoint_log.close()  # nothing else that a process does which is killed
        kept = kept_keys(store)
        lost = {*driver.written} - {*kept}
        assert all(clock[0] - written_at[key] <= AT_MOST_AGAIN for key in lost)
        assert len(kept) == len({*kept})
        assert {*kept} <= {*driver.written}
        ranges = len(driver.ranges) + driver._begun
        assert len(checkpoint_log_in(store).resumed.parts) <= ranges + len(kept) // 40 * 2
        driver.assembler.close()


def test_a_slow_listing_ends_in_few_files_despite_many_checkpoints(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_store, "_flush", lambda _path: None)
    clock = [NOW]
    checkpoint_log = checkpoint_log_in(store, lambda: clock[0])
    ranges = [KeyRange("", "0100"), KeyRange("0100", LAST)]
    assembler = PartAssembler(
        store,
        LAYOUT,
        ranges,
        RowBuffer(),
        on_published=lambda key_range, parts: checkpoint_log.record_completed(
            key_range, parts, RequestStats()
        ),
        drafts=checkpoint_log.drafts,
        on_tick=lambda: checkpoint_log.tick(RequestStats()),
    )
    checkpoint_log.track_open_ranges(assembler.open_ranges)
    for key in numbered(200):
        clock[0] += timedelta(seconds=10)
        assembler.write(key > "0100", objects_of([key]))
    for number, each in enumerate(ranges):
        assembler.end(number, each.until)
    assert [part.rows for part in assembler.finish()] == [200]
    checkpoint_log.flush(RequestStats())
    left = [path for path in (store.root / ".drafts").rglob("*") if path.is_file()]
    assert {path.name for path in left} <= {"lock", "reserve"}
    checkpoint_log.clear()
    assert not list((store.root / ".drafts").iterdir())


def full(_file: object, _data: bytes) -> int:
    raise OSError(28, "No space left on device")


@given(seed=st.integers(0, 9999), steps=st.integers(1, 40))
@settings(max_examples=15)
def test_records_written_before_the_disk_was_full_survive(seed: int, steps: int) -> None:
    chances = random.Random(seed)  # noqa: S311
    with quick(3) as store:
        checkpoint_log = checkpoint_log_in(store)
        budget = CheckedBudget(12)
        driver = Driver(
            store, numbered(60), [0, 20, 60], [], budget, chances, checkpoint_log=checkpoint_log
        )
        for _ in range(steps):
            if not driver.is_done:
                driver.step()
        in_files = [
            draft.last_key for each in driver.assembler.open_ranges() for draft in each.drafts
        ]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(hashing_file.HashingFile, "write", full)
            patch.setattr(drafts.Drafts, "spool", _no_room)
            checkpoint_log.save_drafts(RequestStats())
        driver.assembler.close()
        checkpoint_log.close()
        kept = kept_keys(store)
        assert {*in_files} <= {*kept} <= {*driver.written}


def _no_room(_drafts: object, batches: list[pa.RecordBatch]) -> str:
    if batches:
        raise OSError(28, "No space left on device")
    return ""


@given(seed=st.integers(0, 9999), data=st.data())
@settings(max_examples=25)
def test_drafts_damaged_by_a_power_failure_are_not_used(seed: int, data: st.DataObject) -> None:
    chances = random.Random(seed)  # noqa: S311
    with quick(3) as store:
        checkpoint_log = checkpoint_log_in(store)
        driver = Driver(
            store,
            numbered(60),
            [0, 20, 60],
            [],
            CheckedBudget(12),
            chances,
            checkpoint_log=checkpoint_log,
        )
        for _ in range(30):
            if not driver.is_done:
                driver.step()
        checkpoint_log.save_drafts(RequestStats())
        driver.assembler.close()
        checkpoint_log.close()
        files = sorted(
            path
            for path in (store.root / ".drafts").rglob("*")
            if path.is_file() and path.name not in ("lock", "reserve")
        )
        if files:
            file = data.draw(st.sampled_from(files))
            content = bytearray(file.read_bytes())
            content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(
                st.integers(0, 7)
            )
            file.write_bytes(content[: data.draw(st.integers(0, len(content)))])
        kept = kept_keys(store)
        assert {*kept} <= {*driver.written}
        assert covered(store, driver.expected) == kept


def test_files_of_a_living_process_are_not_removed(store: LocalStore) -> None:
    with small_files(2):
        checkpoint_log = checkpoint_log_in(store)
        assembler = PartAssembler(
            store, LAYOUT, [KeyRange("", LAST)], RowBuffer(), drafts=checkpoint_log.drafts
        )
        checkpoint_log.track_open_ranges(assembler.open_ranges)
        assembler.write(0, objects_of("abc"))
        checkpoint_log.flush(RequestStats())
        assert checkpoint_log_in(store).resumed.rows == 0
        assembler.write(0, objects_of("def"))
        assembler.end(0, LAST)
        assert keys_of(store, *assembler.finish()) == [*"abcdef"]


def test_abandoned_drafts_are_removed_after_days(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    abandoned = store.root / ".drafts" / "another" / "run"
    abandoned.mkdir(parents=True)
    checkpoint_log_in(store)
    assert abandoned.exists()
    monkeypatch.setattr(checkpoints, "MAX_AGE", timedelta(seconds=-1))
    checkpoint_log_in(store)
    assert not abandoned.exists()
