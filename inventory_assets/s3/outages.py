"""Say what a listing waits for: one line for a bucket, however many of its requests wait."""

import logging
import threading
from datetime import UTC, datetime, timedelta

from inventory_assets.s3.errors import TransientError

LOG = logging.getLogger("inventory_assets.s3")

SECONDS_BEFORE_WORDS = 3.0
"""How long a request fails before anything is said: what passes at once interests nobody."""

SECONDS_BETWEEN_WORDS = 30.0
"""How often the line is repeated."""

_WORDS = {
    TransientError.REFUSED: "connection refused",
    TransientError.UNREACHABLE: "it cannot be reached",
    TransientError.TIMED_OUT: "no answer in time",
    TransientError.RESET: "connections break off",
    TransientError.THROTTLED: "it asks to slow down",
    TransientError.SERVER_ERROR: "server errors",
    TransientError.MALFORMED: "answers that cannot be read",
}


class OutageLog:
    """What the requests to one bucket wait for, for any number of threads.

    Args:
        where: The bucket, for messages.
    """

    def __init__(self, where: str) -> None:
        self._display_name = where
        self._failing: dict[object, float] = {}
        self._lock = threading.Lock()
        self._said_at: float | None = None
        self._began: float | None = None
        """When the trouble began of which something was said; None where nothing was."""

    def failed(
        self, request: object, since: float, now: float, fault: TransientError, longest: float
    ) -> None:
        """A request has failed, and will be sent again.

        Args:
            request: The same object at each failure of a request.
            since: When it failed first, in seconds of a clock that never goes back.
            now: When it failed now.
            fault: How.
            longest: Seconds after the first failure for which it is tried.
        """
        with self._lock:
            self._failing.setdefault(request, since)
            oldest = min(self._failing.values())
            is_new = self._said_at is None or now - self._said_at >= SECONDS_BETWEEN_WORDS
            if now - oldest < SECONDS_BEFORE_WORDS or not is_new:
                return
            self._said_at = now
            self._began = oldest if self._began is None else self._began
        end = datetime.now(UTC) + timedelta(seconds=max(0.0, oldest + longest - now))
        LOG.warning(
            "%s: %s for %.0f s; trying until %s UTC (at most %g s)",
            *(self._display_name, _WORDS[fault], now - oldest, f"{end:%H:%M:%S}", longest),
        )

    def over(self, request: object, now: float, *, is_answered: bool) -> None:
        """A request that had failed is tried no more.

        Args:
            request: As it was named when it failed.
            now: When it ended.
            is_answered: Whether it was answered well.
        """
        with self._lock:
            self._failing.pop(request, None)
            if self._failing or self._began is None:
                return
            began, self._began = self._began, None
        if is_answered:
            LOG.warning("%s: it answers again, after %.0f s", self._display_name, now - began)
