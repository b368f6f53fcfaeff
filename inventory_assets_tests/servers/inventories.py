"""Inventories of whole buckets on real servers, made as the assets make them."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from importlib import resources
from pathlib import Path

import pyarrow as pa
import zstandard

from inventory_assets.inventory.listing.shard_lister import ShardLister
from inventory_assets.inventory.manifest.manifest import Manifest
from inventory_assets.inventory.manifest.manifest_merge import (
    merge,
    publish_manifest,
    read_manifest,
    violations_of,
)
from inventory_assets.inventory.manifest.snapshot import Snapshot
from inventory_assets.inventory.parts.part import read_records
from inventory_assets.inventory.storage.layout import Layout
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets.s3.list_client import ListClient
from inventory_assets.scan.keyspace.key_order import KeyOrder
from inventory_assets.scan.keyspace.key_range import KeyRange
from inventory_assets.scan.keyspace.shard import make_shard
from inventory_assets.scan.prefix_discovery import discover
from inventory_assets.scan.prefix_search import ShardBounds
from inventory_assets_tests.external_servers import Endpoint

DAY = date(2026, 3, 1)
NOW = datetime(2026, 3, 2, tzinfo=UTC)

ObjectFields = tuple[str, int, str | None]
"""A key, its size and its ETag."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A published inventory, and what it was made of."""

    manifest: Manifest
    snapshots: Mapping[str, Snapshot]
    fields: list[ObjectFields]

    @property
    def keys(self) -> list[str]:
        return [key for key, _, _ in self.fields]


def list_inventory(
    endpoint: Endpoint,
    bucket: str,
    folder: Path,
    prefix: str = "",
    depth: int = 1,
    key_order: KeyOrder | None = None,
) -> Taken:
    """Discover shards, list each, merge, publish, and read back what was published."""
    store, layout = LocalStore(folder), Layout(bucket, "test")
    lister = ListClient(endpoint.bucket_config(bucket))
    try:
        bounds = ShardBounds(depth=depth, max_shards=10_000)
        found = discover(lister, prefix, bounds, key_order)
        prefixes = [prefix, *found.prefixes]
        known = found.key_order if found.key_order is KeyOrder.DIRECTORY else key_order
        shard_lister = ShardLister(lister, store, layout, known, lambda: NOW)
        snapshots = {
            each: shard_lister.list_shard(DAY, make_shard(each, prefixes)) for each in prefixes
        }
    finally:
        lister.close()
    manifest = merge(store, layout, prefix, snapshots, NOW)
    assert violations_of(manifest) == []
    publish_manifest(store, layout, manifest)
    assert read_manifest(store, layout, DAY) == manifest
    return Taken(manifest, snapshots, fields_of(store, manifest))


def fields_of(store: LocalStore, manifest: Manifest) -> list[ObjectFields]:
    """The rows of a manifest's files, in order."""
    everything = [KeyRange.of_prefix("")]
    batches = list(read_records(store, manifest.parts, everything, ["key", "size", "e_tag"]))
    if not batches:
        return []
    columns = pa.Table.from_batches(batches).select(["key", "size", "e_tag"]).to_pydict()
    return list(zip(*columns.values(), strict=True))


def expected_fields(objects: Mapping[str, bytes]) -> list[ObjectFields]:
    """The rows of an inventory of exactly these objects: the oracle."""
    keys = sorted(objects, key=str.encode)
    return [(key, len(objects[key]), _md5(objects[key])) for key in keys]


def body_of(key: str) -> bytes:
    """A body whose size and ETag tell it from its neighbours'."""
    digest = hashlib.sha256(key.encode()).digest()
    return digest[: 1 + digest[0] % 32]


def real_names() -> list[str]:
    """The demo's key names: paths of Debian's files."""
    file = resources.files("inventory_assets.demo").joinpath("key_names.txt.zst")
    with zstandard.ZstdDecompressor().stream_reader(file.read_bytes()) as reader:
        return [name for name in reader.read().decode().split("\n") if name]


def _md5(body: bytes) -> str:
    return hashlib.md5(body, usedforsecurity=False).hexdigest()
