"""Request pages of a bucket's listing, with retries.

Transient errors (throttling, server errors, timeouts, resets, damaged bodies) are retried with full
jitter (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/). Other errors
fail at once, with a message that says what to do.
"""

import asyncio
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from http.client import HTTPException
from typing import TypeVar

from botocore.exceptions import BotoCoreError, ClientError
from urllib3.exceptions import HTTPError

from inventory_assets.s3.bucket_config import BucketConfig
from inventory_assets.s3.concurrency.limiter import Cancelled, ConcurrencyLimiter
from inventory_assets.s3.concurrency.policies import open_policy
from inventory_assets.s3.concurrency.request_outcome import Outcome
from inventory_assets.s3.decoding.columnar_decoder import decode_columns
from inventory_assets.s3.decoding.page import ErrorDocument, Page, Unreadable
from inventory_assets.s3.decoding.page_peek import RawPage, peek_page
from inventory_assets.s3.error_classification import (
    Repetition,
    classify,
    one_line,
    to_user_error,
    versions_unsupported,
)
from inventory_assets.s3.errors import (
    MalformedResponse,
    MisplacedResponse,
    RetriesExhausted,
    TransientError,
)
from inventory_assets.s3.http.response import ErrorResponse, Response, decoded, lacks_versions
from inventory_assets.s3.http.transport import Transport
from inventory_assets.s3.outages import OutageLog
from inventory_assets.s3.page_request import PageRequest
from inventory_assets.s3.response_echo import contradiction
from inventory_assets.s3.store_profile import AWS, StoreProfile
from inventory_assets.s3.unreadable_log import UnreadableLog

_T = TypeVar("_T", Page, RawPage)
_Reader = Callable[[bytearray], _T | ErrorDocument]
_RETRYABLE = (BotoCoreError, ClientError, HTTPError, HTTPException, MalformedResponse, OSError)
_OUTCOMES: dict[TransientError | None, Outcome] = {
    TransientError.THROTTLED: Outcome.THROTTLED,
    TransientError.TIMED_OUT: Outcome.TIMED_OUT,
}
_MAX_DOUBLINGS = 60
"""Prevents overflow; such delays are capped anyway."""

_SECONDS_BETWEEN_POLLS = {TransientError.REFUSED: 1.0, TransientError.UNREACHABLE: 2.0}
"""Maximum delays while an endpoint is unreachable: polling does not load it."""

_MAX_ADAPTATIONS = 4
"""Maximum immediate repetitions of a request after adapting to an error response."""


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
class _Attempts:
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


@dataclass(slots=True)
class RequestStats:
    """Counters of requests and errors; thread-safe.

    Attributes:
        requests: Requests sent, failed attempts included.
        response_bytes: Bytes of the bodies received.
        faults: Transient errors, by kind.
        unreadable: Records that cannot be decoded.
    """

    requests: int = 0
    response_bytes: int = 0
    faults: Counter[TransientError] = field(default_factory=Counter)
    unreadable: UnreadableLog = field(default_factory=UnreadableLog)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def sent(self) -> None:
        with self._lock:
            self.requests += 1

    def received(self, size: int) -> None:
        with self._lock:
            self.response_bytes += size

    def failed(self, fault: TransientError) -> None:
        with self._lock:
            self.faults[fault] += 1

    def add(self, other: "RequestStats") -> None:
        """Add the counters of `other`."""
        with self._lock:
            self.requests += other.requests
            self.response_bytes += other.response_bytes
            self.faults += other.faults
            self.unreadable.merge(other.unreadable)

    def set_aside(self, records: Iterable[Unreadable]) -> None:
        with self._lock:
            self.unreadable.add(records)

    def __getstate__(self) -> tuple[int, int, Counter[TransientError], UnreadableLog]:
        return self.requests, self.response_bytes, self.faults, self.unreadable

    def __setstate__(self, state: tuple[int, int, Counter[TransientError], UnreadableLog]) -> None:
        self.requests, self.response_bytes, self.faults, self.unreadable = state
        self._lock = threading.Lock()


