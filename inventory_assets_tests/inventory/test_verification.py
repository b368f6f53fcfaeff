"""Inventories verified against their buckets: in memory for many, on real servers for some."""

import random
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from inventory_assets.inventory import verifiable
from inventory_assets.inventory.counting import keys_at
from inventory_assets.inventory.findings import (
    CLOCK_SKEW,
    LONGEST_UPLOAD,
    Facts,
    Finding,
    differences,
)
from inventory_assets.inventory.manifests import merge
from inventory_assets.inventory.parts import Part
from inventory_assets.inventory.snapshots import publish_snapshot
from inventory_assets.inventory.store import LocalStore
from inventory_assets.inventory.verifiable import EMPTY_RANGES, Verifiable, empty_between
from inventory_assets.inventory.verification import Verification, verify
from inventory_assets.s3.listing import BucketLister
from inventory_assets.scan.ranges import KeyRange, tiling_fault
from inventory_assets.scan.shards import cut_out
from inventory_assets_tests.external_servers import Endpoint
from inventory_assets_tests.inventory.samples import (
    HOSTILE_KEYS,
    LAYOUT,
    NOW,
    listed,
    parts_of,
    snapshot_of,
)
from inventory_assets_tests.model_s3 import ModelS3
from inventory_assets_tests.servers.inventories import take_inventory

WHOLE = KeyRange.of_prefix("")
RECORDS = 5
"""Records in a range, in these tests."""


def chance(seed: int | str) -> random.Random:
    return random.Random(seed)  # noqa: S311 - it guards no secret


keys_strategy = st.sets(st.text("-/a\0\U0010ffff", min_size=1, max_size=3), max_size=30)


@pytest.fixture(autouse=True, scope="module")
def small_ranges() -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(verifiable, "RECORDS_A_RANGE", RECORDS)
        yield


# The comparison

EARLIER = NOW - timedelta(days=30)
MOMENTS = [
    EARLIER,
    NOW - LONGEST_UPLOAD - timedelta(milliseconds=1),
    NOW - LONGEST_UPLOAD,
    NOW - CLOCK_SKEW - timedelta(milliseconds=1),
    NOW - CLOCK_SKEW,
    NOW,
    NOW + timedelta(days=1),
]
facts = st.builds(
    Facts, st.integers(0, 1), st.sampled_from(MOMENTS), st.sampled_from([None, "e", "f", "e-2"])
)
sides = st.dictionaries(st.sampled_from("abcde"), facts)


def plain_differences(
    held: Mapping[str, Facts], found: Mapping[str, Facts]
) -> list[tuple[str, Finding]]:
    """The oracle: each key by itself, each case by itself."""
    told = []
    for key in "abcde":
        if key not in held and key not in found:
            continue
        if key not in found:
            told.append((key, Finding.GONE))
            continue
        now = found[key]
        age_at_listing = NOW - now.last_modified
        if now.e_tag is not None and now.e_tag.endswith("-2"):
            may_be_younger = age_at_listing <= LONGEST_UPLOAD
        else:
            may_be_younger = age_at_listing <= CLOCK_SKEW
        if key not in held and may_be_younger:
            told.append((key, Finding.CREATED_SINCE))
        elif key not in held:
            told.append((key, Finding.MISSING))
        else:
            before = held[key]
            same = (before.size, before.last_modified, before.e_tag) == (
                now.size,
                now.last_modified,
                now.e_tag,
            )
            if not same:
                told.append((key, Finding.MODIFIED_SINCE if may_be_younger else Finding.ALTERED))
    return told


@given(held=sides, found=sides)
def test_differences_are_those_of_a_plain_comparison(
    held: dict[str, Facts], found: dict[str, Facts]
) -> None:
    assert sorted(differences(held, found, NOW).items()) == plain_differences(held, found)


def test_what_is_the_same_does_not_differ_however_young() -> None:
    same = {"a": Facts(1, NOW + timedelta(days=1), "e")}
    assert differences(same, same, NOW) == {}


# The sample


def inventory_of(store: LocalStore, keys: set[str], prefix: str = "") -> Verifiable:
    objects = listed(keys)
    cut = len(objects) // 3
    parts = parts_of(store, objects[:cut], objects[cut:])
    return Verifiable(store, parts, prefix, NOW)


