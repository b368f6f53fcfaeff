"""Shards that come, are empty, are retired, and return."""

import shutil
from collections.abc import Mapping
from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inventory_assets.inventory.changes.change_log import publish_change_log
from inventory_assets.inventory.listing.shard_registry import shard_key
from inventory_assets.inventory.listing.shard_retirement import (
    Retirement,
    empty_shards,
    read_retirement,
    record_retirement,
    remove_retirements,
)
from inventory_assets.inventory.manifest.manifest import Manifest
from inventory_assets.inventory.manifest.manifest_merge import violations_of
from inventory_assets.inventory.manifest.snapshot import Snapshot
from inventory_assets.inventory.parts.part import read_records
from inventory_assets.inventory.query.dataset import Dataset
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets.scan.keyspace.key_range import KeyRange
from inventory_assets_tests.inventory.logged_days import (
    compared,
    expected,
    logged,
    merged,
    pass_day,
    shard_snapshots,
)
from inventory_assets_tests.inventory.samples import DAY, LAYOUT, NOW

PREFIXES = ("a/", "a/x/", "b/", "é/")
KEYS = ["a/1", "a/2", "a/x/1", "a/x/2", "b/1", "root", "z", "é/1"]

contents = st.sets(st.sampled_from(KEYS))
days_passed = st.lists(
    st.tuples(
        st.integers(1, 3),  # days since the one before
        contents,  # in the morning
        contents,  # at noon
        st.sets(st.sampled_from(PREFIXES), max_size=2),  # listed again at noon
        st.sampled_from(["morning", "noon", "never"]),  # when shards are retired
    ),
    min_size=1,
    max_size=8,
)


def keys_of(store: LocalStore, manifest: Manifest) -> list[str]:
    batches = read_records(store, manifest.parts, [KeyRange.of_prefix("")], ["key"])
    return [key for batch in batches for key in batch.column("key").to_pylist()]


@settings(max_examples=25)  # of many dates each
@given(days_passed, st.integers(1, 3))
def test_each_date_is_exact_however_shards_are_retired_and_return(
    roomy_store: LocalStore,
    passed: list[tuple[int, set[str], set[str], set[str], str]],
    after_days: int,
) -> None:
    """In every inventory each key is once, and every change is told once by its date.

    A shard is retired before or after the listing of the morning, and at noon some of the shards
    that are left, and new ones, are listed again. A key belongs to the longest prefix that was
    listed.
    """
    store, day = roomy_store, DAY
    shutil.rmtree(store.root / LAYOUT.bucket, ignore_errors=True)
    shards: set[str] = set()
    truths: dict[date, set[str]] = {}
    empty: dict[date, set[str]] = {}
    for later, morning, noon, again, retired_at in passed:
        day += timedelta(days=later)
        shards |= found(morning)
        if retired_at == "morning":
            shards -= retire(store, shards - found(morning), day, after_days, empty)
        snapshots = shard_snapshots(store, morning, shards, day)
        listed_in_the_morning = set(shards)
        if retired_at == "noon":
            shards -= retire(store, shards - found(morning), day, after_days, empty)
        shards |= found(noon)
        new = shards - listed_in_the_morning
        at_noon = shard_snapshots(store, noon, shards, day)
        listed_again = {*(again & shards), *new, *([""] if again else [])}
        snapshots |= {prefix: at_noon[prefix] for prefix in listed_again}
        compared(store, snapshots)
        manifest = merged(store, snapshots)
        log = publish_change_log(store, LAYOUT, manifest, NOW)
        truth = truth_of(snapshots, morning, noon, listed_again)
        assert violations_of(manifest) == []
        assert keys_of(store, manifest) == sorted(truth)
        assert log.balance_violation is None
        before = max((other for other in truths), default=None)
        assert logged(store, day) == (expected(truths[before], truth) if before else [])
        truths[day] = truth
        empty[day] = {e.shard.prefix for e in manifest.shards if not e.rows}
    for old, truth in truths.items():
        held = Dataset.of_date(store, LAYOUT, old).scan().collect()["key"].to_list()
        assert held == sorted(truth), "the past is readable"


def found(held: set[str]) -> set[str]:
    """The prefixes that discovery finds: none is within another."""
    some = {prefix for prefix in PREFIXES if any(key.startswith(prefix) for key in held)}
    return some - {"a/"} if "a/x/" in some else some


def retire(
    store: LocalStore,
    candidates: set[str],
    day: date,
    after_days: int,
    empty: Mapping[date, set[str]],
) -> set[str]:
    """The shards to retire, which are compared with a plain rule over all dates."""
    retired = empty_shards(store, LAYOUT, candidates, day, after_days)
    oldest = max((old for old in empty if old <= day - timedelta(days=after_days)), default=None)
    by_the_rule = {
        prefix
        for prefix in candidates
        if oldest and all(prefix in empty[old] for old in empty if old >= oldest)
    }
    assert retired == dict.fromkeys(by_the_rule, oldest)
    return set(retired)


def truth_of(
    snapshots: Mapping[str, Snapshot], morning: set[str], noon: set[str], at_noon: set[str]
) -> set[str]:
    def shard_of(key: str) -> str:
        return max((prefix for prefix in snapshots if key.startswith(prefix)), key=len)

    early = {key for key in morning if shard_of(key) not in at_noon}
    return early | {key for key in noon if shard_of(key) in at_noon}


@pytest.fixture
def emptied(store: LocalStore) -> LocalStore:
    """Four inventories, two days apart; `a/` is empty in the last three."""
    for age, held in ((6, {"a/1", "b/1"}), (4, {"b/1"}), (2, {"b/1"}), (0, {"b/1"})):
        pass_day(store, held, DAY - timedelta(days=age), {"a/", "b/"})
    return store


def test_a_shard_must_be_empty_in_an_inventory_that_is_old_enough(emptied: LocalStore) -> None:
    shards = {"a/", "b/", "unknown/"}
    since = {days: empty_shards(emptied, LAYOUT, shards, DAY, days) for days in range(1, 9)}
    four, two = DAY - timedelta(days=4), DAY - timedelta(days=2)
    kept: dict[str, date] = {}
    assert [*since.values()] == [{"a/": two}, {"a/": two}, {"a/": four}, {"a/": four}, *[kept] * 4]


def test_a_date_on_which_it_was_no_shard_is_no_evidence(emptied: LocalStore) -> None:
    pass_day(emptied, {"b/1"}, DAY - timedelta(days=1), {"b/"})
    assert empty_shards(emptied, LAYOUT, {"a/"}, DAY, 2) == {}


def test_the_record_of_a_retirement_is_read_until_it_is_removed(store: LocalStore) -> None:
    long = "x" * 900 + "/"
    for prefix in ("a/", long, "a|b/"):
        retirement = Retirement(prefix, DAY, DAY - timedelta(days=31))
        key = shard_key(prefix, "")
        record_retirement(store, LAYOUT, retirement)
        assert read_retirement(store, LAYOUT, key) == retirement
    remove_retirements(store, LAYOUT, [shard_key("a/", ""), shard_key("other/", "")])
    assert read_retirement(store, LAYOUT, "a/") is None
    assert read_retirement(store, LAYOUT, shard_key(long, "")) is not None


def test_a_damaged_record_counts_as_none(store: LocalStore) -> None:
    store.publish(LAYOUT.retirement("a/"), b"{")
    assert read_retirement(store, LAYOUT, "a/") is None
