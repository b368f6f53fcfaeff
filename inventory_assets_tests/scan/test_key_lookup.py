"""Lookups of keys by prefix, in any key order."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inventory_assets.s3.request_stats import RequestStats
from inventory_assets.scan.errors import KeyOutsideRequest, KeysOutOfOrder, ListingStuck
from inventory_assets.scan.key_lookup import find_misplaced_key, list_level, list_prefix, look_up
from inventory_assets.scan.validation.object_versions import Versions
from inventory_assets_tests.fakes.model_s3 import Habit, ModelS3
from inventory_assets_tests.fakes.odd_store import Oddity, OddStore
from inventory_assets_tests.fakes.versioned_s3 import History, VersionedS3

names = st.text("-/a%", min_size=1, max_size=4)


@given(
    keys=st.sets(names, max_size=25),
    prefix=st.text("-/a", max_size=2),
    oddity=st.sampled_from([each for each in Oddity if each is not Oddity.TOKENS_SKIP]),
    page_size=st.integers(1, 9),
)
def test_a_prefix_is_listed_in_any_order(
    keys: set[str], prefix: str, oddity: Oddity, page_size: int
) -> None:
    if oddity in (Oddity.ENDS_EARLY, Oddity.SOMETIMES_EMPTY):
        page_size = 25
    if oddity is Oddity.SOMETIMES_EMPTY:
        keys.add(prefix or "a")
        prefix = prefix or "a"
    found = list_prefix(OddStore(keys, oddity, page_size), prefix, RequestStats())
    listed = found.objects.column("key").to_pylist()
    under = {key for key in keys if key.startswith(prefix)}
    assert len(set(listed)) == len(listed)
    assert set(listed) == under if found.is_whole else set(listed) < under


@given(keys=st.sets(names, max_size=25), key=names, oddity=st.sampled_from(Oddity))
def test_an_existing_key_is_found_by_its_name(keys: set[str], key: str, oddity: Oddity) -> None:
    found = look_up(OddStore(keys, oddity), key, RequestStats())
    assert found.column("key").to_pylist() == [key] * (key in keys)


def test_all_versions_of_a_key_are_found_by_its_name() -> None:
    history = History()
    for number in range(5):
        history.put("a", number, number)
        history.put("ab", number, number)
    found = look_up(VersionedS3(history), "a", RequestStats(), Versions())
    assert found.column("key").to_pylist() == ["a"] * 5


@pytest.mark.parametrize(
    ("oddity", "told"), [(Oddity.NONE, None), (Oddity.DIRECTORIES_FROM_BYTES, "a/1")]
)
def test_a_key_out_of_byte_order_reveals_the_order(oddity: Oddity, told: str | None) -> None:
    store = OddStore(["a-b/1", "a/1", "a/2"], oddity)
    assert find_misplaced_key(store, "a-b/1", "a/2", RequestStats()) == told


def test_a_key_on_a_later_page_reveals_the_order_by_its_folders() -> None:
    keys = ["a-b/1", *(f"a/{number:03}" for number in range(100))]
    store = OddStore(keys, Oddity.DIRECTORIES_FROM_BYTES)
    assert find_misplaced_key(store, "a-b/1", "a/099", RequestStats()) == "a/000"


def test_a_missing_key_reveals_no_order() -> None:
    store = OddStore(["a1", "a2"], Oddity.HIDES, hidden=["a1"])
    assert find_misplaced_key(store, "a1", "a2", RequestStats()) is None


def test_a_level_holds_keys_and_folders() -> None:
    store = ModelS3(["a/1", "a/b/1", "a/b/2", "c"], 10)
    assert list_level(store, "a/", RequestStats()) == (["a/1"], ["a/b/"])


@pytest.mark.parametrize(
    ("habit", "error"),
    [
        (Habit.ENDLESS_EMPTY_PAGES, ListingStuck),
        (Habit.GOES_BACKWARDS, KeysOutOfOrder),
        (Habit.LISTS_TWICE, KeysOutOfOrder),
        (Habit.IGNORES_PREFIX, KeyOutsideRequest),
    ],
)
def test_a_store_with_a_bad_habit_is_caught(habit: Habit, error: type[Exception]) -> None:
    keys = [f"a{number}" for number in range(9)]
    with pytest.raises(error):
        list_prefix(ModelS3(["B", *keys, "b"], 4, habit=habit), "a", RequestStats())
