"""Policies that set the limit of requests in flight: samples in, limit out.

A policy receives a sample of every request that ended, retries included, and returns the new
limit. It contains no clock, thread or randomness, so a simulation can replay it. It is not
thread-safe: the limiter calls it under a lock.

`Adaptive` maximises successes per second, `Pid` holds a latency, `Fixed` never changes.
docs/concurrency.md compares them. The ideas are slow start and one back-off per round trip from
TCP (RFC 5681), flat growth around the last loss from CUBIC (RFC 9438), and windows of samples from
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
"""With a limit of 0, no sample could show that the store has recovered."""

INITIAL = 16
"""Two doublings from 64, and low enough for a store that allows only a few requests."""

MIN_UTILIZATION = 0.9
"""The average number in flight, as a share of the limit, below which a window is ignored."""

SAMPLES = 32
"""Minimum per window: if latencies vary by half, goodput is uncertain by 0.5/√32 = 9 %."""

SAMPLES_PER_SLOT = 2
"""Minimum samples per window and slot of the limit."""

START_SECONDS = 0.2
"""Minimum window during slow start: two doublings, to 64 in flight, take less than a second."""

GROWTH_SECONDS = 0.5
"""Minimum window after slow start."""

GROWTH = 0.05
"""Growth of the limit per window, so at most 10 % a second: S3 asks clients to ramp up gradually
(https://repost.aws/knowledge-center/s3-503-within-request-rate-prefix)."""

SMALLEST_GROWTH = 0.5
"""In requests: 5 % of a small limit would take many windows to add one request."""

MIN_COMPARE_RATIO = 1.25
"""Growth of the limit before goodput is compared; smaller growth is lost in noise."""

LONG_COMPARE_RATIO = 1.5
"""Growth of the limit before the comparison restarts from the new level, so that a single lucky
window does not raise the limit permanently."""

MIN_MARGINAL_GAIN = 0.35
"""Share of the limit's growth by which goodput must grow. At 100 ms of latency goodput grows in
proportion; beyond the store's capacity it does not grow."""

SETTLE_RATIO = 0.98
"""The limit after growth did not pay, relative to the sufficient limit. The next probe corrects a
limit that is too low; nothing would correct one that is too high."""

SMOOTHING = 0.25
"""Weight of the newest window in the reference goodput."""

CEILING_MARGIN = 0.95
"""The ceiling relative to a limit that was too high: one step (`GROWTH`) below it."""

MIN_PROBE_INTERVAL, MAX_PROBE_INTERVAL = 5.0, 20.0
"""Seconds between two attempts to pass the ceiling, doubled after each failure. A recovery from
0.7 of the ceiling takes 4 seconds at 0.82 on average; with 20 seconds at the ceiling the average
stays above 0.9."""


class LimitPolicy(Protocol):
    """Sets the limit of requests in flight."""

    @property
    def limit(self) -> int:
        """The current limit, between 1 and the maximum."""

    def on_sample(self, sample: Sample) -> int:
        """Add a sample, in order of `Sample.at`; return the new limit."""


class PolicyName(StrEnum):
    """The names of the policies."""

    ADAPTIVE = "adaptive"
    PID = "pid"
    FIXED = "fixed"


def open_policy(policy: str, maximum: int) -> LimitPolicy:
    """Create the policy with this name.

    Args:
        policy: A name from `PolicyName`.
        maximum: Upper bound of the limit.

    Raises:
        ValueError: There is no such policy, or the maximum is less than 1.
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
    """The limit is always the maximum."""

    def __init__(self, maximum: int) -> None:
        self._maximum = maximum

    @property
    def limit(self) -> int:
        return self._maximum

    def on_sample(self, sample: Sample) -> int:  # noqa: ARG002
        return self._maximum


@dataclass(slots=True)
class _Window:
    """Samples under one limit; skips the requests that were sent under the previous one."""

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
class _Reference:
    """The limit and goodput that growth is compared with."""

    limit: float
    goodput: float


class Adaptive:
    """Finds the smallest limit with the highest goodput (successes per second).

    During slow start the limit doubles. Throttling and timeouts reduce it at once, at most once a
    second. It then grows again to a ceiling just below the limit that was too high, and probes
    beyond the ceiling at growing intervals. If goodput does not grow with the limit, the limit
    returns to the value that would have been enough. Latency alone has no effect, as the bucket may
    be far away.
    """

    def __init__(self, maximum: int) -> None:
        self._maximum = maximum
        self._limit = float(min(INITIAL, maximum))
        self._starting = True
        self._ceiling = float(maximum)
        self._probe_interval = MIN_PROBE_INTERVAL
        self._next_probe_at = -math.inf
        self._reference: _Reference | None = None
        self._was_doubtful = False
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
                self._evaluate(sample.at, goodput)
        return self.limit

    def _back_off(self, at: float) -> None:
        too_much = self._limit
        self._starting = False
        self._ceiling = max(MIN_LIMIT, min(too_much * CEILING_MARGIN, self.limit - 1))
        self._next_probe_at = at + SECONDS_BETWEEN_BACKOFFS
        self._set_limit(max(MIN_LIMIT, too_much * BACKOFF_RATIO))
        self._reference = None

    def _evaluate(self, at: float, goodput: float) -> None:
        here = _Reference(self._limit, goodput)
        reference = self._reference or here
        growth, gain = here.limit / reference.limit, goodput / reference.goodput
        is_doubtful = growth >= MIN_COMPARE_RATIO and gain < 1 + MIN_MARGINAL_GAIN * (growth - 1)
        if is_doubtful:
            if self._was_doubtful:
                self._settle(at, reference.limit * max(1.0, gain))
        elif at < self._next_probe_at:
            smoothed = reference.goodput + SMOOTHING * (goodput - reference.goodput)
            self._reference = _Reference(here.limit, smoothed if growth == 1 else goodput)
        else:
            if growth >= LONG_COMPARE_RATIO and self._ceiling == self._maximum:
                self._probe_interval = MIN_PROBE_INTERVAL
            is_below_ceiling = self._limit < self._ceiling < self._maximum
            restarts = (
                self._starting
                or is_below_ceiling
                or growth >= LONG_COMPARE_RATIO
                or here.limit == self._maximum
            )
            self._reference = here if restarts else reference
            self._grow(at)
        self._was_doubtful = is_doubtful

    def _settle(self, at: float, enough: float) -> None:
        """Growth did not pay: return to `enough`, the limit that reaches the same goodput."""
        self._starting = False
        self._ceiling = max(MIN_LIMIT, min(enough * SETTLE_RATIO, self._limit))
        self._schedule_probe(at)
        self._set_limit(self._ceiling)
        self._reference = None

    def _grow(self, at: float) -> None:
        step = self._limit if self._starting else max(SMALLEST_GROWTH, GROWTH * self._limit)
        grown = self._limit + step
        if self._limit >= self._ceiling:
            self._ceiling = float(self._maximum)  # the probe succeeded
        elif grown >= self._ceiling < self._maximum:
            grown = self._ceiling
            self._schedule_probe(at)
        self._set_limit(min(grown, self._maximum))

    def _schedule_probe(self, at: float) -> None:
        self._next_probe_at = at + self._probe_interval
        self._probe_interval = min(2 * self._probe_interval, MAX_PROBE_INTERVAL)

    def _set_limit(self, limit: float) -> None:
        before = self.limit
        self._limit = limit
        if self.limit != before:
            self._window = _Window(self.limit)


TARGET_P95_SECONDS = 0.2
KP, KI, KD = 0.8, 0.02, 1.5
PID_LOWEST, PID_HIGHEST = 4, 256
"""Target, gains and clamp of the original system, which used raw milliseconds."""

UPDATE_SECONDS = 1.0
"""Update interval of the original system."""

PERCENTILE = 0.95


@dataclass(slots=True)
class _Second:
    """Successes since the last update."""

    opened: float
    latencies: list[float] = field(default_factory=list)
    in_flight: int = 0


class Pid:
    """Holds the 95th percentile of latency at 200 ms; throttling overrides it.

    This is the original system's controller with two corrections: error and output are relative
    (to the target and to the limit), and only successes count as latency. The target is fixed, so
    a healthy bucket with more than 200 ms of latency gets `PID_LOWEST` requests.
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
        if self._limit == moved:  # prevent integral wind-up at a clamp
            self._integral = integral

    def _error(self, p95: float) -> float:
        """The relative distance of the latency below its target, at least -1."""
        return max(-1.0, 1 - p95 / TARGET_P95_SECONDS)

    def _moved(self, output: float) -> float:
        return self._limit * (1 + output)
