"""List a bucket into a plain folder of sorted Parquet files, without dates or shards.

The key space is cut into ranges as the listing goes on; they are listed side by side, and their
parts, taken in order, are sorted as a whole.
"""

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from inventory_assets.inventory.assembling import Assembly, RowBudget
from inventory_assets.inventory.errors import StoreError
from inventory_assets.inventory.layout import Layout
from inventory_assets.inventory.parts import Part
from inventory_assets.inventory.store import LocalStore
from inventory_assets.s3 import BucketLister, Tally
from inventory_assets.scan import (
    DirectoryOrderWalk,
    Ended,
    EvidenceLog,
    Failed,
    Found,
    KeyOrder,
    KeyRange,
    KeysOutOfOrder,
    Scan,
    Shard,
    ShardBounds,
    Split,
    Walk,
    discover,
)

_BOUNDS = ShardBounds(depth=0)
"""Discovery is asked for the store's order only."""

_WORK = ".inventory-unfinished"


@dataclass(frozen=True, slots=True)
class FolderListing:
    """What was listed into a folder.

    Attributes:
        files: The Parquet files, in key order.
        rows: Objects in them.
        object_bytes: The sum of their sizes.
        requests: Requests sent.
        faults: Passing trouble met, by kind.
    """

    files: tuple[Path, ...]
    rows: int
    object_bytes: int
    requests: int
    faults: dict[str, int]


def list_into_folder(lister: BucketLister, prefix: str, folder: Path) -> FolderListing:
    """List all keys under `prefix` into `folder` as `part-00000.parquet` and so on.

    The files appear when all is listed; before that, or after a failure, there are none.

    Raises:
        StoreError: The folder holds Parquet files already, or cannot be written.
        S3Error: A request failed for good.
        ScanError: The store keeps to no order.
    """
    if any(folder.glob("*.parquet")):
        raise StoreError(
            f"{folder} holds Parquet files already; choose another folder, or remove them"
        )
    tally = Tally()
    store = LocalStore(folder / _WORK)
    layout = Layout(lister.connection.bucket, "list")
    try:
        discovery = discover(lister, prefix, _BOUNDS)
        try:
            if discovery.key_order is KeyOrder.DIRECTORY:
                parts = _list_in_directory_order(lister, prefix, store, layout, tally)
            else:
                parts = _list_by_ranges(lister, prefix, store, layout, tally)
        except KeysOutOfOrder:
            parts = _list_in_directory_order(lister, prefix, store, layout, tally)
        files = tuple(folder / f"part-{number:05}.parquet" for number in range(len(parts)))
        for part, file in zip(parts, files, strict=True):
            store.path(part.key).replace(file)
    finally:
        store.remove()
    return FolderListing(
        files=files,
        rows=sum(part.rows for part in parts),
        object_bytes=sum(part.object_bytes for part in parts),
        requests=tally.requests + discovery.requests,
        faults={fault.value: count for fault, count in sorted(tally.faults.items())},
    )


def _list_by_ranges(
    lister: BucketLister, prefix: str, store: LocalStore, layout: Layout, tally: Tally
) -> tuple[Part, ...]:
    walk = Walk(prefix, [KeyRange.of_prefix(prefix)], tally)
    failure: Exception | None = None
    assembly = Assembly(store, layout, walk.ranges, RowBudget(), with_fingerprint=False)
    with closing(assembly):
        for event in Scan(lister, [walk]):
            match event:
                case Found(index=index, objects=objects):
                    assembly.write(index, objects)
                case Split(index=index, upper=upper):
                    assembly.split(index, upper)
                case Ended(index=index):
                    assembly.end(index)
                case Failed(error=error):
                    failure = error
        if failure:
            raise failure
        return assembly.finish()


def _list_in_directory_order(
    lister: BucketLister, prefix: str, store: LocalStore, layout: Layout, tally: Tally
) -> tuple[Part, ...]:
    shard = Shard(prefix)
    log = EvidenceLog(shard.ranges)
    assembly = Assembly(store, layout, shard.ranges, RowBudget(), with_fingerprint=False)
    with closing(assembly):
        for objects in DirectoryOrderWalk(lister, shard, tally, log):
            assembly.write(0, objects)
        assembly.end(0)
        return assembly.finish()
