import sys
from collections.abc import Sequence
from itertools import pairwise, starmap

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inventory_assets.s3.decoding.page import Page
from inventory_assets.s3.page_request import PageRequest
from inventory_assets.s3.request_stats import RequestStats
from inventory_assets.scan.directory_order_scan import DirectoryOrderScan
from inventory_assets.scan.errors import KeyOutsideRequest, KeysOutOfOrder, ListingStuck
from inventory_assets.scan.keyspace.key_range import KeyRange
from inventory_assets.scan.keyspace.shard import Shard, make_shard
from inventory_assets.scan.validation import page_validation
from inventory_assets.scan.validation.range_evidence import EvidenceBuilder, RangeEvidence
from inventory_assets_tests.fakes.model_s3 import Habit, ModelS3

ALPHABET = "-/0a.\U0010ffff\0"
keys_strategy = st.sets(st.text(ALPHABET, min_size=1, max_size=5), max_size=25)
prefixes_strategy = st.lists(st.text(ALPHABET, max_size=3), max_size=5)


def directory_store(keys: set[str] | list[str], page_size: int = 3, **more: Habit) -> ModelS3:
    return ModelS3(keys, page_size, in_directory_order=True, habit=more.get("habit"))


class Ending(ModelS3):
    """Reports each page as the last."""

    def list_page_sync(self, request: PageRequest, stats: RequestStats) -> Page:
        page = super().list_page_sync(request, stats)
        return Page(page.objects, page.common_prefixes, is_truncated=False, next_token=None)


class Skipping(ModelS3):
    """Skips a name after each token."""

    def _entries(self, request: PageRequest, after: str) -> list[tuple[str, bool]]:
        return super()._entries(request, after)[1 if request.token else 0 :]


def list_in_order(
    lister: ModelS3, prefix: str, ranges: Sequence[KeyRange]
) -> tuple[list[str], list[RangeEvidence]]:
    log = EvidenceBuilder(ranges)
    keys: list[str] = []
    for objects in DirectoryOrderScan(lister, prefix, ranges, RequestStats(), log):
        assert objects.num_rows
        keys += objects.column("key").to_pylist()
    return keys, log.closed


def list_shard(lister: ModelS3, shard: Shard) -> tuple[list[str], list[RangeEvidence]]:
    return list_in_order(lister, shard.prefix, shard.ranges)


# Not with pages of one name: after a folder with such keys no StartAfter is possible, so the scan
# may reject the store.
@given(keys_strategy, prefixes_strategy, st.integers(2, 6))
@settings(max_examples=150)
def test_a_store_in_directory_order_is_listed_in_byte_order(
    keys: set[str], some: list[str], page_size: int
) -> None:
    found: list[str] = []
    for prefix in {"", *some}:
        shard = make_shard(prefix, some)
        lister = directory_store(keys, page_size)
        listed, closed = list_shard(lister, shard)
        assert listed == sorted(key for key in keys if shard.covers(key))
        assert tuple(evidence.key_range for evidence in closed) == shard.ranges
        for evidence in closed:
            inside = [key for key in listed if key in evidence.key_range]
            assert evidence.rows == len(inside)
            assert (evidence.first_key, evidence.last_key) == (
                (inside[0], inside[-1]) if inside else (None, None)
            )
        assert sum(evidence.pages for evidence in closed) <= len(lister.requests)
        found += listed
    assert sorted(found) == sorted(keys)


def test_a_store_with_full_pages_takes_one_request_per_level_and_one_to_start() -> None:
    keys = [f"{letter}/{n}" for letter in "abc" for n in range(20)]
    lister = directory_store(keys, page_size=1000)
    assert list_shard(lister, make_shard("", []))[0] == sorted(keys)
    (flat, *levels) = lister.requests
    assert not flat.delimiter, "how much a page holds"
    assert [request.prefix for request in levels] == ["", "a/", "b/", "c/"]
    assert not any(request.start_after for request in lister.requests)


def test_a_known_server_takes_only_the_requests_for_its_levels() -> None:
    lister = directory_store(["a/1", "a/2", "b/1"], page_size=1000)
    lister.server = "SeaweedFS S3"
    assert list_shard(lister, make_shard("", []))[0] == ["a/1", "a/2", "b/1"]
    assert [request.prefix for request in lister.requests] == ["", "a/", "b/"]


