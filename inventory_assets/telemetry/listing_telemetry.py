"""The telemetry of a listing, or of other work: what it is told, and what it sends.

This module imports no OpenTelemetry, so that a listing without telemetry does not pay for it.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING

from inventory_assets.inventory.listing.listing_observer import UNOBSERVED, ListingObserver
from inventory_assets.s3.request_observer import RequestEnd, RequestObserver
from inventory_assets.scan.engine.events import Event, ListingJob
from inventory_assets.scan.engine.progress import Elsewhere, Report
from inventory_assets.telemetry.environment import read_environment
from inventory_assets.telemetry.opening import open_telemetry, warn_of
from inventory_assets.telemetry.subject import Subject

if TYPE_CHECKING:
    from inventory_assets.telemetry.listing_metrics import ListingMetrics
    from inventory_assets.telemetry.listing_spans import ListingSpans

InFlight = Callable[[], tuple[int, int]]


class ListingTelemetry:
    """Telemetry that is off, and what a listing needs to know of it.

    Attributes:
        requests: For the client; None where nobody observes requests.
        listing: For the listing.
        trace_id: The id of the trace of the run; None without one.
    """

    requests: RequestObserver | None = None
    listing: ListingObserver = UNOBSERVED
    trace_id: str | None = None

    def reported(self, report: Report) -> Report:
        """A report that also tells telemetry of each event."""
        return report

    def watch(self, in_flight: InFlight) -> None:
        """Read the requests in flight, and their limit, from a client."""


OFF = ListingTelemetry()


class _LiveTelemetry(ListingTelemetry):
    """Telemetry that is on; thread-safe. It is both observers itself."""

    def __init__(self, metrics: "ListingMetrics | None", spans: "ListingSpans | None") -> None:
        self.requests = self.listing = self
        self.trace_id = spans.trace_id if spans else None
        self._metrics, self._spans = metrics, spans
        self._parts = tuple(part for part in (spans, metrics) if part is not None)

    def reported(self, report: Report) -> Report:
        def tell_all(event: Event | Elsewhere) -> None:
            if not isinstance(event, Elsewhere):
                for part in self._parts:
                    part.on_event(event)
            elif self._metrics:
                self._metrics.on_progress_elsewhere(event)
            report(event)

        return tell_all

    def watch(self, in_flight: InFlight) -> None:
        if self._metrics:
            self._metrics.watch(in_flight)

    def request_ended(self, end: RequestEnd, /) -> None:
        for part in self._parts:
            part.request_ended(end)

    def receiving(self, job: ListingJob, index: int, /) -> AbstractContextManager[None]:
        return self._spans.receiving(job, index) if self._spans else nullcontext()

    def checkpoint_written(self) -> None:
        if self._metrics:
            self._metrics.checkpoint_written()


@contextmanager
def listing_telemetry(
    describe: Callable[[], Subject], environ: Mapping[str, str] = os.environ
) -> Iterator[ListingTelemetry]:
    """The telemetry of the listing that is done within the context, as the environment asks for it.

    It is sent meanwhile and at the end of the context, which waits for that a few seconds at most.
    Whatever is wrong with it is one warning.

    Args:
        describe: Describes what is listed; called if telemetry is on.
        environ: The environment. The SDK reads that of the process, so others are for tests.
    """
    requested = read_environment(environ)
    warn_of(requested.mistakes)
    opened = open_telemetry(requested, environ) if requested.is_on else None
    if opened is None:
        yield OFF
        return
    from inventory_assets.telemetry.listing_metrics import ListingMetrics
    from inventory_assets.telemetry.listing_spans import ListingSpans
    from inventory_assets.telemetry.trace_log import logged_with

    subject = describe()
    metrics = ListingMetrics(opened.providers.meter, subject) if opened.providers.meter else None
    spans = (
        ListingSpans.start(opened.providers.tracer, subject) if opened.providers.tracer else None
    )
    error: BaseException | None = None
    try:
        with logged_with(spans.trace_id) if spans else nullcontext():
            yield _LiveTelemetry(metrics, spans)
    except BaseException as failure:
        error = failure
        raise
    finally:
        if spans:
            spans.end(error)
        opened.end(is_interrupted=error is not None and not isinstance(error, Exception))
