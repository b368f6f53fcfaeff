"""Verification of inventories against buckets in memory and on real servers."""

import random
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from inventory_assets.inventory.manifest.manifest_merge import merge
from inventory_assets.inventory.manifest.snapshot import publish_snapshot
from inventory_assets.inventory.parts.counting import keys_at, positions_of
from inventory_assets.inventory.parts.part import Part
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets.inventory.verification import targets, verification
from inventory_assets.inventory.verification.findings import (
    CLOCK_SKEW,
    LONGEST_UPLOAD,
    ComparedFields,
    Finding,
    differences,
)
from inventory_assets.inventory.verification.targets import (
    EMPTY_RANGES,
    VerificationTarget,
    empty_between,
)
from inventory_assets.inventory.verification.verification import Verification, verify
from inventory_assets.s3.decoding.xml_decoder import NO_OBJECTS, Page
from inventory_assets.s3.list_client import ListClient, RequestStats
from inventory_assets.s3.page_request import PageRequest
from inventory_assets.scan.keyspace.key_order import KeyOrder
from inventory_assets.scan.keyspace.key_range import KeyRange, tiling_fault
from inventory_assets.scan.keyspace.shard import make_shard
from inventory_assets_tests.external_servers import Endpoint
from inventory_assets_tests.fakes.listings import Listed
from inventory_assets_tests.fakes.model_s3 import ModelS3
from inventory_assets_tests.fakes.odd_store import IN_BYTE_ORDER, WITHOUT_RANGES, Oddity, OddStore
from inventory_assets_tests.inventory.samples import (
    HOSTILE_KEYS,
    LAYOUT,
    NOW,
    listed,
    parts_of,
    snapshot_of,
)
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
        patch.setattr(targets, "RECORDS_PER_RANGE", RECORDS)
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
    ComparedFields,
    st.integers(0, 1),
    st.sampled_from(MOMENTS),
    st.sampled_from([None, "e", "f", "e-2"]),
)
sides = st.dictionaries(st.sampled_from("abcde"), facts)


def plain_differences(
    held: Mapping[str, ComparedFields], found: Mapping[str, ComparedFields]
) -> list[tuple[str, Finding]]:
    """The oracle: each key by itself, each case by itself."""
    told = []
    for key in "abcde":
        if key not in held and key not in found:
            continue
        if key not in found:
            told.append((key, Finding.MISSING_IN_BUCKET))
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
    held: dict[str, ComparedFields], found: dict[str, ComparedFields]
) -> None:
    assert sorted(differences(held, found, NOW).items()) == plain_differences(held, found)


def test_an_equal_object_does_not_differ_however_new() -> None:
    same = {"a": ComparedFields(1, NOW + timedelta(days=1), "e")}
    assert differences(same, same, NOW) == {}


# The sample


def inventory_of(store: LocalStore, keys: set[str], prefix: str = "") -> VerificationTarget:
    objects = listed(keys)
    cut = len(objects) // 3
    parts = parts_of(store, objects[:cut], objects[cut:])
    return VerificationTarget(store, parts, prefix, NOW)


@given(keys=keys_strategy)
@example(keys=set())
@example(keys={f"{number:02}" for number in range(2 * RECORDS)})
def test_all_ranges_with_records_tile_the_key_space_a_page_each(
    roomy_store: LocalStore, keys: set[str]
) -> None:
    inventory = inventory_of(roomy_store, keys)
    ranges = inventory.sample(chance(0), 100)
    assert tiling_fault(ranges, [WHOLE]) is None
    counts = [len(inventory.records_in(each)) for each in ranges]
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
        key: Finding.MISSING if key in keys else Finding.MISSING_IN_BUCKET
        for key in reached
        if (key in keys) is not (key in held)
    }
    assert found.findings == expected
    assert found.records == sum(key in held for key in reached)
    if len(keys) <= 4 * page_size:
        assert len(reached) == len(keys | held)


def test_an_inventory_equal_to_its_bucket_has_no_problems(
    roomy_store: LocalStore,
) -> None:
    keys = {f"{number:03}" for number in range(100)}
    found = verify(inventory_of(roomy_store, keys), ModelS3(keys, RECORDS), chance(0), 8)
    # In addition to eight ranges: one prefix, and confirmations of two ends.
    assert (len(found.ranges), found.records, found.requests) == (9, 8 * RECORDS, 11)
    assert (found.problems, set(found.counts.values())) == ([], {0})


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
    inventory = VerificationTarget(roomy_store, left, "", NOW, empty)
    found = verify(inventory, ModelS3(keys, 10), chance(0), 1)
    assert [key for key in groups[1] if found.findings.get(key) is Finding.MISSING] == groups[1]


def test_no_parts_leave_nothing_between_them() -> None:
    assert empty_between([], "") == []


