"""A discrete simulation of a store and its clients, to test policies.

Workers list without end; a limiter admits up to `limit` requests. After throttling, a timeout or
another error, a worker waits like `ListClient`, without a slot.
"""

import heapq
import itertools
import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from inventory_assets.s3.concurrency.policies import TARGET_P95_SECONDS, Fixed, LimitPolicy, Pid
from inventory_assets.s3.concurrency.request_outcome import Outcome, Sample
from inventory_assets.s3.retries import RetryPolicy

REFUSAL_SECONDS = 0.02
"""A 503 comes back sooner than a page."""

RETRY = RetryPolicy()
LOSSES = (Outcome.THROTTLED, Outcome.TIMED_OUT)


@dataclass(frozen=True, slots=True)
class Conditions:
    """The store for a while.

    Attributes:
        seconds: How long.
        latency: The median of a page's service time, in seconds.
        spread: Sigma of its lognormal distribution; 0.3 makes P95 1.64 medians.
        slots: Pages in service at once; more queue. None: no end. (The knee, or a client's CPU.)
        rate: Pages a second before 503 SlowDown, with a second's worth saved up. None: no end.
        stray: The share of requests that are refused for no reason.
        failing: The share of requests that are reset.
        slow: The share of the workers whose pages take `SLOWER` times as long.
        settling: Seconds that a policy may take to find its way, once these conditions rule.
    """

    seconds: float
    latency: float = 0.1
    spread: float = 0.3
    slots: int | None = None
    rate: float | None = None
    stray: float = 0.0
    failing: float = 0.0
    slow: float = 0.0
    settling: float = 20.0

    def mean_latency(self) -> float:
        return self.latency * math.exp(self.spread**2 / 2)

    def best_goodput(self, maximum: int) -> float:
        """Pages a second that no limit up to `maximum` can exceed for long."""
        flowing = maximum * (1 - self.slow + self.slow / SLOWER)
        served = min(flowing, self.slots or math.inf) / self.mean_latency()
        return min(served * (1 - self.stray - self.failing), self.rate or math.inf)


SLOWER = 10


@dataclass(frozen=True, slots=True)
class Scenario:
    """The conditions that a policy must handle; `timeout` is the client's."""

    name: str
    conditions: Sequence[Conditions]
    maximum: int = 64
    timeout: float = 5.0

    def spans(self) -> list[tuple[float, float, Conditions]]:
        """Start, end and what rules between."""
        found, start = [], 0.0
        for conditions in self.conditions:
            found.append((start, start + conditions.seconds, conditions))
            start += conditions.seconds
        return found

    def settled(self) -> list[tuple[float, float, Conditions]]:
        """The spans, each from where a policy should have settled; those too short left out."""
        return [
            (start + conditions.settling, end, conditions)
            for start, end, conditions in self.spans()
            if start + conditions.settling < end
        ]


@dataclass(frozen=True, slots=True)
class Trace:
    """What happened.

    Attributes:
        limits: The limit from a time on; the first is from 0.
        ends: When requests ended, and how, in order.
        back_offs: When a throttling or timeout lowered the limit.
        given_up: When a request had failed for so long that a listing would have ended.
    """

    limits: list[tuple[float, int]]
    ends: list[tuple[float, Outcome]] = field(default_factory=list)
    back_offs: list[float] = field(default_factory=list)
    given_up: list[float] = field(default_factory=list)

    def count(self, outcome: Outcome, start: float, end: float) -> int:
        return sum(start <= at < end and how is outcome for at, how in self.ends)

    def goodput(self, start: float, end: float) -> float:
        return self.count(Outcome.SUCCEEDED, start, end) / (end - start)

    def limits_between(self, start: float, end: float) -> list[tuple[float, int]]:
        """The limits that ruled within a span, with the seconds that each did."""
        starts = [*self.limits, (math.inf, 0)]
        found = []
        for (since, limit), (until, _) in itertools.pairwise(starts):
            seconds = min(until, end) - max(since, start)
            if seconds > 0:
                found.append((seconds, limit))
        return found

    def mean_limit(self, start: float, end: float) -> float:
        return sum(s * limit for s, limit in self.limits_between(start, end)) / (end - start)

    def extremes(self, start: float, end: float) -> tuple[int, int]:
        limits = [limit for _, limit in self.limits_between(start, end)]
        return min(limits), max(limits)

    def steadiness(self, start: float, end: float) -> float:
        """The share of the time that the limit is within a quarter of its median, or within one.

        A limit oscillates where this is less than 0.8.
        """
        spans = sorted(self.limits_between(start, end), key=lambda span: span[1])
        passed = 0.0
        for seconds, limit in spans:
            passed += seconds
            if passed >= (end - start) / 2:
                median = limit
                break
        near = max(1.0, median / 4)
        return sum(s for s, limit in spans if abs(limit - median) <= near) / (end - start)


