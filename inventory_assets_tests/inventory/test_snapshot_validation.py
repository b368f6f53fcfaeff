from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from inventory_assets.inventory.manifest.snapshot import Snapshot
from inventory_assets.inventory.manifest.snapshot_validation import (
    failed_rules_of,
    validate,
    validate_files,
)
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets.scan.keyspace.key_range import KeyRange
from inventory_assets.scan.keyspace.shard import Shard
from inventory_assets_tests.inventory.samples import listed, parts_of, snapshot_of

SHARD = Shard("a/", ("a/m/",))
KEYS = ["a/1", "a/2", "a/x", "a/y"]


@pytest.fixture
def snapshot(store: LocalStore) -> Snapshot:
    return snapshot_of(store, SHARD, listed(KEYS))


def rules(snapshot: Snapshot) -> list[str]:
    return [result.rule for result in validate(snapshot) if result.violation]


def with_evidence(snapshot: Snapshot, at: int, **fields: Any) -> Snapshot:
    rows = list(snapshot.evidence)
    rows[at] = replace(rows[at], **fields)
    return replace(snapshot, evidence=tuple(rows))


def with_part(snapshot: Snapshot, at: int, **fields: Any) -> Snapshot:
    parts = list(snapshot.parts)
    parts[at] = replace(parts[at], **fields)
    return replace(snapshot, parts=tuple(parts))


def test_a_correct_snapshot_violates_no_rule(store: LocalStore, snapshot: Snapshot) -> None:
    assert failed_rules_of(snapshot) == []
    assert [result.violation for result in validate_files(store, snapshot)] == [None] * 3


def test_an_empty_shard_violates_no_rule(store: LocalStore) -> None:
    snapshot = snapshot_of(store, SHARD, [])
    assert failed_rules_of(snapshot) == []
    assert [result.violation for result in validate_files(store, snapshot)] == [None] * 3


@pytest.mark.parametrize(
    ("broken", "rule"),
    [
        (lambda s: replace(s, evidence=s.evidence[:1]), "ranges tile the shard"),
        (lambda s: replace(s, evidence=s.evidence[::-1]), "ranges tile the shard"),
        (lambda s: replace(s, shard=Shard("a/")), "ranges tile the shard"),
        (
            lambda s: with_evidence(s, 0, key_range=KeyRange("a/", "a/k")),
            "ranges tile the shard",
        ),
        (lambda s: with_evidence(s, 0, rows=1), "counts add up"),
        (lambda s: with_part(s, 1, rows=3), "counts add up"),
        (lambda s: replace(s, parts=s.parts[::-1]), "keys ascend over all parts"),
        (lambda s: with_part(s, 0, first_key="a/3"), "keys ascend over all parts"),
        (lambda s: with_part(s, 0, first_key="a/2"), "keys ascend over all parts"),
        (lambda s: with_part(s, 0, last_key="a/x"), "keys ascend over all parts"),
        (lambda s: with_part(s, 1, last_key="b"), "every key is inside the shard"),
        (lambda s: with_part(s, 0, last_key="a/m/1"), "every key is inside the shard"),
        (lambda s: with_evidence(s, 0, last_key="a/x"), "every key is inside the shard"),
        (lambda s: with_evidence(s, 1, first_key="a/1"), "every key is inside the shard"),
    ],
)
def test_each_violated_rule_is_found(
    snapshot: Snapshot, broken: Callable[[Snapshot], Snapshot], rule: str
) -> None:
    assert rule in rules(broken(snapshot))


def test_a_violated_rule_states_the_place(snapshot: Snapshot) -> None:
    assert failed_rules_of(with_evidence(snapshot, 0, rows=9)) == [
        "counts add up: 11 records listed, 4 written"
    ]


def file_violations(store: LocalStore, snapshot: Snapshot) -> dict[str, str]:
    results = validate_files(store, snapshot)
    return {result.rule: result.violation for result in results if result.violation}


@pytest.mark.parametrize("damage", ["removed", "truncated", "one byte", "replaced"])
def test_a_file_that_is_not_as_published_is_found(
    store: LocalStore, snapshot: Snapshot, damage: str
) -> None:
    path = store.path(snapshot.parts[1].key)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.unlink()
    match damage:
        case "truncated":
            path.write_bytes(data[:-1])
        case "one byte":
            path.write_bytes(data)
        case "replaced":
            path.write_bytes(store.path(snapshot.parts[0].key).read_bytes())
    assert file_violations(store, snapshot) == {
        "files are as published": f"{snapshot.parts[1].key} is missing or was altered"
    }


def test_records_outside_the_shard_are_found_in_the_files(
    store: LocalStore, snapshot: Snapshot
) -> None:
    stray = replace(snapshot, parts=parts_of(store, listed(["a/1", "a/m/1"]), listed(["b"])))
    assert file_violations(store, stray) == {
        "every record is inside the shard": "1 of 3 records lie within the shard's ranges"
    }


@pytest.mark.parametrize("keys", [["a/1", "a/1"], ["a/2", "a/1"]])
def test_records_out_of_order_are_found_in_the_files(
    store: LocalStore, snapshot: Snapshot, keys: list[str]
) -> None:
    disordered = replace(snapshot, parts=parts_of(store, *(listed([key]) for key in keys)))
    assert list(file_violations(store, disordered)) == ["records ascend and are unique"]
