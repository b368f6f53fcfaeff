"""Compute the progress of a scan from its events."""

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from inventory_assets.scan.engine.events import (
    Event,
    JobFailed,
    ListingJob,
    ObjectsListed,
    RangeCompleted,
    RangeSplit,
)

EVERY_SECONDS = 1.0
"""The interval between progress reports to a user."""

RATE_ASKINGS = 6
"""Calls of `ProgressMeter.progress` over which the rate is averaged, so that it is steady."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a scan has come.

    Attributes:
        objects: Objects found so far.
        rate: Recent objects per second.
        ranges_done: Completed ranges.
        ranges_open: Ranges that are not completed, those split off included.
        in_flight: Requests in flight.
        limit: The current limit of requests in flight.
        faults: Transient errors, by kind.
        seconds: Seconds since the scan began.
        seconds_left: Seconds until the expected number of objects is found at this rate; None if it
            is unknown.
        is_at_least: Whether the expected number is unknown or exceeded for a part of the scan, so
            that `seconds_left` is a minimum.
    """

    objects: int
    rate: float
    ranges_done: int
    ranges_open: int
    in_flight: int
    limit: int
    faults: Mapping[str, int]
    seconds: float
    seconds_left: float | None
    is_at_least: bool

    @property
    def line(self) -> str:
        """The progress as one line of text."""
        told = [
            f"{self.objects:,} objects",
            f"{self.rate:,.0f}/s",
            f"{self.ranges_done:,} ranges done, {self.ranges_open:,} open",
            f"{self.in_flight} of {self.limit} requests in flight",
            *(f"{count:,} {kind}" for kind, count in self.faults.items()),
            f"{_duration(self.seconds)} so far",
        ]
        if self.seconds_left is not None:
            about = "at least" if self.is_at_least else "about"
            told.append(f"{about} {_duration(self.seconds_left)} left")
        return ", ".join(told)


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """The progress of another process that lists a part of the bucket, in place of its events."""

    process: int
    progress: Progress


Report = Callable[[Event | Elsewhere], None]
"""Receives every event of a scan, from any thread."""


def ignore_events(_event: Event | Elsewhere) -> None:
    """A `Report` that does nothing."""


@dataclass(slots=True)
class _Account:
    """The objects and open ranges of one job."""

    ranges_open: int
    objects: int = 0


class ProgressMeter:
    """Counts the events of a scan, and computes its progress; thread-safe.

    Args:
        in_flight: Returns the number of requests in flight, and its limit.
        expected: The expected number of objects under each listed prefix, None if unknown. Without
            it the time left is not estimated, as the keys listed so far do not show how many
            remain.
        clock: A monotonic clock, in seconds.
    """

    def __init__(
        self,
        in_flight: Callable[[], tuple[int, int]],
        expected: Mapping[str, int | None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._in_flight = in_flight
        self._expected = expected or {}
        self._clock = clock
        self._began = clock()
        self._asked = deque([(self._began, 0)], RATE_ASKINGS)
        self._accounts: dict[ListingJob, _Account] = {}
        self._ranges_done = 0
        self._elsewhere: dict[int, Progress] = {}
        self._lock = threading.Lock()

    def on_event(self, event: Event | Elsewhere) -> None:
        """Count an event."""
        if isinstance(event, Elsewhere):
            self._elsewhere[event.process] = event.progress
            return
        job = event.job
        with self._lock:
            account = self._accounts.get(job)
            if account is None:
                account = self._accounts[job] = _Account(len(job.ranges))
            match event:
                case ObjectsListed(objects=objects):
                    account.objects += objects.num_rows
                case RangeSplit():
                    account.ranges_open += 1
                case RangeCompleted():
                    account.ranges_open -= 1
                    self._ranges_done += 1
                case JobFailed():
                    pass  # `ListingJob.failed` says so

    def progress(self) -> Progress:
        """The progress of the scan; objects of failed jobs do not count."""
        with self._lock:
            going = {job: found for job, found in self._accounts.items() if not job.failed}
            elsewhere = [*self._elsewhere.values()]
            faults = Counter[str]()
            for job in self._accounts:
                faults.update({fault.value: count for fault, count in job.stats.faults.items()})
            for progress in elsewhere:
                faults.update(progress.faults)
            objects = sum(found.objects for found in going.values())
            objects += sum(progress.objects for progress in elsewhere)
            now = self._clock()
            before, objects_before = self._asked[0]
            passed = now - before
            rate = max(objects - objects_before, 0) / passed if passed > 0 else 0.0
            self._asked.append((now, objects))
            left, is_at_least = self._objects_left()
            flights = [(progress.in_flight, progress.limit) for progress in elsewhere]
            in_flight, limit = map(sum, zip(*(flights or [self._in_flight()]), strict=True))
            ranges_open = sum(found.ranges_open for found in going.values())
            return Progress(
                objects=objects,
                rate=rate,
                ranges_done=self._ranges_done + sum(each.ranges_done for each in elsewhere),
                ranges_open=ranges_open + sum(each.ranges_open for each in elsewhere),
                in_flight=in_flight,
                limit=limit,
                faults=dict(sorted(faults.items())),
                seconds=now - self._began,
                seconds_left=left / rate if left and rate else None,
                is_at_least=is_at_least,
            )

    def _objects_left(self) -> tuple[int, bool]:
        """The number of objects still expected, and whether it is only a minimum."""
        found: Counter[str] = Counter()
        settled: set[str] = set()
        for job, account in self._accounts.items():
            found[job.prefix] += 0 if job.failed else job.resumed_objects + account.objects
            if job.failed or not account.ranges_open:
                settled.add(job.prefix)
        left, is_at_least = 0, False
        for prefix, expected in self._expected.items():
            if prefix in settled:
                continue
            if expected is None or found[prefix] >= expected:
                is_at_least = True
            else:
                left += expected - found[prefix]
        return left, is_at_least


@contextmanager
def reported_every(
    meter: ProgressMeter, tell: Callable[[Progress], None], every_seconds: float
) -> Iterator[None]:
    """Report the progress at intervals during the context, with or without events.

    Args:
        meter: Computes the progress.
        tell: Receives the progress, in a thread that ends with the context.
        every_seconds: The interval.
    """
    ended = threading.Event()

    def repeat() -> None:
        while not ended.wait(every_seconds):
            tell(meter.progress())

    thread = threading.Thread(target=repeat, name="progress")
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
