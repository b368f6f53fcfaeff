"""Listings of a bucket in memory that are killed before they end."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pyarrow as pa
import pytest

from inventory_assets.inventory.listing import (
    checkpoints,
    listing_driver,
    part_stream,
)
from inventory_assets.inventory.listing.part_sizing import PartSizing
from inventory_assets.inventory.listing.shard_lister import ShardLister
from inventory_assets.inventory.manifest.snapshot import Snapshot
from inventory_assets.inventory.parts import part_writer
from inventory_assets.inventory.parts.part import read_records
from inventory_assets.inventory.parts.schema import RECORD_SCHEMA
from inventory_assets.inventory.storage import local_store
from inventory_assets.inventory.storage.layout import Layout
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets.s3.bucket_config import BucketConfig
from inventory_assets.scan.keyspace.key_order import KeyOrder
from inventory_assets.scan.keyspace.key_range import KeyRange
from inventory_assets.scan.keyspace.shard import Shard, make_shard
from inventory_assets_tests.fakes.model_s3 import ModelS3
from inventory_assets_tests.fakes.simulated_bucket import Killed, Life, MortalStore
from inventory_assets_tests.fakes.virtual_time import scans_run_on_virtual_time
from inventory_assets_tests.inventory.samples import DAY, NOW

MODEL = Layout("model", "source")
KEYS = [sha256(str(number).encode()).hexdigest()[:8] for number in range(400)]
WHOLE = KeyRange.of_prefix("")
SMALL = PartSizing(min_rows=4, min_rows_to_split=30)


@contextmanager
def small_files() -> Iterator[None]:
    """Files of a few records, noted at once; nothing is flushed, and time costs nothing."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (part_stream, part_writer):
            patch.setattr(module, "ROW_GROUP_ROWS", 8)
        patch.setattr(part_writer, "PART_ROWS", 16)
        patch.setattr(checkpoints, "RECORD_INTERVAL", timedelta(0))
        patch.setattr(listing_driver, "DIRECTORY_PART_INTERVAL", timedelta(0))
        patch.setattr(local_store, "_flush", lambda _path: None)
        scans_run_on_virtual_time(patch)
        yield


FOLDERS = [f"{key[:1]}/{key[1:2]}/{key[2:]}" for key in KEYS]
EITHER_ORDER = pytest.mark.parametrize(
    ("keys", "key_order"), [(KEYS, KeyOrder.BYTES), (FOLDERS, KeyOrder.DIRECTORY)]
)


class Bucket(ModelS3):
    """A bucket in memory whose responses arrive in any order."""

    def __init__(
        self, keys: list[str], seed: int = 0, key_order: KeyOrder = KeyOrder.BYTES
    ) -> None:
        in_directory_order = key_order is KeyOrder.DIRECTORY
        super().__init__(keys, page_size=10, in_directory_order=in_directory_order)
        self.key_order = key_order
        self.bucket_config = BucketConfig("model", max_in_flight=4)
        self._chances = random.Random(seed)  # noqa: S311 - a repeatable test

    def seconds(self, _request: object) -> float:
        return self._chances.choice((0.01, 0.02, 0.1))


def list_shard(lister: Bucket, store: LocalStore, shard: Shard, now: datetime = NOW) -> Snapshot:
    shard_lister = ShardLister(
        lister, store, MODEL, lister.key_order, now=lambda: now, sizing=SMALL
    )
    return shard_lister.list_shard(DAY, shard)


def records(store: LocalStore, snapshot: Snapshot) -> pa.Table:
    batches = read_records(store, snapshot.parts, [WHOLE])
    return pa.Table.from_batches(batches, RECORD_SCHEMA).combine_chunks()


def killed_late(root: Path, keys: list[str] = KEYS, key_order: KeyOrder = KeyOrder.BYTES) -> None:
    """A listing that was killed when checkpoints covered much of it."""
    # By directories, each file holds but what a folder does, and is noted.
    left = 50 if key_order is KeyOrder.BYTES else 350
    with pytest.raises(Killed):
        list_shard(
            Bucket(keys, key_order=key_order), MortalStore(root, Life(left)), make_shard("", [])
        )
