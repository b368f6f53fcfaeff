from collections.abc import Callable, Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from inventory_assets.s3.bucket_config import BucketConfig
from inventory_assets.s3.decoding.page import Page
from inventory_assets.s3.list_client import ListClient
from inventory_assets.s3.page_request import PageRequest
from inventory_assets.s3.request_stats import RequestStats
from inventory_assets.s3.store_profile import AWS
from inventory_assets.scan import prefix_discovery
from inventory_assets.scan.errors import ListingStuck, TooManyShards
from inventory_assets.scan.keyspace.key_order import KeyOrder
from inventory_assets.scan.keyspace.key_range import KeyRange, outermost, tiling_violation
from inventory_assets.scan.keyspace.shard import make_shard
from inventory_assets.scan.prefix_discovery import (
    LEVEL_PAGES,
    Discovery,
    PrefixSearch,
    SearchPosition,
    ShardBounds,
    discover,
)
from inventory_assets_tests.fakes.model_s3 import Habit, ModelS3

ALPHABET = "-/0a.\0\U0010fffd\U0010ffff"
keys_strategy = st.sets(st.text(ALPHABET, min_size=1, max_size=5), max_size=30)


def check_cover(source: str, found: Discovery, keys: Iterable[str]) -> None:
    """Check that the prefixes are disjoint, within the source, and tile it with the remainder."""
    assert list(found.prefixes) == sorted(set(found.prefixes))
    assert outermost(found.prefixes) == found.prefixes
    assert all(prefix.startswith(source) and prefix != source for prefix in found.prefixes)
    registered = [source, *found.prefixes]
    shards = [make_shard(prefix, registered) for prefix in registered]
    ranges = sorted(task for shard in shards for task in shard.ranges)
    assert tiling_violation(ranges, [KeyRange.of_prefix(source)]) is None
    for key in keys:
        assert sum(shard.covers(key) for shard in shards) == int(key.startswith(source))


def level(keys: Iterable[str], prefix: str) -> tuple[set[str], set[str]]:
    """The keys and folders directly under a prefix."""
    plain: set[str] = set()
    folders: set[str] = set()
    for key in keys:
        if key.startswith(prefix):
            folder, slash, _ = key[len(prefix) :].partition("/")
            (folders if slash else plain).add(prefix + folder + slash)
    return plain, folders


def tells_the_orders_apart(keys: Iterable[str], prefix: str) -> bool:
    """Whether a name directly under the prefix sorts between a folder and its bare name."""
    plain, folders = level(keys, prefix)
    return any(
        folder.removesuffix("/") < name < folder for folder in folders for name in plain | folders
    )


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
        patch.setattr(prefix_discovery, "LEVEL_PAGES", pages)
        found = discover(lister, source, ShardBounds(depth=depth))
    check_cover(source, found, keys)
    assert found.requests == len(lister.requests)
    if not in_directory_order:
        assert found.key_order is KeyOrder.BYTES


@given(keys_strategy, st.text(ALPHABET, max_size=2), st.integers(0, 3), st.integers(1, 8))
@settings(max_examples=200)
def test_directory_order_is_never_missed_where_a_listed_level_can_tell(
    keys: set[str], source: str, depth: int, page_size: int
) -> None:
    lister = ModelS3(keys, page_size, in_directory_order=True)
    found = discover(lister, source, ShardBounds(depth=depth))
    listed = {request.prefix for request in lister.requests if request.delimiter}
    is_known = any(tells_the_orders_apart(keys, prefix) for prefix in listed)
    is_found = found.key_order is KeyOrder.DIRECTORY
    assert is_found or not is_known
    # A store may be recognised in other ways, too, but never without reason.
    assert not is_found or [*lister._keys] != sorted(keys)


@given(
    keys_strategy,
    st.text(ALPHABET, max_size=2),
    st.text(ALPHABET.replace("/", ""), min_size=1, max_size=3),
    st.sampled_from("-.\0"),
    st.integers(1, 8),
)
def test_a_name_between_a_folder_and_its_bare_name_reveals_directory_order(
    others: set[str], source: str, name: str, character: str, page_size: int
) -> None:
    keys = {*others, f"{source}{name}{character}", f"{source}{name}/x"}
    assert tells_the_orders_apart(keys, source)
    lister = ModelS3(keys, page_size, in_directory_order=True)
    assert discover(lister, source, ShardBounds()).key_order is KeyOrder.DIRECTORY


@pytest.mark.parametrize("page_size", [1, 2, 1000])
def test_an_object_that_bears_a_folders_name_does_not_hide_directory_order(page_size: int) -> None:
    keys = ["a", "a-b", "a/x"]
    lister = ModelS3(keys, page_size, in_directory_order=True)
    assert discover(lister, "", ShardBounds()).key_order is KeyOrder.DIRECTORY


