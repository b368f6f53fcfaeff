"""A range listed again holds what a plain look at all keys finds in it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inventory_assets.s3.listing import Tally
from inventory_assets.scan.errors import KeyOutsideRequest, KeysOutOfOrder, ListingStuck
from inventory_assets.scan.ranges import KeyRange
from inventory_assets.scan.relisting import PAGES_WITH_KEYS, relist
from inventory_assets_tests.model_s3 import Habit, ModelS3

ALPHABET = "-/a\0\U0010fffd\U0010fffe\U0010ffff"
keys_strategy = st.sets(st.text(ALPHABET, min_size=1, max_size=4), max_size=25)
WHOLE = KeyRange.of_prefix("")


@given(
    keys=keys_strategy,
    prefix=st.text(ALPHABET, max_size=1),
    bounds=st.tuples(st.text(ALPHABET, max_size=3), st.text(ALPHABET, max_size=3)),
    page_size=st.integers(1, 9),
    empty_pages=st.integers(0, 2),
)
def test_it_holds_the_keys_that_lie_in_it_up_to_where_it_was_listed(
    keys: set[str], prefix: str, bounds: tuple[str, str], page_size: int, empty_pages: int
) -> None:
    whole = KeyRange.of_prefix(prefix)
    after, until = sorted(bounds)
    key_range = KeyRange(max(after, whole.after), min(until or whole.until, whole.until))
    if key_range.after >= key_range.until:
        key_range = whole
    found = relist(
        ModelS3(keys, page_size, empty_pages=empty_pages), prefix, key_range, tally := Tally()
    )
    held = found.objects.column("key").to_pylist()
    assert held == sorted(key for key in keys if key in found.key_range)
    assert found.key_range.after == key_range.after
    if found.key_range != key_range:
        assert page_size * PAGES_WITH_KEYS >= len(held) >= PAGES_WITH_KEYS
        assert found.key_range.until == held[-1]
    assert tally.requests > 0


def test_a_page_of_keys_takes_one_request() -> None:
    keys = [f"{number:03}" for number in range(100)]
    tally = Tally()
    found = relist(ModelS3(keys, 10), "", KeyRange("019", "029"), tally)
    assert (found.objects.num_rows, tally.requests) == (10, 1)


def test_however_much_was_added_it_ends_after_some_pages() -> None:
    keys = [f"{number:03}" for number in range(100)]
    found = relist(ModelS3(keys, 3), "", WHOLE, tally := Tally())
    assert found.key_range == KeyRange("", "011")
    assert tally.requests == PAGES_WITH_KEYS


@pytest.mark.parametrize(
    ("habit", "error"),
    [
        (Habit.ENDLESS_EMPTY_PAGES, ListingStuck),
        (Habit.GOES_BACKWARDS, KeysOutOfOrder),
        (Habit.IGNORES_START_AFTER, KeysOutOfOrder),
        (Habit.SHUFFLES_PAGES, KeysOutOfOrder),
        (Habit.IGNORES_PREFIX, KeyOutsideRequest),
    ],
)
def test_a_store_with_a_bad_habit_is_caught(habit: Habit, error: type[Exception]) -> None:
    keys = [f"a{number}" for number in range(9)]
    with pytest.raises(error):
        relist(ModelS3(["B", *keys, "b"], 4, habit=habit), "a", KeyRange("a1", "a~"), Tally())
