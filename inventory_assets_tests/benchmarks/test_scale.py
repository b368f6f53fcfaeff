"""The simulations of `benchmarks/scale.py`, and what they stand on."""

import asyncio
from collections.abc import Callable
from itertools import pairwise

import pytest

from benchmarks.scale import TABLES, main
from benchmarks.scale_clock import SharedClock, scans_share
from benchmarks.scale_store import Keys, PartitionedStore, StoreLimits
from benchmarks.scale_stories import Story
from benchmarks.scale_workers import Machines, Outcome, by_keys, by_shards, played
from inventory_assets.scan.keyspace.key_range import KeyRange, coalesce

NO_RATE = StoreLimits(spread=0, rate=None)
FOUR = Machines(4, 8)


def test_the_player_with_the_earliest_moment_is_next() -> None:
    clock = SharedClock()
    seen: list[tuple[float, str]] = []

    def player(name: str, *waits: float) -> Callable[[], None]:
        def play() -> None:
            for seconds in waits:
                clock.spend(seconds)
                seen.append((clock.now, name))

        return play

    clock.play([player("a", 3, 3), player("b", 2, 2, 2, 2), player("c", 10)])
    assert seen == [(2, "b"), (3, "a"), (4, "b"), (6, "a"), (6, "b"), (8, "b"), (10, "c")]


def test_the_error_of_a_player_ends_all() -> None:
    clock = SharedClock()

    def fail() -> None:
        clock.spend(5)
        raise ValueError("on purpose")

    def wait() -> None:
        while True:
            clock.spend(1)

    with pytest.raises(ValueError, match="on purpose"):
        clock.play([wait, fail])
    assert clock.now < 10


def test_keys_ascend_behind_their_prefixes() -> None:
    keys = Keys({"a/": 100, "b/c/": 1, "d": 50})
    found = keys[:]
    assert len(found) == len(keys) == 151
    assert all(left < right for left, right in pairwise(found))
    assert [key[:2] for key in found] == ["a/"] * 100 + ["b/"] + [key[:2] for key in found[101:]]
    assert keys[100].startswith("b/c/")
    with pytest.raises(IndexError):
        keys[151]


def test_a_partition_refuses_what_exceeds_its_rate() -> None:
    store = PartitionedStore(Keys({"a/": 1_000}), StoreLimits(rate=10, partitions=2), 20)
    assert [store.admits(0, 0.0) for _ in range(12)] == [True] * 10 + [False] * 2
    assert store.admits(999, 0.0)  # the other partition
    assert not store.admits(0, 0.05)
    assert store.admits(0, 0.1 + 1e-6)
    assert (store.requests, store.refused) == (15, 3)


@pytest.mark.parametrize(("each_second", "partitions"), [(7, 1), (9, 2)])
def test_a_partition_splits_after_it_was_under_load(each_second: int, partitions: int) -> None:
    store = PartitionedStore(Keys({"a/": 1_000}), StoreLimits(rate=10, split_seconds=60), 20)
    for second in range(61):
        for _ in range(each_second):
            store.admits(999, float(second))
    assert store.partitions == partitions
    assert store.splits == [60.0] * (partitions - 1)


def test_shards_are_given_to_machines_whole_and_keys_in_equal_pieces() -> None:
    keys = Keys({"a/": 50, "b/": 10, "c/": 20, "d/": 20})
    shards = by_shards(keys, 2)
    assert [[*share] for share in shards] == [["a/"], ["b/", "c/", "d/"]]
    pieces = by_keys(keys, 4)
    ranges = [key_range for share in pieces for key_range in share[""]]
    assert coalesce(ranges) == [KeyRange.of_prefix("")]
    assert [sum(key in key_range for key in keys[:]) for key_range in ranges] == [25] * 4


def requests_of(outcome: Outcome) -> float:
    return (outcome.requests - outcome.refused) / outcome.pages


def test_machines_that_share_nothing_are_as_fast_as_their_requests_allow() -> None:
    outcome = played({"data/": 1_200}, NO_RATE, FOUR, pieces=1)
    best = 1_200 * 0.1 / 32
    assert best < outcome.seconds < 1.6 * best
    assert 1 <= requests_of(outcome) < 1.1
    assert len(outcome.finished) == 4
    assert max(outcome.finished) - min(outcome.finished) < 1


