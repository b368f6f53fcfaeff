"""Dates beyond a bound are held, and others are published; held ones expire as others do."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from inventory_assets.inventory.gate.held_date import HELD, days_with_holds, held_dates, read_held
from inventory_assets.inventory.growth.bounds import GrowthBounds
from inventory_assets.inventory.retention.collector import execute, plan_collection
from inventory_assets.inventory.retention.policy import Retention
from inventory_assets.inventory.storage.store import Store
from inventory_assets_tests.inventory.gate.gated_dates import (
    BOUNDS,
    TOMORROW,
    Change,
    failing,
    files_of_date,
    incomplete,
    materialize,
    published_keys,
    slow,
)
from inventory_assets_tests.inventory.samples import DAY, LAYOUT, NOW


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (failing, "50 of 1,000 requests failed, 5.00% of them; the bound is 0.8 %"),
        (slow, "ms above the median of 3 dates before"),
        (
            incomplete,
            "the evidence is broken: shard '': counts add up: 4 records listed, 3 written",
        ),
    ],
)
def test_a_date_beyond_a_bound_is_held_and_the_last_good_one_stays_current(
    store: Store, change: Change, sentence: str
) -> None:
    for days in (3, 2, 1):
        assert not materialize(store, "ab", DAY - timedelta(days=days)).is_held
    outcome = materialize(store, "abc", change=change)
    assert outcome.is_held
    assert sentence in outcome.verdict.sentences[0]
    assert files_of_date(store) == []
    assert published_keys(store) == "ab"
    held = read_held(store, LAYOUT, DAY)
    assert held is not None
    assert held.manifest == (outcome.manifest,)
    assert held.sentences == outcome.verdict.sentences


def test_a_fall_beyond_the_bound_of_growth_holds_a_date(store: Store) -> None:
    growth = GrowthBounds(
        fell_percent=50,
        rose_percent=900,
        prefix_percent=50,
        modified_percent=90,
        deleted_percent=90,
        stopped_after_dates=0,
        min_objects=1,
    )
    materialize(store, "abcdef", DAY - timedelta(days=1))
    outcome = materialize(store, "a", bounds=replace(BOUNDS, growth=growth))
    assert outcome.is_held
    assert "the whole inventory fell by 83.3 % in objects, from 6" in outcome.verdict.sentences[0]


def test_a_hold_of_a_date_that_is_published_leaves_the_published_one(store: Store) -> None:
    materialize(store, "ab")
    assert materialize(store, "abc", change=failing).is_held
    assert published_keys(store, DAY) == "ab"
    assert [each.day for each in held_dates(store, LAYOUT)] == [DAY]


def test_the_next_date_is_published_and_its_baseline_is_the_last_published_one(
    store: Store,
) -> None:
    materialize(store, "ab", DAY - timedelta(days=1))
    assert materialize(store, "abc", change=failing).is_held
    outcome = materialize(store, "abcd", TOMORROW)
    assert not outcome.is_held
    assert outcome.manifest.baseline is not None
    assert outcome.manifest.baseline.day == DAY - timedelta(days=1)
    assert published_keys(store) == "abcd"
    assert read_held(store, LAYOUT, DAY) is not None


def test_a_date_listed_again_within_the_bounds_is_published_and_its_hold_ends(
    store: Store,
) -> None:
    assert materialize(store, "abc", change=failing).is_held
    assert not materialize(store, "abcd").is_held
    assert published_keys(store, DAY) == "abcd"
    assert list(held_dates(store, LAYOUT)) == []
    record = HELD.read(store, LAYOUT.held(DAY))
    assert record is not None
    assert record.manifest == (), "its parts are needed no more"


def test_a_date_held_again_shows_the_new_reason_and_since_when_the_same_content_is_held(
    store: Store,
) -> None:
    materialize(store, "abc", change=failing)
    first = read_held(store, LAYOUT, DAY)
    materialize(store, "abc", change=failing)
    second = read_held(store, LAYOUT, DAY)
    materialize(store, "abcd", change=failing)
    third = read_held(store, LAYOUT, DAY)
    assert first is not None
    assert second is not None
    assert third is not None
    assert first.held_since == second.held_since < third.held_since


def test_wider_bounds_let_a_held_date_be_published_without_a_release(store: Store) -> None:
    materialize(store, "abc", change=failing)
    wide = replace(BOUNDS, failed_percent=10.0)
    outcome = materialize(store, "abc", change=failing, bounds=wide)
    assert not outcome.is_held
    assert outcome.manifest.release is None


def test_parts_of_a_held_date_are_kept_and_expire_with_the_date(store: Store) -> None:
    materialize(store, "ab", DAY - timedelta(days=1))
    materialize(store, "abc", change=failing)
    held = read_held(store, LAYOUT, DAY)
    assert held is not None
    keys = [part.key for part in held.manifest[0].parts]
    collect(store, Retention(keep_days=10), NOW + timedelta(days=5))
    assert all(store.size(key) for key in keys)
    materialize(store, "ab", DAY + timedelta(days=20))
    for days in (30, 33, 36):
        collect(store, Retention(keep_days=10), NOW + timedelta(days=days))
    assert days_with_holds(store, LAYOUT) == []
    assert not any(store.size(key) for key in keys)
    assert published_keys(store) == "ab"


def collect(store: Store, retention: Retention, now: datetime) -> None:
    plan = plan_collection(store, LAYOUT, retention, now.date(), now)
    execute(store, plan, lambda: now)


def test_what_is_published_already_is_not_held_when_it_is_listed_again_under_worse_figures(
    store: Store,
) -> None:
    materialize(store, "abc")
    outcome = materialize(store, "abc", change=failing)
    assert not outcome.is_held
    assert read_held(store, LAYOUT, DAY) is None
    assert published_keys(store, DAY) == "abc"
    [told, *_] = outcome.verdict.not_judged
    assert "published with the same content before, so it is not held, although 50 of" in told
    assert materialize(store, "abcd", change=failing).is_held, "this is another content"


def test_a_hold_ends_when_the_published_content_is_listed_again(store: Store) -> None:
    materialize(store, "ab")
    assert materialize(store, "abc", change=failing).is_held
    assert not materialize(store, "ab", change=failing).is_held
    assert list(held_dates(store, LAYOUT)) == []
    assert published_keys(store, DAY) == "ab"


def test_broken_evidence_is_held_whatever_it_shows(store: Store) -> None:
    materialize(store, "abc")
    assert materialize(store, "abc", change=incomplete).is_held


def test_the_same_content_of_another_date_is_held(store: Store) -> None:
    materialize(store, "abc", DAY - timedelta(days=1))
    assert materialize(store, "abc", change=failing).is_held