class _Store:
    def __init__(self, scenario: Scenario, random: Random) -> None:
        self._scenario, self._random = scenario, random
        self._spans = deque(scenario.spans())
        self._free_at: list[float] = []
        self._tokens, self._filled_at = math.inf, 0.0

    def answer(self, worker: int, at: float) -> tuple[float, Outcome]:
        """When and how a request sent now ends."""
        while at >= self._spans[0][1]:
            self._spans.popleft()
        now = self._spans[0][2]
        if now.rate is not None and not self._admit(now.rate, at):
            return at + REFUSAL_SECONDS, Outcome.THROTTLED
        service = self._random.lognormvariate(math.log(now.latency), now.spread)
        if worker < now.slow * self._scenario.maximum:
            service *= SLOWER
        done = self._begin(now.slots, at) + service
        if now.slots is not None:
            heapq.heappush(self._free_at, done)
        if done - at > self._scenario.timeout:
            return at + self._scenario.timeout, Outcome.TIMED_OUT
        chance = self._random.random()
        if chance < now.stray:
            return done, Outcome.THROTTLED
        return done, Outcome.FAILED if chance < now.stray + now.failing else Outcome.SUCCEEDED

    def _admit(self, rate: float, at: float) -> bool:
        self._tokens = min(rate, self._tokens + rate * (at - self._filled_at))
        self._filled_at = at
        admitted = self._tokens >= 1
        self._tokens -= admitted
        return admitted

    def _begin(self, slots: int | None, at: float) -> float:
        if slots is None:
            self._free_at.clear()
            return at
        while len(self._free_at) < slots:
            heapq.heappush(self._free_at, at)
        while len(self._free_at) > slots:
            heapq.heappop(self._free_at)
        return max(at, heapq.heappop(self._free_at))


def simulate(scenario: Scenario, controller: LimitPolicy, seed: int) -> Trace:
    """Play a scenario from beginning to end."""
    random = Random(seed)  # noqa: S311 - chance to replay, not a secret
    store = _Store(scenario, random)
    end = scenario.spans()[-1][1]
    trace = Trace([(0.0, controller.limit)])
    waiting = deque(range(scenario.maximum))
    failures = [0] * scenario.maximum
    failed_at = [0.0] * scenario.maximum
    events: list[tuple[float, int, int, float, Outcome | None]] = []  # None: has backed off
    now, in_flight, sent = 0.0, 0, 0
    while now < end:
        while waiting and in_flight < trace.limits[-1][1]:
            worker = waiting.popleft()
            in_flight += 1
            sent += 1
            done, outcome = store.answer(worker, now)
            heapq.heappush(events, (done, sent, worker, now, outcome))
        now, number, worker, since, ended = heapq.heappop(events)
        if now >= end:
            break
        if ended is None:
            waiting.append(worker)
            continue
        limit = controller.on_sample(Sample(now, now - since, ended, in_flight))
        trace.ends.append((now, ended))
        in_flight -= 1
        before = trace.limits[-1][1]
        if limit != before:
            trace.limits.append((now, limit))
            if limit < before and ended in LOSSES:
                trace.back_offs.append(now)
        if ended is Outcome.SUCCEEDED:
            failures[worker] = 0
            waiting.append(worker)
        else:
            failures[worker] += 1
            failed_at[worker] = now if failures[worker] == 1 else failed_at[worker]
            if now - failed_at[worker] >= RETRY.outage_seconds:
                trace.given_up.append(now)
                failures[worker] = 0
            again = now + RETRY.delay(failures[worker], random.random())
            heapq.heappush(events, (again, number, worker, now, None))
    return trace


def best_fixed_goodput(scenario: Scenario, seed: int) -> float:
    """Goodput of the best fixed limit with hindsight, where the first conditions rule."""
    start, end, _ = scenario.settled()[0]
    limits = {*range(1, 9), *range(8, scenario.maximum + 1, 8)}
    traces = (simulate(scenario, Fixed(limit), seed) for limit in sorted(limits))
    return max(trace.goodput(start, end) for trace in traces)


class MillisecondPid(Pid):
    """The original system's arithmetic: errors in milliseconds, their sum added to the limit."""

    def _error(self, p95: float) -> float:
        return (TARGET_P95_SECONDS - p95) * 1000

    def _moved(self, output: float) -> float:
        return self._limit + output


SCENARIOS = (
    Scenario("healthy, 100 ms", [Conditions(60)]),
    Scenario("healthy, 400 ms (far away)", [Conditions(90, latency=0.4)]),
    Scenario("healthy, latencies vary widely", [Conditions(60, spread=0.8)]),
    Scenario("1 ms, the client's CPU is the limit", [Conditions(40, latency=0.001, slots=3)]),
    Scenario("knee at 20 workers", [Conditions(120, slots=20)]),
    Scenario("503 above 175 requests/s", [Conditions(120, rate=175)]),
    Scenario("503 above 275 requests/s", [Conditions(120, rate=275)]),
    Scenario("503 above 30 requests/s", [Conditions(120, rate=30)]),
    Scenario(
        "latency steps 100, 300, 100 ms",
        [Conditions(60), Conditions(60, latency=0.3), Conditions(60)],
    ),
    Scenario("a slow prefix: 1 worker in 4, 10 times", [Conditions(60, slow=0.25)]),
    Scenario("stray 503s, 3 in 1,000", [Conditions(90, stray=0.003)]),
    Scenario("resets, 2 in 100", [Conditions(60, failing=0.02)]),
    Scenario(
        "knee moves from 20 to 60",
        [Conditions(60, slots=20), Conditions(100, slots=60, settling=60)],
    ),
    Scenario("throttling ends", [Conditions(60, rate=100), Conditions(100, settling=60)]),
    Scenario(
        "10 seconds of timeouts, then well",
        [Conditions(40), Conditions(10, latency=60), Conditions(70)],
    ),
)
"""The store as it may be. The rates are S3's 3,500 and 5,500 requests a second and prefix, and
less, divided by 20, as are the clients."""