class ListClient:
    """Lists pages of one bucket; shared by any number of threads.

    At most `connection.max_in_flight` requests are in flight over all threads; `connection.policy`
    may set a lower limit.

    Args:
        connection: The bucket and how to reach it.
        retry: How transient errors are retried.
    """

    profile: StoreProfile = AWS
    """How the store lists; set after a probe."""

    proven_names: frozenset[str] = frozenset()
    """Characters whose decoding in keys was verified (`scan.key_encoding.check_names`)."""

    names_gone: int = 0
    """How many keys no longer existed when they were verified."""

    def __init__(self, connection: BucketConfig, retry: RetryPolicy | None = None) -> None:
        self.connection = connection
        self.server: str | None = None
        """The `Server` header of the last response, which identifies the store's software."""
        self.retry = retry or RetryPolicy()
        self._limiter = ConcurrencyLimiter(open_policy(connection.policy, connection.max_in_flight))
        self._outages = OutageLog(connection.display_name)
        self._transport = Transport(connection)

    @property
    def in_flight(self) -> tuple[int, int]:
        """The number of requests in flight, and the current limit."""
        return self._limiter.in_flight, self._limiter.limit

    def cancel(self) -> None:
        """End all requests and waits, of all threads, with `Cancelled`; later ones, too."""
        self._limiter.close()
        self._transport.abort()

    def reconnect(self) -> None:
        """Close the idle connections; new ones are opened when needed."""
        self._transport.drop_idle()

    def close(self) -> None:
        """Close the idle connections."""
        self._transport.close()

    def list_page_sync(self, request: PageRequest, stats: RequestStats) -> Page:
        """`list_page`, for callers without an event loop."""
        return asyncio.run(self.list_page(request, stats))

    async def list_page(self, request: PageRequest, stats: RequestStats) -> Page:
        """Fetch and decode one page.

        Raises:
            S3Error: A permanent error, or a transient one that persisted.
            Cancelled: `cancel` was called.
        """
        read = partial(decode_columns, encoding=request.encoding or self.profile.encoding)
        return await self._with_retries(request, stats, read, bytearray())

    async def fetch_raw_page(
        self, request: PageRequest, stats: RequestStats, body: bytearray
    ) -> RawPage:
        """Fetch one page into `body` without decoding it; raises the errors of `list_page`."""
        read = partial(peek_page, encoding=self.profile.encoding)
        return await self._with_retries(request, stats, read, body)

    async def _with_retries(
        self, request: PageRequest, stats: RequestStats, read: _Reader[_T], body: bytearray
    ) -> _T:
        attempts: _Attempts | None = None
        clock = asyncio.get_running_loop().time
        adaptations, is_answered = 0, False
        repetition = Repetition()
        try:
            while True:
                try:
                    found = await self._send_once(request, stats, read, body)
                except ErrorResponse as error_response:
                    may_adapt = adaptations < _MAX_ADAPTATIONS
                    if may_adapt and self._transport.adapt_to_error(error_response):
                        adaptations += 1
                        continue
                    error: Exception = error_response
                except _RETRYABLE as retryable:
                    error = retryable
                else:
                    is_answered = True
                    return found
                if self._limiter.is_closed:
                    raise Cancelled
                body = bytearray()  # the error's traceback may hold views of the other one
                fault = classify(error)
                if fault is None or repetition.is_repeated(error):
                    raise to_user_error(error, self.connection, request.action) from None
                stats.failed(fault)
                now = clock()
                attempts = attempts or _Attempts(now, now)
                attempts.failed(now, fault)
                if attempts.are_exhausted(self.retry):
                    raise self._exhausted(error, fault, attempts) from None
                longest = self.retry.outage_seconds
                self._outages.failed(attempts, attempts.began, now, fault, longest)
                asked = error.retry_after if isinstance(error, ErrorResponse) else 0.0
                await self._limiter.sleep(attempts.wait(self.retry, fault, asked))
        finally:
            if attempts:
                self._outages.over(attempts, clock(), is_answered=is_answered)

    def _exhausted(
        self, error: Exception, fault: TransientError, attempts: _Attempts
    ) -> RetriesExhausted:
        seconds = attempts.last - attempts.began
        return retries_exhausted(error, fault, attempts.failures, self.connection, seconds)

    async def _send_once(
        self, request: PageRequest, stats: RequestStats, read: _Reader[_T], body: bytearray
    ) -> _T:
        await self._limiter.acquire()
        clock = asyncio.get_running_loop().time
        sent_at, outcome = clock(), None
        try:
            stats.sent()
            response = await self._transport.get(
                request.parameters(self.profile.continuation), body
            )
            stats.received(len(response.body))
            self.server = response.headers.get("server")
            lack = lacks_versions(response.body) if request.versions else None
            if lack and response.status == 200:
                raise versions_unsupported(self.connection, lack)
            found = decoded(response, read)
            self._check_echo(request, response, found)
            outcome = Outcome.SUCCEEDED
        except (ErrorResponse, *_RETRYABLE) as error:
            outcome = _OUTCOMES.get(classify(error), Outcome.FAILED)
            raise
        finally:
            self._limiter.release(outcome, sent_at, clock())
        return found

    def _check_echo(self, request: PageRequest, response: Response, found: Page | RawPage) -> None:
        """Check that the response repeats the parameters of this request."""
        name = contradiction(request, found.echo, self.connection.bucket, self.profile.echoes)
        if name:
            # The next response on this connection would be misplaced, too.
            self._transport.discard(response)
            raise MisplacedResponse(
                f"the response belongs to another request: its <{name}> differs from this one"
            )


def retries_exhausted(
    error: Exception,
    fault: TransientError,
    attempts: int,
    connection: BucketConfig,
    seconds: float | None = None,
) -> RetriesExhausted:
    """The error for the user if a transient error persisted.

    Args:
        error: The last error.
        fault: Its kind.
        attempts: The number of attempts.
        connection: The bucket.
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
        f"{connection.display_name}: {fault} {often}{within}, last with: "
        f"{one_line(error)}; check that the endpoint can be reached and is not overloaded, then "
        f"run this again{longer}",
        fault,
    )
