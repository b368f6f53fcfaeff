import pytest

from inventory_assets.inventory.errors import UnknownShard
from inventory_assets.inventory.listing.shard_registry import (
    known_key_order,
    prefix_of,
    record_discovery,
    shard_key,
)
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets.inventory.storage.prefix_encoding import REMAINDER
from inventory_assets.scan.keyspace.key_order import KeyOrder
from inventory_assets.scan.prefix_discovery import Discovery
from inventory_assets_tests.inventory.samples import LAYOUT, NOW

LONG = "logs/" + "x|" * 200


def test_the_remainder_stands_for_the_sources_own_prefix(store: LocalStore) -> None:
    assert shard_key("logs/", "logs/") == REMAINDER
    assert prefix_of(store, LAYOUT, REMAINDER, "logs/") == "logs/"


def test_a_key_gives_its_prefix_back(store: LocalStore) -> None:
    key = shard_key("logs/a|b/", "logs/")
    assert prefix_of(store, LAYOUT, key, "logs/") == "logs/a|b/"


def test_a_prefix_too_long_for_its_key_is_found_again_after_it_was_discovered(
    store: LocalStore,
) -> None:
    key = shard_key(LONG, "")
    with pytest.raises(UnknownShard):
        prefix_of(store, LAYOUT, key, "")
    record_discovery(store, LAYOUT, Discovery((LONG,), KeyOrder.BYTES, 1), NOW)
    assert prefix_of(store, LAYOUT, key, "") == LONG


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"prefix": 1}', b'{"prefix": "other"}'])
def test_a_damaged_record_of_a_long_prefix_makes_its_key_unknown(
    store: LocalStore, damage: bytes
) -> None:
    key = shard_key(LONG, "")
    store.publish(LAYOUT.long_prefix(key), damage)
    with pytest.raises(UnknownShard):
        prefix_of(store, LAYOUT, key, "")


@pytest.mark.parametrize(
    "key", ["", "%ZZ", "%FF", "a b", "a%2F", "%61", "~", "x~0123456789abcdef01234567", "other/"]
)
def test_an_unknown_partition_key_is_rejected_with_advice(store: LocalStore, key: str) -> None:
    with pytest.raises(
        UnknownShard, match=r"does not belong to a known prefix under 'logs/'.* `shards`"
    ):
        prefix_of(store, LAYOUT, key, "logs/")


def test_the_key_order_found_is_remembered(store: LocalStore) -> None:
    assert known_key_order(store, LAYOUT) is None
    record_discovery(store, LAYOUT, Discovery((), KeyOrder.DIRECTORY, 1), NOW)
    assert known_key_order(store, LAYOUT) is KeyOrder.DIRECTORY


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b"{}", b'{"key_order": "other"}'])
def test_a_damaged_discovery_is_ignored(store: LocalStore, damage: bytes) -> None:
    store.publish(LAYOUT.discovery, damage)
    assert known_key_order(store, LAYOUT) is None