def test_faults_name_the_first_and_count_the_rest() -> None:
    findings = {f"{number:02}\n": Finding.MISSING for number in range(12)}
    findings["z"] = Finding.MISSING_IN_BUCKET
    found = Verification((), 0, 0, findings, shown=12)
    assert found.problems[0] == r"missing: '00\n'"
    assert found.problems[-1] == "missing: 2 more"
    assert len(found.problems) == 11
    assert found.counts[Finding.MISSING_IN_BUCKET] == 1


# Nothing is agreed to blindly


def altered_sizes(keys: set[str]) -> dict[str, int]:
    return {key: len(key) + 1 for key in keys}


@given(
    keys=keys_strategy,
    lost=keys_strategy,
    gone=keys_strategy,
    altered=keys_strategy,
    oddity=st.sampled_from([*IN_BYTE_ORDER, *WITHOUT_RANGES]),
    prefix=st.sampled_from(["", "a", "-"]),
)
def test_with_any_habit_exactly_the_differences_are_found(
    roomy_store: LocalStore,
    keys: set[str],
    lost: set[str],
    gone: set[str],
    altered: set[str],
    oddity: Oddity,
    prefix: str,
) -> None:
    there = {prefix + key for key in keys - gone}
    held = {prefix + key for key in keys - lost} | {prefix + key for key in gone - keys}
    held |= {prefix + key for key in gone & keys}
    altered = {prefix + key for key in altered}
    bucket = OddStore(there, oddity, 40, sizes=altered_sizes(altered))
    with pytest.MonkeyPatch.context() as patch:
        if oddity in WITHOUT_RANGES:  # a prefix has all its records in one request there
            patch.setattr(targets, "RECORDS_PER_RANGE", 100)
        found = verify(inventory_of(roomy_store, held, prefix), bucket, chance(0), 99)
    expected = dict.fromkeys(held - there, Finding.MISSING_IN_BUCKET)
    expected |= dict.fromkeys(there - held, Finding.MISSING)
    expected |= dict.fromkeys(there & held & altered, Finding.ALTERED)
    assert found.findings == expected
    assert all(
        each.start_after.startswith(each.prefix) for each in bucket.requests if each.start_after
    )


KEYS = {f"{number:03}" for number in range(100)}


def test_a_key_that_seems_gone_and_is_there_contradicts_the_store(
    roomy_store: LocalStore,
) -> None:
    hidden = {f"{number:03}" for number in range(0, 100, 10)}
    store = OddStore(KEYS - {"007"}, Oddity.HIDES, hidden=hidden)
    found = verify(inventory_of(roomy_store, KEYS), store, chance(0), 99)
    expected = dict.fromkeys(hidden, Finding.CONTRADICTED) | {"007": Finding.MISSING_IN_BUCKET}
    assert found.findings == expected
    assert found.asked_again == len(expected)
    assert "contradicted: '010'" in found.problems
    assert any("contradicts itself: 10 of the keys" in fault for fault in found.problems)


def test_a_store_that_sometimes_lists_nothing_contradicts_itself(
    roomy_store: LocalStore,
) -> None:
    store = OddStore(KEYS, Oddity.SOMETIMES_EMPTY)
    found = verify(inventory_of(roomy_store, KEYS), store, chance(0), 99)
    assert found.counts[Finding.CONTRADICTED] > 0
    assert set(found.findings.values()) == {Finding.CONTRADICTED}


def test_only_some_of_very_many_are_requested_again(
    roomy_store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verification, "MAX_LOOKUPS", 7)
    store = OddStore(set())
    found = verify(inventory_of(roomy_store, KEYS), store, chance(0), 99)
    assert (found.asked_again, found.seemed_gone) == (7, 100)
    assert found.counts[Finding.MISSING_IN_BUCKET] == 100
    exact = [each.prefix for each in store.requests if each.prefix in KEYS]
    again = OddStore(set())
    verify(inventory_of(roomy_store, KEYS), again, chance(0), 99)
    assert len(set(exact)) == 7
    assert [each.prefix for each in again.requests if each.prefix in KEYS] == exact


def test_an_object_created_again_since_is_no_contradiction(
    roomy_store: LocalStore,
) -> None:
    class ComesBack(OddStore):
        def list_page_sync(self, request: PageRequest, stats: RequestStats) -> Page:
            page = super().list_page_sync(request, stats)
            if request.prefix != "007":
                return page
            row = Listed("007", modified=int((NOW.timestamp() + 60) * 1000)).row()
            batch = pa.RecordBatch.from_pylist([row], page.objects.schema)
            return replace(page, objects=batch)

    found = verify(inventory_of(roomy_store, KEYS), ComesBack(KEYS - {"007"}), chance(0), 99)
    assert found.findings == {"007": Finding.MODIFIED_SINCE}
    assert found.problems == []


