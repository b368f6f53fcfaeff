"""Responses of a store that contradict each other, or raise doubt about the bucket."""

from dataclasses import replace

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets.inventory.verification import comparison, targets
from inventory_assets.inventory.verification.findings import Finding
from inventory_assets.inventory.verification.verification import verify
from inventory_assets.s3.decoding.page import NO_OBJECTS, Page
from inventory_assets.s3.page_request import PageRequest
from inventory_assets.s3.request_stats import RequestStats
from inventory_assets.scan.keyspace.key_range import KeyRange
from inventory_assets_tests.fakes.listings import Listed
from inventory_assets_tests.fakes.odd_store import IN_BYTE_ORDER, WITHOUT_RANGES, Oddity, OddStore
from inventory_assets_tests.inventory.samples import NOW
from inventory_assets_tests.inventory.verification.verified import (
    WHOLE,
    altered_sizes,
    chance,
    inventory_of,
    keys_strategy,
)


@given(
    keys=keys_strategy,
    lost=keys_strategy,
    gone=keys_strategy,
    altered=keys_strategy,
    oddity=st.sampled_from([*IN_BYTE_ORDER, *WITHOUT_RANGES]),
    prefix=st.sampled_from(["", "a", "-"]),
)
def test_with_any_habit_exactly_the_differences_are_found(
    roomy_store: LocalStore,
    keys: set[str],
    lost: set[str],
    gone: set[str],
    altered: set[str],
    oddity: Oddity,
    prefix: str,
) -> None:
    there = {prefix + key for key in keys - gone}
    held = {prefix + key for key in keys - lost} | {prefix + key for key in gone - keys}
    held |= {prefix + key for key in gone & keys}
    altered = {prefix + key for key in altered}
    bucket = OddStore(there, oddity, 40, sizes=altered_sizes(altered))
    with pytest.MonkeyPatch.context() as patch:
        if oddity in WITHOUT_RANGES:  # a prefix has all its records in one request there
            patch.setattr(targets, "RECORDS_PER_RANGE", 100)
        found = verify(inventory_of(roomy_store, held, prefix), bucket, chance(0), 99)
    expected = dict.fromkeys(held - there, Finding.MISSING_IN_BUCKET)
    expected |= dict.fromkeys(there - held, Finding.MISSING)
    expected |= dict.fromkeys(there & held & altered, Finding.ALTERED)
    assert found.findings == expected
    assert all(
        each.start_after.startswith(each.prefix) for each in bucket.requests if each.start_after
    )


KEYS = {f"{number:03}" for number in range(100)}


def test_an_existing_key_that_is_not_listed_contradicts_the_store(
    roomy_store: LocalStore,
) -> None:
    hidden = {f"{number:03}" for number in range(0, 100, 10)}
    store = OddStore(KEYS - {"007"}, Oddity.HIDES, hidden=hidden)
    found = verify(inventory_of(roomy_store, KEYS), store, chance(0), 99)
    expected = dict.fromkeys(hidden, Finding.CONTRADICTED) | {"007": Finding.MISSING_IN_BUCKET}
    assert found.findings == expected
    assert found.asked_again == len(expected)
    assert "contradicted: '010'" in found.problems
    assert any("contradicts itself: 10 of the keys" in problem for problem in found.problems)


def test_a_store_that_sometimes_lists_nothing_contradicts_itself(
    roomy_store: LocalStore,
) -> None:
    store = OddStore(KEYS, Oddity.SOMETIMES_EMPTY)
    found = verify(inventory_of(roomy_store, KEYS), store, chance(0), 99)
    assert found.counts[Finding.CONTRADICTED] > 0
    assert set(found.findings.values()) == {Finding.CONTRADICTED}


