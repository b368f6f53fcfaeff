"""List a bucket by several processes, where one core is the limit."""

import asyncio
import logging
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
from types import FrameType
from typing import ClassVar

from inventory_assets.inventory.errors import WorkerDied
from inventory_assets.inventory.folder_listing.folder_lock import FolderLock
from inventory_assets.inventory.folder_listing.orphans import end_with_parent
from inventory_assets.inventory.folder_listing.range_listing import (
    RangesListed,
    Work,
    list_by_ranges,
    open_checkpoint_log,
)
from inventory_assets.inventory.listing.checkpoints import CheckpointLog
from inventory_assets.inventory.parts.part import Part
from inventory_assets.inventory.storage.encodings import Encodings
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets.s3.bucket_config import BucketConfig
from inventory_assets.s3.list_client import ListClient, RequestStats, RetryPolicy
from inventory_assets.s3.page_request import PageRequest
from inventory_assets.s3.store_profile import StoreProfile
from inventory_assets.scan.engine.progress import (
    EVERY_SECONDS,
    Elsewhere,
    Progress,
    ProgressMeter,
    Report,
    reported_every,
)
from inventory_assets.scan.engine.splitter import cut_evenly
from inventory_assets.scan.errors import SeamDisagrees
from inventory_assets.scan.keyspace.key_order import KeyOrder
from inventory_assets.scan.keyspace.key_range import KeyRange
from inventory_assets.scan.validation.object_versions import Versions
from inventory_assets.scan.validation.range_evidence import RangeEvidence
from inventory_assets.scan.validation.seams import unseen_between

RANGES_A_PROCESS = 4
"""Into how many ranges a process's share is cut, so that none waits long for the others."""

STOPPED = 130
"""The exit code of a process that was told to stop."""

_CONTEXT = get_context("spawn")
"""A fork would take over locks that other threads hold."""


