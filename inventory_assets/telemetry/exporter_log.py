"""Turn what the SDK logs about failed exports into one warning.

The SDK logs every failed attempt, and some with a stack trace. A user needs to know once that
telemetry is not delivered, and where it should have gone.
"""

import logging
import re
import threading
from collections.abc import Callable

LOG = logging.getLogger(__name__)

_SDK = "opentelemetry"
_CODES = re.compile(r"\b(?:code:? |StatusCode\.)([A-Z_]{3,24}|\d{3})\b")
"""HTTP statuses and gRPC codes in the SDK's messages. Nothing else of a message is repeated, as it
may hold what a server answered."""


class ExporterLog(logging.Handler):
    """Receives the records of the SDK while it is open, and warns once.

    Args:
        describe: Returns where telemetry is sent to, for the warning.

    Attributes:
        has_warned: Whether something could not be sent.
    """

    def __init__(self, describe: Callable[[], str]) -> None:
        super().__init__(logging.WARNING)
        self._describe = describe
        self.has_warned = False
        self._warning_lock = threading.Lock()
        sdk = logging.getLogger(_SDK)
        sdk.addHandler(self)
        sdk.propagate = False

    def emit(self, record: logging.LogRecord) -> None:
        """Warn, if this is the first record."""
        code = _CODES.search(record.getMessage())
        error = record.exc_info[0] if record.exc_info else None
        detail = code[1] if code else error.__name__ if error else ""
        self.warn(f" ({detail})" if detail else "")

    def warn(self, detail: str = "") -> None:
        """Warn that telemetry is not delivered, unless that was said before."""
        with self._warning_lock:
            if self.has_warned:
                return
            self.has_warned = True
        LOG.warning(
            "telemetry could not be sent to %s%s; the work goes on without it; check that the "
            "OTEL_* variables name a collector that can be reached, or set OTEL_SDK_DISABLED=true",
            self._describe(),
            detail,
        )

    def close(self) -> None:
        """Give the SDK its own logging back."""
        sdk = logging.getLogger(_SDK)
        sdk.removeHandler(self)
        if not any(isinstance(handler, ExporterLog) for handler in sdk.handlers):
            sdk.propagate = True
        super().close()
