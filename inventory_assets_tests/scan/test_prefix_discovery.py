from collections.abc import Callable, Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inventory_assets.s3.bucket_config import BucketConfig
from inventory_assets.s3.decoding.page import Page
from inventory_assets.s3.list_client import ListClient
from inventory_assets.s3.page_request import PageRequest
from inventory_assets.s3.request_stats import RequestStats
from inventory_assets.scan import prefix_search
from inventory_assets.scan.errors import ListingStuck, TooManyShards
from inventory_assets.scan.keyspace.key_order import KeyOrder
from inventory_assets.scan.prefix_discovery import discover
from inventory_assets.scan.prefix_search import LEVEL_PAGES, ShardBounds
from inventory_assets_tests.fakes.model_s3 import Habit, ModelS3
from inventory_assets_tests.scan.discovered_shards import ALPHABET, check_cover, keys_strategy


@given(
    keys_strategy,
    st.text(ALPHABET, max_size=2),
    st.integers(0, 3),
    st.integers(1, 5),
    st.booleans(),
    st.sampled_from([1, 2, LEVEL_PAGES]),
)
@settings(max_examples=200)
def test_prefixes_and_remainder_cover_every_key_whatever_the_store(
    keys: set[str], source: str, depth: int, page_size: int, in_directory_order: bool, pages: int
) -> None:
    lister = ModelS3(keys, page_size, in_directory_order=in_directory_order)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prefix_search, "LEVEL_PAGES", pages)
        found = discover(lister, source, ShardBounds(depth=depth))
    check_cover(source, found, keys)
    assert found.requests == len(lister.requests)
    if not in_directory_order:
        assert found.key_order is KeyOrder.BYTES


@pytest.mark.parametrize("depth", [0, 1])
def test_a_level_is_listed_once(depth: int) -> None:
    lister = ModelS3(["a/x", "b", "c/y"], 2)
    assert discover(lister, "", ShardBounds(depth=depth)).requests == 2 + 6


def test_depth_says_how_many_levels_become_shards() -> None:
    keys = ["root", "a/1", "a/b/2", "a/b/c/3", "d/e/4", "f/5"]
    found = [discover(ModelS3(keys), "", ShardBounds(depth=depth)).prefixes for depth in range(4)]
    assert found == [
        (),
        ("a/", "d/", "f/"),
        ("a/b/", "d/e/", "f/"),
        ("a/b/c/", "d/e/", "f/"),
    ]


def test_discovery_stays_under_the_sources_prefix() -> None:
    keys = ["a/1", "p/x/1", "p/y/1", "p/1", "px/1", "q/1"]
    assert discover(ModelS3(keys), "p/", ShardBounds()).prefixes == ("p/x/", "p/y/")
    assert discover(ModelS3(keys), "p", ShardBounds()).prefixes == ("p/", "px/")


def test_flat_hashed_keys_are_split_by_next_character_with_few_requests() -> None:
    digits = "0123456789abcdef"
    keys = [
        f"{one}{two}{three}{n}"
        for one in digits
        for two in digits
        for three in digits
        for n in range(6)
    ]
    lister = ModelS3(keys, 1000)
    found = discover(lister, "", ShardBounds())
    assert found.prefixes == tuple(digits)
    assert found.requests <= LEVEL_PAGES + len(digits) + 1 + 4
    check_cover("", found, keys)


def test_a_flat_level_is_split_below_its_common_start() -> None:
    keys = ["data", *(f"data/2024-{n:02}" for n in range(40)), "data/2025"]
    found = discover(ModelS3(keys, 1), "data/", ShardBounds())
    assert found.prefixes == ("data/2024", "data/2025")
    check_cover("data/", found, keys)


def test_discovery_ends_for_a_common_start_of_maximum_length() -> None:
    start = "x" * 1022
    keys = [start + one + two for one in "ab" for two in "0123456789abcdef"]
    assert len(keys) > LEVEL_PAGES
    found = discover(ModelS3(keys, 1), "x" * 1000, ShardBounds())
    assert found.prefixes == (start + "a", start + "b")


def test_a_key_that_is_the_prefix_of_all_others_is_not_lost() -> None:
    keys = ["aa", *(f"aa{letter}{n}" for letter in "bc" for n in range(20))]
    found = discover(ModelS3(keys, 1), "", ShardBounds())
    assert found.prefixes == ("aab", "aac")
    check_cover("", found, keys)


def test_keys_beyond_the_short_start_after_do_not_make_a_shard_twice() -> None:
    rare = [f"a\U0010ffff{n}" for n in range(20)]
    keys = ["a\U0010fffd\0", *rare, *(f"b{n}" for n in range(20))]
    found = discover(ModelS3(keys, 1), "", ShardBounds())
    assert found.prefixes == ("a", "b")
    check_cover("", found, keys)


