import json
from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inventory_assets.inventory.errors import ConflictError, CorruptRecord
from inventory_assets.inventory.manifest.snapshot import (
    Snapshot,
    files_that_differ,
    publish_snapshot,
    read_snapshot,
    read_snapshots,
    snapshot_etag,
)
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets.scan.keyspace.key_order import KeyOrder
from inventory_assets.scan.keyspace.shard import Shard
from inventory_assets_tests.inventory.samples import (
    DAY,
    HOSTILE_KEYS,
    LAYOUT,
    listed,
    snapshot_of,
)

SHARD = Shard("a/", ("a/b/",))
prefixes = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


def published(store: LocalStore, shard: Shard = SHARD) -> Snapshot:
    snapshot = snapshot_of(store, shard, listed(["a/1", "a/c"]))
    publish_snapshot(store, LAYOUT, snapshot)
    return snapshot


def document(store: LocalStore, prefix: str = "a/") -> dict[str, Any]:
    found: dict[str, Any] = json.loads(store.read(LAYOUT.snapshot(DAY, prefix)) or b"")
    return found


def test_a_snapshot_is_read_as_it_was_published(store: LocalStore) -> None:
    snapshot = replace(
        published(store), key_order=KeyOrder.DIRECTORY, faults={"throttled": 2, "reset": 1}
    )
    publish_snapshot(store, LAYOUT, snapshot)
    assert read_snapshot(store, LAYOUT, DAY, "a/") == snapshot


def test_a_snapshot_without_reuse_and_fingerprints_is_read(store: LocalStore) -> None:
    snapshot = published(store)
    found = document(store)
    del found["reuse"]
    for part in found["parts"]:
        del part["fingerprint"]
    store.publish(LAYOUT.snapshot(DAY, "a/"), json.dumps(found).encode())
    parts = tuple(replace(part, fingerprint="") for part in snapshot.parts)
    assert read_snapshot(store, LAYOUT, DAY, "a/") == replace(snapshot, parts=parts)


def test_a_snapshot_sums_up_its_parts(store: LocalStore) -> None:
    snapshot = published(store)
    assert (snapshot.rows, snapshot.object_bytes) == (2, 6)
    assert snapshot.file_bytes == sum(part.file_bytes for part in snapshot.parts) > 0


def test_reading_an_unpublished_snapshot_returns_none(store: LocalStore) -> None:
    published(store)
    assert read_snapshot(store, LAYOUT, DAY, "a") is None
    assert read_snapshot(store, LAYOUT, date(2026, 5, 4), "a/") is None


@given(prefixes, st.lists(prefixes.filter(bool), max_size=3))
def test_any_prefix_comes_back_with_its_ranges(
    roomy_store: LocalStore, prefix: str, excluded: list[str]
) -> None:
    shard = Shard(prefix, tuple(sorted({prefix + other for other in excluded})))
    keys = [prefix + key for key in HOSTILE_KEYS]
    snapshot = snapshot_of(roomy_store, shard, listed(filter(shard.covers, keys)))
    publish_snapshot(roomy_store, LAYOUT, snapshot)
    assert read_snapshot(roomy_store, LAYOUT, DAY, prefix) == snapshot


def test_the_bounds_of_ranges_are_short_to_read(store: LocalStore) -> None:
    published(store)
    bounds = [row["key_range"] for row in document(store)["evidence"]]
    assert bounds[-1] == {"after": {"through": "a/b/"}, "until": {"through": "a/"}}
    assert len(json.dumps(document(store))) < 3000


def change(**fields: object) -> Any:
    def apply(text: bytes) -> bytes:
        return json.dumps({**json.loads(text), **fields}).encode()

    return apply


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda _: b"", id="empty"),
        pytest.param(lambda text: text[:-20], id="truncated"),
        pytest.param(lambda _: b"[]", id="a list"),
        pytest.param(lambda _: b"null", id="null"),
        pytest.param(lambda _: b"\xff\xfe", id="no text"),
        pytest.param(change(format="other"), id="no format"),
        pytest.param(change(parts=[{}]), id="an empty part"),
        pytest.param(change(evidence=[{"key_range": "x"}]), id="a strange range"),
        pytest.param(change(shard={"prefix": "other/", "excluded": []}), id="another shard"),
        pytest.param(change(fingerprint=None), id="no fingerprint"),
    ],
)
def test_a_damaged_file_is_named_with_what_to_do(store: LocalStore, damage: Any) -> None:
    published(store)
    key = LAYOUT.snapshot(DAY, "a/")
    store.publish(key, damage(store.read(key)))
    message = rf"{store.path(key)} is no snapshot .* object_listing for 2026-05-05"
    with pytest.raises(CorruptRecord, match=message):
        read_snapshot(store, LAYOUT, DAY, "a/")


@pytest.mark.parametrize("damage", [b"", b"{", b"{}", b"[]", b'{"shard": null}'])
def test_a_damaged_file_is_found_among_those_of_a_date(store: LocalStore, damage: bytes) -> None:
    published(store)
    store.publish(LAYOUT.snapshot(DAY, "x/"), damage)
    with pytest.raises(CorruptRecord, match=r"x!-.* is no snapshot that this version can read"):
        read_snapshots(store, LAYOUT, DAY)


def test_all_snapshots_of_a_date_are_read_in_order_of_their_prefixes(store: LocalStore) -> None:
    shards = [Shard(prefix) for prefix in ("b", "", "a|", "é", "../")]
    for shard in shards:
        published(store, shard)
    other_day = snapshot_of(store, Shard("c"), [], date(2026, 5, 4))
    publish_snapshot(store, LAYOUT, other_day)
    assert list(read_snapshots(store, LAYOUT, DAY)) == ["", "../", "a|", "b", "é"]
    assert read_snapshots(store, LAYOUT, date(2026, 5, 3)) == {}


def test_a_file_that_is_missing_or_of_another_size_differs(store: LocalStore) -> None:
    first, second = snapshot_of(store, SHARD, listed(["a/1", "a/c"])).parts
    assert files_that_differ(store, [first, second]) == []
    store.path(first.key).write_bytes(b"")
    store.path(second.key).unlink()
    assert files_that_differ(store, [first, second]) == [first.key, second.key]


def test_of_two_concurrent_runs_for_a_shard_the_first_publishes(store: LocalStore) -> None:
    began = snapshot_etag(store, LAYOUT, DAY, "a/")
    first = snapshot_of(store, SHARD, listed(["a/1"]))
    publish_snapshot(store, LAYOUT, first, began)
    with pytest.raises(ConflictError, match="was published by another run"):
        publish_snapshot(store, LAYOUT, snapshot_of(store, SHARD, listed(["a/2"])), began)
    assert read_snapshot(store, LAYOUT, DAY, "a/") == first
