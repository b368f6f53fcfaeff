"""Log outages of a bucket: one line for all its failing requests."""

import logging
import threading
from datetime import UTC, datetime, timedelta

from inventory_assets.s3.errors import TransientError

LOG = logging.getLogger("inventory_assets.s3")

SECONDS_BEFORE_LOG = 3.0
"""How long a request must fail before the first line is logged."""

SECONDS_BETWEEN_LOGS = 30.0
"""Interval at which the line is repeated."""

_DESCRIPTIONS = {
    TransientError.REFUSED: "connection refused",
    TransientError.UNREACHABLE: "unreachable",
    TransientError.TIMED_OUT: "requests time out",
    TransientError.RESET: "connections are reset",
    TransientError.THROTTLED: "requests are throttled",
    TransientError.SERVER_ERROR: "server errors",
    TransientError.MALFORMED: "responses cannot be decoded",
}


class OutageLog:
    """Logs when requests to one bucket keep failing, and when they succeed again; thread-safe.

    Args:
        display_name: The bucket and endpoint, for messages.
    """

    def __init__(self, display_name: str) -> None:
        self._display_name = display_name
        self._failing: dict[object, float] = {}
        self._lock = threading.Lock()
        self._logged_at: float | None = None
        self._began: float | None = None
        """When the logged outage began; None if none was logged."""

    def failed(
        self, request: object, since: float, now: float, fault: TransientError, budget: float
    ) -> None:
        """Record that a request failed and will be retried.

        Args:
            request: Identifies the request over its failures.
            since: Time of its first failure, in seconds of a monotonic clock.
            now: Time of this failure.
            fault: The kind of error.
            budget: Seconds from the first failure until retries end.
        """
        with self._lock:
            self._failing.setdefault(request, since)
            oldest = min(self._failing.values())
            is_new = self._logged_at is None or now - self._logged_at >= SECONDS_BETWEEN_LOGS
            if now - oldest < SECONDS_BEFORE_LOG or not is_new:
                return
            self._logged_at = now
            self._began = oldest if self._began is None else self._began
        end = datetime.now(UTC) + timedelta(seconds=max(0.0, oldest + budget - now))
        LOG.warning(
            "%s: %s for %.0f s; retrying until %s UTC (at most %g s)",
            *(self._display_name, _DESCRIPTIONS[fault], now - oldest, f"{end:%H:%M:%S}", budget),
        )

    def over(self, request: object, now: float, *, is_answered: bool) -> None:
        """Record that a failing request ended.

        Args:
            request: As passed to `failed`.
            now: Time of the end.
            is_answered: Whether it succeeded.
        """
        with self._lock:
            self._failing.pop(request, None)
            if self._failing or self._began is None:
                return
            began, self._began = self._began, None
        if is_answered:
            LOG.warning("%s: responding again after %.0f s", self._display_name, now - began)
