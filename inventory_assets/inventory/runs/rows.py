"""The tables of a run, as rows for a terminal and for the report page."""

from collections.abc import Sequence

from inventory_assets.inventory.runs.figures import EXCLUSIVE, RunFigures
from inventory_assets.inventory.runs.regressions import RunSummary
from inventory_assets.scan.engine.range_latencies import LATENCY_BANDS, MAX_DEPTH

Row = dict[str, str | int | float]

BANDS = ("0 to 200 ms", "201 to 800 ms", "over 800 ms")
"""The names of the latency bands."""

SHOWN_SHARDS = 20
"""The rows of the table of shards."""

_SPENT_ON = {
    "at_maximum": "waiting, all requests in flight that `concurrency` allows",
    "at_limit": "waiting, at a lower limit that the policy chose",
    "throttled": "held back after throttling",
    "retrying": "held back after other transient errors",
    "below_limit": "waiting, fewer requests in flight than the limit",
    "alone": "waiting for a single request",
    "idle": "no request in flight",
    "computing": "computing",
    "core_wait": "waiting for a free core",
    "blocked": "writing, blocked by the disk or the results' bucket",
}

_OVERLAPPING = {
    "writing": "writing records, computing and blocked",
    "queue_full": "receivers blocked by a full queue of pages",
    "process_cpu": "CPU time of all threads",
}


def time_rows(figures: RunFigures) -> list[Row]:
    """Where the time went: what excludes each other, most first; then what overlaps."""
    spent, total = figures.spent, figures.spent.total
    exclusive = sorted(EXCLUSIVE, key=lambda name: -getattr(spent, name))
    rows: list[Row] = []
    for names, label in ((exclusive, _SPENT_ON), (_OVERLAPPING, _OVERLAPPING)):
        for name in names:
            seconds = getattr(spent, name)
            if seconds > 0:
                share = f"{100 * seconds / total:.1f} %" if total else ""
                rows.append({"time": label[name], "seconds": round(seconds, 1), "share": share})
    return rows


def heat_rows(figures: RunFigures) -> list[Row]:
    """The pages by the depth of their range's prefix, a row for each band of latency."""
    pages = {(cell.depth, cell.band): cell.pages for cell in figures.cells}
    depths = sorted({depth for depth, _ in pages})
    return [
        {
            "P95 of the range": name,
            **{f"depth {depth_label(depth)}": pages.get((depth, band), 0) for depth in depths},
        }
        for band, name in enumerate(BANDS[: len(LATENCY_BANDS) + 1])
        if depths
    ]


def depth_label(depth: int) -> str:
    """A depth of prefixes; the greatest stands for deeper ones, too."""
    return f"{depth} or more" if depth == MAX_DEPTH else str(depth)


def slowest_rows(figures: RunFigures) -> list[Row]:
    """The slowest ranges."""
    return [
        {
            "prefix": each.prefix or "(all keys)",
            "P95 ms": round(each.p95 * 1000),
            "pages": each.pages,
            "seconds": round(each.seconds, 1),
        }
        for each in figures.slowest
    ]


def timeline_rows(figures: RunFigures) -> list[Row]:
    """What was in flight over time, a row for each bucket."""
    timeline = figures.timeline
    return [
        {
            "from s": round(number * timeline.width),
            "requests": timeline.requests[number],
            "in flight": timeline.in_flight[number],
            "limit": timeline.limit[number],
            **{kind: counts[number] for kind, counts in timeline.failed.items()},
        }
        for number in range(len(timeline.requests))
    ]


def shard_rows(shards: Sequence[RunSummary]) -> list[Row]:
    """The shards that took longest."""
    longest = sorted(shards, key=lambda each: (-each.seconds, each.prefix))[:SHOWN_SHARDS]
    return [
        {
            "prefix": each.prefix or "(all other keys)",
            "seconds": round(each.seconds, 1),
            "objects": each.rows,
            "requests": each.requests,
            "errors": each.errors,
            "P95 ms": "" if each.p95 is None else round(each.p95 * 1000),
            "limited by": each.cause.value,
        }
        for each in longest
    ]
