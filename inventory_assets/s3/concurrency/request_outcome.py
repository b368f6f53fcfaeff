"""Outcomes of requests, and the decision when to reduce the limit."""

import math
from dataclasses import dataclass
from enum import StrEnum

from inventory_assets.fast_values import value

BACKOFF_RATIO = 0.7
"""The limit after a back-off, relative to the one before. It is the ratio of RFC 9438, section 4.6:
recovery is faster than after a reduction by half."""

SECONDS_BETWEEN_BACKOFFS = 1.0
"""Minimum time between back-offs: one takes effect only when earlier requests have ended."""

SUCCESSES_PER_FORGIVEN_LOSS = 100
"""Occasional 503s and timeouts are no sign of load. At one per hundred requests, a page costs 1.01
requests; a listing may spend 1.02."""

FORGIVEN_LOSSES = 3
"""Maximum credit, so that a long good period does not delay a back-off."""


class Outcome(StrEnum):
    """How a request ended.

    `FAILED` is a reset, a damaged body or a server error other than throttling. It is no sign of
    load, so the limit is not reduced; it does not count as goodput either, so the limit does not
    grow.
    """

    SUCCEEDED = "succeeded"
    THROTTLED = "throttled"
    TIMED_OUT = "timed out"
    FAILED = "failed"


@value
class Sample:
    """One completed request.

    Attributes:
        at: When it ended, in seconds of a monotonic clock.
        latency: Seconds from sending to the end.
        outcome: How it ended.
        in_flight: Requests in flight when it ended, including itself.
    """

    at: float
    latency: float
    outcome: Outcome
    in_flight: int


@dataclass(slots=True)
class BackoffTrigger:
    """Decides whether a throttled or timed-out request reduces the limit."""

    _forgiven: float = FORGIVEN_LOSSES
    _last_backoff: float = -math.inf

    def should_back_off(self, sample: Sample) -> bool:
        if sample.outcome is Outcome.SUCCEEDED:
            if self._forgiven < FORGIVEN_LOSSES:
                earned = self._forgiven + 1 / SUCCESSES_PER_FORGIVEN_LOSS
                self._forgiven = min(FORGIVEN_LOSSES, earned)
            return False
        if sample.outcome not in (Outcome.THROTTLED, Outcome.TIMED_OUT):
            return False
        sent_at = sample.at - sample.latency
        is_soon = sample.at < self._last_backoff + SECONDS_BETWEEN_BACKOFFS
        if is_soon or sent_at < self._last_backoff:
            return False  # it was sent before the last back-off took effect
        if self._forgiven >= 1:
            self._forgiven -= 1
            return False
        self._last_backoff = sample.at
        self._forgiven = FORGIVEN_LOSSES
        return True
