"""A store with two dates of a source, and the configuration that names it."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from inventory_assets.inventory.manifest.manifest import Manifest
from inventory_assets.inventory.manifest.manifest_merge import merge, publish_manifest
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets.s3.latency_histogram import LatencyHistogram
from inventory_assets.scan.keyspace.shard import make_shard
from inventory_assets_tests.inventory.samples import DAY, LAYOUT, NOW, listed, snapshot_of

LATENCIES = LatencyHistogram({-24: 90, -16: 10})
"""Of 100 requests: an eighth of a second, and a quarter."""


def publish_two_days(folder: Path) -> Manifest:
    """Publish two objects on one date and three on the next; return the newest manifest."""
    (folder / "inventory.toml").write_text(
        'store = "store"\n[sources.source]\nbucket = "bucket"\n[sources.new]\nbucket = "other"\n'
    )
    store = LocalStore(folder / "store")
    newest: Manifest | None = None
    for number, keys in enumerate([["a", "b"], ["a", "b", "c"]]):
        day = DAY + timedelta(days=number)
        snapshot = snapshot_of(store, make_shard("", [""]), listed(keys), day)
        snapshot = replace(
            snapshot, requests=110, faults={"throttled": 7, "reset": 3}, latency=LATENCIES
        )
        newest = merge(store, LAYOUT, "", {"": snapshot}, NOW, baseline=newest)
        publish_manifest(store, LAYOUT, newest)
    assert newest is not None
    return newest
