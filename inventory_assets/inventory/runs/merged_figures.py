"""The figures of several shards' runs as those of one."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from statistics import fmean

from inventory_assets.inventory.runs.figures import (
    HeatCell,
    RunFigures,
    Timeline,
    TimeSpent,
    bucket_width,
)
from inventory_assets.inventory.runs.shard_run import ShardRun
from inventory_assets.s3.latency_histogram import merged
from inventory_assets.scan.engine.range_latencies import SLOWEST_RANGES


def merge_figures(runs: Sequence[ShardRun]) -> RunFigures:
    """The figures of at least one run.

    Times are summed over the shards, so shards that were listed at the same time count each; the
    duration and the timeline are those of the clock.
    """
    figures = [run.figures for run in runs]
    faults: Counter[str] = Counter()
    pages: Counter[tuple[int, int]] = Counter()
    for each in figures:
        faults.update(each.faults)
        pages.update({(cell.depth, cell.band): cell.pages for cell in each.cells})
    slowest = sorted((slow for each in figures for slow in each.slowest), key=lambda it: -it.p95)
    spent = TimeSpent(
        **{
            each.name: round(sum(getattr(one.spent, each.name) for one in figures), 3)
            for each in fields(TimeSpent)
        }
    )
    seconds = sum(each.seconds for each in figures)
    in_flight = sum(each.seconds * each.mean_in_flight for each in figures)
    return RunFigures(
        seconds=round(_covered(runs), 3),
        rows=sum(each.rows for each in figures),
        requests=sum(each.requests for each in figures),
        faults=dict(sorted(faults.items())),
        latency=merged(each.latency for each in figures),
        maximum=max(each.maximum for each in figures),
        mean_in_flight=round(in_flight / seconds, 2) if seconds else 0.0,
        is_serial=all(each.is_serial for each in figures),
        spent=spent,
        timeline=merge_timelines(runs),
        ranges=sum(each.ranges for each in figures),
        cells=tuple(HeatCell(*place, count) for place, count in sorted(pages.items())),
        slowest=tuple(slowest[:SLOWEST_RANGES]),
    )


def _covered(runs: Sequence[ShardRun]) -> float:
    """The seconds in which at least one of the runs was under way."""
    covered, until = 0.0, datetime.min.replace(tzinfo=runs[0].started_at.tzinfo)
    for start, seconds in sorted((run.started_at, run.figures.seconds) for run in runs):
        end = start + timedelta(seconds=seconds)
        covered += max(0.0, (end - max(start, until)).total_seconds())
        until = max(until, end)
    return covered


@dataclass(frozen=True, slots=True)
class _Moment:
    """What a timeline says of a moment; requests and errors are those a second."""

    in_flight: float
    limit: float
    requests: float
    failed: Mapping[str, float]


def merge_timelines(runs: Sequence[ShardRun]) -> Timeline:
    """One timeline of all runs.

    Shards of one process saw the same requests in flight, so these are averaged; those of several
    processes are added.
    """
    start = min(run.started_at for run in runs)
    processes: dict[str, list[tuple[float, Timeline]]] = defaultdict(list)
    end = 0.0
    for run in runs:
        offset = (run.started_at - start).total_seconds()
        processes[run.run_id].append((offset, run.figures.timeline))
        end = max(end, offset + run.figures.seconds)
    width = bucket_width(end)
    moments = []
    for number in range(max(1, -int(-end // width))):
        since, until = number * width, (number + 1) * width
        seen = []
        for shards in processes.values():
            found = (_between(timeline, since - at, until - at) for at, timeline in shards)
            if known := [each for each in found if each]:
                seen.append(_mean(known))
        moments.append(seen)
    kinds = sorted({kind for run in runs for kind in run.figures.timeline.failed})
    return Timeline(
        width,
        tuple(round(width * sum(each.requests for each in seen)) for seen in moments),
        tuple(round(sum(each.in_flight for each in seen), 1) for seen in moments),
        tuple(round(sum(each.limit for each in seen), 1) for seen in moments),
        {
            kind: tuple(
                round(width * sum(each.failed.get(kind, 0.0) for each in seen)) for seen in moments
            )
            for kind in kinds
        },
    )


def _between(timeline: Timeline, since: float, until: float) -> _Moment | None:
    """The average of the buckets that meet a span of seconds; None if none does."""
    first = max(0, int(since // timeline.width))
    last = min(len(timeline.requests), -int(-until // timeline.width))
    inside = slice(first, last)
    if first >= last or until <= 0:
        return None
    return _Moment(
        fmean(timeline.in_flight[inside]),
        fmean(timeline.limit[inside]),
        fmean(timeline.requests[inside]) / timeline.width,
        {kind: fmean(counts[inside]) / timeline.width for kind, counts in timeline.failed.items()},
    )


def _mean(moments: Sequence[_Moment]) -> _Moment:
    kinds = {kind for each in moments for kind in each.failed}
    return _Moment(
        fmean(each.in_flight for each in moments),
        fmean(each.limit for each in moments),
        fmean(each.requests for each in moments),
        {kind: fmean(each.failed.get(kind, 0.0) for each in moments) for kind in kinds},
    )
