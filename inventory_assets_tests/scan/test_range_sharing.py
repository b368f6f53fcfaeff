"""Keys that a scan gives away are listed by another scan, and each key is listed once."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inventory_assets.s3.page_source import PageSource
from inventory_assets.scan.engine import page_queue
from inventory_assets.scan.engine.events import (
    JobFailed,
    ListingJob,
    ObjectsListed,
    RangeCompleted,
    RangeCutShort,
    RangeSplit,
)
from inventory_assets.scan.engine.parallel_scan import ParallelScan
from inventory_assets.scan.keyspace.key_range import KeyRange, tiling_violation
from inventory_assets.scan.validation.range_evidence import RangeEvidence
from inventory_assets_tests.fakes.model_s3 import ModelS3
from inventory_assets_tests.fakes.virtual_time import scans_run_on_virtual_time
from inventory_assets_tests.key_spaces import key_sets

WHOLE = KeyRange.of_prefix("")


def hashes(count: int) -> list[str]:
    return [sha256(str(number).encode()).hexdigest()[:12] for number in range(count)]


FLAT = hashes(3_000)


@pytest.fixture(scope="module", autouse=True)
def virtual_time() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(page_queue, "BATCH_WAIT_SECONDS", 0.0005)
        scans_run_on_virtual_time(patch)
        yield


@dataclass(slots=True)
class Found:
    """What some scans listed, one after the other, until nothing was given away any more."""

    keys: list[str] = field(default_factory=list)
    evidence: list[RangeEvidence] = field(default_factory=list)
    given: list[KeyRange] = field(default_factory=list)
    scans: int = 0
    before: int = 0
    """The keys that were listed when some were given away last."""


def scan(lister: PageSource, ranges: Sequence[KeyRange], found: Found, gives_at: set[int]) -> None:
    """List ranges, and give half of them away at some events; `found.given` has these ranges."""
    job = ListingJob("", ranges)
    ends = {index: each.until for index, each in enumerate(ranges)}
    listing, number, mine = ParallelScan(lister, [job]), 0, []
    for number, event in enumerate(listing):
        match event:
            case ObjectsListed(index=index, objects=objects):
                keys = objects.column("key").to_pylist()
                assert all(key <= ends[index] for key in keys), "a key that was given away"
                mine += keys
            case RangeSplit(index=index, upper=upper, boundary=boundary):
                ends[upper], ends[index] = ends[index], boundary
            case RangeCutShort(index=index, given=cut):
                assert cut.until == ends[index]
                ends[index] = cut.after
            case RangeCompleted(evidence=evidence):
                found.evidence.append(evidence)
            case JobFailed(error=error):
                raise error
        if number in gives_at:
            assert listing.pages_left(job) >= 0
            found.before = len(mine)
            found.given += listing.give_away(job, 0.5)
    assert len(mine) == len({*mine})
    found.keys += mine
    found.scans += 1


def scan_all(lister: PageSource, gives_at: set[int]) -> Found:
    found, ranges = Found(), [WHOLE]
    while ranges:
        scan(lister, ranges, found, gives_at)
        ranges, found.given = found.given, []
        gives_at = gives_at if found.scans < 12 else set()
        ranges = sorted(ranges)
    return found


def check(found: Found, keys: Sequence[str]) -> None:
    assert sorted(found.keys) == sorted({*keys})
    assert tiling_violation(sorted(each.key_range for each in found.evidence), [WHOLE]) is None
    assert sum(each.rows for each in found.evidence) == len({*keys})


@pytest.mark.parametrize("gives_at", [{3}, {0, 1, 2}, {5, 6, 40}, {*range(60)}])
def test_what_is_given_away_is_listed_once_by_another_scan(gives_at: set[int]) -> None:
    lister = ModelS3(FLAT, page_size=10)
    found = scan_all(lister, gives_at)
    assert found.scans > 1
    check(found, FLAT)


@given(key_sets(), st.sets(st.integers(0, 40), min_size=1), st.integers(1, 4))
@settings(max_examples=60)
def test_keys_of_any_shape_are_listed_once(
    keys: set[str], gives_at: set[int], page_size: int
) -> None:
    check(scan_all(ModelS3(keys, page_size=page_size), gives_at), sorted(keys))


def test_about_half_of_the_pages_left_is_given_away() -> None:
    keys, found = hashes(20_000), Found()
    scan(ModelS3(keys, page_size=20), [WHOLE], found, {200})
    left, given_away = len(keys) - found.before, len(keys) - len(found.keys)
    assert left * 0.4 < given_away < left * 0.6


def test_no_request_is_repeated_for_keys_that_were_given_away() -> None:
    alone = ModelS3(FLAT, page_size=10)
    scan(alone, [WHOLE], Found(), set())
    shared = ModelS3(FLAT, page_size=10)
    found = scan_all(shared, {random.Random(0).randrange(30, 60)})  # noqa: S311
    assert found.scans > 1
    assert len(shared.requests) < 1.3 * len(alone.requests)


def test_a_scan_that_is_not_iterated_gives_nothing_away() -> None:
    job = ListingJob("", [WHOLE])
    listing = ParallelScan(ModelS3(FLAT), [job])
    with pytest.raises(RuntimeError, match="while a scan is iterated"):
        listing.give_away(job, 0.5)
    for _ in listing:
        pass
    with pytest.raises(RuntimeError, match="while a scan is iterated"):
        listing.give_away(job, 0.5)
