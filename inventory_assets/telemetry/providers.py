"""Open the tracer and the meter that the environment asks for, and end them within a bound.

Nothing is registered globally: another part of the process may use OpenTelemetry, too.
"""

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from uuid import uuid4

from opentelemetry.metrics import Meter
from opentelemetry.sdk.metrics import Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import (
    ConsoleMetricExporter,
    MetricExporter,
    MetricReader,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.metrics.view import Aggregation, ExponentialBucketHistogramAggregation
from opentelemetry.sdk.resources import SERVICE_INSTANCE_ID, SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter
from opentelemetry.trace import Tracer

from inventory_assets.telemetry import conventions
from inventory_assets.telemetry.environment import (
    GRPC,
    Requested,
    TelemetryRefused,
    prometheus_address,
)

SHUTDOWN_SECONDS = 5.0
"""How long the end of a listing waits until its telemetry is sent."""

INTERRUPTED_SECONDS = 0.5
"""Likewise where the listing was interrupted: it has to stop within a second."""

_MAX_SCALE = 3
"""Of exponential histograms: that of `LatencyHistogram`, with eight buckets to each doubling."""

_EXPONENTIAL = "base2_exponential_bucket_histogram"


@dataclass(slots=True)
class Providers:
    """The providers of one listing.

    Attributes:
        tracer: Makes spans; None if traces are off.
        meter: Makes instruments; None if metrics are off.
    """

    tracer: Tracer | None
    meter: Meter | None
    _ends: list[Callable[[], object]] = field(default_factory=list)

    def end(self, when_ended: Callable[[], None], seconds: float = SHUTDOWN_SECONDS) -> bool:
        """Send what is left and end; return whether that was done in time.

        Args:
            when_ended: Called at the end, which may be after this call.
            seconds: How long to wait.
        """

        def end_all() -> None:
            threads = [threading.Thread(target=end, daemon=True) for end in self._ends]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            when_ended()

        # A daemon, as an exporter may wait for an endpoint longer than the process should live.
        ending = threading.Thread(target=end_all, name="end of telemetry", daemon=True)
        ending.start()
        ending.join(seconds)
        return not ending.is_alive()


def open_providers(requested: Requested) -> Providers:
    """Open what the environment asks for.

    Raises:
        ImportError: A package of the extra `telemetry` is not installed.
        TelemetryRefused: A port cannot be opened.
        Exception: A variable has a value that the SDK refuses.
    """
    resource = _resource()
    tracer: Tracer | None = None
    meter: Meter | None = None
    ends: list[Callable[[], object]] = []
    try:
        if requested.traces:
            traces = TracerProvider(resource=resource, shutdown_on_exit=False)
            ends.append(traces.shutdown)
            for name in requested.traces:
                exporter = _span_exporter(name, requested.protocol("traces"))
                traces.add_span_processor(BatchSpanProcessor(exporter))
            tracer = traces.get_tracer(conventions.SCOPE)
        if requested.metrics:
            protocol = requested.protocol("metrics")
            readers = [_metric_reader(name, protocol, ends) for name in requested.metrics]
            metrics = MeterProvider(readers, resource, shutdown_on_exit=False)
            ends.append(metrics.shutdown)
            meter = metrics.get_meter(conventions.SCOPE)
    except BaseException:
        Providers(None, None, ends).end(lambda: None)
        raise
    return Providers(tracer, meter, ends)


def _resource() -> Resource:
    from importlib.metadata import version

    # `Resource.create` reads the environment, whose attributes replace these.
    found = Resource.create()
    ours = {SERVICE_VERSION: version("inventory-assets"), SERVICE_INSTANCE_ID: str(uuid4())}
    if str(found.attributes[SERVICE_NAME]).startswith("unknown_service"):
        found = found.merge(Resource({SERVICE_NAME: conventions.SERVICE_NAME}))
    return Resource(ours).merge(found)


def _span_exporter(name: str, protocol: str) -> SpanExporter:
    if name == "console":
        return ConsoleSpanExporter()
    if protocol == GRPC:
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import (
            OTLPSpanExporter as GrpcSpanExporter,
        )

        return GrpcSpanExporter()
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter()


def _metric_reader(name: str, protocol: str, ends: list[Callable[[], object]]) -> MetricReader:
    if name == "prometheus":
        return _prometheus_reader(ends)
    if name == "console":
        return PeriodicExportingMetricReader(ConsoleMetricExporter())
    return PeriodicExportingMetricReader(_metric_exporter(protocol))


def _metric_exporter(protocol: str) -> MetricExporter:
    asked = os.environ.get("OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION", "")
    aggregation: dict[type, Aggregation] | None = (
        {Histogram: ExponentialBucketHistogramAggregation(max_scale=_MAX_SCALE)}
        if asked.strip().lower() == _EXPONENTIAL
        else None
    )
    if protocol == GRPC:
        from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import (
            OTLPMetricExporter as GrpcMetricExporter,
        )

        return GrpcMetricExporter(preferred_aggregation=aggregation)
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter

    return OTLPMetricExporter(preferred_aggregation=aggregation)


def _prometheus_reader(ends: list[Callable[[], object]]) -> MetricReader:
    """Offer the figures of this process to Prometheus, until it ends."""
    from opentelemetry.exporter.prometheus import PrometheusMetricReader
    from prometheus_client import CollectorRegistry, start_http_server

    host, port = prometheus_address(os.environ)
    registry = CollectorRegistry()
    reader = PrometheusMetricReader(scope_info_enabled=False, registry=registry)
    try:
        server, thread = start_http_server(port, host, registry)
    except OSError as error:
        raise TelemetryRefused(
            f"port {port} of {host} cannot be opened for Prometheus "
            f"({error.strerror or type(error).__name__}); choose another one by "
            "OTEL_EXPORTER_PROMETHEUS_PORT, or send by OTLP: several runs cannot share a port"
        ) from None

    def end() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    ends.append(end)
    return reader
