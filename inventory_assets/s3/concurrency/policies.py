"""How many requests may be in flight: controllers, samples in, limit out.

A controller is told of every request that ended, retries included, and answers with the limit from
then on. It has no clock, no thread and no chance inside, so that a simulation can replay it; who
shares one between threads calls it under a lock.

`Adaptive` looks for the most successes a second, `Pid` for a latency, `Fixed` for nothing. How they
compare: docs/concurrency.md. Ideas from slow start and the one cut per round trip of TCP (RFC
5681), the flat growth around the last loss of CUBIC (RFC 9438), and the windows of samples of
Netflix's concurrency-limits.
"""

import math
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from inventory_assets.s3.concurrency.request_outcome import (
    BACKOFF_RATIO,
    SECONDS_BETWEEN_BACKOFFS,
    BackoffTrigger,
    Outcome,
    Sample,
)

MIN_LIMIT = 1
"""A limit of no request at all could never learn that the store is well again."""

INITIAL = 16
"""Two doublings from 64, and little enough for a store that allows only a few."""

MIN_UTILIZATION = 0.9
"""A limit of which less is in flight on the average holds nobody back, and teaches nothing."""

SAMPLES = 32
"""In a window at least: latencies that vary by half leave goodput uncertain by 0.5/√32 = 9 %."""

SAMPLES_PER_SLOT = 2
"""In a window, ends of requests for each one in flight, at least."""

START_SECONDS = 0.2
"""The shortest window of the slow start: two steps, and 64 in flight, in under a second."""

GROWTH_SECONDS = 0.5
"""The shortest window afterwards."""

GROWTH = 0.05
"""Growth of the limit in a window, and so a tenth a second at most: S3 wants rates raised gradually
(https://repost.aws/knowledge-center/s3-503-within-request-rate-prefix)."""

SMALLEST_GROWTH = 0.5
"""In requests, as a twentieth of a few would take long to become one."""

MIN_COMPARE_RATIO = 1.25
"""How far the limit must have grown before goodput is compared: less drowns in the noise."""

LONG_COMPARE_RATIO = 1.5
"""How far it must have grown before the comparison starts anew from there: one lucky window alone
does not raise the limit for good."""

MIN_MARGINAL_GAIN = 0.35
"""The share of a growth of the limit that goodput must follow. Behind 100 ms it follows by all of
it, beyond a knee by nothing."""

SETTLE_RATIO = 0.98
"""Of what was enough. What is too little, the next attempt gives back; what is too much, nothing
else would take away."""

SMOOTHING = 0.25
"""The weight of the newest window in the goodput that growth is measured against."""

CEILING_MARGIN = 0.95
"""Where to wait below a limit that was too much: one step (`GROWTH`) back."""

SHORTEST_REST, LONGEST_REST = 5.0, 20.0
"""Seconds between two attempts to pass a ceiling; each that fails doubles them. A recovery from
0.7 of the ceiling, at 0.82 on the average, takes 4 seconds: beside 20 and more at the ceiling
itself that keeps more than 0.9."""


class LimitPolicy(Protocol):
    """A policy for the limit of requests in flight."""

    @property
    def limit(self) -> int:
        """Requests that may be in flight now; at least one, at most the maximum."""

    def on_sample(self, sample: Sample) -> int:
        """Take a sample, in the order of their ends; the limit from now on."""


class PolicyName(StrEnum):
    """The names of the policies."""

    ADAPTIVE = "adaptive"
    PID = "pid"
    FIXED = "fixed"


def open_policy(policy: str, maximum: int) -> LimitPolicy:
    """The controller of a policy.

    Args:
        policy: A name from `PolicyName`.
        maximum: Requests in flight at most; the limit never exceeds it.

    Raises:
        ValueError: There is no such policy, or the maximum is less than one.
    """
    if policy not in list(PolicyName):
        raise ValueError(f"there is no policy {policy!r}; choose one of {', '.join(PolicyName)}")
    if maximum < MIN_LIMIT:
        raise ValueError(f"at most {maximum} requests in flight: allow at least {MIN_LIMIT}")
    match PolicyName(policy):
        case PolicyName.ADAPTIVE:
            return Adaptive(maximum)
        case PolicyName.PID:
            return Pid(maximum)
        case PolicyName.FIXED:
            return Fixed(maximum)