@pytest.mark.parametrize(
    ("held", "there", "is_doubted"),
    [
        (100, set(), True),  # emptied
        (100, {f"other {number}" for number in range(100)}, True),  # another bucket
        (100, {f"{number:03}" for number in range(50, 100)}, False),
        (100, {f"{number:03}" for number in range(51, 100)}, True),
        (19, {"000"}, False),  # so few may well be deleted
        (20, {"000"}, True),
        (1, set(), True),
        (0, set(), False),
    ],
)
def test_a_bucket_that_lacks_most_of_a_sample_is_doubted(
    roomy_store: LocalStore, held: int, there: set[str], *, is_doubted: bool
) -> None:
    inventory = inventory_of(roomy_store, {f"{number:03}" for number in range(held)})
    found = verify(inventory, OddStore(there), chance(0), 99)
    gone = found.counts[Finding.MISSING_IN_BUCKET]
    sentence = f"{gone:,} of {held:,} sampled records are gone: is this the right bucket, "
    assert any(fault.startswith(sentence) for fault in found.problems) is is_doubted


def test_an_empty_range_is_listed_with_the_records_around_it(
    roomy_store: LocalStore,
) -> None:
    empty = [KeyRange("", "000"), KeyRange("049", "049~"), KeyRange("099", WHOLE.until)]
    inventory = replace(inventory_of(roomy_store, KEYS), empty=empty)
    ranges = set(inventory.sample(chance(0), 1))
    assert ranges >= {KeyRange("048", "050"), KeyRange("098", WHOLE.until)}
    # So an answer with nothing in it agrees with nothing.
    store = OddStore(KEYS, Oddity.HIDES, hidden={"049", "050", "099"})
    found = verify(inventory, store, chance(0), 1)
    assert {"049", "050", "099"} <= found.findings.keys()


def test_an_empty_response_does_not_confirm_an_empty_inventory(roomy_store: LocalStore) -> None:
    class EmptyWithoutDelimiter(OddStore):
        def list_page_sync(self, request: PageRequest, stats: RequestStats) -> Page:
            page = super().list_page_sync(request, stats)
            return page if request.delimiter else replace(page, objects=NO_OBJECTS)

    inventory = inventory_of(roomy_store, set())
    assert verify(inventory, OddStore(set()), chance(0)).problems == []
    found = verify(inventory, EmptyWithoutDelimiter({"a"}), chance(0))
    assert found.findings == {"a": Finding.CONTRADICTED}


def test_an_end_that_came_too_early_is_noted(roomy_store: LocalStore) -> None:
    found = verify(inventory_of(roomy_store, KEYS), OddStore(KEYS, Oddity.ENDS_EARLY, 3), chance(0))
    assert found.problems == []
    assert found.notes
    assert all("said that its listing ends behind" in note for note in found.notes)


# Stores that list no ranges

FOLDERS = {f"{folder}/{number}" for folder in ("a", "a-b", "a0") for number in range(12)} | {"b"}


@pytest.mark.parametrize("oddity", WITHOUT_RANGES)
def test_a_store_without_start_after_is_verified_by_prefixes(
    roomy_store: LocalStore, oddity: Oddity
) -> None:
    found = verify(inventory_of(roomy_store, FOLDERS), OddStore(FOLDERS, oddity), chance(0), 99)
    assert (found.findings, found.problems) == ({}, [])
    assert found.records == len(FOLDERS)
    assert found.prefixes
    assert found.ranges == ()
    assert found.notes


def test_an_inventory_in_directory_order_needs_no_range(roomy_store: LocalStore) -> None:
    inventory = replace(inventory_of(roomy_store, FOLDERS), key_order=KeyOrder.DIRECTORY)
    store = OddStore(FOLDERS - {"a/3"}, Oddity.DIRECTORIES)
    found = verify(inventory, store, chance(0), 99)
    assert (found.findings, found.notes) == ({"a/3": Finding.MISSING_IN_BUCKET}, ())
    assert not any(each.start_after for each in store.requests)


def test_an_inventory_of_ranges_is_in_doubt_where_the_store_lists_none(
    roomy_store: LocalStore,
) -> None:
    inventory = replace(inventory_of(roomy_store, FOLDERS), key_order=KeyOrder.BYTES)
    for oddity in WITHOUT_RANGES:
        found = verify(inventory, OddStore(FOLDERS, oddity), chance(0), 99)
        (fault,) = found.problems
        assert fault.startswith("the inventory was listed in byte order, and now")


def test_a_folder_that_the_inventory_lacks_is_missed(roomy_store: LocalStore) -> None:
    held = {key for key in FOLDERS if not key.startswith("a-b/")} | {"a/deep/1"}
    inventory = replace(inventory_of(roomy_store, held), key_order=KeyOrder.DIRECTORY)
    there = FOLDERS | {"a/deep/1", "top"}
    found = verify(inventory, OddStore(there, Oddity.DIRECTORIES), chance(0), 99)
    missing = {key for key in there if key.startswith("a-b/")} | {"top"}
    assert found.findings == dict.fromkeys(missing, Finding.MISSING)


