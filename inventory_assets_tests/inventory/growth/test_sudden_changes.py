from dataclasses import replace
from datetime import date
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from inventory_assets.inventory.growth.sudden_changes import (
    SuddenChange,
    changed_prefixes,
    changed_whole,
)
from inventory_assets.inventory.growth.wording import sentences, topmost
from inventory_assets.inventory.usage.keeping import KeepRule
from inventory_assets_tests.inventory.growth.exact_sizes import BOUNDS, Bucket, dated, exact

DAY, BEFORE = date(2026, 11, 22), date(2026, 11, 21)
NARROW = KeepRule(Fraction(1, 3), 2)

_keys = st.text(st.sampled_from("ab/"), min_size=1, max_size=6)
buckets = st.dictionaries(_keys, st.integers(0, 9), max_size=25)
percents = st.sampled_from([1, 20, 50, 99, 100])


def changes(before: Bucket, now: Bucket, rule: KeepRule = NARROW) -> list[SuddenChange]:
    found = dated(before, BEFORE, rule), dated(now, DAY, rule)
    return changed_whole(*found, BOUNDS) + changed_prefixes(*found, BOUNDS)


def objects(prefix: str, count: int, size: int = 10) -> dict[str, int]:
    return {f"{prefix}{number:04}": size for number in range(count)}


@given(buckets, buckets, percents, percents, percents, st.integers(1, 4))
@example({"a/a": 1, "a/b": 1, "b": 1}, {"b": 1}, 50, 1, 20, 1)
@example({"a/": 0}, dict.fromkeys(["a", "/", "b", "aa", "a/", "/a", "aaa"], 0), 1, 1, 1, 1)
def test_what_is_told_is_what_exact_numbers_say(
    before: Bucket, now: Bucket, fell: int, rose: int, share: int, least: int
) -> None:
    """All of it for prefixes with a row on both dates, and nothing that is not so for others."""
    bounds = replace(
        BOUNDS, fell_percent=fell, rose_percent=rose, prefix_percent=share, min_objects=least
    )
    rows_before, rows_now = dated(before, BEFORE, NARROW), dated(now, DAY, NARROW)
    was, is_now = exact(before), exact(now)
    told = {
        (each.prefix, each.measure)
        for each in changed_whole(rows_before, rows_now, bounds)
        + changed_prefixes(rows_before, rows_now, bounds)
    }
    true = set()
    for prefix, held in was.items():
        holds = is_now.get(prefix, (0, 0))
        large = any(held[at] > was[""][at] * Fraction(share, 100) for at in (0, 1))
        if held[0] < least or (prefix and not large):
            continue
        for at, measure in enumerate(("objects", "bytes")):
            change = Fraction(100 * (holds[at] - held[at]), held[at]) if held[at] else 0
            if change > rose or -change > fell:
                true.add((prefix, measure))
    assert told <= true
    known = rows_before.sizes.keys() & rows_now.sizes.keys()
    assert {each for each in true if each[0] in known} <= told


@given(buckets)
def test_a_prefix_without_a_row_holds_no_more_than_is_assumed(bucket: Bucket) -> None:
    rows = dated(bucket, DAY, NARROW)
    for prefix, sizes in exact(bucket).items():
        assert all(size <= most for size, most in zip(sizes, rows.most(prefix), strict=True))


def test_a_fall_is_told_with_numbers_dates_and_where_it_is() -> None:
    before = objects("keep/", 100) | objects("logs/app/", 900)
    (count, size, *_) = changes(before, objects("keep/", 100) | objects("logs/app/", 100))
    assert count.text == (
        "the whole inventory fell by 80.0 % in objects, from 1,000 on 2026-11-21 to 200 on "
        "2026-11-22, mostly in 'logs/app/'"
    )
    assert "in bytes, from 10.0 kB on 2026-11-21 to 2.0 kB on 2026-11-22" in size.text


def test_a_prefix_that_has_no_row_any_more_fell_below_the_threshold_of_the_table() -> None:
    before = objects("a/", 50) | objects("b/", 50)
    found = [each for each in changes(before, objects("b/", 60)) if each.prefix == "a/"]
    assert [(each.measure, each.is_exact, each.now) for each in found] == [
        ("objects", False, 19),
        ("bytes", False, 199),
    ]
    assert found[0].text == (
        "'a/' fell by at least 62.0 % in objects, from 50 on 2026-11-21 to at most 19 on 2026-11-22"
    )


def test_a_prefix_without_a_row_in_a_table_of_all_prefixes_is_empty() -> None:
    rows = dated(objects("a/", 50) | {"b": 1}, BEFORE), dated({"b": 1}, DAY)
    found = changed_prefixes(*rows, BOUNDS)
    assert [(each.prefix, each.is_exact, each.now) for each in found] == [("a/", True, 0)] * 2


def test_a_rise_of_a_prefix_is_told() -> None:
    found = changes(objects("a/", 50) | objects("b/", 50), objects("a/", 150) | objects("b/", 50))
    assert [(each.prefix, each.measure, each.now) for each in found] == [
        ("a/", "objects", 150),
        ("a/", "bytes", 1500),
    ]
    assert found[0].text == (
        "'a/' rose by 200.0 % in objects, from 50 on 2026-11-21 to 150 on 2026-11-22"
    )


def test_a_new_prefix_has_no_number_before_and_is_not_told() -> None:
    before = objects("dt=2026-11-20/", 10) | objects("dt=2026-11-21/", 10)
    assert changes(before, before | objects("dt=2026-11-22/", 10)) == []


@pytest.mark.parametrize(("least", "told"), [(100, 2), (101, 0)])
def test_few_objects_are_not_compared(least: int, told: int) -> None:
    rows = dated(objects("", 100), BEFORE), dated({}, DAY)
    assert len(changed_whole(*rows, replace(BOUNDS, min_objects=least))) == told


def test_bytes_that_were_none_have_no_share() -> None:
    assert changes(objects("", 10, size=0), objects("", 10, size=9)) == []


def test_a_bound_of_100_per_cent_tells_no_fall() -> None:
    rows = dated(objects("a/", 100), BEFORE), dated({}, DAY)
    bounds = replace(BOUNDS, fell_percent=100)
    assert changed_whole(*rows, bounds) + changed_prefixes(*rows, bounds) == []


def test_a_hostile_prefix_is_one_printable_line() -> None:
    before = objects("\x1b[31m\u202e\n/" + "x" * 500 + "/", 50)
    texts = [each.text for each in changes(before, {"b": 1})]
    assert texts
    assert all(text.isprintable() and len(text) < 500 for text in texts)


def test_three_topmost_prefixes_are_named_and_the_others_are_counted() -> None:
    before: dict[str, int] = {}
    for name in "abcd":
        before |= objects(f"{name}/x/", 50)
    rows = dated(before, BEFORE), dated({}, DAY)
    found = changed_prefixes(*rows, BOUNDS)
    assert {each.prefix for each in topmost(found)} == {"a/", "b/", "c/", "d/"}
    told = sentences(found)
    assert [text.split("'")[1] for text in told[:-1]] == ["a/", "a/", "b/", "b/", "c/", "c/"]
    assert told[-1] == "and 1 more prefix"
