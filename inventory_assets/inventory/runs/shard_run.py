"""The run record of a shard's listing, beside its snapshot."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime

from inventory_assets.errors import InventoryError
from inventory_assets.inventory.errors import CorruptRecord
from inventory_assets.inventory.runs.figures import (
    HeatCell,
    RunFigures,
    time_spent,
    timeline_of,
)
from inventory_assets.inventory.storage.commit import publish
from inventory_assets.inventory.storage.layout import FileKind, Layout
from inventory_assets.inventory.storage.record_type import RecordType
from inventory_assets.inventory.storage.store import Store
from inventory_assets.s3.page_source import PageSource
from inventory_assets.s3.store_profile import StartAfter, StoreProfile
from inventory_assets.scan.engine.events import ListingJob
from inventory_assets.scan.keyspace.key_order import KeyOrder

LOG = logging.getLogger(__name__)

FORMAT = 1
"""The format of the record; it rises when older code could misread it."""


@dataclass(frozen=True, slots=True)
class ShardRun:
    """How the run that finished the listing of a shard spent its time.

    What was in flight, and where the time went, are those of the process, which may have listed
    other shards at the same time.

    Attributes:
        bucket: The bucket listed.
        source: The source's name.
        day: The date.
        prefix: The prefix of the shard.
        run_id: Identifies the process; shards that it listed together share it.
        started_at: When the run sent its first request for the shard.
        finished_at: When the listing was complete.
        figures: Its figures.
        format: The number of the format of this record.
    """

    bucket: str
    source: str
    day: date
    prefix: str
    run_id: str
    started_at: datetime
    finished_at: datetime
    figures: RunFigures
    format: int = FORMAT


OnRun = Callable[[ShardRun], None]
"""Receives the run record of each shard."""


def ignore_run(_run: ShardRun) -> None:
    """An `OnRun` that does nothing."""


SHARD_RUN = RecordType(
    kind=FileKind.SHARD_RUN,
    title="run record",
    remedy="materialize object_listing for {day} and this shard again",
    written_at="finished_at",
    formats=(FORMAT,),
    model=ShardRun,
    indent=None,
)


class JobObserver:
    """Observes the listing of a job, to say at its end how it spent its time.

    Args:
        lister: The bucket.
        job: The job; its ranges are listed to their ends when `run` is called.
        now: The clock.
        is_serial: Whether the store allows only one request after the other.
    """

    def __init__(
        self,
        lister: PageSource,
        job: ListingJob,
        now: Callable[[], datetime],
        *,
        is_serial: bool,
    ) -> None:
        self._activity = lister.activity
        self._job = job
        self._is_serial = is_serial
        self._began_at = job.began_at or now()
        self._began_with = job.state.began_with or self._activity.totals()

    def run(self, layout: Layout, day: date, rows: int, finished_at: datetime) -> ShardRun:
        """The run, which ends now.

        Args:
            layout: Names the bucket and the source.
            day: The date.
            rows: The records that were listed.
            finished_at: The time.
        """
        return ShardRun(
            layout.bucket,
            layout.source,
            day,
            self._job.prefix,
            self._activity.run_id,
            self._began_at,
            finished_at,
            self._figures(rows),
        )

    def _figures(self, rows: int) -> RunFigures:
        activity, stats, latencies = self._activity, self._job.stats, self._job.latencies
        now = activity.totals()
        passed = now.since(self._began_with)
        in_flight = passed.request_seconds / passed.seconds if passed.seconds else 0.0
        return RunFigures(
            seconds=round(passed.seconds, 3),
            rows=rows,
            requests=stats.requests,
            faults=dict(sorted((fault.value, count) for fault, count in stats.faults.items())),
            latency=stats.latency,
            maximum=activity.maximum,
            mean_in_flight=round(in_flight, 2),
            is_serial=self._is_serial,
            spent=time_spent(passed),
            timeline=timeline_of(activity.between(self._began_with, now)),
            ranges=latencies.ranges,
            cells=tuple(HeatCell(*place, pages) for place, pages in latencies.pages.items()),
            slowest=latencies.slowest,
        )


def is_serial(key_order: KeyOrder, profile: StoreProfile) -> bool:
    """Whether a store can only be listed by one request after the other."""
    return key_order is KeyOrder.DIRECTORY or profile.start_after is StartAfter.IGNORED


def publish_shard_run(store: Store, layout: Layout, run: ShardRun) -> None:
    """Publish the run record of a shard, instead of one of an earlier run.

    Raises:
        StoreError: It cannot be written.
    """
    publish(store, SHARD_RUN.file(layout.shard_run(run.day, run.prefix), run))


def record_shard_run(store: Store, layout: Layout, run: ShardRun) -> None:
    """Publish the run record of a shard; an error is logged, as its snapshot is published."""
    try:
        publish_shard_run(store, layout, run)
    except (InventoryError, OSError) as error:
        LOG.warning("the run record of %r was not written: %s", run.prefix, error)


def read_shard_run(
    store: Store, layout: Layout, day: date, prefix: str, finished_at: datetime
) -> ShardRun | None:
    """The run record of a listing; None where there is none that can be read.

    If a shard is listed again and the record of that run cannot be written, the one before stays.

    Args:
        store: The store of the results.
        layout: The layout of the source.
        day: The date.
        prefix: The prefix of the shard.
        finished_at: When the listing was complete, as its snapshot says.
    """
    try:
        run = SHARD_RUN.read(store, layout.shard_run(day, prefix))
    except CorruptRecord:
        return None
    expected = day, prefix, finished_at
    return run if run and (run.day, run.prefix, run.finished_at) == expected else None
