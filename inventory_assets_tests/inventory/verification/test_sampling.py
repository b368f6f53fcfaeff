"""The ranges and prefixes that a sample draws."""

from hypothesis import example, given
from hypothesis import strategies as st

from inventory_assets.inventory.parts.counting import keys_at, positions_of
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets.scan.keyspace.key_range import tiling_violation
from inventory_assets_tests.inventory.verification.verified import (
    RECORDS,
    WHOLE,
    chance,
    inventory_of,
    keys_strategy,
)


@given(keys=keys_strategy)
@example(keys=set())
@example(keys={f"{number:02}" for number in range(2 * RECORDS)})
def test_all_ranges_with_records_tile_the_key_space_a_page_each(
    roomy_store: LocalStore, keys: set[str]
) -> None:
    inventory = inventory_of(roomy_store, keys)
    ranges = inventory.sample(chance(0), 100)
    assert tiling_violation(ranges, [WHOLE]) is None
    counts = [len(inventory.records_in(each)) for each in ranges]
    assert counts == [sum(key in each for key in keys) for each in ranges]
    assert all(count == RECORDS for count in counts[:-1])
    assert counts[-1] <= RECORDS


@given(keys=keys_strategy, places=st.sets(st.integers(0, 40)))
def test_keys_at_returns_the_keys_at_the_positions(
    roomy_store: LocalStore, keys: set[str], places: set[int]
) -> None:
    parts = inventory_of(roomy_store, keys).parts
    expected = {place: key for place, key in enumerate(sorted(keys)) if place in places}
    assert keys_at(roomy_store, parts, places) == expected


def test_equal_seeds_draw_equal_samples_and_others_differ(roomy_store: LocalStore) -> None:
    inventory = inventory_of(roomy_store, {f"{number:03}" for number in range(200)})
    draws = [inventory.sample(chance(seed), 4) for seed in ("a", "a", "b")]
    assert draws[0] == draws[1] != draws[2]
    assert [len(draw) for draw in draws] == [4, 4, 4]


def test_every_record_can_be_drawn(roomy_store: LocalStore) -> None:
    keys = {f"{number:03}" for number in range(43)}
    inventory = inventory_of(roomy_store, keys)
    one = chance(1)
    drawn = {each for _ in range(100) for each in inventory.sample(one, 2)}
    assert tiling_violation(sorted(drawn), [WHOLE]) is None


@given(keys=keys_strategy, asked=keys_strategy, through=st.booleans())
def test_positions_of_returns_the_positions_of_keys(
    roomy_store: LocalStore, keys: set[str], asked: set[str], *, through: bool
) -> None:
    parts = inventory_of(roomy_store, keys).parts
    expected = {key: sum(each < key or (through and each == key) for each in keys) for key in asked}
    assert positions_of(roomy_store, parts, asked, through=through) == expected
