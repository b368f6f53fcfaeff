"""The times of ranges are kept in bounded memory."""

from hypothesis import given
from hypothesis import strategies as st

from inventory_assets.scan.engine.range_latencies import (
    MAX_DEPTH,
    MAX_PREFIX_CHARACTERS,
    SLOWEST_RANGES,
    RangeLatencies,
    RangeTimes,
    band_of,
    shared_prefix,
)

KEYS = st.text("ab/", max_size=8)


def times_of(*seconds: float) -> RangeTimes:
    times = RangeTimes()
    for each in seconds:
        times.add(each)
    return times


def test_pages_count_at_the_depth_of_the_prefix_and_the_band_of_the_p95() -> None:
    latencies = RangeLatencies()
    latencies.add(times_of(*[0.1] * 20), "a/b/1", "a/b/9")
    latencies.add(times_of(*[0.1] * 18, 0.5, 0.5), "a/b/1", "a/c/9")
    latencies.add(times_of(3.0), "a", "b")
    assert latencies.pages == {(0, 2): 1, (1, 1): 20, (2, 0): 20}
    assert latencies.ranges == 3
    assert [each.prefix for each in latencies.slowest] == ["", "a/", "a/b/"]


def test_the_bands_are_those_of_the_original_system() -> None:
    assert [band_of(seconds) for seconds in (0.1, 0.19, 0.3, 0.75, 0.9, 10)] == [0, 0, 1, 1, 2, 2]


@given(st.lists(st.tuples(KEYS, KEYS, st.floats(0.001, 100)), max_size=60))
def test_however_many_ranges_the_memory_is_bounded(ranges: list[tuple[str, str, float]]) -> None:
    latencies = RangeLatencies()
    for first, last, seconds in ranges:
        latencies.add(times_of(seconds), f"{first}/" * 300, f"{first}/" * 300 + last)
    assert all(depth <= MAX_DEPTH for depth, _ in latencies.pages)
    assert sum(latencies.pages.values()) == latencies.ranges == len(ranges)
    assert len(latencies.slowest) == min(SLOWEST_RANGES, len(ranges))
    assert all(len(each.prefix) <= MAX_PREFIX_CHARACTERS for each in latencies.slowest)
    slowest = sorted((times_of(each[2]).buckets.popitem()[0] for each in ranges), reverse=True)
    found = [times_of(each.seconds).buckets.popitem()[0] for each in latencies.slowest]
    assert all(abs(a - b) <= 1 for a, b in zip(found, slowest, strict=False))


@given(KEYS, KEYS)
def test_the_shared_prefix_is_the_common_folder(first: str, last: str) -> None:
    folders = [first[: at + 1] for at, character in enumerate(first) if character == "/"]
    shared = [folder for folder in folders if last.startswith(folder)]
    assert shared_prefix(first, last) == max(shared, key=len, default="")
