"""Stores that list no ranges are verified by prefixes."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets.inventory.verification.findings import Finding
from inventory_assets.inventory.verification.verification import verify
from inventory_assets.scan.keyspace.key_order import KeyOrder
from inventory_assets_tests.fakes.odd_store import WITHOUT_RANGES, Oddity, OddStore
from inventory_assets_tests.inventory.verification.verified import chance, inventory_of

# Stores that list no ranges

FOLDERS = {f"{folder}/{number}" for folder in ("a", "a-b", "a0") for number in range(12)} | {"b"}


@pytest.mark.parametrize("oddity", WITHOUT_RANGES)
def test_a_store_without_start_after_is_verified_by_prefixes(
    roomy_store: LocalStore, oddity: Oddity
) -> None:
    found = verify(inventory_of(roomy_store, FOLDERS), OddStore(FOLDERS, oddity), chance(0), 99)
    assert (found.findings, found.problems) == ({}, [])
    assert found.records == len(FOLDERS)
    assert found.prefixes
    assert found.ranges == ()
    assert found.notes


def test_an_inventory_in_directory_order_needs_no_range(roomy_store: LocalStore) -> None:
    inventory = replace(inventory_of(roomy_store, FOLDERS), key_order=KeyOrder.DIRECTORY)
    store = OddStore(FOLDERS - {"a/3"}, Oddity.DIRECTORIES)
    found = verify(inventory, store, chance(0), 99)
    assert (found.findings, found.notes) == ({"a/3": Finding.MISSING_IN_BUCKET}, ())
    assert not any(each.start_after for each in store.requests)


def test_an_inventory_of_ranges_is_in_doubt_where_the_store_lists_none(
    roomy_store: LocalStore,
) -> None:
    inventory = replace(inventory_of(roomy_store, FOLDERS), key_order=KeyOrder.BYTES)
    for oddity in WITHOUT_RANGES:
        found = verify(inventory, OddStore(FOLDERS, oddity), chance(0), 99)
        (problem,) = found.problems
        assert problem.startswith("the inventory was listed in byte order, but now")


def test_a_folder_that_the_inventory_lacks_is_found(roomy_store: LocalStore) -> None:
    held = {key for key in FOLDERS if not key.startswith("a-b/")} | {"a/deep/1"}
    inventory = replace(inventory_of(roomy_store, held), key_order=KeyOrder.DIRECTORY)
    there = FOLDERS | {"a/deep/1", "top"}
    found = verify(inventory, OddStore(there, Oddity.DIRECTORIES), chance(0), 99)
    missing = {key for key in there if key.startswith("a-b/")} | {"top"}
    assert found.findings == dict.fromkeys(missing, Finding.MISSING)


@given(
    keys=st.sets(st.text("/ab", min_size=1, max_size=5), min_size=1, max_size=40),
    size=st.integers(1, 10),
    least_length=st.integers(0, 2),
)
def test_a_sampled_prefix_is_the_shortest_with_at_most_the_given_records(
    roomy_store: LocalStore, keys: set[str], size: int, least_length: int
) -> None:
    records = inventory_of(roomy_store, keys).records

    def count(prefix: str) -> int:
        return sum(key.startswith(prefix) for key in keys)

    drawn = records.prefixes(chance(0), len(keys), size, least_length)
    assert all(any(key.startswith(prefix) for prefix in drawn) for key in keys)
    for prefix in drawn:
        assert count(prefix) <= size or prefix in keys
        if len(prefix) > least_length:
            assert count(prefix[:-1]) > size
        lacking = records.without_records([prefix, prefix + "x"])
        assert lacking == [prefix + "x"]
