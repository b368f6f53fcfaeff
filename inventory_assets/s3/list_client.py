"""Request pages of a bucket's listing, with retries.

Transient errors (throttling, server errors, timeouts, resets, damaged bodies) are retried as
`retries.RetryPolicy` says. Other errors fail at once, with a message that says what to do.
"""

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from typing import Protocol, TypeVar

from inventory_assets.s3.bucket_config import BucketConfig
from inventory_assets.s3.concurrency.activity import ActivityMeter
from inventory_assets.s3.concurrency.limiter import Cancelled, ConcurrencyLimiter
from inventory_assets.s3.concurrency.policies import open_policy
from inventory_assets.s3.concurrency.request_outcome import Outcome
from inventory_assets.s3.decoding.columnar_decoder import decode_columns
from inventory_assets.s3.decoding.page import ErrorDocument, Page
from inventory_assets.s3.decoding.page_peek import RawPage, peek_page
from inventory_assets.s3.ended_request import ended_request
from inventory_assets.s3.error_classification import (
    Repetition,
    classify,
    to_user_error,
    versions_unsupported,
)
from inventory_assets.s3.errors import (
    MisplacedResponse,
    RetriesExhausted,
    TransientError,
)
from inventory_assets.s3.http.response import ErrorResponse, Response, decoded, lacks_versions
from inventory_assets.s3.http.transport import Transport
from inventory_assets.s3.outages import OutageLog
from inventory_assets.s3.page_request import PageRequest
from inventory_assets.s3.request_observer import RequestObserver
from inventory_assets.s3.request_stats import RequestStats
from inventory_assets.s3.response_echo import contradiction
from inventory_assets.s3.retries import (
    MAX_ADAPTATIONS,
    OUTCOMES,
    RETRYABLE,
    Attempts,
    RetryPolicy,
    retries_exhausted,
)
from inventory_assets.s3.store_profile import AWS, StoreProfile

_T = TypeVar("_T", Page, RawPage)
_Reader = Callable[[bytearray], _T | ErrorDocument]


class PageTransport(Protocol):
    """Sends the requests of one bucket, as `Transport` does over HTTP."""

    async def get(self, parameters: Mapping[str, str], body: bytearray, /) -> Response:
        """Send a request and receive its response into `body`."""

    def adapt_to_error(self, error_response: ErrorResponse, /) -> bool:
        """Adopt what an error response calls for; return whether the next request will differ."""

    def discard(self, response: Response, /) -> None:
        """Shut down the connection over which a response arrived."""

    def abort(self) -> None:
        """End the requests in flight with an error; later ones fail, too."""

    def drop_idle(self) -> None:
        """Close the idle connections."""

    def close(self) -> None:
        """Close everything."""


