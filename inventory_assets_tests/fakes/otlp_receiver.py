"""An OTLP receiver, over HTTP and over gRPC, that decodes what was really sent."""

import gzip
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

import grpc
from google.protobuf.message import Message
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.common.v1.common_pb2 import KeyValue

from inventory_assets_tests.fakes.served import Served

_KINDS: dict[str, Any] = {
    "/v1/traces": trace_service_pb2.ExportTraceServiceRequest,
    "/v1/metrics": metrics_service_pb2.ExportMetricsServiceRequest,
}
"""The messages of each path."""


@dataclass(frozen=True, slots=True)
class SentSpan:
    """A span as it was sent."""

    name: str
    kind: int
    trace_id: str
    span_id: str
    parent_id: str
    attributes: Mapping[str, Any]
    is_error: bool
    seconds: float
    events: int


@dataclass(frozen=True, slots=True)
class SentPoint:
    """A point of a metric as it was sent.

    Attributes:
        name: The name of the metric.
        unit: Its unit.
        attributes: The attributes of the point.
        value: The number; the count of a histogram.
        bounds: The bounds of an explicit histogram.
        buckets: The counts of the buckets of a histogram; those above zero of an exponential one.
        scale: The scale of an exponential histogram.
    """

    name: str
    unit: str
    attributes: Mapping[str, Any]
    value: float
    bounds: tuple[float, ...] = ()
    buckets: tuple[int, ...] = ()
    scale: int | None = None


class Received:
    """What was received, by any protocol.

    Attributes:
        bodies: The messages as bytes, in order.
        headers: The headers of each request, or its metadata.
    """

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.headers: list[Mapping[str, str]] = []
        self._traces: list[trace_service_pb2.ExportTraceServiceRequest] = []
        self._metrics: list[metrics_service_pb2.ExportMetricsServiceRequest] = []
        self._lock = threading.Lock()

    def add(self, message: Message, headers: Mapping[str, str]) -> None:
        with self._lock:
            self.bodies.append(message.SerializeToString())
            self.headers.append(headers)
            if isinstance(message, trace_service_pb2.ExportTraceServiceRequest):
                self._traces.append(message)
            elif isinstance(message, metrics_service_pb2.ExportMetricsServiceRequest):
                self._metrics.append(message)

    @property
    def resources(self) -> list[dict[str, Any]]:
        """The attributes of all resources."""
        sent = [each for message in self._traces for each in message.resource_spans]
        counted = [each for message in self._metrics for each in message.resource_metrics]
        return [_attributes(each.resource.attributes) for each in (*sent, *counted)]

    @property
    def spans(self) -> list[SentSpan]:
        """All spans."""
        return [
            SentSpan(
                span.name,
                span.kind,
                span.trace_id.hex(),
                span.span_id.hex(),
                span.parent_span_id.hex(),
                _attributes(span.attributes),
                span.status.code == span.status.STATUS_CODE_ERROR,
                (span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
                len(span.events),
            )
            for message in self._traces
            for resource in message.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    @property
    def points(self) -> list[SentPoint]:
        """The points of the last message of metrics."""
        return [
            point
            for resource in self._metrics[-1].resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            for point in _points(metric)
        ]

    def named(self, name: str) -> list[SentSpan]:
        return [span for span in self.spans if span.name == name]

    def value(self, name: str) -> float:
        """The sum of the points of a metric."""
        found = [point.value for point in self.points if point.name == name]
        assert found, f"{name} was not sent, only {sorted({each.name for each in self.points})}"
        return sum(found)


class HttpReceiver(Served):
    """Receives by `http/protobuf`.

    Args:
        status: The answer to each request.

    Attributes:
        url: Where it listens.
        received: What was received.
    """

    def __init__(self, status: int = 200) -> None:
        received = self.received = Received()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                received.add(_KINDS[self.path].FromString(body), dict(self.headers.items()))
                self.send_response_only(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Tests need no log."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{server.server_port}"
        super().__init__(server)


class GrpcReceiver:
    """Receives by `grpc` while its context lasts.

    Attributes:
        url: Where it listens.
        received: What was received.
    """

    def __init__(self) -> None:
        received = self.received = Received()

        class Traces(trace_service_pb2_grpc.TraceServiceServicer):
            def Export(self, request: Any, context: Any) -> Any:  # noqa: N802
                received.add(request, dict(context.invocation_metadata()))
                return trace_service_pb2.ExportTraceServiceResponse()

        class Metrics(metrics_service_pb2_grpc.MetricsServiceServicer):
            def Export(self, request: Any, context: Any) -> Any:  # noqa: N802
                received.add(request, dict(context.invocation_metadata()))
                return metrics_service_pb2.ExportMetricsServiceResponse()

        self._server = grpc.server(ThreadPoolExecutor(2))
        add_traces: Any = trace_service_pb2_grpc.add_TraceServiceServicer_to_server
        add_metrics: Any = metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server
        add_traces(Traces(), self._server)
        add_metrics(Metrics(), self._server)
        self.url = f"http://127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.stop(None).wait()


def _points(metric: Any) -> Iterator[SentPoint]:
    name, unit = metric.name, metric.unit
    for numbers in (metric.sum, metric.gauge):
        for each in numbers.data_points:
            number = each.as_int if each.HasField("as_int") else each.as_double
            yield SentPoint(name, unit, _attributes(each.attributes), number)
    for each in metric.histogram.data_points:
        yield SentPoint(
            name,
            unit,
            _attributes(each.attributes),
            each.count,
            tuple(each.explicit_bounds),
            tuple(each.bucket_counts),
        )
    for each in metric.exponential_histogram.data_points:
        yield SentPoint(
            name,
            unit,
            _attributes(each.attributes),
            each.count,
            buckets=tuple(each.positive.bucket_counts),
            scale=each.scale,
        )


def _attributes(found: Any) -> dict[str, Any]:
    return {each.key: _value(each) for each in found}


def _value(found: KeyValue) -> Any:
    kind = found.value.WhichOneof("value")
    if kind == "array_value":
        return [each.string_value for each in found.value.array_value.values]
    return getattr(found.value, kind) if kind else None
