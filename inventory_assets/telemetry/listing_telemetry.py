"""The telemetry of one listing: what it is told, and what it adds to traces and metrics.

This module imports no OpenTelemetry, so that a listing without telemetry does not pay for it.
"""

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

from inventory_assets.inventory.listing.listing_observer import UNOBSERVED, ListingObserver
from inventory_assets.s3.request_observer import RequestEnd, RequestObserver
from inventory_assets.scan.engine.events import Event, ListingJob
from inventory_assets.scan.engine.progress import Elsewhere, Report
from inventory_assets.telemetry.environment import (
    Requested,
    TelemetryRefused,
    endpoint_of,
    read_environment,
)
from inventory_assets.telemetry.subject import Subject

if TYPE_CHECKING:
    from inventory_assets.telemetry.exporter_log import ExporterLog
    from inventory_assets.telemetry.listing_metrics import ListingMetrics
    from inventory_assets.telemetry.listing_spans import ListingSpans
    from inventory_assets.telemetry.providers import Providers

LOG = logging.getLogger(__name__)

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
    for mistake in requested.mistakes:
        LOG.warning("%s; nothing is sent there, and the listing goes on", mistake)
    opened = _opened(requested, environ) if requested.is_on else None
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


@dataclass(frozen=True, slots=True)
class _Opened:
    """The open providers, and the log of their exporters."""

    providers: "Providers"
    log: "ExporterLog"

    def end(self, *, is_interrupted: bool) -> None:
        """Send what is left, within a bound."""
        from inventory_assets.telemetry.providers import INTERRUPTED_SECONDS, SHUTDOWN_SECONDS

        seconds = INTERRUPTED_SECONDS if is_interrupted else SHUTDOWN_SECONDS
        if not self.providers.end(self.log.close, seconds):
            self.log.warn()


def _opened(requested: Requested, environ: Mapping[str, str]) -> _Opened | None:
    """Open the providers; None, with a warning, if that is not possible."""
    from inventory_assets.telemetry.exporter_log import ExporterLog

    signals = [name for name in ("traces", "metrics") if getattr(requested, name)]
    places = dict.fromkeys(endpoint_of(environ, signal) for signal in signals)
    log = ExporterLog(lambda: " and ".join(places))
    try:
        from inventory_assets.telemetry.providers import open_providers

        return _Opened(open_providers(requested), log)
    except ImportError as error:
        LOG.warning(
            "the OTEL_* variables ask for telemetry, but %s is not installed; install it: "
            "pip install 'inventory-assets[telemetry]', or set OTEL_SDK_DISABLED=true",
            error.name or "OpenTelemetry",
        )
    except TelemetryRefused as error:
        LOG.warning("telemetry is off: %s; the listing goes on", error)
    except Exception as error:  # noqa: BLE001 - whatever the SDK refuses must not end a listing
        LOG.warning(
            "telemetry is off, as OpenTelemetry refuses the OTEL_* variables (%s); the listing "
            "goes on",
            type(error).__name__,
        )
    log.close()
    return None
