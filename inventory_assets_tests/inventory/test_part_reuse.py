"""Dates share unchanged parts, in whatever order their ranges are listed."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from inventory_assets.inventory.errors import CorruptRecord
from inventory_assets.inventory.listing.baseline_segment import BaselineSegment
from inventory_assets.inventory.listing.part_reuse import reuse_whole_shard, segments_of
from inventory_assets.inventory.listing.part_sizing import (
    DEFAULT_SIZING,
    EndPart,
    ExtendPart,
    HashedSegment,
    PartSizing,
    UsePart,
    decide,
)
from inventory_assets.inventory.manifest.manifest_merge import merge
from inventory_assets.inventory.manifest.snapshot import Reuse
from inventory_assets.inventory.parts.fingerprint import Fingerprint
from inventory_assets.inventory.parts.part import Part, read_records
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets.scan.engine.splitter import pick_evenly
from inventory_assets.scan.keyspace.key_range import KeyRange, tiling_violation
from inventory_assets.scan.keyspace.shard import Shard
from inventory_assets_tests.inventory.assemblies import CheckedBudget, Driver, small_files
from inventory_assets_tests.inventory.samples import (
    LAYOUT,
    NOW,
    listed,
    parts_of,
    records_of,
    snapshot_of,
)

Bucket = dict[str, int]
"""Sizes, by key."""

EVERYTHING = [KeyRange.of_prefix("")]
END = "~"
"""The last key of every bucket here, so that all days list the same range."""


def small_parts(rows: int, share: int = 16, of_all: int = 10**9) -> PartSizing:
    """Sizes of parts for small tests: below which they are small, and which are merged."""
    return PartSizing(min_rows=rows, min_fraction=of_all, merge_ratio=share)


def assembled(
    store: LocalStore,
    bucket: Bucket,
    baseline: Sequence[Part],
    seed: int,
    cuts: int = 0,
    excluded: Sequence[int] = (),
    most: int = 4,
    sizing: PartSizing = DEFAULT_SIZING,
) -> tuple[Driver, list[Part]]:
    """List a bucket with its events in random order; return its parts.

    Args:
        store: The store to publish to.
        bucket: The objects.
        baseline: The parts of the previous date.
        seed: Determines the order of events.
        cuts: The number of ends of the baseline's parts at which the first range is split.
        excluded: The numbers of the ranges, of seven, that are not listed.
        most: The maximum number of objects per page.
        sizing: The sizes of parts.
    """
    keys = sorted(bucket)
    chances = random.Random(seed)  # noqa: S311 - a repeatable test
    bounds = [round(len(keys) * number / 7) for number in range(8)] if excluded else [0, len(keys)]
    ranges = [
        KeyRange(keys[at - 1] if at else "", keys[stop - 1])
        for number, (at, stop) in enumerate(pairwise(bounds))
        if number not in excluded and at < stop
    ]
    segments = segments_of(baseline, ranges, sizing)
    driver = Driver(
        store,
        keys,
        bounds,
        excluded,
        CheckedBudget(10 * most),
        chances,
        most=most,
        sizes=bucket,
        segments=segments,
        sizing=sizing,
    )
    driver.split_first(pick_evenly(driver.split_hints[:-1], cuts))
    driver.run()
    return driver, driver.assembler.substitute_unchanged(driver.assembler.finish(), [])


def content(store: LocalStore, parts: Sequence[Part]) -> list[tuple[str, int]]:
    batches = read_records(store, parts, EVERYTHING, ["key", "size"])
    return [(row["key"], row["size"]) for batch in batches for row in batch.to_pylist()]


def check(store: LocalStore, driver: Driver, bucket: Bucket, parts: Sequence[Part]) -> None:
    """All records, once, in order."""
    assert content(store, parts) == [(key, bucket[key]) for key in driver.expected]
    assert all(left.last_key < right.first_key for left, right in pairwise(parts))


def changed(bucket: Mapping[str, int], changes: Sequence[tuple[int, str]]) -> Bucket:
    """The next day: keys that come, go, or are replaced."""
    found = dict(bucket)
    for number, kind in changes:
        key = f"{number:03}"
        if kind == "deleted":
            found.pop(key, None)
        else:
            found[key] = found.get(key, 0) + 1
    return found


buckets = st.sets(st.integers(0, 99), max_size=60).map(
    lambda numbers: {f"{number:03}": 3 for number in numbers} | {END: 1}
)
all_changes = st.lists(
    st.tuples(st.integers(0, 99), st.sampled_from(["deleted", "created or modified"])), max_size=4
)
few_rows = st.integers(1, 12)
part_rows = st.sampled_from([4, 16, 10**6])


@given(
    bucket=buckets,
    changes=all_changes,
    rows=st.tuples(few_rows, few_rows),
    part_rows=st.tuples(part_rows, part_rows),
    excluded=st.sets(st.integers(0, 6), max_size=2).map(sorted),
    cuts=st.integers(0, 4),
    seed=st.integers(0, 9999),
)
@example(
    bucket={END: 1},
    changes=[(0, "created or modified")],
    rows=(1, 1),
    part_rows=(4, 4),
    excluded=[],
    cuts=0,
    seed=64,
)
@settings(max_examples=100, deadline=None)
def test_a_part_is_reused_only_if_its_segment_is_unchanged(
    roomy_store: LocalStore,
    bucket: Bucket,
    changes: list[tuple[int, str]],
    rows: tuple[int, int],
    part_rows: tuple[int, int],
    excluded: list[int],
    cuts: int,
    seed: int,
) -> None:
    """With nothing taken in: no part is small, and none has a neighbour that is small to it."""
    today = changed(bucket, changes)
    sizing = small_parts(1, share=10**9)
    with small_files(rows[0], part_rows[0]):
        _, old = assembled(roomy_store, bucket, [], seed, sizing=sizing)
    with small_files(rows[1], part_rows[1]):
        driver, new = assembled(roomy_store, today, old, seed + 1, cuts, excluded, sizing=sizing)
    check(roomy_store, driver, today, new)
    for segment in driver.segments:
        if segment.part is not None:
            held = content(roomy_store, [segment.part])
            holds = [
                (key, today[key]) for key in driver.expected if segment.after < key <= segment.until
            ]
            if held == holds:
                assert segment.part in new
            elif segment.part in new:  # a new part may happen to hold what the old one did
                assert held in (holds[at : at + len(held)] for at in range(len(holds)))


@given(
    bucket=buckets,
    days=st.lists(all_changes, min_size=1, max_size=3),
    rows=few_rows,
    part_rows=part_rows,
    small=st.integers(1, 20),
    seed=st.integers(0, 9999),
)
@settings(max_examples=60, deadline=None)
def test_every_day_has_its_records_whichever_parts_are_merged(
    roomy_store: LocalStore,
    bucket: Bucket,
    days: list[list[tuple[int, str]]],
    rows: int,
    part_rows: int,
    small: int,
    seed: int,
) -> None:
    sizing = small_parts(small, share=2)
    with small_files(rows, part_rows):
        parts: Sequence[Part] = []
        for number, changes in enumerate([[], *days]):
            bucket = changed(bucket, changes)
            driver, parts = assembled(
                roomy_store, bucket, parts, seed + number, number, sizing=sizing
            )
            check(roomy_store, driver, bucket, parts)


@given(
    bucket=buckets,
    rows=st.tuples(few_rows, few_rows),
    part_rows=part_rows,
    small=st.integers(1, 20),
    seed=st.integers(0, 9999),
)
@settings(max_examples=40, deadline=None)
def test_an_unchanged_bucket_has_the_same_parts_however_it_is_listed(
    roomy_store: LocalStore,
    bucket: Bucket,
    rows: tuple[int, int],
    part_rows: int,
    small: int,
    seed: int,
) -> None:
    sizing = small_parts(small)
    with small_files(rows[0], part_rows):
        _, old = assembled(roomy_store, bucket, [], seed, sizing=sizing)
    with small_files(rows[1], part_rows):
        _, new = assembled(roomy_store, bucket, old, seed + 1, sizing=sizing)
    assert new == old


@given(
    st.lists(st.text("abc", min_size=1, max_size=3), max_size=12, unique=True).map(sorted),
    st.lists(st.text("abc", min_size=1, max_size=3), max_size=6, unique=True).map(sorted),
    st.booleans(),
)
def test_segments_tile_the_ranges(keys: list[str], bounds: list[str], are_small: bool) -> None:
    ends = [*zip(keys[::2], keys[1::2], strict=False)]
    parts = [part(first, last, 10 if are_small else 10**6) for first, last in ends]
    ranges = [KeyRange(*pair) for pair in zip(bounds[::2], bounds[1::2], strict=False)]
    found = segments_of(parts, ranges, DEFAULT_SIZING)
    assert tiling_violation([KeyRange(each.after, each.until) for each in found], ranges) is None
    for each in found:
        met = [old for old in parts if old.meets(KeyRange(each.after, each.until))]
        assert each.part is None or each.part in met


def part(first: str, last: str, rows: int, fingerprint: str = "known") -> Part:
    return Part(f"data/{first}", rows, 0, 0, "", first, last, (), fingerprint)


def test_appended_keys_extend_a_small_last_part_and_not_a_large_one() -> None:
    large, small = part("a", "m", 10**6), part("n", "p", 10)
    assert segments_of([large], [KeyRange("", "z")], DEFAULT_SIZING) == [
        BaselineSegment("", "m", 10**6, large),
        BaselineSegment("m", "z"),
    ]
    assert segments_of([large, small], [KeyRange("", "z")], DEFAULT_SIZING) == [
        BaselineSegment("", "m", 10**6, large),
        BaselineSegment("m", "z", 10, small),
    ]


def test_a_part_of_older_code_or_with_other_keys_is_not_reused() -> None:
    unknown, straddling = part("n", "p", 10**6, ""), part("a", "m", 10**6)
    found = segments_of([straddling, unknown], [KeyRange("c", "p")], DEFAULT_SIZING)
    assert [(each.until, each.part) for each in found] == [("m", None), ("p", None)]


def test_the_size_of_a_small_part_is_a_bounded_fraction_of_its_shard() -> None:
    found = [DEFAULT_SIZING.of_shard(rows).min_rows for rows in (10, 10**8, 10**10)]
    assert found == [16_384, 10**8 // 256, 16 * 65_536]


@pytest.mark.parametrize(
    ("rows", "neighbour", "is_merged"),
    [
        (10, 990, True),
        (10, 991, False),
        (65_536, 4096, True),
        (65_536, 4097, False),
        (64 * 65_536, 1, False),
    ],
)
def test_small_neighbours_are_merged(rows: int, neighbour: int, is_merged: bool) -> None:
    assert PartSizing(min_rows=1000).should_merge(rows, neighbour) is is_merged


def hashed(keys: str, **options: Any) -> HashedSegment:
    fingerprint = Fingerprint()
    if keys:
        fingerprint.update(records_of(listed(keys)))
    return HashedSegment(fingerprint, **{"is_from_start": True, **options})


def test_the_decision_on_a_segment_follows_from_its_records() -> None:
    old = part("a", "c", 3, hashed("abc").fingerprint.hexdigest())
    segment, sizing = BaselineSegment("", "c", 3, old), PartSizing(min_rows=10)

    def decision(keys: str, **options: Any) -> object:
        return decide(segment, hashed(keys, **options), sizing)

    small: dict[str, Any] = {"part_rows": 3, "next_rows": 5}
    assert decision("abc", **small) == UsePart(old)
    assert decision("abx", **small) == ExtendPart(), "it has changed, and is small"
    assert decision("abx", part_rows=3, next_rows=8) == EndPart()
    assert decision("", next_rows=5) == EndPart(), "there is nothing to extend"
    assert decision("abc", **small, starts_part=False) == ExtendPart()
    assert decision("bc", **small, is_from_start=False) == EndPart(), "others read the rest of it"
    without = BaselineSegment("", "c", 3)
    assert decide(without, hashed("abc", **small), sizing) == ExtendPart()


def test_an_unchanged_shard_reuses_even_parts_of_older_code(store: LocalStore) -> None:
    snapshot = snapshot_of(store, Shard(""), listed("abc"))
    old = tuple(replace(part, fingerprint="") for part in snapshot.parts)
    baseline = merge(store, LAYOUT, "", {"": replace(snapshot, parts=old)}, NOW)
    new = parts_of(store, listed("a"), listed("bc"))

    def share(fingerprint: str, shard: Shard, *, is_there: bool) -> tuple[list[Part], Reuse]:
        return reuse_whole_shard(baseline, shard, fingerprint, new, lambda _part: is_there)

    same = snapshot.fingerprint
    assert share(same, Shard(""), is_there=True) == (
        [*old],
        Reuse(unchanged=True, parts=1, bytes=old[0].file_bytes),
    )
    nothing = Reuse(unchanged=False, parts=0, bytes=0)
    assert share("other", Shard(""), is_there=True) == ([*new], nothing)
    assert share(same, Shard("", ("x/",)), is_there=True) == ([*new], nothing)
    assert share(same, Shard(""), is_there=False) == ([*new], replace(nothing, unchanged=True))


def test_a_missing_part_is_written_again(store: LocalStore) -> None:
    bucket = {f"{number:03}": 3 for number in range(20)} | {END: 1}
    _, old = assembled(store, bucket, [], 1)
    store.remove_key(old[0].key)
    driver, new = assembled(store, bucket, old, 2)
    check(store, driver, bucket, new)


def test_the_remedy_for_a_damaged_part_of_the_same_size_works(store: LocalStore) -> None:
    bucket = {f"{number:03}": 3 for number in range(20)} | {END: 1}
    _, old = assembled(store, bucket, [], 1)
    store.path(old[0].key).write_bytes(b"\xff" * old[0].file_bytes)
    _, new = assembled(store, bucket, old, 2)
    assert old[0] in new
    with pytest.raises(CorruptRecord, match="remove it, so that no date reuses it"):
        content(store, new)
    store.remove_key(old[0].key)
    driver, new = assembled(store, bucket, old, 3)
    check(store, driver, bucket, new)


def test_parts_stay_few_and_are_mostly_reused_over_sixty_days(roomy_store: LocalStore) -> None:
    """Each day something comes in one place, keys go here and there, and some are appended.

    No two small parts lie side by side for long where something changes, so there are about twice
    as many parts at most as a small one is a share of all, and one for each range of the day.
    """
    chances = random.Random(7)  # noqa: S311
    bucket: Bucket = {f"{number:03}{chances.randrange(10**4):04}": 1 for number in range(300)}
    bucket[END] = 1
    parts: Sequence[Part] = []
    rows = shared = 0
    sizing = small_parts(8, of_all=8)
    with small_files(16, 256):
        for day in range(60):
            place = chances.randrange(300)
            for _ in range(6):
                bucket[f"{place:03}{chances.randrange(10**4):04}"] = day
            for gone in chances.sample(sorted(bucket.keys() - {END}), 2):
                del bucket[gone]
            bucket |= {f"9{day:02}{number}": 1 for number in range(3)}
            driver, new = assembled(roomy_store, bucket, parts, day, 4, most=60, sizing=sizing)
            assert len(new) <= 3 * 8 + 4
            old = {each.key for each in parts}
            rows += len(bucket)
            shared += sum(each.rows for each in new if each.key in old)
            parts = new
        check(roomy_store, driver, bucket, parts)
    assert shared / rows > 0.5