class ListClient:
    """Lists pages of one bucket; shared by any number of threads.

    At most `bucket_config.max_in_flight` requests are in flight over all threads;
    `bucket_config.policy` may set a lower limit.

    Args:
        bucket_config: The bucket and how to reach it.
        retry: How transient errors are retried.
        transport: Sends the requests; None for HTTP.
        limiter: Limits the requests in flight; None for one that follows `bucket_config`.
        observer: Is told of every request; None for nobody.
        activity: Adds up what the requests do; None for one of its own.
    """

    profile: StoreProfile = AWS
    """How the store lists; set after a probe."""

    proven_names: frozenset[str] = frozenset()
    """Characters whose decoding in keys was verified (`scan.key_encoding.check_names`)."""

    names_gone: int = 0
    """How many keys no longer existed when they were verified."""

    def __init__(
        self,
        bucket_config: BucketConfig,
        retry: RetryPolicy | None = None,
        *,
        transport: PageTransport | None = None,
        limiter: ConcurrencyLimiter | None = None,
        observer: RequestObserver | None = None,
        activity: ActivityMeter | None = None,
    ) -> None:
        self.bucket_config = bucket_config
        self.server: str | None = None
        """The `Server` header of the last response, which identifies the store's software."""
        self.retry = retry or RetryPolicy()
        self.activity = activity or ActivityMeter(bucket_config.max_in_flight)
        """What the requests, and the scan that reads their pages, do over time."""
        self._limiter = limiter or ConcurrencyLimiter(
            open_policy(bucket_config.policy, bucket_config.max_in_flight), self.activity
        )
        self._outages = OutageLog(bucket_config.display_name)
        self._transport: PageTransport = transport or Transport(bucket_config)
        self._observer = observer

    @property
    def in_flight(self) -> tuple[int, int]:
        """The number of requests in flight, and the current limit."""
        return self._limiter.in_flight, self._limiter.limit

    def set_cap(self, maximum: int) -> None:
        """Allow at most so many requests in flight from now on, whatever the policy allows."""
        self._limiter.set_cap(maximum)

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
        attempts: Attempts | None = None
        clock = asyncio.get_running_loop().time
        adaptations, is_answered = 0, False
        repetition = Repetition()
        try:
            while True:
                try:
                    found = await self._send_once(request, stats, read, body)
                except ErrorResponse as error_response:
                    may_adapt = adaptations < MAX_ADAPTATIONS
                    if may_adapt and self._transport.adapt_to_error(error_response):
                        adaptations += 1
                        continue
                    error: Exception = error_response
                except RETRYABLE as retryable:
                    error = retryable
                else:
                    is_answered = True
                    return found
                if self._limiter.is_closed:
                    raise Cancelled
                body = bytearray()  # the error's traceback may hold views of the other one
                fault = classify(error)
                if fault is None or repetition.is_repeated(error):
                    raise to_user_error(error, self.bucket_config, request.action) from None
                stats.failed(fault)
                now = clock()
                attempts = attempts or Attempts(now, now)
                attempts.failed(now, fault)
                if attempts.are_exhausted(self.retry):
                    raise self._exhausted(error, fault, attempts) from None
                longest = self.retry.outage_seconds
                self._outages.failed(attempts, attempts.began, now, fault, longest)
                asked = error.retry_after if isinstance(error, ErrorResponse) else 0.0
                is_throttled = fault is TransientError.THROTTLED
                self.activity.retry_begins(fault.value, is_throttled=is_throttled)
                try:
                    await self._limiter.sleep(attempts.wait(self.retry, fault, asked))
                finally:
                    self.activity.retry_ends(is_throttled=is_throttled)
        finally:
            if attempts:
                self._outages.over(attempts, clock(), is_answered=is_answered)

    def _exhausted(
        self, error: Exception, fault: TransientError, attempts: Attempts
    ) -> RetriesExhausted:
        seconds = attempts.last - attempts.began
        return retries_exhausted(error, fault, attempts.failures, self.bucket_config, seconds)

    async def _send_once(
        self, request: PageRequest, stats: RequestStats, read: _Reader[_T], body: bytearray
    ) -> _T:
        await self._limiter.acquire()
        clock = asyncio.get_running_loop().time
        sent_at, outcome = clock(), None
        response: Response | None = None
        error: Exception | None = None
        try:
            stats.sent()
            response = await self._transport.get(
                request.parameters(self.profile.continuation), body
            )
            stats.received(len(response.body))
            self.server = response.headers.get("server")
            lack = lacks_versions(response.body) if request.versions else None
            if lack and response.status == 200:
                raise versions_unsupported(self.bucket_config, lack)
            found = decoded(response, read)
            self._check_echo(request, response, found)
            outcome = Outcome.SUCCEEDED
        except (ErrorResponse, *RETRYABLE) as failure:
            error = failure
            outcome = OUTCOMES.get(classify(failure), Outcome.FAILED)
            raise
        finally:
            ended_at = clock()
            self._limiter.release(outcome, sent_at, ended_at)
            if self._observer is not None and outcome is not None:
                operation = request.operation(self.profile.continuation)
                end = ended_request(operation, "GET", ended_at - sent_at, response, error)
                self._observer.request_ended(end)
            del error  # its traceback refers to this frame
        stats.succeeded(ended_at - sent_at)
        return found

    def _check_echo(self, request: PageRequest, response: Response, found: Page | RawPage) -> None:
        """Check that the response repeats the parameters of this request."""
        name = contradiction(request, found.echo, self.bucket_config.bucket, self.profile)
        if name:
            # The next response on this connection would be misplaced, too.
            self._transport.discard(response)
            raise MisplacedResponse(
                f"the response belongs to another request: its <{name}> differs from this one"
            )
