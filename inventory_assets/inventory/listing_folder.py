"""List a bucket into a plain folder of sorted Parquet files, without dates or shards.

The key space is cut into ranges as the listing goes on; they are listed side by side, and their
parts, taken in order, are sorted as a whole.
"""

import asyncio
import json
import os
import shutil
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cache, partial
from multiprocessing import active_children, get_context
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from threading import Thread
from typing import ClassVar

from pydantic import TypeAdapter

from inventory_assets.inventory.assembling import Assembly, RowBudget
from inventory_assets.inventory.checkpoints import Journal, identity_of
from inventory_assets.inventory.errors import (
    EvidenceBroken,
    ProcessLost,
    StoreError,
    versions_in_directories,
)
from inventory_assets.inventory.layout import Layout
from inventory_assets.inventory.parts import Part
from inventory_assets.inventory.store import LocalStore
from inventory_assets.inventory.taking import BETWEEN_CUTS, say_nothing
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
    ShardBounds,
    Split,
    Versions,
    Walk,
    discover,
)
from inventory_assets.scan.engine import utc_now
from inventory_assets.scan.progress import (
    EVERY_SECONDS,
    Elsewhere,
    Progress,
    ProgressMeter,
    Report,
    telling,
    to_nobody,
)
from inventory_assets.scan.ranges import joined, tiling_fault
from inventory_assets.scan.splitting import cut_evenly

RANGES_A_PROCESS = 4
"""Into how many ranges a process's share is cut, so that none waits long for the others."""

_CONTEXT = get_context("spawn")
"""A fork would take over locks that other threads hold."""

_BOUNDS = ShardBounds(depth=0)
"""Discovery is asked for the store's order only."""

_WORK, _GONE = ".inventory-unfinished", ".inventory-finished"
_JOURNAL, _NAME, _FINISHED = "unfinished", "listing", "finished.json"
_ASKED_FOR = "asked-for.json"


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
        listing = _list(_Work(lister, prefix, processes, store, say, report, versions))
        # From here on, what is killed is gone on with by moving the rest.
        store.publish(_FINISHED, _adapter().dump_json(listing))
        return _move(store, folder, listing)
    except (EvidenceBroken, KeysOutOfOrder):
        store.remove()  # what is wrong shall not be gone on with
        raise
    finally:
        if not any(store.names(_JOURNAL)):
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


@dataclass(frozen=True, slots=True)
class _Listing:
    """What was listed, its parts still under the names of their content."""

    parts: tuple[Part, ...]
    requests: int
    faults: dict[str, int]


@dataclass(frozen=True, slots=True)
class _Work:
    """What is to be listed, and where to."""

    lister: BucketLister
    prefix: str
    processes: int
    store: LocalStore
    say: Callable[[str], None] = say_nothing
    report: Report = to_nobody
    versions: Versions | None = None

    @property
    def layout(self) -> Layout:
        return Layout(self.lister.connection.bucket, "list")


def _journal(work: _Work, key_order: KeyOrder) -> Journal:
    connection = work.lister.connection
    identity = identity_of(connection, work.prefix, (), key_order, work.versions)
    return Journal(work.store, _JOURNAL, _NAME, identity, utc_now, work.say)


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


def _list(work: _Work) -> _Listing:
    tally = Tally()
    discovery = discover(work.lister, work.prefix, _BOUNDS)
    tally.requests += discovery.requests
    try:
        return _list_in_order(work, discovery.key_order, tally)
    except KeysOutOfOrder:
        if work.versions or discovery.key_order is KeyOrder.DIRECTORY:
            raise
        return _list_in_order(work, KeyOrder.DIRECTORY, tally)


def _list_in_order(work: _Work, key_order: KeyOrder, tally: Tally) -> _Listing:
    journal = _journal(work, key_order)
    kept = journal.kept
    missing = kept.missing([KeyRange.of_prefix(work.prefix)])
    try:
        if key_order is KeyOrder.DIRECTORY:
            parts = _list_by_directories(work, journal, missing, tally)
        elif work.processes > 1:
            parts = _list_by_processes(work, missing, tally)
        else:
            parts = _list_by_ranges(work, journal, missing, tally)
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


def _assembly(work: _Work, journal: Journal, wanted: Sequence[KeyRange], tally: Tally) -> Assembly:
    return Assembly(
        work.store,
        work.layout,
        wanted,
        RowBudget(),
        with_fingerprint=False,
        published=lambda key_range, parts: journal.note(key_range, parts, tally),
    )