@given(keys=keys_strategy)
@example(keys=set())
@example(keys={f"{number:02}" for number in range(2 * RECORDS)})
def test_all_ranges_with_records_tile_the_key_space_a_page_each(
    roomy_store: LocalStore, keys: set[str]
) -> None:
    inventory = inventory_of(roomy_store, keys)
    ranges = inventory.sample(chance(0), 100)
    assert tiling_fault(ranges, [WHOLE]) is None
    counts = [len(inventory.holds(each)) for each in ranges]
    assert counts == [sum(key in each for key in keys) for each in ranges]
    assert all(count == RECORDS for count in counts[:-1])
    assert counts[-1] <= RECORDS


@given(keys=keys_strategy, places=st.sets(st.integers(0, 40)))
def test_the_keys_at_some_places_are_those_of_the_whole(
    roomy_store: LocalStore, keys: set[str], places: set[int]
) -> None:
    parts = inventory_of(roomy_store, keys).parts
    expected = {place: key for place, key in enumerate(sorted(keys)) if place in places}
    assert keys_at(roomy_store, parts, places) == expected


def test_a_seed_draws_the_same_again_and_another_draws_others(roomy_store: LocalStore) -> None:
    inventory = inventory_of(roomy_store, {f"{number:03}" for number in range(200)})
    draws = [inventory.sample(chance(seed), 4) for seed in ("a", "a", "b")]
    assert draws[0] == draws[1] != draws[2]
    assert [len(draw) for draw in draws] == [4, 4, 4]


def test_every_record_is_drawn_at_last(roomy_store: LocalStore) -> None:
    keys = {f"{number:03}" for number in range(43)}
    inventory = inventory_of(roomy_store, keys)
    one = chance(1)
    drawn = {each for _ in range(100) for each in inventory.sample(one, 2)}
    assert tiling_fault(sorted(drawn), [WHOLE]) is None


# Verified against a bucket in memory


@given(
    keys=keys_strategy,
    held=keys_strategy,
    page_size=st.integers(2, 9),
)
def test_a_sample_of_all_ranges_finds_every_key_that_differs(
    roomy_store: LocalStore, keys: set[str], held: set[str], page_size: int
) -> None:
    found = verify(inventory_of(roomy_store, held), ModelS3(keys, page_size), chance(0), 99)
    reached = [key for key in keys | held if any(key in each for each in found.ranges)]
    expected = {
        key: Finding.MISSING if key in keys else Finding.GONE
        for key in reached
        if (key in keys) is not (key in held)
    }
    assert found.findings == expected
    assert found.records == sum(key in held for key in reached)
    if len(keys) <= 4 * page_size:
        assert len(reached) == len(keys | held)


def test_an_inventory_that_holds_what_the_bucket_holds_has_no_fault(
    roomy_store: LocalStore,
) -> None:
    keys = {f"{number:03}" for number in range(100)}
    found = verify(inventory_of(roomy_store, keys), ModelS3(keys, RECORDS), chance(0), 8)
    assert (len(found.ranges), found.records, found.requests) == (8, 8 * RECORDS, 8)
    assert (found.faults, set(found.counts.values())) == ([], {0})


def test_a_record_of_two_ranges_is_counted_once(roomy_store: LocalStore) -> None:
    keys = {f"{number:03}" for number in range(2 * RECORDS)}
    inventory = replace(inventory_of(roomy_store, keys), empty=[KeyRange("001", "007")])
    assert verify(inventory, ModelS3(keys), chance(0)).records == len(keys)


def test_keys_outside_the_prefix_are_not_missed(roomy_store: LocalStore) -> None:
    inventory = inventory_of(roomy_store, {"b/1", "b/2"}, "b/")
    found = verify(inventory, ModelS3(["a", "b/1", "b/2", "c"]), chance(0))
    assert found.findings == {}


def test_a_part_that_was_lost_is_found_where_it_stood(roomy_store: LocalStore) -> None:
    keys = [f"{number:03}" for number in range(90)]
    groups = [keys[:30], keys[30:60], keys[60:]]
    parts = parts_of(roomy_store, *map(listed, groups))
    left = (parts[0], parts[2])
    empty = empty_between(left, "")
    assert empty == [
        KeyRange("", "000"),
        KeyRange("029", "060"),
        KeyRange("089", WHOLE.until),
    ]
    inventory = Verifiable(roomy_store, left, "", NOW, empty)
    found = verify(inventory, ModelS3(keys, 10), chance(0), 1)
    assert [key for key in groups[1] if found.findings.get(key) is Finding.MISSING] == groups[1]


