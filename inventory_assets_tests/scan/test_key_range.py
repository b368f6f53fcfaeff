from collections.abc import Iterable
from itertools import pairwise, product

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from inventory_assets.scan.keyspace.key_range import (
    MAX_KEY_BYTES,
    KeyRange,
    outermost,
    prefix_lower_bound,
    prefix_of_upper_bound,
    prefix_upper_bound,
    tiling_violation,
)

EDGES = "\0\x01-/0a\x7f\x80\u07ff\u0800\ud7ff\ue000\uffff\U00010000\U0010fffd\U0010ffff"
SMALL = "\0/a\U0010ffff"
SMALL_KEYS = ["".join(name) for size in (1, 2, 3) for name in product(SMALL, repeat=size)]
NO_KEY_BEYOND = KeyRange.of_prefix("").until


def successor(key: str) -> str | None:
    """The next legal key: with a NUL appended, or else with a character to the left incremented."""
    if len(key.encode()) < MAX_KEY_BYTES:
        return key + "\0"
    for index in reversed(range(len(key))):
        code = ord(key[index]) + 1
        code = 0xE000 if code == 0xD800 else code
        if code < 0x110000:
            following = key[:index] + chr(code)
            if len(following.encode()) <= MAX_KEY_BYTES:
                return following
    return None


def truncated(text: str, size: int) -> str:
    return text.encode()[:size].decode(errors="ignore")


characters = st.sampled_from(EDGES) | st.characters(exclude_categories=["Cs"])
short_texts = st.text(characters, max_size=5)
long_texts = st.builds(
    lambda filler, size, end: truncated(filler * MAX_KEY_BYTES, size - len(end.encode())) + end,
    characters,
    st.integers(1010, MAX_KEY_BYTES),
    st.text(characters, max_size=2),
)
prefixes = st.one_of(short_texts, long_texts)
keys = prefixes.filter(bool)
small_prefixes = st.lists(st.text(SMALL, max_size=3), max_size=5)


@given(prefixes, keys)
@example("", "\0")
@example("a\0", "a\0")
@example("\ue000", "\ud7ff\U0010ffff")
@example("a", prefix_upper_bound("a"))
@example("a", prefix_upper_bound("a\U0010ffff"))
def test_a_prefix_range_holds_exactly_the_keys_with_the_prefix(prefix: str, key: str) -> None:
    key_range = KeyRange.of_prefix(prefix)
    assert (key in key_range) == key.startswith(prefix)
    longer = truncated(prefix + key, MAX_KEY_BYTES)
    assert not longer or (longer in key_range) == longer.startswith(prefix)


@pytest.mark.parametrize("prefix", ["", *SMALL_KEYS])
def test_prefix_ranges_agree_with_brute_force_over_a_small_alphabet(prefix: str) -> None:
    key_range = KeyRange.of_prefix(prefix)
    assert [key for key in SMALL_KEYS if key in key_range] == [
        key for key in SMALL_KEYS if key.startswith(prefix)
    ]


@given(prefixes.filter(bool))
@example("\0")
@example("a\0")
@example("\ue000")
@example("a\ue000")
@example("\U0010ffff" * 256)
@example("a" * 1024)
@example("a" * 1021 + "\0")
@example("a" * 1021 + "\u0800")
@example("a" * 1022 + "\u0080")
@example("a" * 1020 + "\U00010000")
def test_no_key_is_between_a_lower_bound_and_its_prefix(prefix: str) -> None:
    before = prefix_lower_bound(prefix)
    assert len(before.encode()) <= MAX_KEY_BYTES
    assert before < prefix
    assert successor(before) == prefix


@given(prefixes)
@example("")
@example("a" * 1024)
@example("\U0010ffff" * 256)
def test_no_key_with_the_prefix_is_beyond_its_upper_bound(prefix: str) -> None:
    last = prefix_upper_bound(prefix)
    assert len(last.encode()) <= MAX_KEY_BYTES
    assert last.startswith(prefix)
    following = successor(last)
    assert following is None or (following > last and not following.startswith(prefix))


@pytest.mark.parametrize("size", [1021, 1022, 1023, 1024])
@pytest.mark.parametrize("end", ["z", "\0", "\x7f", "\u07ff", "\ue000", "\U0010ffff"])
def test_prefixes_that_nearly_fill_a_key_have_legal_adjacent_bounds(size: int, end: str) -> None:
    prefix = "k" * (size - len(end.encode())) + end
    key_range = KeyRange.of_prefix(prefix)
    assert len(key_range.after.encode()) <= MAX_KEY_BYTES
    assert len(key_range.until.encode()) <= MAX_KEY_BYTES
    assert successor(key_range.after) == prefix
    assert not str(successor(key_range.until)).startswith(prefix)


@given(prefixes)
@example("a\x7f")
@example("a\u07ff")
@example("a\uffff\x7f")
@example("")
def test_an_upper_bound_is_recognised(prefix: str) -> None:
    found = prefix_of_upper_bound(prefix_upper_bound(prefix))
    if len(prefix.encode()) <= MAX_KEY_BYTES - 4:
        assert found is not None
    if found is not None:
        assert prefix_upper_bound(found) == prefix_upper_bound(prefix)
        assert len(found) <= len(prefix)


@given(keys)
def test_a_key_that_is_no_upper_bound_has_no_prefix(key: str) -> None:
    found = prefix_of_upper_bound(key)
    assert found is None or prefix_upper_bound(found) == key


