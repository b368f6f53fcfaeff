import threading
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inventory_assets.s3 import BucketLister, Cancelled, Connection, Page, PageRequest, Tally
from inventory_assets.scan import (
    Ending,
    EvidenceLog,
    KeyOrderWalk,
    KeyRange,
    KeysOutOfOrder,
    RangeEvidence,
    Shard,
    cut_out,
    walk,
)
from inventory_assets.scan.errors import KeyOutsideRequest, ListingStuck
from inventory_assets.scan.ranges import tiling_fault
from inventory_assets.scan.walk import LOOK_AHEAD
from inventory_assets_tests.model_s3 import Habit, ModelS3

ALPHABET = "-./0a\0\U0010fffd\U0010fffe\U0010ffff"
keys_strategy = st.sets(st.text(ALPHABET, min_size=1, max_size=4), max_size=25)
prefixes_strategy = st.lists(st.text(ALPHABET, max_size=2), max_size=5)


def walk_shard(
    lister: BucketLister, shard: Shard, tally: Tally | None = None
) -> tuple[list[str], list[RangeEvidence]]:
    log = EvidenceLog(shard.ranges)
    keys: list[str] = []
    for objects in KeyOrderWalk(lister, shard.prefix, shard.ranges, tally or Tally(), log):
        assert objects.num_rows
        keys += objects.column("key").to_pylist()
    return keys, log.closed


def check_evidence(shard: Shard, keys: list[str], closed: list[RangeEvidence]) -> None:
    assert tuple(evidence.key_range for evidence in closed) == shard.ranges
    for evidence in closed:
        inside = [key for key in keys if key in evidence.key_range]
        assert evidence.rows == len(inside)
        assert evidence.first_key == (inside[0] if inside else None)
        assert evidence.last_key == (inside[-1] if inside else None)
        assert evidence.pages >= 1


@given(keys_strategy, prefixes_strategy, st.integers(1, 6), st.integers(0, 2))
@settings(max_examples=100)
def test_every_key_is_listed_once_in_order_by_the_shards_of_a_tiling(
    keys: set[str], some: list[str], page_size: int, empty_pages: int
) -> None:
    lister = ModelS3(keys, page_size, empty_pages=empty_pages)
    proven: list[KeyRange] = []
    found: list[str] = []
    for prefix in {"", *some}:
        shard, tally = cut_out(prefix, some), Tally()
        listed, closed = walk_shard(lister, shard, tally)
        assert listed == sorted(key for key in keys if shard.covers(key))
        check_evidence(shard, listed, closed)
        # A request may have run ahead of an open range in vain, but none is counted twice.
        assert sum(evidence.pages for evidence in closed) <= tally.requests
        proven += [evidence.key_range for evidence in closed]
        found += listed
    assert sorted(found) == sorted(keys)
    assert tiling_fault(sorted(proven), [KeyRange.of_prefix("")]) is None


def test_the_ending_tells_a_reached_bound_from_the_end_of_the_listing() -> None:
    shard = cut_out("", ["b"])
    _, closed = walk_shard(ModelS3(["a", "b1", "b2", "b3", "b4", "b5", "c"]), shard)
    assert [evidence.ending for evidence in closed] == [
        Ending.BOUND_REACHED,
        Ending.LISTED_TO_END,
    ]


def test_a_range_that_ends_at_its_prefix_costs_no_page_too_many() -> None:
    lister = ModelS3([f"p{n:02}" for n in range(9)] + ["q"], page_size=3)
    keys, closed = walk_shard(lister, cut_out("p", []))
    assert len(keys) == 9
    assert len(lister.requests) == closed[0].pages == 3


def test_a_prefix_that_was_cut_out_is_jumped_over() -> None:
    lister = ModelS3(["a", *(f"m/{n:03}" for n in range(900)), "z"], page_size=10)
    keys, _ = walk_shard(lister, cut_out("", ["m/"]))
    assert keys == ["a", "z"]
    assert len(lister.requests) <= 4


def test_an_empty_bucket_has_evidence_of_being_empty() -> None:
    keys, closed = walk_shard(ModelS3([]), cut_out("", []))
    assert keys == []
    assert closed == [RangeEvidence(KeyRange.of_prefix(""), 0, None, None, 1, Ending.LISTED_TO_END)]


LETTERS = [f"p{letter}" for letter in "abcdefghijklm"]


