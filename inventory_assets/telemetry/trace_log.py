"""Add the id of the trace to the log lines of this package."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

_FIELD = "otelTraceID"
"""The attribute of a record that holds the id, as OpenTelemetry's own integration calls it."""


class _TraceId(logging.Filter):
    """Adds the id of a trace to each record, once."""

    def __init__(self, trace_id: str) -> None:
        super().__init__()
        self._trace_id = trace_id

    def filter(self, record: logging.LogRecord) -> bool:
        if not hasattr(record, _FIELD):
            setattr(record, _FIELD, self._trace_id)
            record.msg = f"{record.getMessage()} trace_id={self._trace_id}"
            record.args = ()
        return True


@contextmanager
def logged_with(trace_id: str) -> Iterator[None]:
    """Add the id of a trace to the records of this package while the context lasts.

    Filters of a logger do not see the records of the loggers below it, so the handlers have it.
    """
    handlers = [*logging.getLogger("inventory_assets").handlers]
    added = _TraceId(trace_id)
    for handler in handlers:
        handler.addFilter(added)
    try:
        yield
    finally:
        for handler in handlers:
            handler.removeFilter(added)