class _Grouped(ModelS3):
    """Sorts the folders of each page, so that only a probe reveals its order."""

    def list_page_sync(self, request: PageRequest, stats: RequestStats) -> Page:
        page = super().list_page_sync(request, stats)
        order = sorted(page.common_prefixes)
        return Page(page.objects, tuple(order), page.is_truncated, page.next_token)


@pytest.mark.parametrize("in_directory_order", [True, False])
def test_the_order_is_probed_once_with_a_telling_pair(in_directory_order: bool) -> None:
    keys = ["a", "a-/y", "a-b", "a/x", "b-", "b/x"]
    lister = _Grouped(keys, 1000, in_directory_order=in_directory_order)
    found = discover(lister, "", ShardBounds())
    assert found.key_order is (KeyOrder.DIRECTORY if in_directory_order else KeyOrder.BYTES)
    # Besides those that find out how the store lists: one more where keys seem to have changed.
    assert found.requests == 2 + 4 + in_directory_order


def test_a_page_that_shows_directory_order_makes_a_probe_unnecessary() -> None:
    lister = ModelS3(["a-/y", "a/x"], 1000, in_directory_order=True)
    found = discover(lister, "", ShardBounds())
    assert (found.key_order, found.requests) == (KeyOrder.DIRECTORY, 1 + 1)


def test_a_pair_that_no_longer_exists_does_not_determine_the_order() -> None:
    class Vanishing(_Grouped):
        def list_page_sync(self, request: PageRequest, stats: RequestStats) -> Page:
            page = super().list_page_sync(request, stats)
            if request.delimiter:
                self._keys = [key for key in self._keys if not key.startswith("a")]
            return page

    lister = Vanishing(["a-b", "a/x", "b-", "b/x"], 1000, in_directory_order=True)
    assert discover(lister, "", ShardBounds()).key_order is KeyOrder.DIRECTORY


def test_a_server_known_to_list_in_directory_order_is_not_probed() -> None:
    lister = ModelS3(["a/x", "b"], 1000)
    lister.server = "SeaweedFS Filer 4.0"
    assert discover(lister, "", ShardBounds()).key_order is KeyOrder.DIRECTORY


@pytest.mark.parametrize("order", list(KeyOrder))
def test_a_known_order_is_not_probed(order: KeyOrder) -> None:
    lister = ModelS3(["a-b", "a/x"], 1000)
    found = discover(lister, "", ShardBounds(), key_order=order)
    assert (found.key_order, found.requests) == (order, 1 + (order is KeyOrder.BYTES))


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


def test_a_large_level_in_directory_order_is_not_split() -> None:
    keys = ["a-b", "a/x", *(f"c{n:03}" for n in range(50))]
    found = discover(ModelS3(keys, 2, in_directory_order=True), "", ShardBounds())
    assert found == Discovery((), KeyOrder.DIRECTORY, found.requests)


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


POSITION = TypeAdapter(SearchPosition)


@given(
    keys_strategy,
    st.text(ALPHABET, max_size=2),
    st.integers(1, 3),
    st.dictionaries(st.text(ALPHABET, min_size=1, max_size=3), st.integers(0, 9)),
    st.booleans(),
    st.sampled_from([1, 2, LEVEL_PAGES]),
    st.integers(1, 4),
)
@settings(max_examples=200)
def test_a_search_that_ends_anywhere_and_continues_elsewhere_finds_the_same(
    keys: set[str],
    source: str,
    depth: int,
    rows: dict[str, int],
    in_directory_order: bool,
    pages: int,
    steps: int,
) -> None:
    def bucket() -> ModelS3:
        return ModelS3(keys, 2, in_directory_order=in_directory_order)

    bounds = ShardBounds(depth, min_objects=3, split_objects=6)
    found: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prefix_discovery, "LEVEL_PAGES", pages)
        at_once = discover(bucket(), source, bounds, rows_under=rows.get)
        position = SearchPosition.start(source, depth, at_once.profile, None)
        while position.levels:
            text = POSITION.dump_json(position)
            again = POSITION.validate_json(text)
            search = PrefixSearch(bucket(), bounds, rows.get, again, RequestStats())
            for _ in range(steps):
                shard = None if search.is_done else search.step()
                found += [] if shard is None else [shard]
            position = search.position
    assert tuple(found) == at_once.prefixes
    assert position.found == len(found)


def test_a_search_is_not_endless_where_a_level_takes_longer_than_a_step() -> None:
    """Each process ends after one step, and lists all levels under way again."""
    keys = [f"{a}/{b}/{c}/k" for a in range(5) for b in range(5) for c in range(5)]
    position = SearchPosition.start("", 3, AWS, KeyOrder.BYTES)
    steps = 0
    while position.levels:
        bucket = ModelS3(keys)
        search = PrefixSearch(bucket, ShardBounds(3), ROWS.get, position, RequestStats())
        search.step()
        assert len(bucket.requests) <= LEVEL_PAGES
        position = search.position
        steps += 1
    assert (position.found, steps) == (125, 1 + 2 * (5 + 25) + 125)


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
