"""List a bucket by several processes, where one core is the limit."""

import asyncio
import os
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime
from functools import cache, partial
from multiprocessing import active_children, get_context
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from threading import Thread
from typing import ClassVar

from inventory_assets.inventory.checkpoints import Journal
from inventory_assets.inventory.encodings import Encodings
from inventory_assets.inventory.errors import ProcessLost
from inventory_assets.inventory.parts import Part
from inventory_assets.inventory.plain_listing import Work, journal_of, list_by_ranges
from inventory_assets.inventory.store import LocalStore
from inventory_assets.s3.connection import Connection
from inventory_assets.s3.listing import BucketLister, Tally
from inventory_assets.scan.key_order import KeyOrder
from inventory_assets.scan.progress import (
    EVERY_SECONDS,
    Elsewhere,
    Progress,
    ProgressMeter,
    Report,
    telling,
)
from inventory_assets.scan.ranges import KeyRange
from inventory_assets.scan.splitting import cut_evenly
from inventory_assets.scan.versions import Versions

RANGES_A_PROCESS = 4
"""Into how many ranges a process's share is cut, so that none waits long for the others."""

_CONTEXT = get_context("spawn")
"""A fork would take over locks that other threads hold."""


def list_by_processes(
    work: Work, journal: Journal, wanted: Sequence[KeyRange], tally: Tally
) -> tuple[Part, ...]:
    """Share the key space among processes, each with its part of the requests in flight.

    Each notes what is safe of its ranges; what earlier runs left is read, and cleared, here alone.

    Raises:
        ProcessLost: One was killed.
        InventoryError: What any of them raises.
    """
    connection, processes = work.lister.connection, work.processes
    share = replace(connection, max_in_flight=max(1, connection.max_in_flight // processes))
    cuts = asyncio.run(cut_evenly(work.lister, work.prefix, processes * RANGES_A_PROCESS, tally))
    ranges = [both for cut in cuts for each in wanted if (both := cut.common(each))]
    parts: list[Part] = []
    with _told_by_processes(work.report) as told:
        pool = ProcessPoolExecutor(processes, _CONTEXT, initializer=_begin, initargs=(told,))
        try:
            task = partial(
                _list_range,
                share,
                work.prefix,
                work.versions,
                work.store.root,
                journal.started_at,
                encodings=work.encodings,
            )
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
    started_at: datetime,
    key_range: KeyRange,
    encodings: Encodings = Encodings.COMPACT,
) -> tuple[tuple[Part, ...], Tally]:
    """What each process does."""
    tally, meter = Tally(), _meter(connection)
    store = LocalStore(root)
    work = Work(
        _opened(connection),
        prefix,
        1,
        store,
        report=meter.note,
        versions=versions,
        encodings=encodings,
    )
    journal = journal_of(work, KeyOrder.BYTES, started_at)
    with telling(meter, _tell, EVERY_SECONDS):
        return list_by_ranges(work, journal, [key_range], tally), tally


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