class Fixed:
    """Always the maximum."""

    def __init__(self, maximum: int) -> None:
        self._maximum = maximum

    @property
    def limit(self) -> int:
        return self._maximum

    def on_sample(self, sample: Sample) -> int:  # noqa: ARG002
        return self._maximum


@dataclass(slots=True)
class _Window:
    """Samples under one limit, once those from before it are out of the way."""

    _to_skip: int
    _opened: float | None = None
    _samples: int = 0
    _successes: int = 0
    _in_flight: int = 0

    def add(self, sample: Sample) -> None:
        if self._to_skip > 0:
            self._to_skip -= 1
            return
        if self._opened is None:
            self._opened = sample.at
            return
        self._samples += 1
        self._successes += sample.outcome is Outcome.SUCCEEDED
        self._in_flight += sample.in_flight

    def is_full(self, at: float, limit: int, shortest: float) -> bool:
        return (
            self._opened is not None
            and at - self._opened >= shortest
            and self._samples >= max(SAMPLES, SAMPLES_PER_SLOT * limit)
        )

    def goodput(self, at: float) -> float:
        """Successes a second."""
        return self._successes / (at - self._opened) if self._opened is not None else 0.0

    def used(self, limit: int) -> bool:
        return self._in_flight >= MIN_UTILIZATION * limit * self._samples


@dataclass(frozen=True, slots=True)
class _Level:
    """What growth is measured against."""

    limit: float
    goodput: float


class Adaptive:
    """As many as it takes for the most successes a second, and no more.

    It doubles until something says stop. Throttling and timeouts cut at once, at most once a
    second; then the limit grows again, rests a step below where it was cut, and tries to pass only
    now and then. A growth that goodput does not follow is taken back to where it would have been
    enough. Latency alone is no reason for anything: a bucket may be far away.
    """

    def __init__(self, maximum: int) -> None:
        self._maximum = maximum
        self._limit = float(min(INITIAL, maximum))
        self._starting = True
        self._ceiling = float(maximum)
        self._probe_interval = SHORTEST_REST
        self._next_probe_at = -math.inf
        self._level: _Level | None = None
        self._doubted = False
        self._backoff = BackoffTrigger()
        self._window = _Window(self.limit)

    @property
    def limit(self) -> int:
        return int(self._limit)

    def on_sample(self, sample: Sample) -> int:
        if self._backoff.should_back_off(sample):
            self._back_off(sample.at)
            return self.limit
        self._window.add(sample)
        shortest = START_SECONDS if self._starting else GROWTH_SECONDS
        if self._window.is_full(sample.at, self.limit, shortest):
            window, self._window = self._window, _Window(0, sample.at)
            goodput = window.goodput(sample.at)
            if goodput > 0 and window.used(self.limit):
                self._learn(sample.at, goodput)
        return self.limit

    def _back_off(self, at: float) -> None:
        too_much = self._limit
        self._starting = False
        self._ceiling = max(MIN_LIMIT, min(too_much * CEILING_MARGIN, self.limit - 1))
        self._next_probe_at = at + SECONDS_BETWEEN_BACKOFFS
        self._move(max(MIN_LIMIT, too_much * BACKOFF_RATIO))
        self._level = None

    def _learn(self, at: float, goodput: float) -> None:
        here = _Level(self._limit, goodput)
        level = self._level or here
        stride, gain = here.limit / level.limit, goodput / level.goodput
        doubtful = stride >= MIN_COMPARE_RATIO and gain < 1 + MIN_MARGINAL_GAIN * (stride - 1)
        if doubtful:
            if self._doubted:
                self._settle(at, level.limit * max(1.0, gain))
        elif at < self._next_probe_at:
            smoothed = level.goodput + SMOOTHING * (goodput - level.goodput)
            self._level = _Level(here.limit, smoothed if stride == 1 else goodput)
        else:
            if stride >= LONG_COMPARE_RATIO and self._ceiling == self._maximum:
                self._probe_interval = SHORTEST_REST
            known = self._limit < self._ceiling < self._maximum
            anew = (
                self._starting
                or known
                or stride >= LONG_COMPARE_RATIO
                or here.limit == self._maximum
            )
            self._level = here if anew else level
            self._grow(at)
        self._doubted = doubtful

    def _settle(self, at: float, enough: float) -> None:
        """Growth did not pay; the limit before, and its share of what was gained, is enough."""
        self._starting = False
        self._ceiling = max(MIN_LIMIT, min(enough * SETTLE_RATIO, self._limit))
        self._schedule_probe(at)
        self._move(self._ceiling)
        self._level = None

    def _grow(self, at: float) -> None:
        step = self._limit if self._starting else max(SMALLEST_GROWTH, GROWTH * self._limit)
        grown = self._limit + step
        if self._limit >= self._ceiling:
            self._ceiling = float(self._maximum)  # passed, until told otherwise
        elif grown >= self._ceiling < self._maximum:
            grown = self._ceiling
            self._schedule_probe(at)
        self._move(min(grown, self._maximum))

    def _schedule_probe(self, at: float) -> None:
        self._next_probe_at = at + self._probe_interval
        self._probe_interval = min(2 * self._probe_interval, LONGEST_REST)

    def _move(self, limit: float) -> None:
        before = self.limit
        self._limit = limit
        if self.limit != before:
            self._window = _Window(self.limit)


