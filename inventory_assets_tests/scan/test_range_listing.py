"""Listing a range again finds the same keys as a simple filter."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inventory_assets.s3.decoding.page import Page, versions_markers
from inventory_assets.s3.page_request import PageRequest
from inventory_assets.s3.request_stats import RequestStats
from inventory_assets.scan.errors import KeyOutsideRequest, KeysOutOfOrder, ListingStuck
from inventory_assets.scan.keyspace.key_range import KeyRange
from inventory_assets.scan.range_listing import PAGES_WITH_KEYS, list_range
from inventory_assets.scan.validation.object_versions import Versions
from inventory_assets_tests.fakes.model_s3 import Habit, ModelS3
from inventory_assets_tests.fakes.odd_store import IN_BYTE_ORDER, Oddity, OddStore
from inventory_assets_tests.fakes.versioned_s3 import History, VersionedS3, histories

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
def test_the_listed_range_has_exactly_its_keys(
    keys: set[str], prefix: str, bounds: tuple[str, str], page_size: int, empty_pages: int
) -> None:
    whole = KeyRange.of_prefix(prefix)
    after, until = sorted(bounds)
    key_range = KeyRange(max(after, whole.after), min(until or whole.until, whole.until))
    if key_range.after >= key_range.until:
        key_range = whole
    found = list_range(
        ModelS3(keys, page_size, empty_pages=empty_pages),
        prefix,
        key_range,
        stats := RequestStats(),
    )
    held = found.objects.column("key").to_pylist()
    assert held == sorted(key for key in keys if key in found.key_range)
    assert found.key_range.after == key_range.after
    if found.key_range != key_range:
        assert page_size * PAGES_WITH_KEYS >= len(held) >= PAGES_WITH_KEYS
        assert found.key_range.until == held[-1]
    assert stats.requests > 0


def test_a_page_of_keys_takes_one_request() -> None:
    keys = [f"{number:03}" for number in range(100)]
    stats = RequestStats()
    found = list_range(ModelS3(keys, 10), "", KeyRange("019", "029"), stats)
    assert (found.objects.num_rows, stats.requests) == (10, 1)


def test_a_range_with_many_keys_ends_after_some_pages() -> None:
    keys = [f"{number:03}" for number in range(100)]
    found = list_range(ModelS3(keys, 3), "", WHOLE, stats := RequestStats())
    assert found.key_range == KeyRange("", "011")
    assert stats.requests == PAGES_WITH_KEYS


@pytest.mark.parametrize(
    ("habit", "error"),
    [
        (Habit.ENDLESS_EMPTY_PAGES, ListingStuck),
        (Habit.IGNORES_START_AFTER, KeysOutOfOrder),
        (Habit.SHUFFLES_PAGES, KeysOutOfOrder),
        (Habit.IGNORES_PREFIX, KeyOutsideRequest),
    ],
)
def test_a_store_with_a_bad_habit_is_caught(habit: Habit, error: type[Exception]) -> None:
    keys = [f"a{number}" for number in range(9)]
    with pytest.raises(error):
        list_range(
            ModelS3(["B", *keys, "b"], 4, habit=habit), "a", KeyRange("a1", "a~"), RequestStats()
        )


@pytest.mark.parametrize("habit", [Habit.GOES_BACKWARDS, Habit.STUCK_TOKEN])
def test_tokens_are_not_needed(habit: Habit) -> None:
    keys = [f"a{number}" for number in range(9)]
    found = list_range(ModelS3(keys, 3, habit=habit), "", WHOLE, RequestStats())
    assert found.objects.column("key").to_pylist() == keys


@given(
    keys=keys_strategy,
    prefix=st.text(ALPHABET, max_size=2),
    bounds=st.tuples(st.text(ALPHABET, max_size=3), st.text(ALPHABET, max_size=3)),
    oddity=st.sampled_from(IN_BYTE_ORDER),
    page_size=st.integers(2, 9),
)
def test_with_any_habit_a_range_is_listed_correctly(
    keys: set[str], prefix: str, bounds: tuple[str, str], oddity: Oddity, page_size: int
) -> None:
    whole = KeyRange.of_prefix(prefix)
    after, until = sorted(prefix + bound for bound in bounds)
    key_range = KeyRange(after, until) if after < until else whole
    store = OddStore(keys, oddity, page_size)
    found = list_range(store, prefix, key_range, RequestStats())
    held = found.objects.column("key").to_pylist()
    inside = sorted(key for key in keys if key in found.key_range and key.startswith(prefix))
    assert held == inside
    assert all(
        each.start_after.startswith(prefix) or not each.start_after for each in store.requests
    )
    if found.key_range != key_range:
        assert found.key_range.until == held[-1]


def test_a_listing_continues_after_an_end_that_is_too_early() -> None:
    keys = [f"{number:03}" for number in range(20)]
    found = list_range(OddStore(keys, Oddity.ENDS_EARLY, 6), "", WHOLE, RequestStats())
    assert found.objects.column("key").to_pylist() == keys
    assert found.ended_early == "005"


def test_confirming_an_end_takes_one_request() -> None:
    keys = [f"{number:03}" for number in range(20)]
    store = OddStore(keys, page_size=10)
    found = list_range(store, "", KeyRange("009", WHOLE.until), RequestStats())
    assert [each.start_after for each in store.requests] == ["009", "019"]
    assert found.ended_early is None


class InclusiveVersions(VersionedS3):
    """Lists the version, or the versions of the key, after which a request starts again."""

    def list_page_sync(self, request: PageRequest, stats: RequestStats) -> Page:
        before: str | None = None
        keys = sorted(self._history_keys)
        if request.token:
            key, version_id = versions_markers(request.token)
            ids = [(each.key, each.version_id) for each in self._listed]
            at = ids.index((key, version_id))
            before = None if at == 0 else " ".join(reversed(ids[at - 1]))
            again = replace(request, token=before) if before else replace(request, token=None)
            return super().list_page_sync(again, stats)
        if request.start_after in keys:
            at = keys.index(request.start_after)
            return super().list_page_sync(
                replace(request, start_after=keys[at - 1] if at else ""), stats
            )
        return super().list_page_sync(request, stats)

    @property
    def _history_keys(self) -> set[str]:
        return {each.key for each in self._listed}


@given(histories("ab-"), st.integers(9, 20), st.text("ab-", max_size=2))
def test_inclusive_markers_of_versions_repeat_no_rows(
    history: History, page_size: int, after: str
) -> None:
    key_range = KeyRange(after, WHOLE.until)
    found = list_range(
        InclusiveVersions(history, page_size), "", key_range, RequestStats(), Versions()
    )
    expected = [each.row() for each in history.listed() if each.key in found.key_range]
    assert found.objects.to_pylist() == expected


class NullMarkers(VersionedS3):
    """Answers a request that names a version with an empty last page, as OpenStack Swift may."""

    def list_page_sync(self, request: PageRequest, stats: RequestStats) -> Page:
        if request.token:
            return super().list_page_sync(PageRequest("none", versions=True), stats)
        return super().list_page_sync(request, stats)


def test_a_version_marker_that_returns_nothing_is_omitted() -> None:
    history = History()
    for number in range(9):
        history.put(f"{number}", number, number)
    found = list_range(NullMarkers(history), "", WHOLE, RequestStats(), Versions())
    assert found.objects.column("key").to_pylist() == [f"{number}" for number in range(9)]
