"""List a bucket into a plain folder of sorted Parquet files, without dates or shards.

The key space is cut at the prefixes found; the pieces are listed side by side, and their parts,
taken in order, are sorted as a whole. Small neighbours are joined, so that many little prefixes do
not end as many little files.
"""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from inventory_assets.inventory.errors import StoreError
from inventory_assets.inventory.layout import Layout
from inventory_assets.inventory.parts import ROW_GROUP_ROWS, Part, PartWriter, read_records
from inventory_assets.inventory.records import to_records
from inventory_assets.inventory.store import LocalStore
from inventory_assets.s3 import BucketLister, Tally
from inventory_assets.s3.pages import MAX_KEYS
from inventory_assets.scan import (
    DirectoryOrderWalk,
    EvidenceLog,
    KeyOrder,
    KeyOrderWalk,
    KeyRange,
    KeysOutOfOrder,
    Shard,
    ShardBounds,
    discover,
)
from inventory_assets.scan.discovery import LEVEL_PAGES

PIECES_AT_ONCE = 8
"""Pieces listed at the same time; each holds a row group and a few pages in memory."""

_BOUNDS = ShardBounds(depth=1, max_shards=LEVEL_PAGES * MAX_KEYS)
"""Nobody can raise a bound here: as many pieces as discovery finds in a level it lists whole."""

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
                parts = _list_pieces(lister, prefix, discovery.prefixes, store, layout, tally)
        except KeysOutOfOrder:
            lister.stop.clear()  # it ended the other pieces; the listing goes on
            parts = _list_in_directory_order(lister, prefix, store, layout, tally)
        parts = _join_small(store, layout, parts)
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


def _list_pieces(
    lister: BucketLister,
    prefix: str,
    prefixes: Sequence[str],
    store: LocalStore,
    layout: Layout,
    tally: Tally,
) -> list[Part]:
    pieces = [*Shard(prefix, tuple(prefixes)).ranges, *map(KeyRange.of_prefix, prefixes)]

    def list_piece(piece: KeyRange) -> list[Part]:
        ranges = [piece]
        walk = KeyOrderWalk(lister, prefix, ranges, tally, EvidenceLog(ranges))
        return _write(walk, store, layout)

    pool = ThreadPoolExecutor(PIECES_AT_ONCE, thread_name_prefix="piece")
    try:
        parts = [part for parts in pool.map(list_piece, sorted(pieces)) for part in parts]
    except BaseException as error:
        lister.stop.set()
        # Who interrupts does not want to wait for a store that does not answer.
        pool.shutdown(wait=isinstance(error, Exception), cancel_futures=True)
        raise
    pool.shutdown()
    return parts


def _list_in_directory_order(
    lister: BucketLister, prefix: str, store: LocalStore, layout: Layout, tally: Tally
) -> list[Part]:
    shard = Shard(prefix)
    return _write(
        DirectoryOrderWalk(lister, shard, tally, EvidenceLog(shard.ranges)), store, layout
    )


def _write(walk: Iterable[pa.RecordBatch], store: LocalStore, layout: Layout) -> list[Part]:
    with PartWriter(store, layout) as writer:
        for objects in walk:
            writer.write(to_records(objects, layout.bucket))
        writer.cut()
    return writer.parts


def _join_small(store: LocalStore, layout: Layout, parts: Sequence[Part]) -> list[Part]:
    joined: list[Part] = []
    small: list[Part] = []

    def join() -> None:
        if len(small) > 1:
            with PartWriter(store, layout) as writer:
                for records in read_records(store, small, [KeyRange.of_prefix("")]):
                    writer.write(records)
                writer.cut()
            joined.extend(writer.parts)
        else:
            joined.extend(small)
        small.clear()

    for part in parts:
        if part.rows < ROW_GROUP_ROWS:
            small.append(part)
        else:
            join()
            joined.append(part)
    join()
    return joined
