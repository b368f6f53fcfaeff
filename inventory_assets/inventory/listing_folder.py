"""List a bucket into a plain folder of sorted Parquet files, without dates or shards.

The key space is cut into ranges as the listing goes on; they are listed side by side, and their
parts, taken in order, are sorted as a whole.
"""

import asyncio
import signal
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cache, partial
from multiprocessing import active_children, get_context
from pathlib import Path

from inventory_assets.inventory.assembling import Assembly, RowBudget
from inventory_assets.inventory.errors import EvidenceBroken, ProcessLost, StoreError
from inventory_assets.inventory.layout import Layout
from inventory_assets.inventory.parts import Part
from inventory_assets.inventory.store import LocalStore
from inventory_assets.s3 import BucketLister, Connection, Tally
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
from inventory_assets.scan.ranges import tiling_fault
from inventory_assets.scan.splitting import cut_evenly

RANGES_A_PROCESS = 4
"""Into how many ranges a process's share is cut, so that none waits long for the others."""

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


def list_into_folder(
    lister: BucketLister, prefix: str, folder: Path, processes: int = 1
) -> FolderListing:
    """List all keys under `prefix` into `folder` as `part-00000.parquet` and so on.

    The files appear when all is listed; before that, or after a failure, there are none.

    Args:
        lister: The bucket.
        prefix: What the keys start with.
        folder: Where the files go.
        processes: How many share the work, and the requests in flight.

    Raises:
        StoreError: The folder holds Parquet files already, or cannot be written.
        EvidenceBroken: The listing does not prove that it is complete.
        ProcessLost: A process was killed.
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
            elif processes > 1:
                parts = _list_by_processes(lister, prefix, processes, store, layout, tally)
            else:
                whole = KeyRange.of_prefix(prefix)
                parts = _list_by_ranges(lister, prefix, whole, store, layout, tally)
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
    lister: BucketLister,
    prefix: str,
    whole: KeyRange,
    store: LocalStore,
    layout: Layout,
    tally: Tally,
) -> tuple[Part, ...]:
    walk = Walk(prefix, [whole], tally)
    failure: Exception | None = None
    ranges: list[KeyRange] = []
    rows = 0
    assembly = Assembly(store, layout, walk.ranges, RowBudget(), with_fingerprint=False)
    with closing(assembly):
        for event in Scan(lister, [walk]):
            match event:
                case Found(index=index, objects=objects):
                    assembly.write(index, objects)
                case Split(index=index, upper=upper):
                    assembly.split(index, upper)
                case Ended(index=index, evidence=evidence):
                    ranges.append(evidence.key_range)
                    rows += evidence.rows
                    assembly.end(index)
                case Failed(error=error):
                    failure = error
        if failure:
            raise failure
        parts = assembly.finish()
    fault = tiling_fault(sorted(ranges), walk.ranges)
    written = sum(part.rows for part in parts)
    if fault or rows != written:
        raise EvidenceBroken(
            f"{lister.connection.where}: the listing of {prefix!r} does not prove that it is "
            f"complete: {fault or f'{rows:,} objects seen, {written:,} written'}; list it again"
        )
    return parts


def _list_by_processes(
    lister: BucketLister,
    prefix: str,
    processes: int,
    store: LocalStore,
    layout: Layout,
    tally: Tally,
) -> tuple[Part, ...]:
    """Share the key space among processes, each with its part of the requests in flight."""
    connection = lister.connection
    share = replace(connection, max_in_flight=max(1, connection.max_in_flight // processes))
    ranges = asyncio.run(cut_evenly(lister, prefix, processes * RANGES_A_PROCESS, tally))
    # Spawned: a fork would take over locks that other threads hold.
    context = get_context("spawn")
    pool = ProcessPoolExecutor(processes, context, initializer=_ignore_interrupts)
    parts: list[Part] = []
    try:
        task = partial(_list_range, share, prefix, store.root, layout)
        for found, cost in pool.map(task, ranges):
            parts += found
            tally.add(cost)
    except BrokenProcessPool:
        raise ProcessLost(
            f"{connection.where}: a process of the listing ended unexpectedly, perhaps for want of "
            "memory; list it again, with fewer processes"
        ) from None
    except BaseException:
        for process in active_children():
            process.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
    return tuple(parts)


def _list_range(
    connection: Connection, prefix: str, root: Path, layout: Layout, key_range: KeyRange
) -> tuple[tuple[Part, ...], Tally]:
    """What each process does."""
    tally = Tally()
    lister = _opened(connection)
    return _list_by_ranges(lister, prefix, key_range, LocalStore(root), layout, tally), tally


@cache
def _opened(connection: Connection) -> BucketLister:
    """One for all ranges of a process, so that its connections are kept alive."""
    return BucketLister(connection)


def _ignore_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process is told, and ends the others


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
