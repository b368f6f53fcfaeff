"""On any store, a scan finds all keys, or fails."""

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inventory_assets.s3.bucket_config import BucketConfig
from inventory_assets.s3.concurrency.limiter import Cancelled
from inventory_assets.s3.decoding.page import Page
from inventory_assets.s3.page_request import PageRequest
from inventory_assets.s3.request_stats import RequestStats
from inventory_assets.scan.engine.events import (
    JobFailed,
    ListingJob,
    ObjectsListed,
    RangeCompleted,
    RangeNarrowed,
    RangeSplit,
)
from inventory_assets.scan.engine.parallel_scan import ParallelScan
from inventory_assets.scan.errors import ScanError
from inventory_assets.scan.keyspace.key_range import KeyRange, prefix_upper_bound, tiling_violation
from inventory_assets.scan.validation.range_evidence import Ending, RangeEvidence, Seam
from inventory_assets.scan.validation.seams import seam_violations, unseen_between
from inventory_assets_tests.fakes.listings import objects_of
from inventory_assets_tests.fakes.model_s3 import ModelS3

ALPHABET = "-./0a"
some_keys = st.sets(st.text(ALPHABET, min_size=1, max_size=5), min_size=1, max_size=40)

Rank = Callable[[str], object]
ORDERS: dict[str, Rank] = {
    "bytes": lambda key: key.encode(),
    "directory": lambda key: [name.encode() for name in key.split("/")],
    "reverse": lambda key: [-byte for byte in key.encode()] + [1],
    "length first": lambda key: (len(key), key),
    "letters before others": lambda key: [(not c.isalnum(), c) for c in key],
}


class ContraryS3(ModelS3):
    """Lists in any order, and sometimes sends wrong responses.

    Args:
        keys: The keys in the bucket.
        rank: The order in which it lists; StartAfter compares in that order as well.
        chances: Decides when a response is wrong.
        early_end: The probability that a page is reported as the last although more keys follow.
        stale: The number of the request that gets the response to the one before it, if that had
            keys.
        page_size: Maximum keys in a page.
    """

    def __init__(
        self,
        keys: Iterable[str],
        rank: Rank = ORDERS["bytes"],
        chances: random.Random | None = None,
        *,
        early_end: float = 0,
        stale: int | None = None,
        page_size: int = 3,
    ) -> None:
        super().__init__(keys, page_size)
        self._rank = rank  # type: ignore[assignment]
        self._keys = sorted(self._keys, key=rank)  # type: ignore[arg-type]
        self._chances = chances or random.Random(0)  # noqa: S311 - a repeatable test
        self._early_end, self._stale = early_end, stale
        self._answers: list[Page] = []

    def list_page_sync(self, request: PageRequest, stats: RequestStats) -> Page:
        if self._is_cancelled:
            raise Cancelled
        stats.sent()
        self.requests.append(request)
        page = self._answer(request)
        self._answers.append(page)
        if len(self._answers) - 1 == self._stale and self._answers[-2].objects.num_rows:
            before = self.requests[-2]
            # The echoed parameters distinguish all other responses.
            if before.token and request.token:
                return self._answers[-2]
        if page.is_truncated and page.objects.num_rows and self._chances.random() < self._early_end:
            kept = self._chances.randint(1, page.objects.num_rows)
            return Page(page.objects.slice(0, kept), page.common_prefixes, False, None)
        return page

    def _answer(self, request: PageRequest) -> Page:
        # As on a real store, a token stands for a key, not for a number.
        after = request.token[2:] if request.token else request.start_after
        entries = self._entries(request, after)
        page = entries[: min(self._page_size, request.max_keys)]
        keys = [name for name, is_folder in page if not is_folder]
        folders = tuple(name for name, is_folder in page if is_folder)
        token = f"t:{page[-1][0]}" if len(page) < len(entries) else None
        return Page(objects_of(keys), folders, token is not None, token)


def listed(lister: ModelS3, cuts: Sequence[str], prefix: str = "") -> list[str]:
    """The keys that a scan finds, in the order of its ranges; its evidence must agree."""
    lister.bucket_config = BucketConfig("model", max_in_flight=8)
    job = ListingJob(prefix, [KeyRange.of_prefix(prefix)], initial_splits=sorted(set(cuts)))
    found: dict[int, list[str]] = {0: []}
    evidence: dict[int, RangeEvidence] = {}
    for event in ParallelScan(lister, [job]):
        match event:
            case ObjectsListed(index=index, objects=objects):
                assert index not in evidence
                found[index] += objects.column("key").to_pylist()
            case RangeSplit(upper=upper):
                found[upper] = []
            case RangeNarrowed(was=was, after=after):
                (index,) = [i for i, each in evidence.items() if each.key_range == was]
                narrowed = KeyRange(after, was.until)
                evidence[index] = replace(evidence[index], key_range=narrowed)
            case RangeCompleted(index=index, evidence=ended):
                evidence[index] = ended
            case JobFailed(error=error):
                raise error
    order = sorted(evidence, key=lambda index: evidence[index].key_range)
    rows = [evidence[index] for index in order]
    assert tiling_violation([row.key_range for row in rows], [KeyRange.of_prefix(prefix)]) is None
    assert seam_violations(rows) == []
    return [key for index in order for key in found[index]]


@pytest.mark.parametrize("order", ORDERS)
@given(keys=some_keys, cuts=st.sets(st.text(ALPHABET, min_size=1, max_size=4), max_size=8))
@settings(max_examples=150, deadline=None)
def test_in_whatever_order_a_store_lists_no_key_is_lost(
    order: str, keys: set[str], cuts: set[str]
) -> None:
    try:
        found = listed(ContraryS3(keys, ORDERS[order]), [*cuts])
    except ScanError:
        assert order != "bytes"
    else:
        assert found == sorted(keys)


