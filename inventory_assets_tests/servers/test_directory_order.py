"""SeaweedFS lists `a/1` before `a-b`: this is detected, and the inventory is in byte order."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from inventory_assets.inventory.listing.shard_lister import ShardLister
from inventory_assets.inventory.storage.layout import Layout
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets.s3.list_client import ListClient
from inventory_assets.scan import directory_order_scan, habit_probe, prefix_search
from inventory_assets.scan.errors import KeysOutOfOrder
from inventory_assets.scan.keyspace.key_order import KeyOrder
from inventory_assets.scan.keyspace.shard import Shard, make_shard
from inventory_assets.scan.prefix_discovery import discover
from inventory_assets.scan.prefix_search import ShardBounds
from inventory_assets_tests.external_servers import Endpoint
from inventory_assets_tests.servers.inventories import (
    DAY,
    NOW,
    body_of,
    expected_fields,
    list_inventory,
)

SIBLINGS = ("", " b", "!", "-b", "-b/x", ".b", ".b/x", "/1", "/2/x", "/2-x", "0", "b")
"""What may follow a folder's name; before `/` come space, `!`, `-` and `.`."""

DEEP = ("deep/er/still/a", "deep/er/a", "deep/a", "a", "z/a")
WIDE = [
    *(f"wide/{number:04}-b" for number in range(1000)),
    *(f"wide/{number:04}/x" for number in range(0, 1000, 20)),
]


@pytest.fixture(scope="module")
def objects() -> dict[str, bytes]:
    keys = [base + sibling for base in DEEP for sibling in SIBLINGS] + WIDE
    return {key: body_of(key) for key in keys}


@pytest.fixture(scope="module")
def bucket(seaweedfs: Endpoint, objects: dict[str, bytes]) -> str:
    return seaweedfs.make_bucket("directories", objects)


@pytest.fixture
def lister(seaweedfs: Endpoint, bucket: str) -> Iterator[ListClient]:
    lister = ListClient(seaweedfs.bucket_config(bucket))
    yield lister
    lister.close()


@pytest.fixture
def store_of_unknown_make(monkeypatch: pytest.MonkeyPatch) -> None:
    """SeaweedFS without its `Server` header, as behind a proxy."""
    for module in (prefix_search, directory_order_scan, habit_probe):
        monkeypatch.setattr(module, "DIRECTORY_SERVERS", ("no such make",))


def test_the_server_header_shows_the_order(seaweedfs: Endpoint) -> None:
    seaweedfs.make_bucket("plain", {"plain": b"x"})
    lister = ListClient(seaweedfs.bucket_config("plain"))
    assert discover(lister, "", ShardBounds()).key_order is KeyOrder.DIRECTORY


@pytest.mark.usefixtures("store_of_unknown_make")
def test_a_pair_of_siblings_shows_the_order_of_an_unknown_server(lister: ListClient) -> None:
    assert discover(lister, "deep/", ShardBounds()).key_order is KeyOrder.DIRECTORY


@pytest.mark.parametrize(("prefix", "depth"), [("", 0), ("", 1), ("deep/", 2)])
def test_the_inventory_is_complete_and_in_byte_order(
    seaweedfs: Endpoint,
    bucket: str,
    objects: dict[str, bytes],
    tmp_path: Path,
    prefix: str,
    depth: int,
) -> None:
    inventory = list_inventory(seaweedfs, bucket, tmp_path, prefix=prefix, depth=depth)

    within = {key: body for key, body in objects.items() if key.startswith(prefix)}
    assert inventory.fields == expected_fields(within)
    assert {each.key_order for each in inventory.snapshots.values()} == {KeyOrder.DIRECTORY}


def test_the_remainder_leaves_out_exactly_the_other_shards(
    lister: ListClient, objects: dict[str, bytes], tmp_path: Path
) -> None:
    shard = make_shard("", ["a/", "deep/er/", "wide/", "z/a-b/"])
    shard_lister = ShardLister(
        lister, LocalStore(tmp_path), Layout("directories", "test"), now=lambda: NOW
    )

    snapshot = shard_lister.list_shard(DAY, shard)

    expected = sorted(key for key in objects if shard.covers(key))
    assert snapshot.rows == len(expected)
    assert [each.rows for each in snapshot.evidence] == [
        sum(key in key_range for key in expected) for key_range in shard.ranges
    ]


def test_an_order_by_bytes_that_the_source_insists_on_is_rejected(
    lister: ListClient, tmp_path: Path
) -> None:
    shard_lister = ShardLister(
        lister, LocalStore(tmp_path), Layout("directories", "test"), KeyOrder.BYTES
    )

    with pytest.raises(KeysOutOfOrder, match='key_order = "bytes": remove that line'):
        shard_lister.list_shard(DAY, Shard("deep/"))

    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.usefixtures("store_of_unknown_make")
def test_a_pair_hidden_deep_in_one_shard_is_met_and_the_shard_listed_again(
    seaweedfs: Endpoint, tmp_path: Path
) -> None:
    keys = ["one/two/three/a/1", "one/two/three/a-b", "one/two/three/a/2", "two/1", "root"]
    objects = {key: body_of(key) for key in keys}
    seaweedfs.make_bucket("hidden", objects)

    inventory = list_inventory(seaweedfs, "hidden", tmp_path)

    assert inventory.fields == expected_fields(objects)
    assert inventory.snapshots["one/"].key_order is KeyOrder.DIRECTORY


@pytest.mark.usefixtures("store_of_unknown_make")
@pytest.mark.parametrize("name", ["a-b", "a b", "a.b/c"])
def test_a_name_that_appears_before_a_shards_folder_after_discovery_is_not_lost(
    seaweedfs: Endpoint, tmp_path: Path, name: str
) -> None:
    seaweedfs.make_bucket(
        f"late{ord(name[1])}", dict.fromkeys(("a/1", "a/2", name, "b/1", "z"), b"x")
    )
    lister = ListClient(seaweedfs.bucket_config(f"late{ord(name[1])}"))
    shard_lister = ShardLister(
        lister, LocalStore(tmp_path), Layout("late", "test"), now=lambda: NOW
    )

    snapshot = shard_lister.list_shard(DAY, make_shard("", ["a/", "b/"]))

    assert [part.first_key for part in snapshot.parts] == [name, "z"]


def test_a_folder_that_lost_its_last_object_is_no_key_but_an_object_named_like_one_is(
    seaweedfs: Endpoint, tmp_path: Path
) -> None:
    objects = {"made/": b"", "full/": b"", "full/one": b"x", "z": b"x"}
    seaweedfs.make_bucket("left", {**objects, "left/one": b"x", "full/left/one": b"x"})
    seaweedfs.delete("left", ["left/one", "full/left/one"])

    inventory = list_inventory(seaweedfs, "left", tmp_path)

    assert inventory.fields == expected_fields(objects)
