"""Send requests for single objects until each has an answer.

Transient errors are retried as those of listings are (`retries.RetryPolicy`), under the same kind
of limit. A request that always fails, while others succeed, is given up. Errors that concern every
object end the work, with a message that says what to do.
"""

import asyncio
from collections.abc import Mapping

from inventory_assets.fast_values import value
from inventory_assets.s3.bucket_config import BucketConfig
from inventory_assets.s3.concurrency.limiter import Cancelled, ConcurrencyLimiter
from inventory_assets.s3.concurrency.policies import open_policy
from inventory_assets.s3.concurrency.request_outcome import Outcome
from inventory_assets.s3.ended_request import ended_request
from inventory_assets.s3.error_classification import classify, to_user_error
from inventory_assets.s3.errors import (
    AccessDenied,
    RetriesExhausted,
    TransientError,
)
from inventory_assets.s3.http.object_requests import Lane, ObjectRequests
from inventory_assets.s3.http.response import ErrorResponse, Response
from inventory_assets.s3.http.transport import Transport
from inventory_assets.s3.outages import OutageLog
from inventory_assets.s3.request_observer import RequestObserver
from inventory_assets.s3.request_stats import RequestStats
from inventory_assets.s3.retries import (
    MAX_ADAPTATIONS,
    OUTCOMES,
    RETRYABLE,
    Attempts,
    RetryPolicy,
    retries_exhausted,
)

FAILURES_OF_ONE_OBJECT = 8
"""After so many failures of one request, while others succeed, its object is given up."""

SECONDS_BETWEEN_CHECKS = 60.0
"""How often a refusal of HEAD, which has no body to say why, is checked by a listing request."""

REFUSALS_BEFORE_CHECK = 8
"""After so many refusals in a row, one is checked earlier; after each check, twice as many."""

_OUTCOMES_OF_OBJECTS = {**OUTCOMES, None: Outcome.SUCCEEDED}
"""A refusal is an answer: it says something of the object, not of the store."""

_MAY_BE_ONE_OBJECT = frozenset(
    {
        TransientError.SERVER_ERROR,
        TransientError.RESET,
        TransientError.TIMED_OUT,
        TransientError.MALFORMED,
    }
)


@value
class ObjectOperation:
    """An operation of the S3 API on an object.

    Attributes:
        name: Its name.
        method: The method of HTTP.
        action: The action that it needs in a policy.
        version_action: The action that it needs instead for a version id.
    """

    name: str
    method: str
    action: str
    version_action: str


HEAD_OBJECT = ObjectOperation("HeadObject", "HEAD", "s3:GetObject", "s3:GetObjectVersion")
GET_OBJECT_TAGGING = ObjectOperation(
    "GetObjectTagging", "GET", "s3:GetObjectTagging", "s3:GetObjectVersionTagging"
)


@value
class SendResult:
    """What came of a request: a response, a refusal, or neither where it failed for this object.

    Attributes:
        response: The response of status 200.
        refusal: The permanent error.
        requests: The requests that were sent.
    """

    response: Response | None
    refusal: ErrorResponse | None
    requests: int