TARGET_P95_SECONDS = 0.2
KP, KI, KD = 0.8, 0.02, 1.5
PID_LOWEST, PID_HIGHEST = 4, 256
"""Target, gains and clamp of the original system, which ran with raw milliseconds."""

UPDATE_SECONDS = 1.0
"""The original system's interval of updates."""

PERCENTILE = 0.95


@dataclass(slots=True)
class _Second:
    """What the PID has seen since its last update."""

    opened: float
    latencies: list[float] = field(default_factory=list)
    in_flight: int = 0


class Pid:
    """As many as keep the 95th percentile of latency at 200 ms, throttling overriding it.

    The original system's controller, with two corrections: the error is a share of the target and
    moves the limit by a share, and only successes count as latency. It knows no other target: a
    healthy bucket that is farther away than 200 ms gets `PID_LOWEST` requests.
    """

    def __init__(self, maximum: int) -> None:
        self._highest = min(maximum, PID_HIGHEST)
        self._lowest = min(maximum, PID_LOWEST)
        self._limit = float(min(INITIAL, self._highest))
        self._integral = 0.0
        self._last_error: float | None = None
        self._backoff = BackoffTrigger()
        self._second: _Second | None = None

    @property
    def limit(self) -> int:
        return int(self._limit)

    def on_sample(self, sample: Sample) -> int:
        if self._backoff.should_back_off(sample):
            self._limit = max(self._lowest, self._limit * BACKOFF_RATIO)
            self._integral, self._last_error = 0.0, None
            self._second = _Second(sample.at)
            return self.limit
        if self._second is None:
            self._second = _Second(sample.at)
        if sample.outcome is Outcome.SUCCEEDED:
            self._second.latencies.append(sample.latency)
            self._second.in_flight += sample.in_flight
        elapsed = sample.at - self._second.opened
        if elapsed >= UPDATE_SECONDS and self._second.latencies:
            self._update(self._second, elapsed)
            self._second = _Second(sample.at)
        return self.limit

    def _update(self, second: _Second, elapsed: float) -> None:
        latencies = sorted(second.latencies)
        error = self._error(latencies[math.ceil(PERCENTILE * len(latencies)) - 1])
        slope = 0.0 if self._last_error is None else (error - self._last_error) / elapsed
        self._last_error = error
        integral = self._integral + error * elapsed
        moved = self._moved(KP * error + KI * integral + KD * slope)
        if moved > self._limit and second.in_flight < MIN_UTILIZATION * self.limit * len(latencies):
            return
        self._limit = min(float(self._highest), max(float(self._lowest), moved))
        if self._limit == moved:  # at a clamp the integral would only wind up
            self._integral = integral

    def _error(self, p95: float) -> float:
        """How far below its target the latency is, as a share of it; at most the whole."""
        return max(-1.0, 1 - p95 / TARGET_P95_SECONDS)

    def _moved(self, output: float) -> float:
        return self._limit * (1 + output)
