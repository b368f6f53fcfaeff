"""The recorded result of discovery, which later listings read."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from inventory_assets.inventory.errors import CorruptRecord, UnknownShard
from inventory_assets.inventory.storage.commit import publish
from inventory_assets.inventory.storage.layout import FileKind, Layout
from inventory_assets.inventory.storage.prefix_encoding import (
    REMAINDER,
    decode_prefix,
    encode_prefix,
)
from inventory_assets.inventory.storage.record_type import RecordType
from inventory_assets.inventory.storage.store import Store
from inventory_assets.s3.store_profile import StoreProfile
from inventory_assets.scan.keyspace.key_order import KeyOrder
from inventory_assets.scan.prefix_discovery import Discovery


@dataclass(frozen=True, slots=True)
class _RecordedDiscovery(Discovery):
    found_at: datetime = field(kw_only=True)


@dataclass(frozen=True, slots=True)
class _LongPrefix:
    prefix: str


_REMEDY = "materialize the source's asset `shards` again"
_DISCOVERY = RecordType(
    kind=FileKind.DISCOVERY,
    title="result of a discovery",
    remedy=_REMEDY,
    written_at="found_at",
    model=_RecordedDiscovery,
)
_LONG_PREFIX = RecordType(
    kind=FileKind.LONG_PREFIX, title="prefix of a shard", remedy=_REMEDY, model=_LongPrefix
)


def shard_key(prefix: str, source_prefix: str) -> str:
    """The partition key of a shard."""
    return REMAINDER if prefix == source_prefix else encode_prefix(prefix)


def record_discovery(store: Store, layout: Layout, discovery: Discovery, now: datetime) -> None:
    """Record the store's key order, and the prefixes too long for their partition keys."""
    record_prefixes(store, layout, discovery.prefixes)
    record = _RecordedDiscovery(
        discovery.prefixes,
        discovery.key_order,
        discovery.requests,
        discovery.profile,
        found_at=now,
    )
    publish(store, _DISCOVERY.file(layout.discovery, record))


def record_prefixes(store: Store, layout: Layout, prefixes: Iterable[str]) -> None:
    """Record those prefixes of shards that are too long for their partition keys."""
    for prefix in prefixes:
        key = encode_prefix(prefix)
        if decode_prefix(key) is None:
            publish(store, _LONG_PREFIX.file(layout.long_prefix(key), _LongPrefix(prefix)))


def known_key_order(store: Store, layout: Layout) -> KeyOrder | None:
    """The key order that the last discovery found; None before the first discovery."""
    found = _read_discovery(store, layout)
    return found.key_order if found else None


def known_profile(store: Store, layout: Layout) -> StoreProfile | None:
    """The store profile that the last discovery found; None before the first discovery."""
    found = _read_discovery(store, layout)
    return found.profile if found else None


def _read_discovery(store: Store, layout: Layout) -> Discovery | None:
    try:
        return _DISCOVERY.read(store, layout.discovery)
    except CorruptRecord:
        return None


def prefix_of(store: Store, layout: Layout, key: str, source_prefix: str) -> str:
    """The prefix of a partition key.

    Raises:
        UnknownShard: The key is invalid, or its prefix is outside the source or was never found.
    """
    if key == REMAINDER:
        return source_prefix
    try:
        prefix = decode_prefix(key)
        if prefix is None:
            found = _LONG_PREFIX.read(store, layout.long_prefix(key))
            prefix = found.prefix if found else ""
    except (ValueError, CorruptRecord):
        prefix = ""
    is_canonical = encode_prefix(prefix) == key
    if not prefix or not is_canonical or not prefix.startswith(source_prefix):
        raise UnknownShard(
            f"the partition key {key!r} does not belong to a known prefix under {source_prefix!r}; "
            "materialize the source's asset `shards` to find its prefixes, and choose one of the "
            "keys that it adds"
        )
    return prefix