def list_by_processes(
    work: Work, checkpoints: CheckpointLog, wanted: Sequence[KeyRange], stats: RequestStats
) -> tuple[Part, ...]:
    """Share the key space among processes, each with its part of the requests in flight.

    Each notes what is safe of its ranges; what earlier runs left is read, and cleared, here alone.

    Raises:
        WorkerDied: One was killed.
        InventoryError: What any of them raises.
    """
    lister, connection, processes = work.lister, work.lister.connection, work.processes
    share = replace(connection, max_in_flight=max(1, connection.max_in_flight // processes))
    cuts = asyncio.run(cut_evenly(work.lister, work.prefix, processes * RANGES_A_PROCESS, stats))
    ranges = [both for cut in cuts for each in wanted if (both := cut.intersection(each))]
    parts: list[Part] = []
    evidence: list[RangeEvidence] = []
    with _progress_of_workers(work.report) as told:
        # The lock goes along, so that nobody else lists into the folder before all have ended.
        pool = ProcessPoolExecutor(
            processes, _CONTEXT, initializer=_start_worker, initargs=(told, os.getpid(), work.lock)
        )
        try:
            task = partial(
                _list_range,
                share,
                lister.profile,
                lister.retry,
                work.prefix,
                work.versions,
                work.store.root,
                checkpoints.started_at,
                encodings=work.encodings,
            )
            for found, cost in pool.map(task, ranges):
                parts += found.parts
                evidence += found.evidence
                stats.add(cost)
        except BrokenProcessPool:
            raise WorkerDied(
                f"{connection.display_name}: a process of the listing ended unexpectedly, "
                "perhaps for "
                "want of memory; list it again, with fewer --processes"
            ) from None
        except BaseException:
            for process in active_children():
                process.terminate()
            raise
        finally:
            pool.shutdown(cancel_futures=True)
    parts += _list_missing(work, checkpoints, wanted, evidence, stats)
    return tuple(parts)


def _list_missing(
    work: Work,
    checkpoints: CheckpointLog,
    wanted: Sequence[KeyRange],
    evidence: Sequence[RangeEvidence],
    stats: RequestStats,
) -> list[Part]:
    """List again what lies where ranges of two processes meet and they disagree about it.

    Raises:
        SeamDisagrees: The store contradicts itself.
        InventoryError: What any listing raises.
    """
    parts: list[Part] = []
    lister, versions = work.lister, work.versions is not None
    if work.versions and work.versions.as_of:
        return parts  # what was not there at that moment is no evidence
    for unseen, first_key in unseen_between(sorted(evidence, key=lambda row: row.key_range)):
        missing = [both for each in wanted if (both := unseen.intersection(each))]
        listed = list_by_ranges(work, checkpoints, missing, stats)
        parts += listed.parts
        shown = listed.evidence[-1].next_key if listed.evidence else first_key
        if first_key is not None and shown != first_key:
            # It has gone meanwhile, or the store lists it in one way and not in the other.
            page = lister.list_page_sync(
                PageRequest(first_key, max_keys=1, versions=versions), stats
            )
            if page.objects.column("key").to_pylist() == [first_key]:
                raise SeamDisagrees(
                    f"{lister.connection.display_name}: the store does not list {first_key!r} "
                    "after "
                    f"{unseen.after!r}, though it is there: it lists in another order than that "
                    "of bytes, ends listings too early, or loses keys"
                )
    return parts


@contextmanager
def _progress_of_workers(report: Report) -> Iterator[Pipe]:
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


class _Worker:
    """What a process of a listing is given when it begins, and whether it lists just now."""

    told: ClassVar[Pipe]
    lock: ClassVar[FolderLock | None]
    is_listing: ClassVar[bool] = False


def _start_worker(told: Pipe, first: int, lock: FolderLock | None) -> None:
    end_with_parent(first)
    _Worker.told, _Worker.lock = told, lock
    logging.basicConfig(format="inventory: %(message)s", level=logging.WARNING)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process is told, and ends the others
    signal.signal(signal.SIGTERM, _stop)


def _stop(_signal: int, _frame: FrameType | None) -> None:
    """Leave the range at hand by an exception, so that what is listed of it is written down."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if _Worker.is_listing:
        raise KeyboardInterrupt
    os._exit(STOPPED)


def _list_range(
    connection: BucketConfig,
    profile: StoreProfile,
    retry: RetryPolicy,
    prefix: str,
    versions: Versions | None,
    root: Path,
    started_at: datetime,
    key_range: KeyRange,
    encodings: Encodings = Encodings.COMPACT,
) -> tuple[RangesListed, RequestStats]:
    """What each process does."""
    stats, meter = RequestStats(), _meter(connection, retry)
    lister, store = _opened(connection, retry), LocalStore(root)
    lister.profile = profile
    work = Work(
        lister, prefix, 1, store, report=meter.on_event, versions=versions, encodings=encodings
    )
    checkpoints = open_checkpoint_log(work, KeyOrder.BYTES, started_at)
    try:
        _Worker.is_listing = True
        with reported_every(meter, _send_progress, EVERY_SECONDS):
            return list_by_ranges(work, checkpoints, [key_range], stats), stats
    except KeyboardInterrupt:
        # A usual exit would wait for the requests under way, and begin with the next range.
        os._exit(STOPPED)
    finally:
        _Worker.is_listing = False


@cache
def _opened(connection: BucketConfig, retry: RetryPolicy) -> ListClient:
    """One for all ranges of a process, so that its connections are kept alive."""
    return ListClient(connection, retry)


@cache
def _meter(connection: BucketConfig, retry: RetryPolicy) -> ProgressMeter:
    """One for all ranges of a process, too."""
    return ProgressMeter(lambda: _opened(connection, retry).in_flight)


def _send_progress(progress: Progress) -> None:
    with suppress(OSError):  # nobody is there to hear it
        _Worker.told.send(Elsewhere(os.getpid(), progress))
