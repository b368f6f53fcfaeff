"""What runs and persons do with a date, for the tests of the gate: list, publish, release, read."""

from collections.abc import Callable
from copy import copy
from dataclasses import replace
from datetime import date, timedelta
from itertools import count
from typing import Any, TypeVar

from inventory_assets.inventory.gate.publication import (
    Outcome,
    begin_date,
    publish_or_hold,
    release_date,
)
from inventory_assets.inventory.gate.verdict import GateBounds
from inventory_assets.inventory.manifest.manifest import Manifest
from inventory_assets.inventory.manifest.manifest_merge import merge, newest_manifest
from inventory_assets.inventory.manifest.snapshot import Snapshot
from inventory_assets.inventory.query.dataset import Dataset
from inventory_assets.inventory.storage.store import Store
from inventory_assets.s3.latency_histogram import LatencyHistogram, bucket_of
from inventory_assets.scan.keyspace.shard import Shard
from inventory_assets_tests.inventory.histories import Killed
from inventory_assets_tests.inventory.samples import DAY, LAYOUT, NOW, listed, snapshot_of

BOUNDS = GateBounds(failed_percent=0.8, slower_ms=150)
TOMORROW = DAY + timedelta(days=1)
BECAUSE = "the store was slow, and everything is there"
clock = (NOW + timedelta(seconds=number) for number in count())
"""Each time is later than the one before."""

AnyStore = TypeVar("AnyStore", bound=Store)

Change = Callable[[Snapshot], Snapshot]


def failing(snapshot: Snapshot) -> Snapshot:
    return replace(snapshot, requests=1_000, faults={"throttled": 50})


def slow(snapshot: Snapshot) -> Snapshot:
    return replace(snapshot, requests=1_000, latency=LatencyHistogram({bucket_of(0.9): 1_000}))


def quick(snapshot: Snapshot) -> Snapshot:
    return replace(snapshot, requests=1_000, latency=LatencyHistogram({bucket_of(0.1): 1_000}))


def incomplete(snapshot: Snapshot) -> Snapshot:
    first, *others = snapshot.evidence
    return replace(snapshot, evidence=(replace(first, rows=first.rows + 1), *others))


def snapshots(
    store: Store, keys: str, day: date = DAY, change: Change = quick
) -> dict[str, Snapshot]:
    return {"": change(snapshot_of(store, Shard("", ()), listed(keys), day))}


def materialize(
    store: Store,
    keys: str,
    day: date = DAY,
    change: Change = quick,
    bounds: GateBounds = BOUNDS,
) -> Outcome:
    """What a run of `inventory_manifest` does, after a listing that found these keys."""
    begun = begin_date(store, LAYOUT, day, next(clock))
    found = snapshots(store, keys, day, change)
    manifest = merge(
        store, LAYOUT, "", found, next(clock), baseline=newest_manifest(store, LAYOUT, day)
    )
    return publish_or_hold(store, LAYOUT, manifest, found, bounds, begun, next(clock))


def release(store: Store, day: date = DAY, because: str = BECAUSE) -> Manifest:
    return release_date(store, LAYOUT, day, "ada", because, lambda: next(clock))


def published_keys(store: Store, day: date | None = None) -> str:
    batches = Dataset.of_date(store, LAYOUT, day).batches(["key"])
    return "".join(key for batch in batches for key in batch.column("key").to_pylist())


def files_of_date(store: Store, day: date = DAY) -> list[str]:
    keys = (LAYOUT.manifest, LAYOUT.s3_manifest, LAYOUT.checksum, LAYOUT.symlink)
    return [key(day) for key in keys if store.read(key(day)) is not None]


def interrupted(store: AnyStore, after: int, action: Callable[[], object]) -> AnyStore:
    """The same store, for a run during which something happens before one of its writes."""
    busy = copy(store)
    left = [after]

    def put_if_match(*arguments: Any) -> str:
        left[0] -= 1
        if left[0] == -1:
            action()
        return store.put_if_match(*arguments)

    busy.put_if_match = put_if_match  # type: ignore[assignment,method-assign]
    return busy


def die() -> None:
    raise Killed