@given(
    keys=st.sets(st.text("/ab", min_size=1, max_size=5), min_size=1, max_size=40),
    size=st.integers(1, 10),
    least_length=st.integers(0, 2),
)
def test_a_sampled_prefix_is_the_shortest_with_at_most_so_many_records(
    roomy_store: LocalStore, keys: set[str], size: int, least_length: int
) -> None:
    records = inventory_of(roomy_store, keys).records

    def count(prefix: str) -> int:
        return sum(key.startswith(prefix) for key in keys)

    drawn = records.prefixes(chance(0), len(keys), size, least_length)
    assert all(any(key.startswith(prefix) for prefix in drawn) for key in keys)
    for prefix in drawn:
        assert count(prefix) <= size or prefix in keys
        if len(prefix) > least_length:
            assert count(prefix[:-1]) > size
        lacking = records.without_records([prefix, prefix + "x"])
        assert lacking == [prefix + "x"]


@given(keys=keys_strategy, asked=keys_strategy, through=st.booleans())
def test_the_places_of_keys_are_those_of_the_whole(
    roomy_store: LocalStore, keys: set[str], asked: set[str], *, through: bool
) -> None:
    parts = inventory_of(roomy_store, keys).parts
    expected = {key: sum(each < key or (through and each == key) for each in keys) for key in asked}
    assert positions_of(roomy_store, parts, asked, through=through) == expected


# The empty ranges of a manifest


def manifest_with(store: LocalStore, keys: list[str], prefixes: list[str]) -> VerificationTarget:
    snapshots = {}
    for prefix in prefixes:
        shard = make_shard(prefix, prefixes)
        snapshot = snapshot_of(store, shard, [x for x in listed(keys) if shard.covers(x.key)])
        publish_snapshot(store, LAYOUT, snapshot)
        snapshots[prefix] = snapshot
    return VerificationTarget.of_manifest(store, LAYOUT, merge(store, LAYOUT, "", snapshots, NOW))


def test_the_evidence_has_the_empty_ranges(store: LocalStore) -> None:
    inventory = manifest_with(store, ["a/1", "a/2", "c"], ["", "a/", "b/"])
    assert inventory.began_at == NOW
    assert all(inventory.records_in(each) == {} for each in inventory.empty)
    for key in ("A", "a/3", "b/1", "d"):
        assert any(key in each for each in inventory.empty)


def test_a_key_lost_where_nothing_was_found_is_missing(store: LocalStore) -> None:
    keys = ["a/1", "a/2", "c"]
    inventory = manifest_with(store, keys, ["", "a/", "b/"])
    assert len(inventory.empty) <= EMPTY_RANGES + 1
    seeds = [verify(inventory, ModelS3([*keys, "b/1"]), chance(n), 1) for n in range(9)]
    assert {Finding.MISSING} == {seed.findings.get("b/1") for seed in seeds}


def test_the_evidence_of_a_later_listing_is_not_used_for_a_manifest(store: LocalStore) -> None:
    shard = make_shard("", [""])
    snapshot = snapshot_of(store, shard, listed(["a"]))
    publish_snapshot(store, LAYOUT, replace(snapshot, fingerprint="another"))
    manifest = merge(store, LAYOUT, "", {"": snapshot}, NOW)
    assert VerificationTarget.of_manifest(store, LAYOUT, manifest).empty == []


# Verified against real servers


@pytest.mark.parametrize("server", ["moto", "ministack"])
def test_on_a_real_server_what_changed_is_reported_from_what_was_lost(
    server: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    endpoint: Endpoint = request.getfixturevalue(server)
    hostile = [key for key in HOSTILE_KEYS if not {"\n", "."} & set(key) and key != "\x01"]
    keys = [f"a/{number:03}" for number in range(40)] + ["b/1", "c", "d", *hostile]
    bucket = endpoint.make_bucket("verified", dict.fromkeys(keys, b"as it was"))
    taken = take_inventory(endpoint, bucket, tmp_path)
    store = LocalStore(tmp_path)
    lister = ListClient(endpoint.connection(bucket))

    def verified(parts: tuple[Part, ...], began_at: datetime) -> Verification:
        inventory = VerificationTarget(store, parts, "", began_at)
        return verify(inventory, lister, chance(0), 99)

    now = datetime.now(UTC)
    whole = taken.manifest.parts
    assert verified(whole, now).findings == {}

    endpoint.delete(bucket, ["a/005"])
    endpoint.put(bucket, {"a/007": b"changed", "a/new": b"x"})
    expected = {
        "a/005": Finding.MISSING_IN_BUCKET,
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
