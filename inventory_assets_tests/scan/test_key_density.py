from collections.abc import Iterable, Sequence
from hashlib import sha256
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inventory_assets.scan.engine.events import ListingJob
from inventory_assets.scan.engine.key_density import KeyDensityModel
from inventory_assets.scan.engine.range_task import RangeTask
from inventory_assets.scan.keyspace.key_range import KeyRange, prefix_upper_bound
from inventory_assets_tests.key_spaces import key_sets

PAGE = 10


def task_of(after: str, until: str, reached: Iterable[str]) -> RangeTask:
    """A range with received pages; `reached` has the last key of each."""
    task = RangeTask(ListingJob("", []), 0, KeyRange(after, until))
    for key in reached:
        task.fetch.advance(key)
    return task


def walked(densities: KeyDensityModel, keys: Sequence[str], until: str, pages: int) -> float:
    """Observe pages of a range that starts with the first of some keys."""
    reached = [keys[PAGE * page - 1] for page in range(1, pages + 1)]
    for key in reached:
        densities.observe_key(key)
    for after, upto in pairwise(reached):
        densities.observe_pages(after, upto, until, 1)
    return densities.pages_left(task_of("", until, reached), until)


@given(key_sets(), st.integers(1, 5), st.data())
def test_an_estimate_is_never_negative_and_zero_at_the_end_for_any_keys(
    keys: list[str], size: int, data: st.DataObject
) -> None:
    densities = KeyDensityModel()
    reached = keys[::size]
    until = data.draw(st.sampled_from([prefix_upper_bound(""), *map(prefix_upper_bound, reached)]))
    for after, upto in pairwise(reached):
        densities.observe_key(upto)
        densities.observe_pages(after, upto, until, 1)
    densities.observe_folders("", [key + "/" for key in reached], are_last=True)
    for key in reached:
        # A comparison with NaN is false.
        assert densities.pages_left(task_of("", until, [key]), until) >= 0
        assert densities.pages_left(task_of("", until, reached), until) >= 0
        assert densities.pages_left(task_of("", key, reached[: reached.index(key) + 1]), key) == 0


@pytest.mark.parametrize("head", ["", "data/"])
def test_hashed_names_are_counted_after_a_few_pages(head: str) -> None:
    keys = sorted(head + sha256(str(number).encode()).hexdigest() for number in range(2000))
    estimate = walked(KeyDensityModel(), keys, prefix_upper_bound(head), pages=20)
    assert estimate == pytest.approx(180, rel=0.25)


MONTHS = [
    [
        f"logs/2026/{month:02}/{day:02}/{hour:02}/{part}"
        for day in range(1, 32)
        for hour in range(24)
        for part in range(3)
    ]
    for month in range(1, 13)
]


def test_days_of_a_month_are_counted_once_other_months_were_seen() -> None:
    densities = KeyDensityModel()
    walked(densities, MONTHS[1][-300:], prefix_upper_bound("logs/2026/02/"), pages=30)
    estimate = walked(densities, MONTHS[4], prefix_upper_bound("logs/2026/05/"), pages=22)
    assert estimate == pytest.approx(len(MONTHS[4]) / PAGE - 22, rel=0.3)


def test_a_range_within_one_folder_is_counted_by_the_folders_of_others() -> None:
    densities = KeyDensityModel()
    others = [f"{folder}/{key:03}" for folder in range(100, 140) for key in range(40)]
    walked(densities, others, "140", pages=100)
    ours = [f"{folder}/{key:03}" for folder in range(300, 350) for key in range(40)]
    assert walked(densities, ours, prefix_upper_bound("349/"), pages=2) == pytest.approx(
        198, rel=0.3
    )


def test_a_folder_far_larger_than_others_is_counted_by_itself() -> None:
    densities = KeyDensityModel()
    others = [f"{folder}/{key:03}" for folder in range(100, 140) for key in range(40)]
    walked(densities, others, "140", pages=100)
    ours = [f"300/{key:03}" for key in range(500)] + ["301/0", "302/0"]
    usual = walked(densities, ours[:50], prefix_upper_bound("302/"), pages=4)
    unusual = walked(densities, ours, prefix_upper_bound("302/"), pages=40)
    assert usual < 20
    assert unusual > usual


def test_pages_between_keys_at_one_position_are_not_a_measurement() -> None:
    densities, until = KeyDensityModel(), prefix_upper_bound("")
    for key in ("a", "a//", "a//b", "a//c"):
        densities.observe_key(key)
    densities.observe_pages("a", "a//", until, 1)
    assert densities.pages_left(task_of("", until, ["a//b", "a//c"]), until) >= 0
