"""What a process does while it lists: how long it waits for responses, in which state, and works.

Totals only grow, so the difference of two of them says what happened in between. Telemetry and the
record of a run read them; nobody else writes them than the limiter, the client and the scan.

The thread that lists is in one of two phases. While it *receives*, it waits for responses or takes
them from the network; each moment of that phase counts in one of the states of `ActivityTotals`.
While it *reads*, it decodes pages and writes records, and the requests in flight wait for it.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields
from math import inf
from pathlib import Path
from uuid import uuid4

from inventory_assets.s3.concurrency.request_outcome import Outcome

FULL = 0.9
"""The limit counts as reached at this share of it, as receivers hand over pages between requests.
It is the utilization below which the policies ignore a window."""

MAX_SAMPLES = 480
"""Samples in memory. When there are more, every other one is dropped, and the interval doubles."""

FIRST_INTERVAL = 0.25
"""Seconds between the first samples: a listing of two minutes has all of them."""


def core_wait_seconds() -> float:
    """Seconds that this thread was ready to run, but no core was free; 0 where Linux does not say.

    https://docs.kernel.org/scheduler/sched-stats.html
    """
    with suppress(OSError, ValueError, IndexError):
        return int(Path("/proc/thread-self/schedstat").read_bytes().split()[1]) / 1e9
    return 0.0


@dataclass(frozen=True, slots=True)
class Clocks:
    """The clocks of a thread, in seconds; tests pass others.

    Attributes:
        wall: A monotonic clock.
        thread_cpu: The CPU time of the calling thread.
        process_cpu: The CPU time of the process.
        core_wait: The time that the calling thread waited for a free core.
    """

    wall: Callable[[], float] = time.monotonic
    thread_cpu: Callable[[], float] = time.thread_time
    process_cpu: Callable[[], float] = time.process_time
    core_wait: Callable[[], float] = core_wait_seconds


SYSTEM_CLOCKS = Clocks()


@dataclass(frozen=True, slots=True)
class ActivityTotals:
    """What happened since the start; all but the counts are in seconds.

    The first seven are the states of the receiving phase. A moment in which some requests wait to
    be retried counts in shares.

    Attributes:
        at_maximum: As many requests were in flight as the configuration allows.
        at_limit: As many as the policy allows, which is fewer, but not because of errors.
        throttled: Requests waited to be retried after throttling, or were limited by a back-off
            after it.
        retrying: The same after other transient errors.
        below_limit: Several requests were in flight, but fewer than the limit.
        alone: One request was in flight, although more were allowed.
        idle: None was in flight.
        seconds: The time.
        receiving: The receiving phase.
        receiving_cpu: CPU time of the listing thread in it.
        reading: The reading phase.
        reading_cpu: CPU time of the listing thread in it.
        writing: The part of the reading phase in which records were written.
        queue_full: Receivers were blocked, as the queue of pages was full.
        process_cpu: CPU time of all threads of the process.
        core_wait: The listing thread was ready to run, but no core was free.
        request_seconds: The requests in flight, summed over time.
        limit_seconds: The limit, summed over time.
        succeeded: The number of successful requests.
        failed: Transient errors, by kind.
    """

    at_maximum: float = 0.0
    at_limit: float = 0.0
    throttled: float = 0.0
    retrying: float = 0.0
    below_limit: float = 0.0
    alone: float = 0.0
    idle: float = 0.0
    seconds: float = 0.0
    receiving: float = 0.0
    receiving_cpu: float = 0.0
    reading: float = 0.0
    reading_cpu: float = 0.0
    writing: float = 0.0
    queue_full: float = 0.0
    process_cpu: float = 0.0
    core_wait: float = 0.0
    request_seconds: float = 0.0
    limit_seconds: float = 0.0
    succeeded: float = 0
    failed: Mapping[str, float] = field(default_factory=dict)

    def since(self, earlier: "ActivityTotals") -> "ActivityTotals":
        """What happened between `earlier` and this."""
        return self._combined(earlier, 1, -1)

    def towards(self, later: "ActivityTotals", share: float) -> "ActivityTotals":
        """The totals at a moment between this and `later`, if all grew steadily in between."""
        return self._combined(later, 1 - share, share)

    def _combined(self, other: "ActivityTotals", own: float, others: float) -> "ActivityTotals":
        numbers = {
            name: own * getattr(self, name) + others * getattr(other, name) for name in _NUMBERS
        }
        kinds = {*self.failed, *other.failed}
        failed = {
            kind: own * self.failed.get(kind, 0) + others * other.failed.get(kind, 0)
            for kind in sorted(kinds)
        }
        return ActivityTotals(failed=failed, **numbers)


_NUMBERS = tuple(each.name for each in fields(ActivityTotals) if each.name != "failed")
_STATES = _NUMBERS[:7]
AT_MAXIMUM, AT_LIMIT, THROTTLED, RETRYING, BELOW_LIMIT, ALONE, IDLE = range(len(_STATES))


class ActivityMeter:
    """Adds up what the requests of one client and the scan over it do; thread-safe.

    A request costs two calls, and a batch of pages two more, of less than a microsecond each.

    Args:
        maximum: The requests in flight that the configuration allows.
        clocks: The clocks.

    Attributes:
        maximum: The requests in flight that the configuration allows.
        run_id: Identifies the process and the client in the records of several shards.
    """

    def __init__(self, maximum: int, clocks: Clocks = SYSTEM_CLOCKS) -> None:
        self.maximum = maximum
        self.run_id = uuid4().hex[:16]
        self._clocks = clocks
        self._lock = threading.Lock()
        self._began = self._at = clocks.wall()
        self._process_cpu = clocks.process_cpu()
        self._thread: int | None = None
        """The thread of the scan; only there its CPU time and its waits for a core are known."""
        self._in_flight, self._limit = 0, maximum
        self._states = [0.0] * len(_STATES)
        self._waits = [0, 0]
        """Requests that wait to be retried: after throttling, and after other errors."""
        self._ceiling, self._capped_as = -inf, THROTTLED
        """The limit before the last back-off, and the state of a limit that is not higher."""
        self._blocked = 0
        self._is_reading = False
        self._phase_at, self._phase_cpu = self._began, 0.0
        self._receiving = self._receiving_cpu = 0.0
        self._reading = self._reading_cpu = self._writing = 0.0
        self._writing_since: float | None = None
        self._core_wait, self._core_waited = 0.0, 0.0
        self._queue_full = self._request_seconds = self._limit_seconds = 0.0
        self._succeeded = 0
        self._failed: Counter[str] = Counter()
        self._interval = FIRST_INTERVAL
        self._next_sample = self._began + FIRST_INTERVAL
        self._samples: list[ActivityTotals] = []

    # Called by the limiter and the client.

    def request_sent(self, in_flight: int, limit: int) -> None:
        """Count a request as in flight; `in_flight` and `limit` include it."""
        with self._lock:
            self._pass()
            self._in_flight, self._limit = in_flight, limit

    def request_ended(self, in_flight: int, limit: int, outcome: Outcome | None) -> None:
        """Count a request that ended; `in_flight` and `limit` are those without it."""
        with self._lock:
            self._pass()
            self._succeeded += outcome is Outcome.SUCCEEDED
            if limit < self._limit and outcome in (Outcome.THROTTLED, Outcome.TIMED_OUT):
                self._ceiling = self._limit
                self._capped_as = THROTTLED if outcome is Outcome.THROTTLED else RETRYING
            elif limit > self._ceiling:
                self._ceiling = -inf
            self._in_flight, self._limit = in_flight, limit

    def retry_begins(self, kind: str, *, is_throttled: bool) -> None:
        """Count a transient error, after which its request waits to be sent again."""
        with self._lock:
            self._pass()
            self._failed[kind] += 1
            self._waits[not is_throttled] += 1

    def retry_ends(self, *, is_throttled: bool) -> None:
        """Count the end of such a wait."""
        with self._lock:
            self._pass()
            self._waits[not is_throttled] -= 1

    # Called by the scan.

    def receivers_blocked(self, count: int) -> None:
        """Set the number of receivers that wait for room in the queue of pages."""
        with self._lock:
            self._pass()
            self._blocked = count

    def begin_scan(self) -> None:
        """Begin a scan in this thread, with the receiving phase."""
        with self._lock:
            self._pass()
            self._thread = threading.get_ident()
            self._core_waited = self._clocks.core_wait() - self._core_wait
            self._receiving += self._at - self._phase_at
            self._phase_at, self._phase_cpu = self._at, self._clocks.thread_cpu()

    def begin_reading(self) -> None:
        """Begin to decode pages and write records."""
        with self._lock:
            self._pass()
            self._is_reading = True
            cpu = self._phase_cpu
            self._phase_cpu = self._clocks.thread_cpu()
            self._receiving += self._at - self._phase_at
            self._receiving_cpu += self._phase_cpu - cpu
            self._phase_at = self._at

    def end_reading(self) -> None:
        """Go on receiving."""
        with self._lock:
            self._pass()
            self._is_reading = False
            cpu = self._phase_cpu
            self._phase_cpu = self._clocks.thread_cpu()
            self._reading += self._at - self._phase_at
            self._reading_cpu += self._phase_cpu - cpu
            self._phase_at = self._at

    def begin_writing(self) -> None:
        """Begin to write records, within the reading phase."""
        self._writing_since = self._clocks.wall()

    def end_writing(self) -> None:
        """End writing."""
        if self._writing_since is not None:
            self._writing += self._clocks.wall() - self._writing_since
            self._writing_since = None

    # Called by readers.

    def totals(self) -> ActivityTotals:
        """What happened until now."""
        with self._lock:
            self._pass()
            return self._totals()

    def between(self, start: ActivityTotals, end: ActivityTotals) -> list[ActivityTotals]:
        """The totals at several times from `start` to `end`, both included."""
        with self._lock:
            inside = [each for each in self._samples if start.seconds < each.seconds < end.seconds]
        return [start, *inside, end]

    def _pass(self) -> None:
        """Add the time since the last change; the caller holds the lock."""
        now = self._clocks.wall()
        elapsed, self._at = now - self._at, now
        if elapsed <= 0:
            return
        in_flight, limit = self._in_flight, self._limit
        self._request_seconds += elapsed * in_flight
        self._limit_seconds += elapsed * limit
        if self._blocked:
            self._queue_full += elapsed
        if not self._is_reading:
            states = self._states
            throttled, retrying = self._waits
            open_requests = in_flight + throttled + retrying
            if open_requests > in_flight:
                share = elapsed / open_requests
                states[THROTTLED] += share * throttled
                states[RETRYING] += share * retrying
                elapsed = share * in_flight
            if open_requests >= FULL * limit:
                if limit <= self._ceiling:
                    states[self._capped_as] += elapsed
                else:
                    states[AT_MAXIMUM if limit >= self.maximum else AT_LIMIT] += elapsed
            elif in_flight == 1:
                states[ALONE] += elapsed
            else:
                states[BELOW_LIMIT if in_flight else IDLE] += elapsed
        if now >= self._next_sample:
            self._sample(now)

    def _sample(self, now: float) -> None:
        self._samples.append(self._totals())
        if len(self._samples) > MAX_SAMPLES:
            del self._samples[::2]
            self._interval *= 2
        self._next_sample = now + self._interval

    def _totals(self) -> ActivityTotals:
        current, cpu = self._at - self._phase_at, 0.0  # of the phase that is under way
        if self._thread == threading.get_ident():
            cpu = self._clocks.thread_cpu() - self._phase_cpu
            self._core_wait = self._clocks.core_wait() - self._core_waited
        reading = self._is_reading
        writing = 0.0 if self._writing_since is None else self._at - self._writing_since
        return ActivityTotals(
            **dict(zip(_STATES, self._states, strict=True)),
            seconds=self._at - self._began,
            receiving=self._receiving + (0.0 if reading else current),
            receiving_cpu=self._receiving_cpu + (0.0 if reading else cpu),
            reading=self._reading + (current if reading else 0.0),
            reading_cpu=self._reading_cpu + (cpu if reading else 0.0),
            writing=self._writing + max(0.0, writing),
            queue_full=self._queue_full,
            process_cpu=self._clocks.process_cpu() - self._process_cpu,
            core_wait=self._core_wait,
            request_seconds=self._request_seconds,
            limit_seconds=self._limit_seconds,
            succeeded=self._succeeded,
            failed=dict(sorted(self._failed.items())),
        )
