"""How long transient errors are retried, and the error that ends it.

Delays have full jitter (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException

from botocore.exceptions import BotoCoreError, ClientError
from urllib3.exceptions import HTTPError

from inventory_assets.s3.bucket_config import BucketConfig
from inventory_assets.s3.concurrency.request_outcome import Outcome
from inventory_assets.s3.error_classification import one_line
from inventory_assets.s3.errors import MalformedResponse, RetriesExhausted, TransientError

RETRYABLE = (BotoCoreError, ClientError, HTTPError, HTTPException, MalformedResponse, OSError)
"""The errors of a request that may be transient; `classify` says which are."""

OUTCOMES: Mapping[TransientError | None, Outcome] = {
    TransientError.THROTTLED: Outcome.THROTTLED,
    TransientError.TIMED_OUT: Outcome.TIMED_OUT,
}
"""What the limiter is told of a request with a transient error; of others, `Outcome.FAILED`."""

MAX_ADAPTATIONS = 4
"""Maximum immediate repetitions of a request after adapting to an error response."""

_MAX_DOUBLINGS = 60
"""Prevents overflow; such delays are capped anyway."""

_SECONDS_BETWEEN_POLLS = {TransientError.REFUSED: 1.0, TransientError.UNREACHABLE: 2.0}
"""Maximum delays while an endpoint is unreachable: polling does not load it."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How long a request with transient errors is retried.

    The budget is a time, not a number of attempts, as outages last for minutes: a request may fail
    for `outage_seconds` from its first failure, and is then sent a last time. A listing therefore
    survives an outage of that length, and a single request that always fails ends the listing.

    Delays have full jitter, `uniform(0, min(cap, base * 2**n))` seconds, and last at least as long
    as `Retry-After` asks for.

    Attributes:
        outage_seconds: How long a request may fail; 0 disables retries.
        base_seconds: Half of the maximum first delay.
        cap_seconds: The maximum delay.
        malformed_attempts: Maximum malformed responses to one request, as these are rarely an
            outage.
    """

    outage_seconds: float = 300.0
    base_seconds: float = 0.1
    cap_seconds: float = 20.0
    malformed_attempts: int = 8

    def delay(self, failures: int, chance: float, fault: TransientError | None = None) -> float:
        """Seconds to wait after `failures` failed attempts, for a random `chance` in [0, 1)."""
        polls = _SECONDS_BETWEEN_POLLS.get(fault, self.cap_seconds) if fault else self.cap_seconds
        cap = min(self.cap_seconds, polls)
        return chance * min(cap, self.base_seconds * 2.0 ** min(failures, _MAX_DOUBLINGS))


@dataclass(slots=True, eq=False)
class Attempts:
    """The failures of one request.

    Attributes:
        began: Time of the first failure.
        last: Time of the last failure.
        failures: Number of failures.
        malformed: Number of malformed responses among them.
    """

    began: float
    last: float
    failures: int = 0
    malformed: int = 0

    def failed(self, now: float, fault: TransientError) -> None:
        """Record a failure."""
        self.last = now
        self.failures += 1
        self.malformed += fault is TransientError.MALFORMED

    def are_exhausted(self, policy: RetryPolicy) -> bool:
        """Whether the retry budget is used up."""
        is_late = self.last - self.began >= policy.outage_seconds
        return is_late or self.malformed >= policy.malformed_attempts

    def wait(self, policy: RetryPolicy, fault: TransientError, asked: float) -> float:
        """Seconds until the next attempt; the last one is at the end of the budget.

        Args:
            policy: The retry policy.
            fault: The kind of the last failure.
            asked: Seconds of `Retry-After`; 0 if absent.
        """
        # Jitter spreads the retries of many workers; it guards no secret.
        chance = random.random()  # noqa: S311
        delay = policy.delay(self.failures, chance, fault)
        if asked:  # jitter on top, as many requests may have received the same Retry-After
            delay = max(delay, asked + chance * policy.base_seconds)
        return min(delay, self.began + policy.outage_seconds - self.last)


def retries_exhausted(
    error: Exception,
    fault: TransientError,
    attempts: int,
    bucket_config: BucketConfig,
    seconds: float | None = None,
) -> RetriesExhausted:
    """The error for the user if a transient error persisted.

    Args:
        error: The last error.
        fault: Its kind.
        attempts: The number of attempts.
        bucket_config: The bucket.
        seconds: The time spent, if the budget was a time.
    """
    often = f"{attempts} times in a row" if attempts > 1 else "once"
    within = "" if seconds is None else f" within {seconds:.0f} s"
    longer = (
        ""
        if seconds is None
        else "; --max-outage (in the configuration: max_outage_seconds) sets how long to retry"
    )
    return RetriesExhausted(
        f"{bucket_config.display_name}: {fault} {often}{within}, last with: "
        f"{one_line(error)}; check that the endpoint can be reached and is not overloaded, then "
        f"run this again{longer}",
        fault,
    )