def test_more_prefixes_than_allowed_are_too_many_shards() -> None:
    keys = [f"{n}/k" for n in range(9)]
    assert len(discover(ModelS3(keys), "", ShardBounds(max_shards=9)).prefixes) == 9
    with pytest.raises(TooManyShards, match="more than 8"):
        discover(ModelS3(keys), "", ShardBounds(max_shards=8))


def test_too_many_shards_of_several_levels_are_counted_together() -> None:
    keys = [f"{folder}/{n}/k" for folder in "abc" for n in range(4)]
    assert len(discover(ModelS3(keys), "", ShardBounds(2, max_shards=12)).prefixes) == 12
    with pytest.raises(TooManyShards):
        discover(ModelS3(keys), "", ShardBounds(2, max_shards=11))


def test_a_flat_level_of_too_many_characters_is_rejected_at_the_maximum() -> None:
    keys = [chr(0x4E00 + n) for n in range(500)]
    lister = ModelS3(keys, 1)
    with pytest.raises(TooManyShards):
        discover(lister, "", ShardBounds(max_shards=10))
    assert len(lister.requests) <= LEVEL_PAGES + 18


ROWS = {"big/": 10_000, "big/a/": 9_000, "big/a/x/": 100, "big/b/": 900, "small/": 3, "none/": 0}
SKEWED = ["big/a/x/1", "big/a/y/1", "big/b/z/1", "new/1", "none/1", "small/s/1"]


def test_a_prefix_with_many_objects_is_split_further() -> None:
    found = discover(ModelS3(SKEWED), "", ShardBounds(split_objects=1000), rows_under=ROWS.get)
    assert found.prefixes == ("big/a/x/", "big/a/y/", "big/b/", "new/", "none/", "small/")


def test_a_prefix_with_few_objects_stays_in_the_remainder() -> None:
    found = discover(ModelS3(SKEWED), "", ShardBounds(min_objects=4), rows_under=ROWS.get)
    assert found.prefixes == ("big/", "new/")
    check_cover("", found, SKEWED)


@given(keys_strategy, st.dictionaries(st.text(ALPHABET, min_size=1, max_size=3), st.integers(0, 9)))
def test_with_any_row_counts_every_key_is_covered(keys: set[str], rows: dict[str, int]) -> None:
    bounds = ShardBounds(depth=1, min_objects=3, split_objects=6)
    found = discover(ModelS3(keys), "", bounds, rows_under=rows.get)
    check_cover("", found, keys)
    assert not any(rows.get(prefix, 9) < 3 for prefix in found.prefixes)


def test_a_store_that_repeats_its_token_is_caught() -> None:
    keys = [f"{n:02}/k" for n in range(30)]
    with pytest.raises(ListingStuck):
        discover(ModelS3(keys, habit=Habit.STUCK_TOKEN), "", ShardBounds())


@pytest.mark.parametrize(
    "habit",
    [
        Habit.ENDLESS_EMPTY_PAGES,
        Habit.IGNORES_START_AFTER,
        Habit.GOES_BACKWARDS,
        Habit.LISTS_TWICE,
        Habit.SHUFFLES_PAGES,
        Habit.IGNORES_PREFIX,
    ],
)
@pytest.mark.parametrize("source", ["", "p", "p/"])
def test_discovery_ends_and_covers_every_key_whatever_the_store_does(
    habit: Habit, source: str
) -> None:
    keys = ["p", "p/", *(f"p/{n:03}" for n in range(50)), *(f"p{n:03}/x" for n in range(50))]
    found = discover(ModelS3(keys, 2, habit=habit), source, ShardBounds())
    check_cover(source, found, keys)


def test_a_folder_that_a_byte_ordered_store_names_twice_is_one_shard() -> None:
    class Repeating(ModelS3):
        def list_page_sync(self, request: PageRequest, stats: RequestStats) -> Page:
            page = super().list_page_sync(request, stats)
            folders = tuple(folder for folder in page.common_prefixes for _ in range(2))
            return Page(page.objects, folders, page.is_truncated, page.next_token)

    found = discover(Repeating(["a/x", "b/x"], 1000), "", ShardBounds())
    assert (found.prefixes, found.key_order) == (("a/", "b/"), KeyOrder.BYTES)


def test_the_shards_of_a_real_server_are_found(
    moto_bucket: Callable[[Iterable[str]], BucketConfig],
) -> None:
    keys = [
        "root",
        "a b/1",
        "a+b/1",
        "a%2Bb/1",
        "../1",
        "/1",
        "//1",
        "é/1",
        "q\"'<>/1",
        "a-b",
        "a/1",
    ]
    lister = ListClient(moto_bucket(keys))
    found = discover(lister, "", ShardBounds())
    assert found.prefixes == tuple(
        sorted(["a b/", "a+b/", "a%2Bb/", "../", "/", "é/", "q\"'<>/", "a/"])
    )
    assert found.key_order is KeyOrder.BYTES
    check_cover("", found, keys)
