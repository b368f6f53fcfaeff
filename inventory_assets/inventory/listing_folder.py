"""List a bucket into a plain folder of sorted Parquet files, without dates or shards.

The key space is cut into ranges as the listing goes on; they are listed side by side, and their
parts, taken in order, are sorted as a whole.
"""

import json
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pydantic import TypeAdapter

from inventory_assets.inventory.errors import EvidenceBroken, StoreError
from inventory_assets.inventory.listing_processes import list_by_processes
from inventory_assets.inventory.parts import Part
from inventory_assets.inventory.plain_listing import (
    JOURNAL,
    Work,
    journal_of,
    list_by_directories,
    list_by_ranges,
)
from inventory_assets.inventory.store import LocalStore
from inventory_assets.inventory.taking import say_nothing
from inventory_assets.s3.listing import BucketLister, Tally
from inventory_assets.scan.discovery import ShardBounds, discover
from inventory_assets.scan.errors import KeysOutOfOrder
from inventory_assets.scan.key_order import KeyOrder
from inventory_assets.scan.progress import Report, to_nobody
from inventory_assets.scan.ranges import KeyRange
from inventory_assets.scan.versions import Versions

_BOUNDS = ShardBounds(depth=0)
"""Discovery is asked for the store's order only."""

_WORK, _GONE = ".inventory-unfinished", ".inventory-finished"
_FINISHED, _ASKED_FOR = "finished.json", "asked-for.json"


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
    lister: BucketLister,
    prefix: str,
    folder: Path,
    processes: int = 1,
    say: Callable[[str], None] = say_nothing,
    report: Report = to_nobody,
    asked_for: Sequence[str] = (),
    versions: Versions | None = None,
) -> FolderListing:
    """List all keys under `prefix` into `folder` as `part-00000.parquet` and so on.

    The files appear when all is listed; before that, or after a failure, there are none. What an
    earlier call left unfinished is gone on with.

    Args:
        lister: The bucket.
        prefix: What the keys start with.
        folder: Where the files go.
        processes: How many share the work, and the requests in flight.
        say: Told, in a sentence, what a user may want to know.
        report: Told every event; of other processes, now and then how far they have come.
        asked_for: The arguments of the command, which `unfinished_listing` remembers.
        versions: Which versions to list; None for the current objects.

    Raises:
        StoreError: The folder holds Parquet files already, or cannot be written.
        EvidenceBroken: The listing does not prove that it is complete.
        ProcessLost: A process was killed.
        S3Error: A request failed for good.
        ScanError: The store keeps to no order.
        VersionsNotListed: Its order is one in which versions cannot be listed.
    """
    shutil.rmtree(folder / _GONE, ignore_errors=True)
    store = LocalStore(folder / _WORK)
    finished = store.read(_FINISHED)
    if finished is not None:
        return _move(store, folder, _adapter().validate_json(finished))
    if any(folder.glob("*.parquet")):
        raise StoreError(
            f"{folder} holds Parquet files already; choose another folder, or remove them"
        )
    try:
        store.publish(_ASKED_FOR, json.dumps([*asked_for]).encode())
        listing = _list(Work(lister, prefix, processes, store, say, report, versions))
        # From here on, what is killed is gone on with by moving the rest.
        store.publish(_FINISHED, _adapter().dump_json(listing))
        return _move(store, folder, listing)
    except (EvidenceBroken, KeysOutOfOrder):
        store.remove()  # what is wrong shall not be gone on with
        raise
    finally:
        if not any(store.names(JOURNAL)):
            store.remove()


def unfinished_listing(folder: Path) -> list[str]:
    """With which arguments the listing into a folder was asked for that is not finished.

    Raises:
        StoreError: There is none.
    """
    data = LocalStore(folder / _WORK).read(_ASKED_FOR)
    if data is None:
        raise StoreError(f"{folder} holds no unfinished listing; begin one with `inventory list`")
    return TypeAdapter(list[str]).validate_json(data)


def is_unfinished(folder: Path) -> bool:
    """Whether something is kept of a listing into a folder that another call goes on with."""
    store = LocalStore(folder / _WORK)
    return any(store.names(JOURNAL)) or store.size(_FINISHED) is not None


@dataclass(frozen=True, slots=True)
class _Listing:
    """What was listed, its parts still under the names of their content."""

    parts: tuple[Part, ...]
    requests: int
    faults: dict[str, int]


def _move(store: LocalStore, folder: Path, listing: _Listing) -> FolderListing:
    """Give the parts their final names, those that have them already passed over."""
    files = tuple(folder / f"part-{number:05}.parquet" for number in range(len(listing.parts)))
    for part, file in zip(listing.parts, files, strict=True):
        if store.size(part.key) is not None:
            store.path(part.key).replace(file)
    # Renamed first: what says that all is listed must not be gone while the rest is there.
    store.root.rename(folder / _GONE)
    shutil.rmtree(folder / _GONE, ignore_errors=True)
    return FolderListing(
        files=files,
        rows=sum(part.rows for part in listing.parts),
        object_bytes=sum(part.object_bytes for part in listing.parts),
        requests=listing.requests,
        faults=listing.faults,
    )


@cache
def _adapter() -> TypeAdapter[_Listing]:
    return TypeAdapter(_Listing)


def _list(work: Work) -> _Listing:
    tally = Tally()
    discovery = discover(work.lister, work.prefix, _BOUNDS)
    tally.requests += discovery.requests
    try:
        return _list_in_order(work, discovery.key_order, tally)
    except KeysOutOfOrder:
        if work.versions or discovery.key_order is KeyOrder.DIRECTORY:
            raise
        return _list_in_order(work, KeyOrder.DIRECTORY, tally)


def _list_in_order(work: Work, key_order: KeyOrder, tally: Tally) -> _Listing:
    journal = journal_of(work, key_order)
    kept = journal.kept
    missing = kept.missing([KeyRange.of_prefix(work.prefix)])
    try:
        if key_order is KeyOrder.DIRECTORY:
            parts = list_by_directories(work, journal, missing, tally)
        elif work.processes > 1:
            parts = list_by_processes(work, journal, missing, tally)
        else:
            parts = list_by_ranges(work, journal, missing, tally)
    except KeysOutOfOrder:
        journal.clear()  # what is wrong shall not be gone on with
        raise
    parts += tuple(part for stretch in kept.stretches for part in stretch.parts)
    faults = Counter({fault.value: count for fault, count in tally.faults.items()})
    faults.update(kept.faults)
    return _Listing(
        tuple(sorted(parts, key=lambda part: part.first_key)),
        tally.requests + kept.requests,
        dict(sorted(faults.items())),
    )