def test_the_number_of_lookups_is_limited(
    roomy_store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparison, "MAX_LOOKUPS", 7)
    store = OddStore(set())
    found = verify(inventory_of(roomy_store, KEYS), store, chance(0), 99)
    assert (found.asked_again, found.seemed_gone) == (7, 100)
    assert found.counts[Finding.MISSING_IN_BUCKET] == 100
    exact = [each.prefix for each in store.requests if each.prefix in KEYS]
    again = OddStore(set())
    verify(inventory_of(roomy_store, KEYS), again, chance(0), 99)
    assert len(set(exact)) == 7
    assert [each.prefix for each in again.requests if each.prefix in KEYS] == exact


def test_an_object_created_again_since_is_no_contradiction(
    roomy_store: LocalStore,
) -> None:
    class ComesBack(OddStore):
        def list_page_sync(self, request: PageRequest, stats: RequestStats) -> Page:
            page = super().list_page_sync(request, stats)
            if request.prefix != "007":
                return page
            row = Listed("007", modified=int((NOW.timestamp() + 60) * 1000)).row()
            batch = pa.RecordBatch.from_pylist([row], page.objects.schema)
            return replace(page, objects=batch)

    found = verify(inventory_of(roomy_store, KEYS), ComesBack(KEYS - {"007"}), chance(0), 99)
    assert found.findings == {"007": Finding.MODIFIED_SINCE}
    assert found.problems == []


@pytest.mark.parametrize(
    ("held", "there", "is_doubted"),
    [
        (100, set(), True),  # emptied
        (100, {f"other {number}" for number in range(100)}, True),  # another bucket
        (100, {f"{number:03}" for number in range(50, 100)}, False),
        (100, {f"{number:03}" for number in range(51, 100)}, True),
        (19, {"000"}, False),  # so few may well be deleted
        (20, {"000"}, True),
        (1, set(), True),
        (0, set(), False),
    ],
)
def test_a_bucket_that_lacks_most_of_a_sample_is_doubted(
    roomy_store: LocalStore, held: int, there: set[str], *, is_doubted: bool
) -> None:
    inventory = inventory_of(roomy_store, {f"{number:03}" for number in range(held)})
    found = verify(inventory, OddStore(there), chance(0), 99)
    gone = found.counts[Finding.MISSING_IN_BUCKET]
    sentence = f"{gone:,} of {held:,} sampled records are gone: is this the right bucket, "
    assert any(problem.startswith(sentence) for problem in found.problems) is is_doubted


def test_an_empty_range_is_listed_with_the_records_around_it(
    roomy_store: LocalStore,
) -> None:
    empty = [KeyRange("", "000"), KeyRange("049", "049~"), KeyRange("099", WHOLE.until)]
    inventory = replace(inventory_of(roomy_store, KEYS), empty=empty)
    ranges = set(inventory.sample(chance(0), 1))
    assert ranges >= {KeyRange("048", "050"), KeyRange("098", WHOLE.until)}
    # So an answer with nothing in it agrees with nothing.
    store = OddStore(KEYS, Oddity.HIDES, hidden={"049", "050", "099"})
    found = verify(inventory, store, chance(0), 1)
    assert {"049", "050", "099"} <= found.findings.keys()


def test_an_empty_response_does_not_confirm_an_empty_inventory(roomy_store: LocalStore) -> None:
    class EmptyWithoutDelimiter(OddStore):
        def list_page_sync(self, request: PageRequest, stats: RequestStats) -> Page:
            page = super().list_page_sync(request, stats)
            return page if request.delimiter else replace(page, objects=NO_OBJECTS)

    inventory = inventory_of(roomy_store, set())
    assert verify(inventory, OddStore(set()), chance(0)).problems == []
    found = verify(inventory, EmptyWithoutDelimiter({"a"}), chance(0))
    assert found.findings == {"a": Finding.CONTRADICTED}


def test_an_early_end_of_a_listing_is_noted(roomy_store: LocalStore) -> None:
    found = verify(inventory_of(roomy_store, KEYS), OddStore(KEYS, Oddity.ENDS_EARLY, 3), chance(0))
    assert found.problems == []
    assert found.notes
    assert all("reported the end of its listing after" in note for note in found.notes)
