"""The figures of a run: where its time went, and what was in flight when.

All are bounded: a run of a day and of a second take the same space.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from inventory_assets.s3.concurrency.activity import ActivityTotals
from inventory_assets.s3.latency_histogram import NO_LATENCIES, LatencyHistogram
from inventory_assets.scan.engine.range_latencies import SlowRange

MAX_BUCKETS = 60
"""The buckets of a timeline. Their width is a second, or so many doublings of it that they fit."""


@dataclass(frozen=True, slots=True)
class TimeSpent:
    """Where the time of the thread that lists went, in seconds.

    Each moment counts in one of the first ten. Those down to `idle` are what the thread waited for.

    Attributes:
        at_maximum: Responses, with as many requests in flight as the configuration allows.
        at_limit: Responses, with as many in flight as the policy allows, which is fewer.
        throttled: Requests that wait to be retried after throttling, or that are held back by the
            limit that followed it.
        retrying: The same after other transient errors.
        below_limit: Responses, with several requests in flight, but fewer than the limit.
        alone: The response of a single request.
        idle: No request was in flight.
        computing: It computed.
        core_wait: It was ready to compute, but no core was free.
        blocked: Writing blocked: the disk, or the store of the results.
        writing: It wrote records; this is a part of `computing` and `blocked`.
        queue_full: Receivers were blocked by the reader; this overlaps all others.
        process_cpu: CPU time of all threads of the process.
    """

    at_maximum: float = 0.0
    at_limit: float = 0.0
    throttled: float = 0.0
    retrying: float = 0.0
    below_limit: float = 0.0
    alone: float = 0.0
    idle: float = 0.0
    computing: float = 0.0
    core_wait: float = 0.0
    blocked: float = 0.0
    writing: float = 0.0
    queue_full: float = 0.0
    process_cpu: float = 0.0

    @property
    def total(self) -> float:
        """The time of the run, or the sum of those of several runs."""
        return sum(float(getattr(self, name)) for name in EXCLUSIVE)


EXCLUSIVE = (
    "at_maximum",
    "at_limit",
    "throttled",
    "retrying",
    "below_limit",
    "alone",
    "idle",
    "computing",
    "core_wait",
    "blocked",
)
"""The names of what a moment counts in."""

_STATES = EXCLUSIVE[:7]


@dataclass(frozen=True, slots=True)
class Timeline:
    """What was in flight over time, in buckets of equal width. The last one may be shorter.

    Attributes:
        width: The width of a bucket in seconds.
        requests: Successful requests.
        in_flight: Requests in flight, on average.
        limit: The limit, on average.
        failed: Transient errors, by kind.
    """

    width: float = 1.0
    requests: tuple[int, ...] = ()
    in_flight: tuple[float, ...] = ()
    limit: tuple[float, ...] = ()
    failed: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HeatCell:
    """The pages of the ranges whose prefixes have one depth, and whose P95 is in one band."""

    depth: int
    band: int
    pages: int


@dataclass(frozen=True, slots=True)
class RunFigures:
    """How one run, or several that belong together, listed.

    Attributes:
        seconds: The time from the first request to the end.
        rows: Records that were listed.
        requests: Requests sent, including failed attempts.
        faults: Transient errors, by kind.
        latency: The latencies of the successful requests.
        maximum: The requests in flight that the configuration allows.
        mean_in_flight: Requests in flight on average, those of other shards of the process
            included.
        is_serial: Whether the store allows only one request after the other.
        spent: Where the time went.
        timeline: What was in flight over time.
        ranges: Ranges that were listed to their end.
        cells: The heat map of latency by depth.
        slowest: The ranges with the slowest pages.
    """

    seconds: float
    rows: int
    requests: int
    faults: Mapping[str, int]
    latency: LatencyHistogram = NO_LATENCIES
    maximum: int = 1
    mean_in_flight: float = 0.0
    is_serial: bool = False
    spent: TimeSpent = TimeSpent()
    timeline: Timeline = Timeline()
    ranges: int = 0
    cells: tuple[HeatCell, ...] = ()
    slowest: tuple[SlowRange, ...] = ()

    @property
    def errors(self) -> int:
        """The number of transient errors."""
        return sum(self.faults.values())

    @property
    def error_rate(self) -> float:
        """Transient errors, as a share of the requests."""
        return self.errors / self.requests if self.requests else 0.0

    @property
    def p95(self) -> float | None:
        """The 95th percentile of latency in seconds; None without a successful request."""
        return self.latency.quantile(0.95)


def time_spent(passed: ActivityTotals) -> TimeSpent:
    """Where the time of a run went.

    The time of a phase without its CPU time was spent waiting: for responses while it received, for
    writing while it read. Time without a free core counts in the phases as their CPU times do. A
    scan in directory order has no phases, so its process's CPU time is taken for that of the
    thread.
    """
    if passed.reading:
        receiving_cpu, reading_cpu = passed.receiving_cpu, passed.reading_cpu
    else:
        receiving_cpu, reading_cpu = min(passed.process_cpu, passed.receiving), 0.0
    computing = receiving_cpu + reading_cpu
    waiting = max(0.0, passed.receiving - receiving_cpu)
    blocked = max(0.0, passed.reading - reading_cpu)
    share = reading_cpu / computing if computing else 0.0
    lost_reading = min(passed.core_wait * share, blocked)
    lost_receiving = min(passed.core_wait * (1 - share), waiting)
    waiting, blocked = waiting - lost_receiving, blocked - lost_reading
    counted = sum(getattr(passed, name) for name in _STATES)
    scale = waiting / counted if counted else 0.0
    states = {name: round(scale * getattr(passed, name), 3) for name in _STATES}
    if not counted:
        states["idle"] = round(waiting, 3)
    return TimeSpent(
        **states,
        computing=round(computing, 3),
        core_wait=round(lost_reading + lost_receiving, 3),
        blocked=round(blocked, 3),
        writing=round(passed.writing, 3),
        queue_full=round(passed.queue_full, 3),
        process_cpu=round(passed.process_cpu, 3),
    )


def bucket_width(seconds: float) -> float:
    """The width of the buckets of a timeline."""
    width = 1.0
    while seconds > width * MAX_BUCKETS:
        width *= 2
    return width


def timeline_of(points: Sequence[ActivityTotals]) -> Timeline:
    """The timeline of a run.

    Args:
        points: The totals at its start, at its end, and at times in between, in order.
    """
    start, end = points[0], points[-1]
    seconds = end.seconds - start.seconds
    if seconds <= 0:
        return Timeline()
    width = bucket_width(seconds)
    ends = [start.seconds + number * width for number in range(1, int(seconds // width) + 1)]
    if not ends or end.seconds - ends[-1] > 1e-6 * width:
        ends.append(end.seconds)
    at = [start, *_interpolated(points, ends)]
    spans = [later.since(earlier) for earlier, later in pairwise(at)]
    requests = _counts([each.succeeded for each in at])
    kinds = [kind for kind, count in end.since(start).failed.items() if count]
    return Timeline(
        width,
        requests,
        tuple(round(each.request_seconds / each.seconds, 1) for each in spans),
        tuple(round(each.limit_seconds / each.seconds, 1) for each in spans),
        {kind: _counts([each.failed.get(kind, 0) for each in at]) for kind in kinds},
    )


def _counts(totals: Sequence[float]) -> tuple[int, ...]:
    """The increases of a growing total, as whole numbers with the same sum."""
    whole = [round(total) for total in totals]
    return tuple(later - earlier for earlier, later in pairwise(whole))


def _interpolated(points: Sequence[ActivityTotals], times: Sequence[float]) -> list[ActivityTotals]:
    """The totals at ascending times within those of the points."""
    found, upper = [], 1
    for time in times:
        while upper < len(points) - 1 and points[upper].seconds < time:
            upper += 1
        before, after = points[upper - 1], points[upper]
        gap = after.seconds - before.seconds
        share = min(1.0, (time - before.seconds) / gap) if gap > 0 else 1.0
        found.append(before.towards(after, share))
    return found