@pytest.mark.parametrize(
    ("habit", "error"),
    [
        (Habit.STUCK_TOKEN, ListingStuck),
        (Habit.ENDLESS_EMPTY_PAGES, ListingStuck),
        (Habit.GOES_BACKWARDS, KeysOutOfOrder),
        (Habit.LISTS_TWICE, KeysOutOfOrder),
        (Habit.SHUFFLES_PAGES, KeysOutOfOrder),
    ],
)
def test_a_store_with_a_bad_habit_is_caught(
    habit: Habit, error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walk, "MAX_EMPTY_PAGES", 20)
    lister = ModelS3(LETTERS, habit=habit)
    with pytest.raises(error, match="bucket 'model'"):
        walk_shard(lister, cut_out("", []))
    assert len(lister.requests) <= 20 + 2


def test_a_store_that_ignores_start_after_is_caught() -> None:
    lister = ModelS3(["a", "b", "c"], habit=Habit.IGNORES_START_AFTER)
    with pytest.raises(KeysOutOfOrder, match="lists 'a' after"):
        walk_shard(lister, cut_out("", ["b"]))


@pytest.mark.parametrize("keys", [["a"], ["z"], ["a", "pa", "z"], ["pa", "q"]])
def test_a_store_that_ignores_the_prefix_is_caught(keys: list[str]) -> None:
    with pytest.raises(KeyOutsideRequest):
        walk_shard(ModelS3(keys, habit=Habit.IGNORES_PREFIX), cut_out("p", []))


def test_a_store_in_directory_order_is_caught_where_the_orders_differ() -> None:
    lister = ModelS3(["a/x", "a-b", "a.c"], in_directory_order=True)
    with pytest.raises(KeysOutOfOrder, match="out of byte order"):
        walk_shard(lister, cut_out("", []))


def test_as_many_empty_pages_as_allowed_are_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walk, "MAX_EMPTY_PAGES", 5)
    keys, _ = walk_shard(ModelS3(LETTERS, empty_pages=5), cut_out("", []))
    assert keys == LETTERS


class _Watched(ModelS3):
    """Tells how many pages have been asked for beyond those that were read."""

    def __init__(self, keys: Sequence[str], before: Callable[[PageRequest], None]) -> None:
        super().__init__(keys)
        self._before = before

    def page(self, request: PageRequest, tally: Tally) -> Page:
        self._before(request)
        return super().page(request, tally)


def test_no_more_pages_than_the_look_ahead_are_asked_for_before_they_are_read() -> None:
    keys = [f"{letter}{n}" for letter in "abcdefghijklmnop" for n in range(20)]
    asked: Counter[str] = Counter()
    lister = _Watched(keys, lambda _request: asked.update(["pages"]))
    shard = cut_out("", [f"{letter}1" for letter in "abcdefghijklmnop"])
    log = EvidenceLog(shard.ranges)
    for _ in KeyOrderWalk(lister, "", shard.ranges, Tally(), log):
        read = sum(evidence.pages for evidence in log.closed) + log._pages
        assert asked["pages"] <= read + LOOK_AHEAD
    assert asked["pages"] == sum(evidence.pages for evidence in log.closed)


def test_a_reader_that_leaves_early_leaves_no_thread_behind() -> None:
    before = threading.active_count()
    lister = ModelS3(LETTERS)
    batches = iter(KeyOrderWalk(lister, "", cut_out("", []).ranges, Tally(), EvidenceLog([])))
    next(batches)
    del batches
    assert threading.active_count() == before
    assert len(lister.requests) <= 1 + LOOK_AHEAD


def test_a_stop_ends_the_walk() -> None:
    lister = ModelS3(LETTERS)
    shard = cut_out("", [])
    batches = iter(KeyOrderWalk(lister, "", shard.ranges, Tally(), EvidenceLog(shard.ranges)))
    next(batches)
    lister.stop.set()
    with pytest.raises(Cancelled):
        list(batches)


HOSTILE_KEYS = [
    "..", "../up", "/", "//", "/lead", "a b", "a+b", "a%2Bb", "a&b<c>d", "a\"b'c", "a\rb",
    "a\x01b", "a/../b", "a//b", "é", "\U0001f984/x", "\U0001f984/\x01", "z" * 1024, "y" * 1023,
]  # fmt: skip


def test_a_real_server_is_walked_whole_over_hostile_keys(
    moto_bucket: Callable[[Iterable[str]], Connection],
) -> None:
    lister = BucketLister(moto_bucket(HOSTILE_KEYS))
    registered = ["a", "a/", "\U0001f984/", "z" * 1023, "/", "a+"]
    found: list[str] = []
    for prefix in ["", *registered]:
        shard = cut_out(prefix, registered)
        keys, closed = walk_shard(lister, shard)
        assert keys == sorted(key for key in HOSTILE_KEYS if shard.covers(key))
        check_evidence(shard, keys, closed)
        found += keys
    assert sorted(found) == sorted(HOSTILE_KEYS)