@given(
    keys=some_keys,
    cuts=st.sets(st.text(ALPHABET, min_size=1, max_size=4), max_size=8),
    seed=st.integers(0, 10_000),
    early_end=st.sampled_from([0.0, 0.1, 0.5]),
    stale=st.none() | st.integers(1, 30),
)
@settings(max_examples=400, deadline=None)
def test_early_ends_and_misplaced_responses_lose_no_key(
    keys: set[str], cuts: set[str], seed: int, early_end: float, stale: int | None
) -> None:
    chances = random.Random(seed)  # noqa: S311
    store = ContraryS3(keys, chances=chances, early_end=early_end, stale=stale)
    try:
        found = listed(store, [*cuts])
    except ScanError:
        assert early_end or stale
    else:
        assert found == sorted(keys)


def test_the_smallest_loss_in_directory_order_is_reported() -> None:
    keys = [f"d/{folder}{n:02}" for folder in ("obj/", "obj-1/") for n in range(3)]
    with pytest.raises(ScanError, match="in byte order"):
        listed(ContraryS3(keys, ORDERS["directory"]), [prefix_upper_bound("d/obj-1/")])


def test_a_store_whose_listings_always_end_after_a_page_is_listed_completely() -> None:
    keys = [f"k{n:03}" for n in range(40)]
    assert listed(ContraryS3(keys, early_end=1.0), ["k02"]) == keys


@pytest.mark.parametrize("empty", [False, True], ids=["", "with empty ranges"])
def test_objects_created_or_deleted_at_a_seam_are_no_contradiction(empty: bool) -> None:
    for seed in range(300):
        chances = random.Random(seed)  # noqa: S311
        always = {f"k{n:02}" for n in range(0, 40, 2)}
        keys, cuts = [*always, "k21"], ["k20", "k10"]
        if empty:
            cuts += chances.sample([f"k{n:02}{end}" for n in range(40) for end in ("", "+")], 6)
        store = _Changing(keys, [f"k{n:02}" for n in range(1, 40, 2)], chances)
        found = listed(store, cuts)
        assert found == sorted(set(found))
        assert always <= set(found)


class _Changing(ContraryS3):
    """Sometimes creates or deletes an object before a response."""

    def __init__(self, keys: list[str], others: list[str], chances: random.Random) -> None:
        super().__init__(keys, chances=chances)
        self._others = others

    def list_page_sync(self, request: PageRequest, stats: RequestStats) -> Page:
        if self._chances.random() < 0.3:
            key = self._chances.choice(self._others)
            self._keys = sorted({*self._keys} ^ {key})
        return super().list_page_sync(request, stats)


def row(
    after: str, until: str, keys: Sequence[str], shown: str | None, seam: Seam
) -> RangeEvidence:
    first, last = (keys[0], keys[-1]) if keys else (None, None)
    ending = Ending.LISTED_TO_END if shown is None else Ending.BOUND_REACHED
    return RangeEvidence(KeyRange(after, until), len(keys), first, last, 1, ending, shown, seam)


def test_evidence_whose_seams_contradict_each_other_is_found() -> None:
    left = row("", "c", ["a"], "d", Seam.AGREES)
    assert seam_violations([left, row("c", "z", ["d"], None, Seam.END_CONFIRMED)]) == []
    assert seam_violations([left, row("c", "z", ["e"], None, Seam.END_CONFIRMED)])
    assert seam_violations([left, row("c", "z", [], None, Seam.END_CONFIRMED)])
    assert seam_violations([left, row("c", "cc", [], "d", Seam.AGREES)]) == []
    ended = row("", "c", ["a"], None, Seam.END_CONFIRMED)
    assert seam_violations([ended, row("c", "z", ["d"], None, Seam.END_CONFIRMED)])
    changed = row("", "c", ["a"], "d", Seam.CHANGED)
    assert seam_violations([changed, row("c", "z", ["e"], None, Seam.END_CONFIRMED)]) == []


def test_the_keys_between_disagreeing_ranges_are_named() -> None:
    left = row("", "c", ["a", "b"], "d", Seam.NOT_COMPARED)
    right = row("c", "z", ["f"], None, Seam.END_CONFIRMED)
    ((unseen, first),) = unseen_between([left, right])
    assert (unseen.after, first) == ("b", "f")
    assert "d" in unseen
    assert "f" not in unseen
    assert unseen_between([left, row("c", "z", ["d"], None, Seam.END_CONFIRMED)]) == []


def test_a_key_in_a_range_that_another_process_found_empty_is_sought() -> None:
    left = row("", "c", ["a"], "d", Seam.NOT_COMPARED)
    empty = row("c", "g", [], "h", Seam.NOT_COMPARED)
    right = row("g", "z", ["h"], None, Seam.END_CONFIRMED)
    ((unseen, first),) = unseen_between([left, empty, right])
    assert (unseen.after, first) == ("a", "h")
    assert "d" in unseen


def test_a_key_between_the_ranges_of_a_resumed_listing_is_left_to_the_run_that_listed_it() -> None:
    left = row("", "c", ["a"], "d", Seam.NOT_COMPARED)
    right = row("g", "z", ["h"], None, Seam.END_CONFIRMED)
    assert unseen_between([left, right]) == []


def test_a_seam_within_a_process_that_was_asked_again_is_not_sought() -> None:
    left = row("", "c", ["a"], "d", Seam.CHANGED)
    right = row("c", "z", ["f"], None, Seam.END_CONFIRMED)
    assert unseen_between([left, right]) == []
