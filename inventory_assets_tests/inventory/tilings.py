"""Snapshots of shards that tile a bucket."""

from collections.abc import Iterable
from datetime import datetime

from hypothesis import strategies as st

from inventory_assets.inventory.manifest.manifest import Manifest
from inventory_assets.inventory.manifest.manifest_merge import (
    merge,
)
from inventory_assets.inventory.manifest.snapshot import Snapshot
from inventory_assets.inventory.parts.part import read_records
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets.scan.keyspace.key_range import KeyRange
from inventory_assets.scan.keyspace.shard import make_shard
from inventory_assets_tests.inventory.samples import LAYOUT, NOW, listed, snapshot_of

KEYS = ["a/1", "a/2", "b/1", "b/x/1", "b/x/2", "b/y", "c", "é"]
keys = st.text(st.sampled_from("ab/é"), min_size=1, max_size=5)
prefixes = st.text(st.sampled_from("ab/é"), min_size=1, max_size=3)


def snapshot_under(
    store: LocalStore, prefix: str, known: Iterable[str], held: Iterable[str] = KEYS
) -> Snapshot:
    """The snapshot of `prefix` when `known` are shards too."""
    shard = make_shard(prefix, known)
    return snapshot_of(store, shard, listed(filter(shard.covers, held)))


def tiles(
    store: LocalStore, *shard_prefixes: str, held: Iterable[str] = KEYS
) -> dict[str, Snapshot]:
    """The snapshots of all shards, listed with all known."""
    every = sorted({"", *shard_prefixes})
    return {prefix: snapshot_under(store, prefix, every, held) for prefix in every}


def merged(store: LocalStore, snapshots: dict[str, Snapshot], now: datetime = NOW) -> Manifest:
    return merge(store, LAYOUT, "", snapshots, now)


def keys_of(store: LocalStore, manifest: Manifest) -> list[str]:
    batches = read_records(store, manifest.parts, [KeyRange.of_prefix("")], ["key"])
    return [key for batch in batches for key in batch.column("key").to_pylist()]
