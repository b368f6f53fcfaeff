import re
import unicodedata
from itertools import product

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from inventory_assets.inventory.storage.prefix_encoding import (
    MAX_PARTITION_KEY,
    REMAINDER,
    decode_prefix,
    encode_prefix,
    file_stem,
)

NASTY = "|,*[]'\"`\\ \t\n\r\0\x7f\x85\u00a0\u2028\u202e.%~@/+:;<>&?#=${}()!^aA0é\u0301\ufeff\ue000"
characters = st.sampled_from(NASTY) | st.characters(exclude_categories=["Cs"])
prefixes = st.text(characters, min_size=1, max_size=30)
long_prefixes = st.builds(
    lambda start, filler, size: start + filler * size,
    prefixes,
    characters,
    st.integers(60, 400),
)
FORBIDDEN = set("|,*[]'\"`\\@;<>&?#${}()!^~%")


@pytest.mark.parametrize(
    "prefix",
    ["2024/01/", "logs/", "year=2024/month=01/", "a-b_c+d:e", "v1.2/data/", "日本/", "Größe/", "/"],
)
def test_ordinary_prefixes_read_as_they_are(prefix: str) -> None:
    assert encode_prefix(prefix) == prefix


@pytest.mark.parametrize(
    ("prefix", "key"),
    [
        ("a b/", "a%20b/"),
        ("a|b", "a%7Cb"),
        ("100%/", "100%25/"),
        ("../", "%2E%2E/"),
        ("a/./b", "a/%2E/b"),
        ("a...b", "a%2E%2E%2Eb"),
        (".hidden", "%2Ehidden"),
        ("end.", "end%2E"),
        ("@remainder", "%40remainder"),
        ("~", "%7E"),
        ("e\u0301", "e%CC%81"),
        ("\0", "%00"),
    ],
)
def test_special_characters_are_percent_encoded(prefix: str, key: str) -> None:
    assert encode_prefix(prefix) == key
    assert decode_prefix(key) == prefix


@given(prefixes)
def test_a_partition_key_gives_its_prefix_back(prefix: str) -> None:
    key = encode_prefix(prefix)
    assume("~" not in key)
    assert decode_prefix(key) == prefix


@given(prefixes | long_prefixes, prefixes | long_prefixes)
@example("a", "A")
@example("a%20", "a ")
@example("é", "e\u0301")
@example("x" * 300, "x" * 301)
@example("x" * 300 + "a", "x" * 300 + "b")
def test_different_prefixes_have_different_keys_and_file_names(one: str, other: str) -> None:
    assume(one != other)
    assert encode_prefix(one) != encode_prefix(other)
    assert file_stem(one).casefold() != file_stem(other).casefold()


@given(prefixes | long_prefixes)
@example("...")
@example("a/../../b")
@example("@remainder")
@example("a" * 238 + ".b" + "c" * 40)
@example(" " * 80)
@example("a" + " " * 80)
@example("aa" + " " * 80)
def test_partition_keys_hold_nothing_that_means_something_elsewhere(prefix: str) -> None:
    key = encode_prefix(prefix)
    assert 0 < len(key) <= MAX_PARTITION_KEY
    assert len(key.encode()) < 2700
    body = re.sub(r"~[0-9a-f]{24}$", "", key)
    assert not set(re.sub("%[0-9A-F]{2}", "", body)) & FORBIDDEN
    assert ".." not in key
    assert not any(segment.startswith(".") for segment in key.split("/"))
    assert not key.startswith(REMAINDER[0])
    assert all(unicodedata.category(character)[0] not in "ZCM" for character in key)


@given(long_prefixes)
def test_a_key_that_was_cut_says_that_it_must_be_looked_up(prefix: str) -> None:
    key = encode_prefix(prefix)
    if len(key) == MAX_PARTITION_KEY or "~" in key:
        assert ("~" in key) == (decode_prefix(key) is None)
    else:
        assert decode_prefix(key) == prefix


def test_a_long_prefix_keeps_its_readable_head() -> None:
    key = encode_prefix("logs/2024/" + "x" * 500)
    assert key.startswith("logs/2024/xxx")
    assert re.fullmatch(r".*~[0-9a-f]{24}", key)


@given(prefixes | long_prefixes)
@example("/")
@example("..")
@example("日" * 100)
@example("\U00020000" * 100)
@example("a" * 79 + ".b")
def test_a_file_stem_is_one_safe_short_file_name(prefix: str) -> None:
    stem = file_stem(prefix)
    assert not set(stem) & set("/\\|*?<>\"' \0")
    assert stem not in {"", ".", ".."}
    assert not stem.startswith((".", "@", "~"))
    assert stem.isprintable()
    assert len((stem + ".parquet").encode()) <= 255


def test_the_empty_prefix_has_a_file_name_too() -> None:
    assert file_stem("").startswith("all-")


def test_file_names_of_many_like_prefixes_are_distinct() -> None:
    alike = ["x" * 300 + str(n) for n in range(2000)]
    alike += ["".join(pair) for pair in product("aA", repeat=8)]
    assert len({file_stem(prefix).casefold() for prefix in alike}) == len(alike)