def test_the_machine_with_the_largest_shard_ends_last() -> None:
    outcome = played({"a/": 600, "b/": 100, "c/": 100, "d/": 100}, NO_RATE, FOUR)
    first, *_, last = sorted(outcome.finished)
    assert last == outcome.seconds > 600 * 0.1 / 8
    assert last > 2.5 * first


def test_a_core_that_is_slower_than_the_requests_sets_the_pace() -> None:
    machines = Machines(1, 64, cpu_seconds=0.01)
    outcome = played({"data/": 500}, NO_RATE, machines, pieces=1)
    assert 5 < outcome.seconds < 6.5


def test_a_simulation_takes_the_same_course_each_time() -> None:
    limits = StoreLimits(rate=60)
    machines = Machines(3, 8, failures_per_hour=900, checkpoint_seconds=1, takeover_seconds=2)
    first, second, other = (
        played({"data/": 300}, limits, machines, pieces=2, seed=seed) for seed in (1, 1, 2)
    )
    assert first == second
    assert first.failures > 0
    assert first.refused > 0
    assert first != other


def test_machines_are_throttled_to_the_rate_of_the_partition() -> None:
    outcome = played({"data/": 900}, StoreLimits(rate=30), Machines(4, 16), pieces=1)
    assert outcome.refused > 0
    answered = outcome.requests - outcome.refused
    assert answered >= 900
    assert (answered - 30) / 30 <= outcome.seconds < 2 * answered / 30


def test_split_partitions_answer_more() -> None:
    machines = Machines(4, 16)
    whole = played({"data/": 1_500}, StoreLimits(rate=30), machines, pieces=2)
    split = played({"data/": 1_500}, StoreLimits(rate=30, split_seconds=8), machines, pieces=2)
    assert split.partitions >= 4
    assert split.seconds < 0.9 * whole.seconds


@pytest.mark.parametrize("part_pages", [None, 15])
def test_what_failed_machines_had_not_recorded_is_listed_again(part_pages: int | None) -> None:
    failing = Machines(
        4,
        8,
        failures_per_hour=700,
        part_pages=part_pages,
        checkpoint_seconds=1,
        takeover_seconds=3,
    )
    plain = played({"a/": 400, "b/": 800}, NO_RATE, FOUR, pieces=1)
    outcome = played({"a/": 400, "b/": 800}, NO_RATE, failing, pieces=1)
    assert outcome.failures >= 2
    assert outcome.seconds > plain.seconds + 3
    again = outcome.requests - plain.requests
    assert again > 0
    # In a second, a machine lists 80 pages; it has 8 ranges with up to a part each.
    most = 120 if part_pages is None else 8 * part_pages + 80
    assert again < outcome.failures * most


def test_model_and_simulation_agree_on_a_small_bucket() -> None:
    story = Story("small", {"data/": 3_000}, StoreLimits(rate=None), Machines(4, 16), pieces=1)
    (outcome,) = story.simulated()
    assert story.computed().seconds == pytest.approx(outcome.seconds, rel=0.25)


def test_an_engine_that_waits_for_nothing_is_reported() -> None:
    clock = SharedClock()

    def wait_for_ever() -> None:
        with asyncio.Runner() as runner:
            runner.run(asyncio.Event().wait())

    with pytest.MonkeyPatch.context() as patch:
        scans_share(clock, patch)
        with pytest.raises(RuntimeError, match="waits for nothing"):
            clock.play([wait_for_ever])


def test_the_tables_of_the_model_are_whole(capsys: pytest.CaptureFixture[str]) -> None:
    names = [name for name in TABLES if name not in ("simulation", "records")]
    main(["--only", *names])
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines if line.partition(":")[0] in names] == names
    rows = [line for line in lines if line.startswith("| ") and "|--" not in line]
    assert len(rows) > 60
    assert sum("100 billion | 1,000" in row for row in rows) == 1
    assert not [row for row in rows if "nan" in row or "inf " in row]
