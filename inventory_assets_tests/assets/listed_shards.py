"""The keys of a small bucket, an error, and the snapshot of a shard."""

from inventory_assets.inventory.manifest.snapshot import Snapshot, read_snapshot
from inventory_assets.s3.errors import AccessDenied
from inventory_assets_tests.assets.world import World

KEYS = ["a/1", "a/2", "b/1", "root"]
DENIED = AccessDenied("bucket 'x' at y: listing is not allowed")


def snapshot_of(world: World, prefix: str) -> Snapshot:
    snapshot = read_snapshot(world.store, world.layout, world.day, prefix)
    assert snapshot is not None
    return snapshot
