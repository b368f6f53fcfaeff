"""Split points of ranges, for different buckets."""

import asyncio
import random
from collections.abc import Iterable
from hashlib import sha256
from itertools import pairwise

from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from inventory_assets.s3.request_stats import RequestStats
from inventory_assets.scan.engine.events import ListingJob
from inventory_assets.scan.engine.key_density import level_of
from inventory_assets.scan.engine.range_task import RangeTask
from inventory_assets.scan.engine.splitter import Splitter, pick_evenly, split_evenly
from inventory_assets.scan.keyspace.key_range import (
    MAX_KEY_BYTES,
    KeyRange,
    prefix_of_upper_bound,
    prefix_upper_bound,
    tiling_violation,
)
from inventory_assets_tests.fakes.model_s3 import ModelS3
from inventory_assets_tests.scan.key_places import any_key, common_start

REQUESTS_A_CALL = 9


def task_of(prefix: str, after: str, until: str, stats: RequestStats | None = None) -> RangeTask:
    """A range that has been listed up to `after`."""
    task = RangeTask(ListingJob(prefix, [], stats or RequestStats()), 0, KeyRange(after, until))
    task.fetch.cursor = after
    return task


@given(st.integers(0, 300), st.integers(0, 40))
def test_places_are_chosen_evenly(held: int, count: int) -> None:
    points = [f"{number:04}" for number in range(1, held + 1)]
    chosen = pick_evenly(points, count)
    assert len(chosen) == min(count, held)
    assert set(chosen) <= set(points)
    assert all(left < right for left, right in pairwise(chosen))
    gaps = [right - left for left, right in pairwise([0, *map(int, chosen), held + 1])]
    assert max(gaps) - min(gaps) <= 1


@given(st.text("ab/", max_size=8), st.text("ab/", max_size=8), st.text("ab/", max_size=3))
def test_the_level_is_the_deepest_folder_that_holds_both_bounds(
    one: str, other: str, prefix: str
) -> None:
    level = level_of(prefix + one, prefix + other, prefix)
    common = common_start(prefix + one, prefix + other)
    folders = [common[:end] for end in range(len(common) + 1) if common[:end].endswith("/")]
    assert level == max([prefix, *folders], key=len)


def test_the_level_of_a_bound_that_ends_with_a_folder_is_that_folder() -> None:
    assert level_of("a/b/c", prefix_upper_bound("a/b/"), "") == "a/b/"
    assert level_of("a/b", prefix_upper_bound("a/b/"), "") == "a/"
    assert level_of("", prefix_upper_bound(""), "") == ""


def split_points_of(
    keys: Iterable[str], after: str, until: str, wanted: int = 3, prefix: str = ""
) -> tuple[list[str], ModelS3]:
    """The split points of a splitter that has observed some keys."""
    held = sorted(keys)
    lister = ModelS3(held, page_size=1000)
    splitter = Splitter(lister)
    for key in random.Random(0).sample(held, min(len(held), 40)):  # noqa: S311
        splitter.observe_key(key)
    stats = RequestStats()
    points = asyncio.run(splitter.split_points(task_of(prefix, after, until, stats), wanted))
    assert stats.requests == len(lister.requests) <= REQUESTS_A_CALL
    return points, lister


def test_a_range_is_split_at_split_hints_without_requests() -> None:
    lister = ModelS3("abcdefgh")
    job = ListingJob("", [], split_hints=["b", "c", "d", "dd", "e", "f", "g", "h"])
    task = RangeTask(job, 0, KeyRange("c", "g"))
    assert asyncio.run(Splitter(lister).split_points(task, 2)) == ["dd", "e"]
    assert asyncio.run(Splitter(lister).split_points(task, 9)) == ["d", "dd", "e", "f"]
    assert lister.requests == []


def check_split_points(points: list[str], after: str, until: str, wanted: int) -> None:
    assert len(points) <= wanted
    assert all(left < right for left, right in pairwise([after, *points, until]))
    assert all(len(point.encode()) <= MAX_KEY_BYTES for point in points)


@given(
    st.sets(st.text("ab/", min_size=1, max_size=6), max_size=40) | st.sets(any_key, max_size=20),
    st.text("ab/", max_size=5) | any_key,
    st.text("ab/", max_size=5)
    | any_key
    | st.just(prefix_upper_bound(""))
    | st.just(prefix_upper_bound("a/")),
    st.integers(1, 8),
)
def test_places_lie_between_the_bounds_and_ascend(
    keys: set[str], one: str, other: str, wanted: int
) -> None:
    assume(one != other)
    after, until = sorted((one, other))
    points, lister = split_points_of(keys, after, until, wanted)
    check_split_points(points, after, until, wanted)
    assert len(lister.requests) == len(set(lister.requests)), "the same was asked twice"


@given(
    st.sets(st.text("ab/", max_size=5), max_size=40),
    st.sampled_from(["a", "a/", "b//", "x/a"]),
    st.integers(1, 8),
    st.data(),
)
def test_places_stay_inside_a_prefix(
    names: set[str], prefix: str, wanted: int, data: st.DataObject
) -> None:
    keys = sorted(prefix + name for name in names)
    after = data.draw(st.sampled_from([prefix, *keys]))
    until = prefix_upper_bound(prefix)
    points, lister = split_points_of(keys, after, until, wanted, prefix)
    check_split_points(points, after, until, wanted)
    assert all(point.startswith(prefix) for point in points)
    assert all(request.prefix.startswith(prefix) for request in lister.requests)


HASHED = sorted(sha256(str(number).encode()).hexdigest() for number in range(1500))


