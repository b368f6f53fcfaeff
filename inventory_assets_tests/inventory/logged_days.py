"""Days of a bucket that are listed, compared, merged and logged."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta

import pyarrow.parquet as pq

from inventory_assets.inventory.changes.change_log import (
    ChangeLog,
    publish_change_log,
)
from inventory_assets.inventory.changes.shard_changes import publish_changes
from inventory_assets.inventory.manifest.manifest import Manifest
from inventory_assets.inventory.manifest.manifest_merge import (
    merge,
    newest_manifest,
    publish_manifest,
)
from inventory_assets.inventory.manifest.snapshot import Snapshot
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets.scan.keyspace.shard import make_shard
from inventory_assets_tests.inventory.samples import DAY, LAYOUT, NOW, listed, snapshot_of

YESTERDAY = DAY - timedelta(days=1)


def shard_snapshots(
    store: LocalStore, held: set[str], shards: set[str], day: date
) -> dict[str, Snapshot]:
    """The snapshots of all shards of a bucket that holds some keys."""
    every = sorted({"", *shards})
    return {
        prefix: snapshot_of(
            store,
            make_shard(prefix, every),
            listed(key for key in held if make_shard(prefix, every).covers(key)),
            day,
        )
        for prefix in every
    }


def merged(store: LocalStore, snapshots: Mapping[str, Snapshot]) -> Manifest:
    manifest = merge(store, LAYOUT, "", snapshots, NOW)
    publish_manifest(store, LAYOUT, manifest)
    return manifest


def compared(store: LocalStore, snapshots: Mapping[str, Snapshot]) -> None:
    for snapshot in snapshots.values():
        baseline = newest_manifest(store, LAYOUT, before=snapshot.day)
        publish_changes(store, LAYOUT, snapshot, baseline, NOW)


def pass_day(store: LocalStore, held: set[str], day: date, shards: set[str]) -> ChangeLog:
    """List, compare, merge and log a day."""
    snapshots = shard_snapshots(store, held, shards, day)
    compared(store, snapshots)
    return publish_change_log(store, LAYOUT, merged(store, snapshots), NOW)


def listed_files(store: LocalStore, day: date) -> Sequence[str]:
    return store.path(LAYOUT.change_log_symlink(day)).read_text().splitlines()


def logged(store: LocalStore, day: date = DAY) -> list[tuple[str, str]]:
    """The keys of a day's log, and what happened to them."""
    tables = [pq.read_table(file, columns=["key", "change"]) for file in listed_files(store, day)]
    return sorted((row["key"], row["change"]) for t in tables for row in t.to_pylist())


def expected(then: set[str], now: set[str]) -> list[tuple[str, str]]:
    changes = dict.fromkeys(now - then, "created") | dict.fromkeys(then - now, "deleted")
    return sorted(changes.items())
