from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inventory_assets.inventory.growth.dated_sizes import DatedSizes
from inventory_assets.inventory.growth.stopped_prefixes import (
    StoppedPrefix,
    ends_by_design,
    stopped_prefixes,
)
from inventory_assets.inventory.usage.keeping import KEEP, KeepRule
from inventory_assets_tests.inventory.growth.exact_sizes import Bucket, dated, exact

DAY = date(2026, 11, 22)
_keys = st.text(st.sampled_from("ab/"), min_size=1, max_size=5)


def found(
    history: Sequence[Bucket], dates: int, rule: KeepRule = KEEP
) -> tuple[list[StoppedPrefix] | None, Iterator[DatedSizes]]:
    """What stopped on the last date of a history, which ends on `DAY`; and the dates not read."""
    first = DAY - timedelta(days=len(history) - 1)
    days = [dated(bucket, first + timedelta(days=at), rule) for at, bucket in enumerate(history)]
    earlier = reversed(days[:-1])
    return stopped_prefixes(days[-1], earlier, dates), earlier


def feed(prefix: str, *counts: int) -> list[dict[str, int]]:
    return [{f"{prefix}{number:03}": 1 for number in range(count)} for count in counts]


def together(*feeds: list[dict[str, int]]) -> list[Bucket]:
    return [
        {key: size for bucket in day for key, size in bucket.items()}
        for day in zip(*feeds, strict=True)
    ]


@given(
    st.lists(st.dictionaries(_keys, st.integers(0, 5), max_size=6), min_size=2, max_size=5),
    st.integers(1, 3),
    st.sampled_from([KEEP, KeepRule(Fraction(1, 3), 2)]),
)
def test_a_stop_is_told_where_every_size_is_known_and_nowhere_else(
    additions: list[dict[str, int]], dates: int, rule: KeepRule
) -> None:
    history: list[dict[str, int]] = [{"aa/a": 1}]
    for added in additions:
        history.append(history[-1] | added)
    told, _ = found(history, dates, rule)
    needed = [exact(bucket) for bucket in history[-(dates + 2) :]]
    if len(needed) < dates + 2:
        assert not told
        return
    rows = [dated(bucket, DAY, rule).sizes for bucket in history[-(dates + 2) :]]
    grew = [
        {
            prefix: prefix not in before
            or sizes[0] > before[prefix][0]
            or sizes[1] > before[prefix][1]
            for prefix, sizes in after.items()
        }
        for before, after in pairwise(needed)
    ]
    assert told is not None
    assert {each.prefix for each in told} == {
        prefix
        for prefix in rows[-1]
        if all(prefix in day for day in rows)
        and not grew[-1][prefix]
        and all(day[prefix] for day in grew[:-1])
    }


def test_a_feed_that_died_is_told_with_its_dates() -> None:
    history = together(feed("alive/", 1, 2, 3, 4, 5), feed("dead/in/", 1, 2, 3, 4, 4))
    told, _ = found(history, 3)
    assert told is not None
    assert [each.prefix for each in told] == ["dead/", "dead/in/"]
    assert told[0].text == (
        "'dead/' grew on each of 3 dates from 2026-11-19 to 2026-11-21, and not on 2026-11-22, "
        "when it holds 4 objects"
    )


def test_a_feed_that_paused_before_is_not_told() -> None:
    assert found(feed("weekly/", 1, 2, 2, 3, 3), 3)[0] == []


def test_bytes_alone_are_growth() -> None:
    history: list[Bucket] = [{"a/log": size} for size in (1, 2, 3, 4, 4)]
    told, _ = found(history, 3)
    assert told is not None
    assert [each.prefix for each in told] == ["", "a/"]


def test_too_few_dates_tell_nothing() -> None:
    assert found(feed("a/", 1), 3)[0] is None
    assert found(feed("a/", 1, 2, 3, 3), 3)[0] is None


def test_no_more_dates_are_read_than_needed() -> None:
    told, unread = found(feed("a/", 1, 2, 3, 4, 4, 4), 3)
    assert told == []
    assert len(list(unread)) == 3


def test_dates_that_are_missing_do_not_matter() -> None:
    days = [DAY - timedelta(days=ago) for ago in (0, 9, 10)]
    now, *earlier = (
        dated(bucket, day) for bucket, day in zip(feed("a/", 2, 2, 1), days, strict=True)
    )
    told = stopped_prefixes(now, iter(earlier), 1)
    assert told is not None
    assert [(each.first_day, each.last_day) for each in told] == [(days[1], days[1])] * 2


@pytest.mark.parametrize(
    "prefix", ["2026/", "logs/2026/11/", "dt=2026-11-22/", "a/hour=07/b/", "x/2026-11-22T00:00Z/"]
)
def test_prefixes_of_dates_end_by_design(prefix: str) -> None:
    assert ends_by_design(prefix)


@pytest.mark.parametrize("prefix", ["", "logs/", "v1/", "s3/a/", "dt=/", "11a/"])
def test_other_prefixes_do_not(prefix: str) -> None:
    assert not ends_by_design(prefix)


def test_last_months_prefix_is_not_told() -> None:
    history = together(feed("2026/10/", 1, 2, 3, 4, 4), feed("2026/11/", 0, 0, 0, 0, 1))
    assert found(history, 3)[0] == []