@pytest.mark.parametrize("page_size", [1, 2, 3])
def test_a_level_that_a_small_page_ends_too_early_is_continued(page_size: int) -> None:
    keys = ["a", "a/1", "a/2", "a-b", "b/", "b/1", "c"]
    assert list_shard(Ending(keys, page_size, in_directory_order=True), make_shard("", []))[0] == (
        sorted(keys)
    )


@pytest.mark.parametrize("page_size", [1, 2, 3])
def test_tokens_that_skip_a_name_are_refused(page_size: int) -> None:
    lister = Skipping(["a/1", "a-b", "b", "c/1", "d"], page_size, in_directory_order=True)
    with pytest.raises(ListingStuck, match="names may be missing"):
        list_shard(lister, make_shard("", []))


def test_the_orders_differ_if_there_is_a_telling_pair() -> None:
    keys = ["a-b", "a.c", "a/x", "a0"]
    store = directory_store(keys)
    assert store._keys == ["a/x", "a-b", "a.c", "a0"]
    assert list_shard(store, make_shard("", []))[0] == keys


def test_a_folder_that_is_a_shard_of_its_own_is_not_entered() -> None:
    lister = directory_store([f"{letter}/{n}" for letter in "abc" for n in range(20)], 5)
    keys, _ = list_shard(lister, make_shard("", ["b/"]))
    assert len(keys) == 40
    assert "b/" not in [request.prefix for request in lister.requests]


@given(keys_strategy, st.sets(st.text(ALPHABET, max_size=4), min_size=2, max_size=6))
@settings(max_examples=150)
def test_any_ranges_may_be_listed_alone(keys: set[str], bounds: set[str]) -> None:
    ordered = sorted(bounds)
    ranges = [*starmap(KeyRange, pairwise(ordered))][::2]
    lister = directory_store(keys)

    listed, closed = list_in_order(lister, "", ranges)

    assert listed == sorted(key for key in keys if any(key in each for each in ranges))
    assert [evidence.key_range for evidence in closed] == ranges


def test_a_folder_that_holds_nothing_of_the_ranges_is_not_entered() -> None:
    lister = directory_store([f"{letter}/{n}" for letter in "abc" for n in range(20)], 5)
    keys, _ = list_in_order(lister, "", [KeyRange("b/5", "b/7")])
    assert keys == ["b/6", "b/7"]
    assert {request.prefix for request in lister.requests} == {"", "b/"}


def test_an_empty_set_of_ranges_sends_no_requests() -> None:
    lister = directory_store(["a/1"])
    assert list_in_order(lister, "", []) == ([], [])
    assert not lister.requests


def test_folders_may_be_nested_deeper_than_python_calls() -> None:
    depth = min(1023, sys.getrecursionlimit() + 20)
    keys = ["/" * depth + "k", "/" * (depth - 5), "/a"]
    assert list_shard(directory_store(keys), make_shard("", []))[0] == sorted(keys)


LETTERS = [f"p{letter}" for letter in "abcdefghijklm"]


@pytest.mark.parametrize(
    ("habit", "error"),
    [
        (Habit.STUCK_TOKEN, ListingStuck),
        (Habit.ENDLESS_EMPTY_PAGES, ListingStuck),
        (Habit.GOES_BACKWARDS, KeysOutOfOrder),
        (Habit.LISTS_TWICE, KeysOutOfOrder),
    ],
)
def test_a_store_with_a_bad_habit_is_caught(
    habit: Habit, error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_validation, "MAX_EMPTY_PAGES", 20)
    lister = directory_store(LETTERS, habit=habit)
    with pytest.raises(error, match="bucket 'model'"):
        list_shard(lister, make_shard("", []))
    assert len(lister.requests) <= 20 + 2


@pytest.mark.parametrize("keys", [["a/x", "b"], ["a/"], ["b", "p/a"]])
def test_a_store_that_ignores_the_prefix_is_caught(keys: list[str]) -> None:
    with pytest.raises(KeyOutsideRequest):
        list_shard(directory_store(keys, habit=Habit.IGNORES_PREFIX), make_shard("", ["b"]))


def test_a_store_in_byte_order_is_caught_where_a_page_ends_between_the_orders() -> None:
    with pytest.raises(KeysOutOfOrder, match="neither"):
        list_shard(ModelS3(["a-b", "a/x"], page_size=1), make_shard("", []))