def test_no_parts_leave_nothing_between_them() -> None:
    assert empty_between([], "") == []


def test_faults_name_the_first_and_count_the_rest() -> None:
    findings = {f"{number:02}\n": Finding.MISSING for number in range(12)}
    findings["z"] = Finding.GONE
    found = Verification((), 0, 0, findings)
    assert found.faults[0] == r"missing: '00\n'"
    assert found.faults[-1] == "missing: 2 more"
    assert len(found.faults) == 11
    assert found.counts[Finding.GONE] == 1


# What a manifest says of where nothing is


def manifest_with(store: LocalStore, keys: list[str], prefixes: list[str]) -> Verifiable:
    snapshots = {}
    for prefix in prefixes:
        shard = cut_out(prefix, prefixes)
        snapshot = snapshot_of(store, shard, [x for x in listed(keys) if shard.covers(x.key)])
        publish_snapshot(store, LAYOUT, snapshot)
        snapshots[prefix] = snapshot
    return Verifiable.of_manifest(store, LAYOUT, merge(store, LAYOUT, "", snapshots, NOW))


def test_the_evidence_says_in_which_stretches_nothing_was_found(store: LocalStore) -> None:
    inventory = manifest_with(store, ["a/1", "a/2", "c"], ["", "a/", "b/"])
    assert inventory.began_at == NOW
    assert all(inventory.holds(each) == {} for each in inventory.empty)
    for key in ("A", "a/3", "b/1", "d"):
        assert any(key in each for each in inventory.empty)


def test_a_key_lost_where_nothing_was_found_is_missing(store: LocalStore) -> None:
    keys = ["a/1", "a/2", "c"]
    inventory = manifest_with(store, keys, ["", "a/", "b/"])
    assert len(inventory.empty) <= EMPTY_RANGES + 1
    seeds = [verify(inventory, ModelS3([*keys, "b/1"]), chance(n), 1) for n in range(9)]
    assert {Finding.MISSING} == {seed.findings.get("b/1") for seed in seeds}


def test_a_shard_listed_again_since_says_nothing_of_this_manifest(store: LocalStore) -> None:
    shard = cut_out("", [""])
    snapshot = snapshot_of(store, shard, listed(["a"]))
    publish_snapshot(store, LAYOUT, replace(snapshot, fingerprint="another"))
    manifest = merge(store, LAYOUT, "", {"": snapshot}, NOW)
    assert Verifiable.of_manifest(store, LAYOUT, manifest).empty == []


# Verified against real servers


@pytest.mark.parametrize("server", ["moto", "ministack"])
def test_on_a_real_server_what_changed_is_told_from_what_was_lost(
    server: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    endpoint: Endpoint = request.getfixturevalue(server)
    hostile = [key for key in HOSTILE_KEYS if not {"\n", "."} & set(key) and key != "\x01"]
    keys = [f"a/{number:03}" for number in range(40)] + ["b/1", "c", "d", *hostile]
    bucket = endpoint.make_bucket("verified", dict.fromkeys(keys, b"as it was"))
    taken = take_inventory(endpoint, bucket, tmp_path)
    store = LocalStore(tmp_path)
    lister = BucketLister(endpoint.connection(bucket))

    def verified(parts: tuple[Part, ...], began_at: datetime) -> Verification:
        inventory = Verifiable(store, parts, "", began_at)
        return verify(inventory, lister, chance(0), 99)

    now = datetime.now(UTC)
    whole = taken.manifest.parts
    assert verified(whole, now).findings == {}

    endpoint.delete(bucket, ["a/005"])
    endpoint.put(bucket, {"a/007": b"changed", "a/new": b"x"})
    expected = {
        "a/005": Finding.GONE,
        "a/007": Finding.MODIFIED_SINCE,
        "a/new": Finding.CREATED_SINCE,
    }
    assert verified(whole, now).findings == expected
    # As if it had been listed tomorrow, nothing explains these.
    tomorrow = now + timedelta(days=1)
    assert verified(whole, tomorrow).findings == expected | {
        "a/007": Finding.ALTERED,
        "a/new": Finding.MISSING,
    }
    lost = [part for part in whole if part.first_key != "b/1"]
    assert verified(tuple(lost), tomorrow).findings["b/1"] is Finding.MISSING
    lister.close()
