"""List a bucket by several processes, for more speed than one core allows."""

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
    FolderWork,
    RangesListed,
    Work,
    list_by_ranges,
    open_checkpoint_log,
)
from inventory_assets.inventory.folder_listing.unseen_keys import list_unseen
from inventory_assets.inventory.listing.checkpoints import CheckpointLog
from inventory_assets.inventory.parts.part import Part
from inventory_assets.inventory.storage.encodings import Encodings
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets.s3.bucket_config import BucketConfig
from inventory_assets.s3.list_client import ListClient
from inventory_assets.s3.request_stats import RequestStats
from inventory_assets.s3.retries import RetryPolicy
from inventory_assets.s3.store_profile import StoreProfile
from inventory_assets.scan.engine.progress import (
    EVERY_SECONDS,
    Elsewhere,
    Progress,
    ProgressMeter,
    Report,
    reported_every,
)
from inventory_assets.scan.engine.splitter import split_evenly
from inventory_assets.scan.keyspace.key_order import KeyOrder
from inventory_assets.scan.keyspace.key_range import KeyRange
from inventory_assets.scan.validation.object_versions import Versions
from inventory_assets.scan.validation.range_evidence import RangeEvidence
from inventory_assets.scan.validation.seams import unseen_between

RANGES_PER_PROCESS = 4
"""Ranges per process; there are several, so that no process waits long for the others."""

EXIT_STOPPED = 130
"""The exit code of a process that was stopped."""

_CONTEXT = get_context("spawn")
"""Not `fork`: locks that other threads hold would stay locked in the child process."""


def list_by_processes(
    work: FolderWork, checkpoints: CheckpointLog, wanted: Sequence[KeyRange], stats: RequestStats
) -> tuple[Part, ...]:
    """List ranges by several processes, which share the requests in flight evenly.

    Each process writes the checkpoints of its ranges. Only the calling process reads and clears
    those of earlier runs.

    Raises:
        WorkerDied: A process was killed.
        InventoryError: Any error of a process.
    """
    lister, bucket_config, processes = work.lister, work.lister.bucket_config, work.processes
    per_process = replace(
        bucket_config, max_in_flight=max(1, bucket_config.max_in_flight // processes)
    )
    splits = asyncio.run(
        split_evenly(work.lister, work.prefix, processes * RANGES_PER_PROCESS, stats)
    )
    ranges = [both for split in splits for each in wanted if (both := split.intersection(each))]
    parts: list[Part] = []
    evidence: list[RangeEvidence] = []
    with _progress_of_workers(work.report) as progress:
        # The processes inherit the lock, so it is held until all of them have ended.
        pool = ProcessPoolExecutor(
            processes,
            _CONTEXT,
            initializer=_start_worker,
            initargs=(progress, os.getpid(), work.lock),
        )
        try:
            task = partial(
                _list_range,
                per_process,
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
                f"{bucket_config.display_name}: a process of the listing ended unexpectedly, "
                "perhaps for lack of memory; list it again with fewer --processes"
            ) from None
        except BaseException:
            for process in active_children():
                process.terminate()
            raise
        finally:
            pool.shutdown(cancel_futures=True)
    if not (work.versions and work.versions.as_of):
        # Keys without a version at that time are not listed, so there seams prove nothing.
        unseen = unseen_between(sorted(evidence, key=lambda row: row.key_range))
        for again in list_unseen(work, checkpoints, unseen, wanted, stats):
            parts += again.parts
    return tuple(parts)


@contextmanager
def _progress_of_workers(report: Report) -> Iterator[Pipe]:
    """A pipe by which processes send their progress, which is passed to `report`.

    A message is short enough to be written atomically. So the processes need no lock, which a
    killed process would never release.
    """
    receiver, sender = _CONTEXT.Pipe(duplex=False)

    def forward() -> None:
        with suppress(EOFError):
            while True:
                report(receiver.recv())

    thread = Thread(target=forward, name="progress of processes")
    thread.start()
    try:
        yield sender
    finally:
        sender.close()  # the last open sending end, as all processes have ended
        thread.join()
        receiver.close()


class _Worker:
    """The state of a child process: the pipe for its progress, the lock, whether it is listing."""

    progress: ClassVar[Pipe]
    lock: ClassVar[FolderLock | None]
    is_listing: ClassVar[bool] = False


def _start_worker(progress: Pipe, parent: int, lock: FolderLock | None) -> None:
    end_with_parent(parent)
    _Worker.progress, _Worker.lock = progress, lock
    logging.basicConfig(format="inventory: %(message)s", level=logging.WARNING)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles it, and ends its children
    signal.signal(signal.SIGTERM, _stop)


def _stop(_signal: int, _frame: FrameType | None) -> None:
    """Leave the current range by an exception, so that a last checkpoint is written."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if _Worker.is_listing:
        raise KeyboardInterrupt
    os._exit(EXIT_STOPPED)


def _list_range(
    bucket_config: BucketConfig,
    profile: StoreProfile,
    retry: RetryPolicy,
    prefix: str,
    versions: Versions | None,
    root: Path,
    started_at: datetime,
    key_range: KeyRange,
    encodings: Encodings = Encodings.COMPACT,
) -> tuple[RangesListed, RequestStats]:
    """List one range in a child process."""
    stats, meter = RequestStats(), _meter(bucket_config, retry)
    lister, store = _list_client(bucket_config, retry), LocalStore(root)
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
        # A normal exit would wait for requests in flight, and begin with the next range.
        os._exit(EXIT_STOPPED)
    finally:
        _Worker.is_listing = False


@cache
def _list_client(bucket_config: BucketConfig, retry: RetryPolicy) -> ListClient:
    """The client of this process, for all its ranges, so that connections are kept alive."""
    return ListClient(bucket_config, retry)


@cache
def _meter(bucket_config: BucketConfig, retry: RetryPolicy) -> ProgressMeter:
    """The meter of this process, for all its ranges."""
    return ProgressMeter(lambda: _list_client(bucket_config, retry).in_flight)


def _send_progress(progress: Progress) -> None:
    with suppress(OSError):  # the parent has ended
        _Worker.progress.send(Elsewhere(os.getpid(), progress))
