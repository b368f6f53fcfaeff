"""The run record of a shard's listing, beside its snapshot."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime

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
from inventory_assets.s3.concurrency.activity import ActivityMeter, ActivityTotals
from inventory_assets.s3.request_stats import RequestStats
from inventory_assets.scan.engine.range_latencies import RangeLatencies

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


def run_figures(
    activity: ActivityMeter,
    began_with: ActivityTotals,
    stats: RequestStats,
    latencies: RangeLatencies,
    rows: int,
    *,
    is_serial: bool,
) -> RunFigures:
    """The figures of a listing that ends now.

    Args:
        activity: What the client and the scan do.
        began_with: Its totals when the listing began.
        stats: The requests of the listing.
        latencies: The times of its ranges.
        rows: The records that it listed.
        is_serial: Whether the store allows only one request after the other.
    """
    now = activity.totals()
    passed = now.since(began_with)
    cells = tuple(HeatCell(*place, pages) for place, pages in latencies.pages.items())
    return RunFigures(
        seconds=round(passed.seconds, 3),
        rows=rows,
        requests=stats.requests,
        faults=_by_kind(stats),
        latency=stats.latency,
        maximum=activity.maximum,
        mean_in_flight=round(passed.request_seconds / passed.seconds, 2) if passed.seconds else 0.0,
        is_serial=is_serial,
        spent=time_spent(passed),
        timeline=timeline_of(activity.between(began_with, now)),
        ranges=latencies.ranges,
        cells=cells,
        slowest=latencies.slowest,
    )


def publish_shard_run(store: Store, layout: Layout, run: ShardRun) -> None:
    """Publish the run record of a shard, instead of one of an earlier run.

    Raises:
        StoreError: It cannot be written.
    """
    publish(store, SHARD_RUN.file(layout.shard_run(run.day, run.prefix), run))


def read_shard_run(store: Store, layout: Layout, day: date, prefix: str) -> ShardRun | None:
    """The run record of a shard on a date; None where there is none that can be read."""
    try:
        run = SHARD_RUN.read(store, layout.shard_run(day, prefix))
    except CorruptRecord:
        return None
    return run if run and (run.day, run.prefix) == (day, prefix) else None


def _by_kind(stats: RequestStats) -> Mapping[str, int]:
    return dict(sorted((fault.value, count) for fault, count in stats.faults.items()))
