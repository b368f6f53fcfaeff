"""Keys between two others, and the characters that they are made of."""

import unicodedata
from itertools import pairwise, product

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from inventory_assets.scan.engine.splitter import interpolate_keys, observed_alphabet
from inventory_assets.scan.keyspace.key_range import MAX_KEY_BYTES, prefix_upper_bound
from inventory_assets_tests.scan.key_places import any_key, common_start

HEX = "0123456789abcdef"
LETTERS = "abcdefghijklmnopqrstuvwxyz"
alphabets = st.sets(st.characters(codec="utf-8"), min_size=2, max_size=20).map(
    lambda letters: "".join(sorted(letters))
)
tiny = st.text("abcde", max_size=4)


def check_between(point: str, after: str, until: str, alphabet: str) -> None:
    assert after < point < until
    assert len(point.encode()) <= MAX_KEY_BYTES
    assert set(point[len(common_start(after, until)) :]) <= set(alphabet)


def middle(after: str, until: str, alphabet: str) -> str | None:
    return next(iter(interpolate_keys(after, until, alphabet, 1)), None)


@given(tiny, tiny, st.sampled_from(["bd", "ab", "de", "ace", "bcd"]))
@example("", "a", "ab")
@example("a", "aa", "ab")
@example("abz", "c", "ac")
@example("abe", "c", "ac")
def test_a_middle_is_found_wherever_something_lies_between(
    one: str, other: str, alphabet: str
) -> None:
    assume(one != other)
    after, until = sorted((one, other))
    start = common_start(after, until)
    candidates = (
        start + "".join(rest) for size in range(1, 7) for rest in product(alphabet, repeat=size)
    )
    point = middle(after, until, alphabet)
    assert (point is not None) == any(after < key < until for key in candidates)
    if point is not None:
        check_between(point, after, until, alphabet)


@given(st.text(max_size=30) | any_key, any_key, alphabets)
def test_a_middle_lies_strictly_between_any_two_bounds(one: str, other: str, alphabet: str) -> None:
    assume(one != other)
    after, until = sorted((one, other))
    point = middle(after, until, alphabet)
    if point is not None:
        check_between(point, after, until, alphabet)


@given(st.text(max_size=30) | any_key, any_key, alphabets, st.integers(1, 9))
def test_places_between_two_bounds_ascend_strictly(
    one: str, other: str, alphabet: str, count: int
) -> None:
    assume(one != other)
    after, until = sorted((one, other))
    points = interpolate_keys(after, until, alphabet, count)
    assert len(points) <= count
    for lower, point in pairwise([after, *points]):
        check_between(point, after, until, alphabet)
        assert lower < point


@given(
    st.text("ab/é漢🦄", max_size=8),
    st.integers(1000, 1020),
    st.text("abc", max_size=4),
    st.text("abc", max_size=4),
)
def test_bounds_that_share_a_long_prefix_have_a_middle_of_a_legal_length(
    head: str, size: int, one: str, other: str
) -> None:
    assume(one != other)
    shared = head + "x" * (size - len(head.encode()))
    after, until = sorted((shared + one, shared + other))
    point = middle(after, until, "abc")
    if point is not None:
        check_between(point, after, until, "abc")


def test_the_last_bytes_of_a_key_are_used_and_none_beyond_them() -> None:
    shared = "x" * 1020
    assert middle(shared + "a", shared + "c", "abc") == shared + "b"
    assert middle(shared + "aaab", shared + "b", "abc") == shared + "abbc"
    assert middle(shared + "aaaa", shared + "aaab", "abc") is None
    assert middle("x" * 1023 + "a", "x" * 1023 + "b", "abc") is None
    assert middle("x" * 1022 + "a", "x" * 1022 + "b", "aé漢") is None  # "aé" is a byte too long


@given(st.text("ab/é\U0010ffff", max_size=6), st.data())
def test_there_is_a_middle_between_a_key_and_its_prefix_upper_bound(
    prefix: str, data: st.DataObject
) -> None:
    after = prefix + data.draw(st.text(HEX, min_size=1, max_size=8))
    until = prefix_upper_bound(prefix)
    point = middle(after, until, HEX)
    assert point is not None
    check_between(point, after, until, HEX)


@pytest.mark.parametrize(
    ("after", "until", "alphabet", "point"),
    [
        ("", prefix_upper_bound(""), HEX, "8"),
        ("data/", prefix_upper_bound("data/"), HEX, "data/8"),
        ("data/7ff", "data/8", HEX, "data/7ff8"),
        ("3", "5", HEX, "4"),
        ("6fff", "9", HEX, "7f"),
        ("data/0", "data/8", "0123456789", "data/4"),
        ("a", "ab", LETTERS, "aan"),
        ("a", "b", "ab", "ab"),
        ("/", "z", HEX, "8"),
    ],
)
def test_names_are_halved_in_the_characters_that_they_use(
    after: str, until: str, alphabet: str, point: str
) -> None:
    assert middle(after, until, alphabet) == point


@given(st.lists(st.text(st.characters(), max_size=6), max_size=20), st.text("ab", max_size=2))
def test_characters_are_safe_in_a_request_and_ascend(keys: list[str], start: str) -> None:
    found = observed_alphabet(keys, start)
    assert len(found) >= 2
    assert all(left < right for left, right in pairwise(found))
    for letter in found:
        assert letter.isprintable()
        assert letter != "%"
        assert unicodedata.category(letter) not in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
        letter.encode()


@given(st.lists(st.text("abcé漢%\n\ud800\uffff", min_size=1, max_size=4), max_size=9))
def test_characters_are_those_that_the_keys_were_seen_to_use(keys: list[str]) -> None:
    used = sorted(set("".join(keys)) & set("abcé漢"))
    expected = "".join(used) if len(used) > 1 else "0123456789" + LETTERS
    assert observed_alphabet(keys, "") == expected


def test_characters_are_looked_for_after_the_start_only() -> None:
    assert observed_alphabet(["data/17", "data/92", "logs/xyz"], "data/") == "1279"
    assert observed_alphabet(["data/17", "logs/xyz"], "elsewhere/") == observed_alphabet([], "")
