"""The metrics of a listing.

Durations of requests are recorded by the hundred: the code of the SDK is no longer in the caches of
the CPU after a page was decoded, so that one recording between two pages takes three times as long
as one of many. Everything else is counted in plain numbers, which are read when metrics are
exported.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import cache

from opentelemetry.context import Context
from opentelemetry.metrics import CallbackOptions, Meter, Observation

from inventory_assets.s3.latency_histogram import BUCKETS_PER_DOUBLING, upper_bound
from inventory_assets.s3.request_observer import RequestEnd
from inventory_assets.scan.engine.events import Event, ObjectsListed, RangeCompleted
from inventory_assets.scan.engine.progress import Elsewhere, Progress
from inventory_assets.telemetry.conventions import ERROR_TYPE, METHOD, OTHER_ERROR, STATUS
from inventory_assets.telemetry.process_memory import resident_bytes
from inventory_assets.telemetry.subject import Subject, Work

LATENCY_BOUNDS = tuple(
    upper_bound(BUCKETS_PER_DOUBLING * doubling - 1) for doubling in range(-10, 7)
)
"""Bounds of the latency histogram in seconds, from 1 ms to 64 s, doubling. Each is a bound of
`LatencyHistogram` too, so that the two can be compared bucket by bucket."""

MAX_WAITING = 1_024
"""Durations that wait to be recorded, at most."""

_NO_SPAN = Context()
"""By now another range is received, so no span is an exemplar of a duration."""

InFlight = Callable[[], tuple[int, int]]


class ListingMetrics:
    """Counts what a listing does; thread-safe.

    Args:
        meter: Makes the instruments.
        subject: What is listed.
    """

    def __init__(self, meter: Meter, subject: Subject) -> None:
        self._attributes = dict(subject.attributes)
        self._in_flight: InFlight = lambda: (0, 0)
        self._lock = threading.Lock()
        self._response_bytes = self._keys = self._ranges = self._checkpoints = 0
        self._elsewhere: dict[int, Progress] = {}
        """The progress of other processes of the listing, by process."""
        self._attributes_of = cache(self._request_attributes)
        self._durations: deque[tuple[float, dict[str, str | int]]] = deque()
        self._latency = meter.create_histogram(
            "http.client.request.duration",
            unit="s",
            description="Duration of requests to the store, failed ones included.",
            explicit_bucket_boundaries_advisory=LATENCY_BOUNDS,
        )
        meter.create_observable_up_down_counter(
            "process.memory.usage", [self._observe_memory], "By", "Resident memory of the process."
        )
        if subject.work is Work.LISTING:
            self._observe_listing(meter)

    def _observe_listing(self, meter: Meter) -> None:
        """Make the instruments of a listing.

        Other work has none of them, not even the requests in flight: where requests are in flight
        and no keys are listed, an alert says that a listing is stuck.
        """
        counters: Mapping[str, tuple[str, str, Callable[[], int]]] = {
            "inventory.listing.received": (
                "By",
                "Bytes of the bodies received.",
                lambda: self._response_bytes,
            ),
            "inventory.listing.keys": ("{key}", "Keys listed.", self._keys_listed),
            "inventory.listing.ranges": (
                "{range}",
                "Key ranges listed completely.",
                self._ranges_listed,
            ),
            "inventory.listing.checkpoints": (
                "{checkpoint}",
                "Checkpoints written.",
                lambda: self._checkpoints,
            ),
        }
        for name, (unit, description, read) in counters.items():
            meter.create_observable_counter(name, [self._observed(read)], unit, description)
        meter.create_observable_up_down_counter(
            "http.client.active_requests",
            [self._observed(lambda: self._flights()[0])],
            "{request}",
            "Requests in flight.",
        )
        meter.create_observable_gauge(
            "inventory.listing.request_limit",
            [self._observed(lambda: self._flights()[1])],
            "{request}",
            "The current limit of requests in flight.",
        )

    def watch(self, in_flight: InFlight) -> None:
        """Read the requests in flight, and their limit, from a client."""
        self._in_flight = in_flight

    def request_ended(self, end: RequestEnd) -> None:
        """Count a request."""
        attributes = self._attributes_of(end.method, end.status, error_type(end))
        self._durations.append((end.seconds, attributes))
        if len(self._durations) >= MAX_WAITING:
            self._record_durations()
        if end.response_bytes:
            with self._lock:
                self._response_bytes += end.response_bytes

    def _record_durations(self) -> None:
        with suppress(IndexError):  # another thread took the last one
            while self._durations:
                self._latency.record(*self._durations.popleft(), _NO_SPAN)

    def on_event(self, event: Event) -> None:
        """Count the keys and ranges of an event."""
        match event:
            case ObjectsListed(objects=objects):
                with self._lock:
                    self._keys += objects.num_rows
            case RangeCompleted():
                with self._lock:
                    self._ranges += 1
            case _:
                pass

    def on_progress_elsewhere(self, elsewhere: Elsewhere) -> None:
        """Take over the progress of another process, whose requests are not observed."""
        with self._lock:
            self._elsewhere[elsewhere.process] = elsewhere.progress

    def checkpoint_written(self) -> None:
        with self._lock:
            self._checkpoints += 1

    def _keys_listed(self) -> int:
        with self._lock:
            return self._keys + sum(each.objects for each in self._elsewhere.values())

    def _ranges_listed(self) -> int:
        with self._lock:
            return self._ranges + sum(each.ranges_done for each in self._elsewhere.values())

    def _flights(self) -> tuple[int, int]:
        with self._lock:
            flights = [(each.in_flight, each.limit) for each in self._elsewhere.values()]
        in_flight, limit = map(sum, zip(*(flights or [self._in_flight()]), strict=True))
        return in_flight, limit

    def _observed(
        self, read: Callable[[], int]
    ) -> Callable[[CallbackOptions], Iterator[Observation]]:
        def observe(_options: CallbackOptions) -> Iterator[Observation]:
            yield Observation(read(), self._attributes)

        return observe

    def _observe_memory(self, _options: CallbackOptions) -> Iterator[Observation]:
        # The SDK calls this before it reads the histogram.
        self._record_durations()
        found = resident_bytes()
        if found is not None:
            yield Observation(found)

    def _request_attributes(
        self, method: str, status: int | None, error: str | None
    ) -> dict[str, str | int]:
        found = {**self._attributes, METHOD: method}
        if status is not None:
            found[STATUS] = status
        if error is not None:
            found[ERROR_TYPE] = error
        return found


def error_type(end: RequestEnd) -> str | None:
    """The `error.type` of a request: the kind of a transient error, or the status; few values."""
    if end.is_success:
        return None
    if end.fault is not None:
        return end.fault.name.lower()
    return str(end.status) if end.status is not None and end.status != 200 else OTHER_ERROR
