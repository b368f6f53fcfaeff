"""How requests ended, and which of them say that there are too many at once."""

import math
from dataclasses import dataclass
from enum import StrEnum

BACKOFF_RATIO = 0.7
"""What is left of the limit after a cut; RFC 9438 §4.6 has it for the same reason, less to regain
than with TCP's half."""

SECONDS_BETWEEN_BACKOFFS = 1.0
"""A cut shows only when the requests sent before it have ended."""

SUCCESSES_PER_FORGIVEN_LOSS = 100
"""Stray 503s and timeouts are no sign of load. One in a hundred costs 1.01 requests for each
page, half of the two in a hundred that a listing may spend beyond its pages."""

FORGIVEN_LOSSES = 3
"""Saved up at most, so that many good hours do not delay the cut that a bad second needs."""


class Outcome(StrEnum):
    """How a request ended.

    `FAILED` is a reset, a damaged body or a server error that is no throttling. It tells nothing of
    load by itself, so nothing is cut; as it is no success either, goodput does not grow, and
    neither does the limit.
    """

    SUCCEEDED = "succeeded"
    THROTTLED = "throttled"
    TIMED_OUT = "timed out"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Sample:
    """One request that has ended.

    Attributes:
        at: When it ended; seconds from any origin, of a clock that never goes back.
        latency: Seconds from its sending to its end.
        outcome: How it ended.
        in_flight: Requests under way at its end, itself included.
    """

    at: float
    latency: float
    outcome: Outcome
    in_flight: int


@dataclass(slots=True)
class BackoffTrigger:
    """Decides which throttling or timeout calls for a cut."""

    _forgiven: float = FORGIVEN_LOSSES
    _last_backoff: float = -math.inf

    def should_back_off(self, sample: Sample) -> bool:
        if sample.outcome is Outcome.SUCCEEDED:
            earned = self._forgiven + 1 / SUCCESSES_PER_FORGIVEN_LOSS
            self._forgiven = min(FORGIVEN_LOSSES, earned)
        if sample.outcome not in (Outcome.THROTTLED, Outcome.TIMED_OUT):
            return False
        sent = sample.at - sample.latency
        if sent < self._last_backoff or sample.at < self._last_backoff + SECONDS_BETWEEN_BACKOFFS:
            return False  # what it tells is known, and may be cured
        if self._forgiven >= 1:
            self._forgiven -= 1
            return False
        self._last_backoff = sample.at
        self._forgiven = FORGIVEN_LOSSES
        return True