def _list_by_ranges(
    work: _Work, journal: Journal, wanted: Sequence[KeyRange], tally: Tally
) -> tuple[Part, ...]:
    kept = journal.kept.rows
    walk = Walk(work.prefix, wanted, tally, kept=kept, versions=work.versions)
    failure: Exception | None = None
    ranges: list[KeyRange] = []
    rows = 0
    assembly = _assembly(work, journal, wanted, tally)
    try:
        for event in Scan(work.lister, [walk]):
            work.report(event)
            match event:
                case Found(index=index, objects=objects):
                    assembly.write(index, objects)
                case Split(index=index, upper=upper, at=at):
                    assembly.split(index, upper, at)
                case Ended(index=index, evidence=evidence):
                    ranges.append(evidence.key_range)
                    rows += evidence.rows
                    assembly.end(index, evidence.key_range.until)
                case Failed(error=error):
                    failure = error
        if failure:
            raise failure
        parts = assembly.finish()
    finally:
        assembly.close()
        journal.flush(tally)
    fault = tiling_fault(sorted(ranges), joined(wanted))
    written = sum(part.rows for part in parts)
    if fault or rows != written:
        raise EvidenceBroken(
            f"{work.lister.connection.where}: the listing of {work.prefix!r} does not prove that "
            f"it is complete: {fault or f'{rows:,} objects seen, {written:,} written'}; list it "
            "again"
        )
    return parts


def _list_by_processes(work: _Work, wanted: Sequence[KeyRange], tally: Tally) -> tuple[Part, ...]:
    """Share the key space among processes, each with its part of the requests in flight."""
    connection, processes = work.lister.connection, work.processes
    share = replace(connection, max_in_flight=max(1, connection.max_in_flight // processes))
    cuts = asyncio.run(cut_evenly(work.lister, work.prefix, processes * RANGES_A_PROCESS, tally))
    ranges = [both for cut in cuts for each in wanted if (both := cut.common(each))]
    parts: list[Part] = []
    with _told_by_processes(work.report) as told:
        pool = ProcessPoolExecutor(processes, _CONTEXT, initializer=_begin, initargs=(told,))
        try:
            task = partial(_list_range, share, work.prefix, work.versions, work.store.root)
            for found, cost in pool.map(task, ranges):
                parts += found
                tally.add(cost)
        except BrokenProcessPool:
            raise ProcessLost(
                f"{connection.where}: a process of the listing ended unexpectedly, perhaps for "
                "want of memory; list it again, with fewer processes"
            ) from None
        except BaseException:
            for process in active_children():
                process.terminate()
            raise
        finally:
            pool.shutdown(cancel_futures=True)
    return tuple(parts)


@contextmanager
def _told_by_processes(report: Report) -> Iterator[Pipe]:
    """Where processes may tell how far they have come; `report` hears of it.

    What they tell is short enough to be written at once, so they need no lock, which one that is
    killed would keep.
    """
    heard, told = _CONTEXT.Pipe(duplex=False)

    def hear() -> None:
        with suppress(EOFError):
            while True:
                report(heard.recv())

    thread = Thread(target=hear, name="progress of processes")
    thread.start()
    try:
        yield told
    finally:
        told.close()  # the last end that was open, as the processes are gone
        thread.join()
        heard.close()


class _Process:
    """What a process of a listing is given when it begins."""

    told: ClassVar[Pipe]


def _begin(told: Pipe) -> None:
    _Process.told = told
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process is told, and ends the others


def _list_range(
    connection: Connection,
    prefix: str,
    versions: Versions | None,
    root: Path,
    key_range: KeyRange,
) -> tuple[tuple[Part, ...], Tally]:
    """What each process does."""
    tally, meter = Tally(), _meter(connection)
    store = LocalStore(root)
    work = _Work(_opened(connection), prefix, 1, store, report=meter.note, versions=versions)
    journal = _journal(work, KeyOrder.BYTES)
    with telling(meter, _tell, EVERY_SECONDS):
        return _list_by_ranges(work, journal, [key_range], tally), tally


@cache
def _opened(connection: Connection) -> BucketLister:
    """One for all ranges of a process, so that its connections are kept alive."""
    return BucketLister(connection)


@cache
def _meter(connection: Connection) -> ProgressMeter:
    """One for all ranges of a process, too."""
    return ProgressMeter(lambda: _opened(connection).in_flight)


def _tell(progress: Progress) -> None:
    with suppress(OSError):  # nobody is there to hear it
        _Process.told.send(Elsewhere(os.getpid(), progress))


def _list_by_directories(
    work: _Work, journal: Journal, wanted: Sequence[KeyRange], tally: Tally
) -> tuple[Part, ...]:
    if work.versions:
        raise versions_in_directories(work.lister.connection.where)
    walk = Walk(work.prefix, wanted, tally, kept=journal.kept.rows)
    log = EvidenceLog(wanted)
    assembly = _assembly(work, journal, wanted, tally)
    last_cut, ended = utc_now(), 0
    try:
        for objects in DirectoryOrderWalk(work.lister, work.prefix, wanted, tally, log):
            for index in range(ended, len(log.closed)):
                assembly.end(index, wanted[index].until)
            ended = len(log.closed)
            work.report(Found(walk, ended, objects))
            assembly.write(ended, objects)
            if utc_now() - last_cut >= BETWEEN_CUTS:
                assembly.cut(ended)
                last_cut = utc_now()
        for index in range(ended, len(wanted)):
            assembly.end(index, wanted[index].until)
        return assembly.finish()
    finally:
        assembly.close()
        journal.flush(tally)
