"""Offer figures over HTTP, for Prometheus to read."""

import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from inventory_assets.telemetry.environment import TelemetryRefused
from inventory_assets.telemetry.prometheus_text import CONTENT_TYPE

KEPT_SECONDS = 60.0
"""For how long figures are kept: reading them takes requests to the store, and readers may be
many."""

_CLIENT_SECONDS = 10.0
"""How long a reader may take to send its request."""


class _KeptText:
    """The text of the figures, which is read again once it is old.

    Args:
        read: Reads the figures as text.
        clock: A monotonic clock, in seconds.
    """

    def __init__(self, read: Callable[[], str], clock: Callable[[], float]) -> None:
        self._read = read
        self._clock = clock
        self._kept: tuple[float, bytes] | None = None
        self._lock = threading.Lock()

    def get(self) -> bytes:
        with self._lock:
            if self._kept is None or self._clock() - self._kept[0] >= KEPT_SECONDS:
                self._kept = self._clock(), self._read().encode()
            return self._kept[1]


def figures_server(
    read: Callable[[], str],
    host: str,
    port: int,
    clock: Callable[[], float] = time.monotonic,
) -> ThreadingHTTPServer:
    """A server that answers `/metrics`; the caller lets it serve.

    Args:
        read: Reads the figures as text; it raises nothing.
        host: The address to listen on.
        port: The port.
        clock: A monotonic clock, in seconds.

    Raises:
        TelemetryRefused: The port cannot be opened.
    """
    kept = _KeptText(read, clock)

    class Handler(BaseHTTPRequestHandler):
        timeout = _CLIENT_SECONDS
        server_version, sys_version = "inventory", ""

        def do_GET(self) -> None:
            if self.path.partition("?")[0] not in {"/", "/metrics"}:
                self.send_error(404)
                return
            body = kept.get()
            self.send_response(200)
            self.send_header("Content-Type", CONTENT_TYPE)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """A line for each reading would say nothing."""

    try:
        server = ThreadingHTTPServer((host, port), Handler)
    except (OSError, OverflowError) as error:
        raise TelemetryRefused(
            f"port {port} of {host} cannot be opened "
            f"({getattr(error, 'strerror', None) or type(error).__name__}); set "
            "OTEL_EXPORTER_PROMETHEUS_HOST and OTEL_EXPORTER_PROMETHEUS_PORT to one that is free"
        ) from None
    server.daemon_threads = True
    return server
