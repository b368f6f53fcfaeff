"""Ask a bucket for one page of its keys, through every passing trouble.

What can pass (throttling, server errors, timeouts, resets, damaged bodies) is retried with full
jitter (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/); what cannot
fails at once, with a message that says what to do.
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
from inventory_assets.s3.decoding.page_peek import RawPage, peek_page
from inventory_assets.s3.decoding.xml_decoder import (
    ErrorDocument,
    Page,
    Unreadable,
)
from inventory_assets.s3.error_classification import (
    Repetition,
    classify,
    one_line,
    to_user_error,
    versions_unsupported,
)
from inventory_assets.s3.errors import (
    MalformedResponse,
    MisplacedAnswer,
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
"""Later delays are far beyond any cap, and would overflow."""

_SECONDS_BETWEEN_POLLS = {TransientError.REFUSED: 1.0, TransientError.UNREACHABLE: 2.0}
"""At most, where nobody is there to be overloaded: so its return is noticed soon."""

_MAX_ADAPTATIONS = 4
"""How often one request is sent again at once because a refusal said what to change."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How long, and how often, a request is tried that meets passing trouble.

    The budget is time, as an outage lasts for minutes however often somebody asks: each request may
    fail for `outage_seconds`, counted from its first failure, and is then sent a last time. So an
    outage of that length is survived, and one request that fails for ever ends the listing even
    where all others are answered.

    Waits are full jitter, `uniform(0, min(cap, base * 2**n))` seconds, and at least what the store
    asks for by `Retry-After`.

    Attributes:
        outage_seconds: How long a request may fail; 0 for not at all.
        base_seconds: What the bound of the first wait is half of.
        cap_seconds: The bound of every wait.
        malformed_attempts: How often one answer may be malformed besides, as that is seldom an
            outage.
    """

    outage_seconds: float = 300.0
    base_seconds: float = 0.1
    cap_seconds: float = 20.0
    malformed_attempts: int = 8

    def delay(self, failures: int, chance: float, fault: TransientError | None = None) -> float:
        """Seconds to wait after `failures` failed attempts, for a `chance` in [0, 1)."""
        polls = _SECONDS_BETWEEN_POLLS.get(fault, self.cap_seconds) if fault else self.cap_seconds
        cap = min(self.cap_seconds, polls)
        return chance * min(cap, self.base_seconds * 2.0 ** min(failures, _MAX_DOUBLINGS))


@dataclass(slots=True, eq=False)
class _Attempts:
    """The failures of one request.

    Attributes:
        began: When it failed first.
        last: When it failed last.
        failures: How often it has failed.
        malformed: How often of these the answer was malformed.
    """

    began: float
    last: float
    failures: int = 0
    malformed: int = 0

    def failed(self, now: float, fault: TransientError) -> None:
        """It has failed once more."""
        self.last = now
        self.failures += 1
        self.malformed += fault is TransientError.MALFORMED

    def are_enough(self, policy: RetryPolicy) -> bool:
        """Whether it is not to be sent again."""
        is_late = self.last - self.began >= policy.outage_seconds
        return is_late or self.malformed >= policy.malformed_attempts

    def wait(self, policy: RetryPolicy, fault: TransientError, asked: float) -> float:
        """Seconds until it is sent again, the last time when the budget ends.

        Args:
            policy: How it is tried.
            fault: How it failed last.
            asked: Seconds that the store asked for; 0 for none.
        """
        # Jitter spreads the retries of many workers; it guards no secret.
        chance = random.random()  # noqa: S311
        delay = policy.delay(self.failures, chance, fault)
        if asked:  # all that were told the same shall not come back at the same moment
            delay = max(delay, asked + chance * policy.base_seconds)
        return min(delay, self.began + policy.outage_seconds - self.last)


@dataclass(slots=True)
class RequestStats:
    """What a piece of work has cost and met so far; safe to share between threads.

    Attributes:
        requests: Requests sent, failed attempts included.
        response_bytes: Bytes of the bodies received.
        faults: Passing trouble met, by kind.
        unreadable: Records met that cannot be decoded.
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
        """Count what another piece of work has cost as well."""
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
    """The pages of one bucket, for any number of threads.

    At most `connection.max_in_flight` requests are under way at once, whoever asks, and fewer where
    `connection.policy` finds that the store takes no more.

    Args:
        connection: The bucket and how to reach it.
        retry: How long passing trouble is met.
    """

    profile: StoreProfile = AWS
    """How the store lists, as far as that is known."""

    proven_names: frozenset[str] = frozenset()
    """Characters whose reading in names was asked back (`scan.store_probe.check_names`)."""

    names_gone: int = 0
    """How often a key that was asked back so was not there any more."""

    def __init__(self, connection: BucketConfig, retry: RetryPolicy | None = None) -> None:
        self.connection = connection
        self.server: str | None = None
        """The `Server` header of the last response, which tells the store's make."""
        self.retry = retry or RetryPolicy()
        self._limiter = ConcurrencyLimiter(open_policy(connection.policy, connection.max_in_flight))
        self._outages = OutageLog(connection.display_name)
        self._transport = Transport(connection)

    @property
    def in_flight(self) -> tuple[int, int]:
        """How many requests are under way, and how many may be now."""
        return self._limiter.in_flight, self._limiter.limit

    def cancel(self) -> None:
        """End all requests and waits, those of other threads too, with `Cancelled`, for good."""
        self._limiter.close()
        self._transport.abort()

    def reconnect(self) -> None:
        """Use none of the connections kept alive again."""
        self._transport.drop_idle()

    def close(self) -> None:
        """Close the connections kept alive."""
        self._transport.close()

    def list_page_sync(self, request: PageRequest, stats: RequestStats) -> Page:
        """`list_page`, for those without an event loop."""
        return asyncio.run(self.list_page(request, stats))

    async def list_page(self, request: PageRequest, stats: RequestStats) -> Page:
        """Fetch and decode one page.

        Raises:
            S3Error: One of its children, when a retry cannot help or did not.
            Cancelled: `cancel` was called.
        """
        read = partial(decode_columns, encoding=request.encoding or self.profile.encoding)
        return await self._with_retries(request, stats, read, bytearray())

    async def fetch_raw_page(
        self, request: PageRequest, stats: RequestStats, body: bytearray
    ) -> RawPage:
        """Fetch one page into `body`, for the caller to decode; raises as `list_page`."""
        read = partial(peek_page, encoding=self.profile.encoding)
        return await self._with_retries(request, stats, read, body)

    async def _with_retries(
        self, request: PageRequest, stats: RequestStats, read: _Reader[_T], body: bytearray
    ) -> _T:
        attempts: _Attempts | None = None
        clock = asyncio.get_running_loop().time
        heeded, is_answered = 0, False
        repetition = Repetition()
        try:
            while True:
                try:
                    found = await self._send_once(request, stats, read, body)
                except ErrorResponse as error_response:
                    if heeded < _MAX_ADAPTATIONS and self._transport.adapt_to_error(error_response):
                        heeded += 1
                        continue
                    error: Exception = error_response
                except _RETRYABLE as trouble:
                    error = trouble
                else:
                    is_answered = True
                    return found
                if self._limiter.is_closed:
                    raise Cancelled
                fault = classify(error)
                if fault is None or repetition.is_repeated(error):
                    raise to_user_error(error, self.connection, request.action) from None
                stats.failed(fault)
                now = clock()
                attempts = attempts or _Attempts(now, now)
                attempts.failed(now, fault)
                if attempts.are_enough(self.retry):
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
            self._check_answer(request, response, found)
            outcome = Outcome.SUCCEEDED
        except (ErrorResponse, *_RETRYABLE) as error:
            outcome = _OUTCOMES.get(classify(error), Outcome.FAILED)
            raise
        finally:
            self._limiter.release(outcome, sent_at, clock())
        return found

    def _check_answer(
        self, request: PageRequest, response: Response, found: Page | RawPage
    ) -> None:
        """Check that an answer is that to its request, as far as it repeats it."""
        name = contradiction(request, found.echo, self.connection.bucket, self.profile.echoes)
        if name:
            # What comes on the same connection next is the answer to the request before, too.
            self._transport.discard(response)
            raise MisplacedAnswer(
                f"the answer to another request came: its <{name}> is not what was asked for"
            )


def retries_exhausted(
    error: Exception,
    fault: TransientError,
    attempts: int,
    connection: BucketConfig,
    seconds: float | None = None,
) -> RetriesExhausted:
    """What to tell the user about passing trouble that did not pass.

    Args:
        error: What it was like in the end.
        fault: Of what kind that is.
        attempts: How often something was tried.
        connection: The bucket.
        seconds: For how long, where time was what ended it.
    """
    often = f"{attempts} times in a row" if attempts > 1 else "once"
    within = "" if seconds is None else f" within {seconds:.0f} s"
    longer = (
        ""
        if seconds is None
        else "; --max-outage (in the configuration: max_outage_seconds) sets how long is tried"
    )
    return RetriesExhausted(
        f"{connection.display_name}: {fault} {often}{within}, last with: "
        f"{one_line(error)}; check that the endpoint can be reached and is not overloaded, then "
        f"run this again{longer}",
        fault,
    )