@settings(max_examples=30)
@given(
    st.sampled_from(["", "data/", "a/very/long/way/down/é🦄/"]),
    st.integers(0, 700),
    st.integers(1200, 1499) | st.none(),
)
def test_hashed_names_are_halved(head: str, first: int, last: int | None) -> None:
    keys = [head + name for name in HASHED]
    after, until = keys[first], prefix_upper_bound(head) if last is None else keys[last]
    (point,), _ = split_points_of(keys, after, until, wanted=1)
    left = sum(after < key <= point for key in keys)
    right = sum(point < key <= until for key in keys)
    assert 0.35 <= left / (left + right) <= 0.65


def test_halves_of_hashed_names_are_halved_again() -> None:
    after, until, held = "", prefix_upper_bound(""), HASHED
    while len(held) > 100:
        (point,), _ = split_points_of(HASHED, after, until, wanted=1)
        left = [key for key in held if key <= point]
        assert 0.35 <= len(left) / len(held) <= 0.65
        after, held = point, [key for key in held if key > point]


TREE = [
    f"logs/2026/{month:02}/{day:02}/host-{host}"
    for month in range(1, 13)
    for day in range(1, 29)
    for host in range(3)
]


def test_a_tree_is_split_at_the_ends_of_its_folders() -> None:
    points, lister = split_points_of(TREE, TREE[0], prefix_upper_bound(""))
    ends = [prefix_of_upper_bound(point) for point in points]
    assert ends == ["logs/2026/03/", "logs/2026/06/", "logs/2026/09/"]
    assert [request.prefix for request in lister.requests] == ["", "logs/", "logs/2026/"]


def test_a_range_within_a_folder_is_split_at_the_folders_below_it() -> None:
    until = prefix_upper_bound("logs/2026/05/")
    points, _ = split_points_of(TREE, "logs/2026/05/07/host-1", until, wanted=2)
    assert [prefix_of_upper_bound(point) for point in points] == [
        "logs/2026/05/13/",
        "logs/2026/05/21/",
    ]


def test_the_only_folder_between_the_bounds_is_split_within() -> None:
    """Keys after the upper bound have no effect."""
    keys = [f"{letter}/{number}/{name}" for letter in "abc" for number in range(9) for name in "xy"]
    points, lister = split_points_of(keys, prefix_upper_bound("a/"), prefix_upper_bound("b/"))
    assert [prefix_of_upper_bound(point) for point in points] == ["b/1/", "b/3/", "b/6/"]
    assert [request.prefix for request in lister.requests] == ["", "b/"]


def test_a_chain_of_single_folders_is_followed_to_a_maximum_depth() -> None:
    keys = [f"{'d/' * 30}{name}" for name in HASHED[:100]]
    points, lister = split_points_of(keys, keys[0], prefix_upper_bound(""))
    check_split_points(points, keys[0], prefix_upper_bound(""), 3)
    assert len(lister.requests) <= REQUESTS_A_CALL


def test_a_level_known_to_be_flat_costs_no_request() -> None:
    keys = [f"data/{name}" for name in HASHED]
    lister = ModelS3(keys, page_size=1000)
    splitter = Splitter(lister)
    for key in keys[::100]:
        splitter.observe_key(key)
    assert asyncio.run(
        splitter.split_points(task_of("data/", keys[100], prefix_upper_bound("data/")), 5)
    )
    assert len(lister.requests) == 1
    assert asyncio.run(splitter.split_points(task_of("data/", keys[200], "data/8"), 5))
    assert asyncio.run(
        splitter.split_points(task_of("data/", "data/8", prefix_upper_bound("data/")), 5)
    )
    assert len(lister.requests) == 1


def test_a_level_with_too_many_folders_is_halved_like_names() -> None:
    keys = [f"{name}/object" for name in HASHED]
    (point,), lister = split_points_of(keys, keys[0], prefix_upper_bound(""), wanted=1)
    assert 0.35 <= sum(key <= point for key in keys) / len(keys) <= 0.65
    assert len(lister.requests) == 1


@given(st.sets(st.text("ab/0", min_size=1, max_size=5), max_size=40), st.integers(1, 9))
@example({"a", "a/bb/", "aa0", "ab", "abb/b"}, 4)
@settings(max_examples=50)
def test_an_even_cut_tiles_the_prefix_with_no_more_ranges_than_asked_for(
    keys: set[str], count: int
) -> None:
    for prefix in ("", "a", "b/"):
        ranges = asyncio.run(
            split_evenly(ModelS3(keys, page_size=1000), prefix, count, RequestStats())
        )
        assert 1 <= len(ranges) <= count
        assert tiling_violation(ranges, [KeyRange.of_prefix(prefix)]) is None


def test_hashed_names_are_cut_into_even_ranges() -> None:
    keys = [f"data/{sha256(str(n).encode()).hexdigest()}" for n in range(4000)]
    ranges = asyncio.run(split_evenly(ModelS3(keys, page_size=1000), "", 8, RequestStats()))
    counts = [sum(key in key_range for key in keys) for key_range in ranges]
    assert len(counts) == 8
    assert min(counts) > 300


def test_folders_are_cut_at_their_ends() -> None:
    keys = [
        f"y={year}/m={month:02}/{n:03}" for year in (1, 2) for month in range(12) for n in range(9)
    ]
    ranges = asyncio.run(split_evenly(ModelS3(keys, page_size=1000), "", 6, RequestStats()))
    counts = [sum(key in key_range for key in keys) for key_range in ranges]
    assert len(counts) >= 4
    assert all(count % 9 == 0 for count in counts)
