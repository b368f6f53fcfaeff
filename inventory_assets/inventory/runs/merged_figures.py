"""The figures of several shards' runs as those of one."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import fields
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


def merge_timelines(runs: Sequence[ShardRun]) -> Timeline:
    """One timeline of all runs.

    Shards of one process saw the same requests in flight, so these are averaged; those of several
    processes are added.
    """
    start = min(run.started_at for run in runs)
    offsets = [(run.started_at - start).total_seconds() for run in runs]
    ends = [offset + run.figures.seconds for offset, run in zip(offsets, runs, strict=True)]
    width = bucket_width(max(ends))
    count = max(1, -int(-max(ends) // width))
    by_process: dict[str, list[tuple[float, ShardRun]]] = defaultdict(list)
    for offset, run in zip(offsets, runs, strict=True):
        by_process[run.run_id].append((offset, run))
    in_flight, limit, requests = [0.0] * count, [0.0] * count, [0.0] * count
    failed: dict[str, list[float]] = {}
    for shards in by_process.values():
        seen: list[list[tuple[float, float, float, dict[str, float]]]] = [[] for _ in range(count)]
        for offset, run in shards:
            for number, values in _resampled(offset, run.figures.timeline, width, count):
                seen[number].append(values)
        for number, values in enumerate(seen):
            if not values:
                continue
            in_flight[number] += fmean(each[0] for each in values)
            limit[number] += fmean(each[1] for each in values)
            requests[number] += fmean(each[2] for each in values) * width
            for kind in {kind for each in values for kind in each[3]}:
                rate = fmean(each[3].get(kind, 0.0) for each in values)
                failed.setdefault(kind, [0.0] * count)[number] += rate * width
    return Timeline(
        width,
        tuple(map(round, requests)),
        tuple(round(each, 1) for each in in_flight),
        tuple(round(each, 1) for each in limit),
        {kind: tuple(map(round, counts)) for kind, counts in sorted(failed.items())},
    )


def _resampled(
    offset: float, timeline: Timeline, width: float, count: int
) -> Iterator[tuple[int, tuple[float, float, float, dict[str, float]]]]:
    """The figures of a timeline in the buckets of another one, which it meets.

    Yields:
        The number of a bucket, and the requests in flight, the limit, and the requests and the
        errors a second then.
    """
    buckets = len(timeline.requests)
    for number in range(count):
        middle = (number + 0.5) * width - offset
        first = int((middle - width / 2) // timeline.width)
        last = max(first, int((middle + width / 2 - 1e-9) // timeline.width))
        inside = [at for at in range(first, last + 1) if 0 <= at < buckets]
        if not inside:
            continue
        yield (
            number,
            (
                fmean(timeline.in_flight[at] for at in inside),
                fmean(timeline.limit[at] for at in inside),
                fmean(timeline.requests[at] for at in inside) / timeline.width,
                {
                    kind: fmean(counts[at] for at in inside) / timeline.width
                    for kind, counts in timeline.failed.items()
                },
            ),
        )
