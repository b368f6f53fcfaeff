"""Add the id of the trace to the log lines of this package."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy

_LOGGER = "inventory_assets"


class _WithTraceId(logging.Handler):
    """Passes records on to another handler, with the id of a trace.

    A filter cannot do that: Dagster's handler has a `filter` of its own, which asks no other.
    """

    def __init__(self, handler: logging.Handler, trace_id: str) -> None:
        super().__init__(handler.level)
        self._handler = handler
        self._trace_id = trace_id

    def emit(self, record: logging.LogRecord) -> None:
        told = copy(record)
        told.msg = f"{record.getMessage()} trace_id={self._trace_id}"
        told.args = ()
        # The name is that of OpenTelemetry's own integration.
        told.__dict__["otelTraceID"] = self._trace_id
        self._handler.handle(told)


@contextmanager
def logged_with(trace_id: str) -> Iterator[None]:
    """Add the id of a trace to the records of this package while the context lasts."""
    log = logging.getLogger(_LOGGER)
    before = [*log.handlers]
    log.handlers = [_WithTraceId(handler, trace_id) for handler in before]
    try:
        yield
    finally:
        log.handlers = before
