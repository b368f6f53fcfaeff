"""What discovery found, kept for the listings that come after it."""

import json
from datetime import datetime
from functools import cache

from pydantic import TypeAdapter, ValidationError

from inventory_assets.inventory.errors import UnknownShard
from inventory_assets.inventory.storage.layout import Layout
from inventory_assets.inventory.storage.prefix_encoding import (
    REMAINDER,
    decode_prefix,
    encode_prefix,
)
from inventory_assets.inventory.storage.store import Store
from inventory_assets.s3.store_profile import StoreProfile
from inventory_assets.scan.keyspace.key_order import KeyOrder
from inventory_assets.scan.prefix_discovery import Discovery


def shard_key(prefix: str, source_prefix: str) -> str:
    """The partition key of a shard."""
    return REMAINDER if prefix == source_prefix else encode_prefix(prefix)


def record_discovery(store: Store, layout: Layout, discovery: Discovery, now: datetime) -> None:
    """Record the store's key order, and the prefixes too long for their partition keys."""
    for prefix in discovery.prefixes:
        key = encode_prefix(prefix)
        if decode_prefix(key) is None:
            record = json.dumps({"prefix": prefix}).encode()
            store.publish(layout.long_prefix(key), record)
    document = {
        "found_at": now.isoformat(),
        "key_order": discovery.key_order.value,
        "profile": _profiles().dump_python(discovery.profile, mode="json"),
        "prefixes": list(discovery.prefixes),
        "requests": discovery.requests,
    }
    store.publish(layout.discovery, json.dumps(document, indent=1).encode())


def known_key_order(store: Store, layout: Layout) -> KeyOrder | None:
    """How the store lists, as the last discovery found; None before the first."""
    data = store.read(layout.discovery)
    try:
        return KeyOrder(json.loads(data)["key_order"]) if data else None
    except (ValueError, KeyError, TypeError):
        return None


def known_profile(store: Store, layout: Layout) -> StoreProfile | None:
    """How the store lists besides, as the last discovery found; None before the first."""
    data = store.read(layout.discovery)
    try:
        return (
            _profiles().validate_python(json.loads(data)["profile"], strict=False) if data else None
        )
    except (ValueError, KeyError, TypeError, ValidationError):
        return None


@cache
def _profiles() -> TypeAdapter[StoreProfile]:
    return TypeAdapter(StoreProfile)


def prefix_of(store: Store, layout: Layout, key: str, source_prefix: str) -> str:
    """The prefix that a partition key stands for.

    Raises:
        UnknownShard: It stands for none, for one outside the source, or for one never discovered.
    """
    if key == REMAINDER:
        return source_prefix
    try:
        prefix = decode_prefix(key)
        if prefix is None:
            data = store.read(layout.long_prefix(key))
            prefix = str(json.loads(data)["prefix"]) if data else ""
    except (ValueError, KeyError, TypeError):
        prefix = ""
    is_canonical = encode_prefix(prefix) == key
    if not prefix or not is_canonical or not prefix.startswith(source_prefix):
        raise UnknownShard(
            f"the partition key {key!r} stands for no prefix under {source_prefix!r} that is known "
            "here; materialize the source's asset `shards` to find its prefixes, and choose one of "
            "the keys it adds"
        )
    return prefix