@given(prefixes, prefixes)
def test_start_after_is_legal_and_skips_nothing_of_the_range(prefix: str, other: str) -> None:
    for after in {
        prefix,
        prefix_lower_bound(prefix),
        prefix_upper_bound(prefix),
        prefix_upper_bound(other),
    }:
        start_after = KeyRange(after, prefix_upper_bound("")).start_after
        assert start_after <= after
        assert len(start_after.encode()) <= MAX_KEY_BYTES


@pytest.mark.parametrize("prefix", ["logs/", "a\x7f", "a\uffff", ""])
def test_start_after_an_upper_bound_is_short_and_without_noncharacters(prefix: str) -> None:
    start_after = KeyRange(prefix_upper_bound(prefix), prefix_upper_bound("")).start_after
    assert start_after == prefix + "\U0010fffd"


def test_start_after_an_ordinary_key_is_that_key() -> None:
    assert KeyRange("logs/7", prefix_upper_bound("")).start_after == "logs/7"


@given(st.text(SMALL, max_size=2), small_prefixes)
def test_a_difference_and_the_excluded_ranges_tile_the_whole(prefix: str, ends: list[str]) -> None:
    whole = KeyRange.of_prefix(prefix)
    removed = [prefix + end for end in ends]
    left = whole.minus(removed)
    out = [KeyRange.of_prefix(one) for one in outermost(removed)]
    assert tiling_violation(sorted([*left, *out]), [whole]) is None


@given(st.text(SMALL, max_size=2), small_prefixes)
def test_the_difference_of_ranges_agrees_with_brute_force(prefix: str, removed: list[str]) -> None:
    left = KeyRange.of_prefix(prefix).minus(removed)
    for key in SMALL_KEYS:
        expected = key.startswith(prefix) and not key.startswith(tuple(removed))
        assert sum(key in task for task in left) == int(expected)


@given(prefixes, st.lists(prefixes, max_size=4), st.lists(keys, max_size=8))
def test_a_range_minus_prefixes_lacks_exactly_their_keys(
    prefix: str, removed: list[str], sample: list[str]
) -> None:
    left = KeyRange.of_prefix(prefix).minus(removed)
    assert list(left) == sorted(left)
    assert all(task.after < task.until for task in left)
    edges = [
        *removed,
        *map(prefix_upper_bound, removed),
        *map(prefix_lower_bound, removed),
        prefix,
        prefix_upper_bound(prefix),
    ]
    for key in filter(None, sample + edges):
        expected = key.startswith(prefix) and not key.startswith(tuple(removed))
        assert sum(key in task for task in left) == int(expected)


def tiling(cuts: Iterable[str], whole: KeyRange) -> list[KeyRange]:
    inner = sorted({cut for cut in cuts if whole.after < cut < whole.until})
    bounds = [whole.after, *inner, whole.until]
    return [KeyRange(*pair) for pair in pairwise(bounds)]


LEFT, RIGHT = KeyRange("a", "f"), KeyRange("k", "p")
cuts = st.lists(st.text("abcdefghijklmnop", min_size=1, max_size=2), max_size=6)


@given(cuts)
def test_a_tiling_has_no_violation(between: list[str]) -> None:
    ranges = tiling(between, LEFT) + tiling(between, RIGHT)
    assert tiling_violation(ranges, [LEFT, RIGHT]) is None


@given(cuts, st.data())
def test_a_missing_or_repeated_range_is_a_violation(
    between: list[str], data: st.DataObject
) -> None:
    ranges = tiling(between, LEFT) + tiling(between, RIGHT)
    at = data.draw(st.integers(0, len(ranges) - 1))
    assert tiling_violation(ranges[:at] + ranges[at + 1 :], [LEFT, RIGHT])
    assert tiling_violation(ranges[: at + 1] + ranges[at:], [LEFT, RIGHT])


@given(cuts, st.data(), st.text("abcdefghijklmnop", min_size=1, max_size=2))
def test_a_moved_bound_is_a_violation(between: list[str], data: st.DataObject, moved: str) -> None:
    ranges = tiling(between, LEFT) + tiling(between, RIGHT)
    at = data.draw(st.integers(0, len(ranges) - 1))
    original = ranges[at]
    for changed in (KeyRange(moved, original.until), KeyRange(original.after, moved)):
        if changed != original:
            assert tiling_violation([*ranges[:at], changed, *ranges[at + 1 :]], [LEFT, RIGHT])


def test_ranges_that_lie_outside_or_do_not_exist_are_violations() -> None:
    assert tiling_violation([], [LEFT])
    assert tiling_violation([LEFT], [])
    assert tiling_violation([LEFT, RIGHT], [LEFT])
    assert tiling_violation([KeyRange("", "a"), LEFT], [LEFT])
    assert tiling_violation([RIGHT, LEFT], [LEFT, RIGHT])
    assert tiling_violation([], []) is None


def test_a_range_that_runs_backwards_does_not_hide_an_overlap() -> None:
    ranges = [KeyRange("a", "d"), KeyRange("d", "c"), KeyRange("c", "f")]
    assert tiling_violation(ranges, [LEFT])


@given(small_prefixes)
def test_outermost_keeps_the_prefixes_that_cover_all_others(some: list[str]) -> None:
    kept = outermost(some)
    assert list(kept) == sorted(
        {one for one in some if not any(one != other and one.startswith(other) for other in some)}
    )