class ObjectSender:
    """Sends requests for the objects of one bucket, from one event loop at a time.

    Args:
        bucket_config: The bucket and how to reach it.
        retry: How transient errors are retried.
        transport: Sends the requests.
        limiter: Limits the requests in flight; None for one that follows `bucket_config`.
        observer: Is told of each request for an object; None for nobody.

    Attributes:
        stats: The requests so far, and their transient errors.
        limiter: Limits the requests in flight.
    """

    def __init__(
        self,
        bucket_config: BucketConfig,
        retry: RetryPolicy,
        transport: Transport,
        limiter: ConcurrencyLimiter | None,
        observer: RequestObserver | None,
    ) -> None:
        self.stats = RequestStats()
        self.limiter = limiter or ConcurrencyLimiter(
            open_policy(bucket_config.policy, bucket_config.max_in_flight)
        )
        self._bucket_config = bucket_config
        self._retry = retry
        self._transport = transport
        self._observer = observer
        self._outages = OutageLog(bucket_config.display_name)
        self._answers = 0
        self._checked_at: float | None = None
        self._check: asyncio.Task[None] | None = None
        self._refusals = 0
        self._refusals_before_check = REFUSALS_BEFORE_CHECK

    async def send(
        self,
        lane: Lane,
        requests: ObjectRequests,
        operation: ObjectOperation,
        key: str,
        query: Mapping[str, str],
    ) -> SendResult:
        """Send a request for an object until there is an answer.

        Raises:
            S3Error: An error that concerns every object.
            Cancelled: The limiter was closed.
        """
        try:
            return SendResult(await self._send_once(lane, requests, operation, key, query), None, 1)
        except (ErrorResponse, *RETRYABLE) as error:
            first = error
        return await self._send_again(first, lane, requests, operation, key, query)

    async def _send_again(
        self,
        error: Exception,
        lane: Lane,
        requests: ObjectRequests,
        operation: ObjectOperation,
        key: str,
        query: Mapping[str, str],
    ) -> SendResult:
        clock = asyncio.get_running_loop().time
        attempts: Attempts | None = None
        adaptations, count, answers, is_answered = 0, 1, self._answers, False
        try:
            while True:
                if self.limiter.is_closed:
                    raise Cancelled
                fault = classify(error)
                if fault is None:
                    if not isinstance(error, ErrorResponse):
                        action = HEAD_OBJECT.action
                        raise to_user_error(error, self._bucket_config, action) from None
                    is_answered = True
                    may_adapt = adaptations < MAX_ADAPTATIONS
                    if not may_adapt or not await self._adapt(error, requests):
                        return SendResult(None, error, count)
                    adaptations += 1
                else:
                    self.stats.failed(fault)
                    now = clock()
                    attempts = attempts or Attempts(now, now)
                    attempts.failed(now, fault)
                    is_alone = self._answers - answers >= FAILURES_OF_ONE_OBJECT
                    is_persistent = attempts.failures >= FAILURES_OF_ONE_OBJECT
                    if fault in _MAY_BE_ONE_OBJECT and is_persistent and is_alone:
                        return SendResult(None, None, count)
                    await self._wait(error, fault, attempts, now)
                count += 1
                try:
                    found = await self._send_once(lane, requests, operation, key, query)
                except (ErrorResponse, *RETRYABLE) as another:
                    error = another
                else:
                    is_answered = True
                    return SendResult(found, None, count)
        finally:
            if attempts:
                self._outages.over(attempts, clock(), is_answered=is_answered)

    async def _wait(
        self, error: Exception, fault: TransientError, attempts: Attempts, now: float
    ) -> None:
        if attempts.last - attempts.began >= self._retry.outage_seconds:
            raise self._exhausted(error, fault, attempts) from None
        self._outages.failed(attempts, attempts.began, now, fault, self._retry.outage_seconds)
        asked = error.retry_after if isinstance(error, ErrorResponse) else 0.0
        await self.limiter.sleep(attempts.wait(self._retry, fault, asked))

    def _exhausted(
        self, error: Exception, fault: TransientError, attempts: Attempts
    ) -> RetriesExhausted:
        seconds = attempts.last - attempts.began
        return retries_exhausted(error, fault, attempts.failures, self._bucket_config, seconds)

    async def _send_once(
        self,
        lane: Lane,
        requests: ObjectRequests,
        operation: ObjectOperation,
        key: str,
        query: Mapping[str, str],
    ) -> Response:
        if not self.limiter.try_acquire():
            await self.limiter.acquire()
        clock = asyncio.get_running_loop().time
        sent_at, outcome = clock(), None
        response: Response | None = None
        error: Exception | None = None
        try:
            self.stats.sent()
            response = await lane.send(requests, operation.method, key, query, bytearray())
            outcome = Outcome.SUCCEEDED
            if response.status != 200:
                raise ErrorResponse(response)  # noqa: TRY301 - counted below
        except (ErrorResponse, *RETRYABLE) as failure:
            error = failure
            outcome = _OUTCOMES_OF_OBJECTS.get(classify(failure), Outcome.FAILED)
            raise
        finally:
            ended_at = clock()
            self.limiter.release(outcome, sent_at, ended_at)
            if self._observer is not None and outcome is not None:
                seconds = ended_at - sent_at
                end = ended_request(operation.name, operation.method, seconds, response, error)
                self._observer.request_ended(end)
            del error  # its traceback refers to this frame
        self._answers += 1
        self._refusals, self._refusals_before_check = 0, REFUSALS_BEFORE_CHECK
        return response

    async def _adapt(self, error: ErrorResponse, requests: ObjectRequests) -> bool:
        """Adopt what a refusal calls for; return whether the request is worth repeating.

        The refusal of a HEAD has no body. So whether the credentials have expired, or the clock is
        wrong, is asked by a listing request, which every source may send. All requests that are
        refused meanwhile wait for its answer: they are refused for the same reason.

        Raises:
            S3Error: The endpoint refuses that request, too.
        """
        if requests.adapt_to_error(error):
            return True
        if error.status not in (400, 401, 403) or error.message:
            return False
        self._refusals += 1
        if (self._check is None or self._check.done()) and self._is_check_due():
            self._check = asyncio.create_task(self._check_refusal(requests))
        if self._check is not None:
            if not self._check.done():
                await asyncio.wait([self._check])
            if not self._check.cancelled():
                self._check.result()
        try:
            _, context = await self._transport.route()
        except RETRYABLE:
            return True  # the repeated request tells that error
        if context == error.context:
            return False
        requests.renew()
        return True

    def _is_check_due(self) -> bool:
        now = asyncio.get_running_loop().time()
        is_recent = self._checked_at is not None and now - self._checked_at < SECONDS_BETWEEN_CHECKS
        if is_recent and self._refusals < self._refusals_before_check:
            return False
        self._checked_at = now
        return True

    async def _check_refusal(self, requests: ObjectRequests) -> None:
        """Send a listing request, and adopt what its refusal calls for.

        Raises:
            S3Error: It is refused for a reason that concerns every object.
        """
        self.stats.sent()
        query = {"list-type": "2", "max-keys": "1"}
        try:
            response = await self._transport.get(query, bytearray())
        except RETRYABLE:
            return
        finally:
            self._refusals_before_check = 2 * max(self._refusals, REFUSALS_BEFORE_CHECK)
        if response.status == 200:
            return
        told = ErrorResponse(response)
        if requests.adapt_to_error(told):
            return
        user_error = to_user_error(told, self._bucket_config)
        # The listing may be allowed for some prefixes only.
        if not isinstance(user_error, AccessDenied) and classify(told) is None:
            raise user_error
