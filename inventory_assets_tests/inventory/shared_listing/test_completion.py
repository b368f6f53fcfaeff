"""The results of all participants are verified together before they are published."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from inventory_assets.inventory.errors import ConflictError, IncompleteListing
from inventory_assets.inventory.folder_listing.range_listing import Work, list_by_ranges
from inventory_assets.inventory.folder_listing.unseen_keys import list_unseen
from inventory_assets.inventory.parts.part import read_records
from inventory_assets.inventory.shared_listing.conditional_record import write_if_unchanged
from inventory_assets.inventory.shared_listing.listing_record import (
    LISTING,
    SharedListing,
    encode_listing,
    read_shared_listing,
)
from inventory_assets.inventory.shared_listing.range_board import CLOSING, BoardState
from inventory_assets.inventory.shared_listing.range_claim import RangeClaim
from inventory_assets.inventory.shared_listing.range_record import RangeRecord, RangeResult
from inventory_assets.inventory.shared_listing.range_worker import (
    joined_evidence,
    open_checkpoints,
)
from inventory_assets.inventory.shared_listing.url_goal import UrlGoal
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets.inventory.storage.store import NO_ETAG
from inventory_assets.s3.page_request import PageRequest
from inventory_assets.s3.request_stats import RequestStats
from inventory_assets.scan.errors import SeamDisagrees
from inventory_assets.scan.keyspace.key_range import (
    KeyRange,
    prefix_lower_bound,
    tiling_violation,
)
from inventory_assets.scan.keyspace.shard import make_shard
from inventory_assets.scan.validation.seams import seam_violations
from inventory_assets_tests.inventory.killed_listings import KEYS, Bucket, small_files
from inventory_assets_tests.inventory.samples import NOW
from inventory_assets_tests.inventory.shared_listing.samples import listing

ORDERED = sorted(KEYS)
WHOLE = KeyRange.of_prefix("")
LEFT = KeyRange(WHOLE.after, ORDERED[199])
RIGHT = KeyRange(ORDERED[199], WHOLE.until)


@pytest.fixture(autouse=True)
def small() -> Iterator[None]:
    with small_files():
        yield


class Together:
    """A listing of two ranges by two participants, ready to be published."""

    def __init__(self, root: Path, seen_by_right: list[str] = KEYS) -> None:
        self.store = LocalStore(root)
        self.listing = listing()
        self.work = Work(Bucket(KEYS), "", 1, self.store, folder=self.listing.id)
        self.etag = write_if_unchanged(self.store, LISTING, encode_listing(self.listing), NO_ETAG)
        self.results = {
            "left": ((LEFT,), self._list(KEYS, "left", LEFT)),
            "right": ((RIGHT,), self._list(seen_by_right, "right", RIGHT)),
        }

    def _list(self, keys: list[str], name: str, key_range: KeyRange) -> RangeResult:
        work = replace(self.work, lister=Bucket(keys))
        checkpoints = open_checkpoints(work, self.listing, name)
        stats = RequestStats()
        listed = list_by_ranges(work, checkpoints, [key_range], stats)
        return RangeResult(listed.parts, joined_evidence(listed.evidence), stats.requests)

    def publish(self, now: datetime = NOW) -> SharedListing:
        state = BoardState({}, self.results, ())
        claim = RangeClaim(self.store, "work", CLOSING, RangeRecord(()), NO_ETAG)
        UrlGoal(self.work, lambda: now).publish(self.listing, self.etag, state, claim)
        finished = read_shared_listing(self.store)
        assert finished is not None
        return finished

    def keys(self, finished: SharedListing) -> list[str]:
        assert finished.result is not None
        batches = read_records(self.store, finished.result.parts, [WHOLE], ["key"])
        return [key for batch in batches for key in batch.column("key").to_pylist()]


def test_the_results_become_one_listing(tmp_path: Path) -> None:
    together = Together(tmp_path)
    finished = together.publish()
    assert together.keys(finished) == ORDERED
    assert finished.result is not None
    requests = sum(result.requests for _, result in together.results.values())
    assert finished.result.requests == requests


@pytest.mark.parametrize("missed", [1, 5])
def test_keys_that_one_saw_beyond_its_range_and_the_other_did_not_are_listed_again(
    tmp_path: Path, missed: int
) -> None:
    seen = ORDERED[:200] + ORDERED[200 + missed :]
    together = Together(tmp_path, seen)
    finished = together.publish()
    assert together.keys(finished) == ORDERED
    assert finished.result is not None
    evidence = finished.result.evidence
    assert sum(row.rows for row in evidence) == len(ORDERED)
    assert tiling_violation([row.key_range for row in evidence], [WHOLE]) is None
    assert seam_violations(evidence) == []


def test_a_key_that_is_deleted_before_those_to_its_left_are_listed_again_is_no_contradiction(
    tmp_path: Path,
) -> None:
    """Nothing follows the keys that are listed again, although the right side has listed one."""
    right = ORDERED[-1:]
    together = Together(tmp_path, [*ORDERED[:200], *right])
    deleted = replace(together.work, lister=Bucket(ORDERED[:201]))
    together.work = deleted
    finished = together.publish()
    assert together.keys(finished) == [*ORDERED[:201], *right]
    assert finished.result is not None
    assert seam_violations(finished.result.evidence) == []


def test_a_key_in_a_gap_says_nothing_of_the_next_one(tmp_path: Path) -> None:
    """The prefix `8` is another shard, and `9` is the first key after all that begin with it."""
    together = Together(tmp_path)
    bucket = Bucket(["7", "81", "9"])
    work = replace(together.work, lister=bucket)
    checkpoints = open_checkpoints(work, together.listing, CLOSING)
    unseen = [(KeyRange("7", prefix_lower_bound("9")), "9")]
    whole = make_shard("", ["8"]).ranges
    (found,) = list_unseen(work, checkpoints, unseen, whole, RequestStats())
    assert found.parts == ()


class Flickering(Bucket):
    """A bucket without a key, but when it is asked for this one alone, and when it has settled.

    Args:
        key: The key.
        settled: How often it is asked for the key alone until it stays; None for never.
    """

    def __init__(self, keys: list[str], key: str, settled: int | None) -> None:
        super().__init__(keys)
        self._key, self._left = key, settled

    def _entries(self, request: PageRequest, after: str) -> list[tuple[str, bool]]:
        found = super()._entries(request, after)
        if request.prefix == self._key:
            if self._left:
                self._left -= 1
            return found
        return [each for each in found if each[0] != self._key or self._left == 0]


@pytest.mark.parametrize("settled", [1, 3])
def test_a_key_that_is_deleted_and_created_again_is_no_contradiction(
    tmp_path: Path, settled: int
) -> None:
    right = ORDERED[-1]
    together = Together(tmp_path, [*ORDERED[:200], right])
    lister = Flickering([*ORDERED[:201], right], right, settled)
    together.work = replace(together.work, lister=lister)
    finished = together.publish()
    assert together.keys(finished) == [*ORDERED[:201], right]
    assert finished.result is not None
    assert seam_violations(finished.result.evidence) == []


def test_a_key_that_a_store_never_lists_is_one(tmp_path: Path) -> None:
    right = ORDERED[-1]
    together = Together(tmp_path, [*ORDERED[:200], right])
    lister = Flickering([*ORDERED[:201], right], right, None)
    together.work = replace(together.work, lister=lister)
    with pytest.raises(SeamDisagrees, match=f"does not list '{right}' after '{ORDERED[200]}'"):
        together.publish()


def test_a_missing_range_is_noticed(tmp_path: Path) -> None:
    together = Together(tmp_path)
    del together.results["right"]
    with pytest.raises(IncompleteListing, match="does not prove that it is complete"):
        together.publish()


def test_a_range_that_was_listed_twice_is_noticed(tmp_path: Path) -> None:
    together = Together(tmp_path)
    together.results["again"] = together.results["right"]
    with pytest.raises(IncompleteListing, match="overlap"):
        together.publish()


def test_a_lost_file_of_a_result_is_noticed(tmp_path: Path) -> None:
    together = Together(tmp_path)
    ranges, result = together.results["left"]
    together.results["left"] = ranges, replace(result, parts=result.parts[:-1])
    with pytest.raises(IncompleteListing, match="objects listed"):
        together.publish()


def test_of_two_that_publish_one_wins(tmp_path: Path) -> None:
    together = Together(tmp_path)
    first = together.publish()
    with pytest.raises(ConflictError):
        together.publish(NOW.replace(year=NOW.year + 1))
    assert together.store.read(LISTING) == encode_listing(first)
