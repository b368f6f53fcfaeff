"""Inventories verified against buckets in memory and on real servers."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from inventory_assets.inventory.parts.part import Part
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets.inventory.verification.findings import Finding
from inventory_assets.inventory.verification.targets import VerificationTarget, empty_between
from inventory_assets.inventory.verification.verification import Verification, verify
from inventory_assets.s3.list_client import ListClient
from inventory_assets.scan.keyspace.key_range import KeyRange
from inventory_assets.scan.range_listing import PAGES_WITH_KEYS
from inventory_assets_tests.external_servers import Endpoint
from inventory_assets_tests.fakes.model_s3 import ModelS3
from inventory_assets_tests.inventory.samples import HOSTILE_KEYS, NOW, listed, parts_of
from inventory_assets_tests.inventory.verification.verified import (
    RECORDS,
    WHOLE,
    chance,
    inventory_of,
    keys_strategy,
)
from inventory_assets_tests.servers.inventories import list_inventory


@given(
    keys=keys_strategy,
    held=keys_strategy,
    page_size=st.integers(2, 9),
)
@example(keys={*"-/a\0", *("a-", "a/", "aa", "\U0010ffff")}, held={"\U0010ffffa"}, page_size=2)
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
    # Whether keys end with the last page that may be requested is not known.
    if len(keys) <= (PAGES_WITH_KEYS - 1) * page_size:
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


def test_the_keys_of_a_lost_part_are_found_missing(roomy_store: LocalStore) -> None:
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


def test_without_parts_there_are_no_ranges_between_them() -> None:
    assert empty_between([], "") == []


def test_problems_name_the_first_keys_and_count_the_others() -> None:
    findings = {f"{number:02}\n": Finding.MISSING for number in range(12)}
    findings["z"] = Finding.MISSING_IN_BUCKET
    found = Verification((), 0, 0, findings, shown=12)
    assert found.problems[0] == r"missing: '00\n'"
    assert found.problems[-1] == "missing: 2 more"
    assert len(found.problems) == 11
    assert found.counts[Finding.MISSING_IN_BUCKET] == 1


@pytest.mark.parametrize("server", ["moto", "ministack"])
def test_on_a_real_server_changed_and_lost_keys_are_told_apart(
    server: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    endpoint: Endpoint = request.getfixturevalue(server)
    hostile = [key for key in HOSTILE_KEYS if not {"\n", "."} & set(key) and key != "\x01"]
    keys = [f"a/{number:03}" for number in range(40)] + ["b/1", "c", "d", *hostile]
    bucket = endpoint.make_bucket("verified", dict.fromkeys(keys, b"as it was"))
    inventory = list_inventory(endpoint, bucket, tmp_path)
    store = LocalStore(tmp_path)
    lister = ListClient(endpoint.bucket_config(bucket))

    def verified(parts: tuple[Part, ...], began_at: datetime) -> Verification:
        inventory = VerificationTarget(store, parts, "", began_at)
        return verify(inventory, lister, chance(0), 99)

    now = datetime.now(UTC)
    whole = inventory.manifest.parts
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
