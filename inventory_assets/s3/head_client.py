"""Ask a bucket for the metadata of its objects, by HeadObject and GetObjectTagging.

Transient errors are retried as those of listings are (`retries.RetryPolicy`), under the same kind
of limit. An error of one object is part of the answer: the object was deleted, may not be read, or
always fails. Errors that concern every object end the work, with a message that says what to do.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping
from enum import StrEnum
from http.client import HTTPException

from botocore.exceptions import BotoCoreError, ClientError
from urllib3.exceptions import HTTPError

from inventory_assets.fast_values import value
from inventory_assets.s3.bucket_config import BucketConfig
from inventory_assets.s3.concurrency.limiter import Cancelled, ConcurrencyLimiter
from inventory_assets.s3.concurrency.policies import open_policy
from inventory_assets.s3.concurrency.request_outcome import Outcome
from inventory_assets.s3.decoding.xml_tree import parse
from inventory_assets.s3.error_classification import classify, to_user_error
from inventory_assets.s3.errors import (
    AccessDenied,
    MalformedResponse,
    RetriesExhausted,
    TransientError,
)
from inventory_assets.s3.http.object_requests import Lane, ObjectRequests
from inventory_assets.s3.http.response import ErrorResponse, Response
from inventory_assets.s3.http.transport import Transport
from inventory_assets.s3.outages import OutageLog
from inventory_assets.s3.request_stats import RequestStats
from inventory_assets.s3.retries import Attempts, RetryPolicy, retries_exhausted

LOG = logging.getLogger("inventory_assets.s3")

HEAD_ACTION, TAGS_ACTION = "s3:GetObject", "s3:GetObjectTagging"
VERSION_ACTIONS = {HEAD_ACTION: "s3:GetObjectVersion", TAGS_ACTION: "s3:GetObjectVersionTagging"}
"""The actions that requests with a version id need instead."""

DENIALS_BEFORE_END = 32
"""If so many first answers are denials, and nothing else, permission is missing for all objects."""

FAILURES_OF_ONE_OBJECT = 8
"""After so many failures of one request, while others succeed, its object is given up."""

SECONDS_BETWEEN_CHECKS = 60.0
"""How often a refusal of HEAD, which has no body to say why, is checked by a listing request."""

_RETRYABLE = (BotoCoreError, ClientError, HTTPError, HTTPException, MalformedResponse, OSError)
_OUTCOMES: dict[TransientError | None, Outcome] = {
    TransientError.THROTTLED: Outcome.THROTTLED,
    TransientError.TIMED_OUT: Outcome.TIMED_OUT,
    None: Outcome.SUCCEEDED,  # a refusal is an answer
}
_MAY_BE_ONE_OBJECT = frozenset(
    {
        TransientError.SERVER_ERROR,
        TransientError.RESET,
        TransientError.TIMED_OUT,
        TransientError.MALFORMED,
    }
)
_CHECKSUMS = {"x-amz-checksum-mode": "ENABLED"}
"""Without this header, S3 leaves checksums out."""

_TAGGING = {"tagging": ""}
_NOTHING: Mapping[str, str] = {}
_MAX_ADAPTATIONS = 4
_FALLBACKS_BEFORE_REST = 32
"""After so many answers in a row that came without checksums only, these are not asked for."""

_GONE_STATUSES = (404, 405, 410)
"""405 is S3's status for HEAD of a delete marker by its version id."""

_DENIED_STATUSES = (401, 403)


class ObjectError(StrEnum):
    """Why an answer is not complete."""

    MISSING = "missing"
    """There is no such object or version any more."""
    CHANGED = "changed"
    """The object was replaced since it was listed."""
    FORBIDDEN = "forbidden"
    """The credentials may not read it."""
    ARCHIVED = "archived"
    """The store does not tell it while the object is archived."""
    REFUSED = "refused"
    """The request is refused for another reason, such as a key of the customer (SSE-C)."""
    FAILED = "failed"
    """A transient error persisted for this object, while other requests succeeded."""


@value
class ObjectAnswer:
    """What a bucket says of one object.

    Attributes:
        headers: The headers of HeadObject, with lower-case names; None where it failed.
        tags: The tags; None where they were not asked for, or it failed.
        error: Why something is missing; None where nothing is.
        requests: The requests that were sent for it.
    """

    headers: Mapping[str, str] | None
    tags: Mapping[str, str] | None
    error: ObjectError | None
    requests: int


@value
class _Told:
    """What came of a request: a response, a refusal, or neither where it failed for this object.

    Attributes:
        response: The response of status 200.
        refusal: The permanent error.
        requests: The requests that were sent.
    """

    response: Response | None
    refusal: ErrorResponse | None
    requests: int


class HeadClient:
    """Asks for the metadata of the objects of one bucket, from one event loop at a time.

    Args:
        bucket_config: The bucket and how to reach it.
        retry: How transient errors are retried.
        with_tags: Whether to ask for the tags of each object, by a request of their own.
        transport: Sends the requests; None for a new one.
        limiter: Limits the requests in flight; None for one that follows `bucket_config`.

    Attributes:
        stats: The requests so far, and their transient errors.
        granted: Answers so far, by the action that they need.
        denied: Denials so far, likewise.
    """

    def __init__(
        self,
        bucket_config: BucketConfig,
        retry: RetryPolicy | None = None,
        *,
        with_tags: bool = False,
        transport: Transport | None = None,
        limiter: ConcurrencyLimiter | None = None,
    ) -> None:
        self.bucket_config = bucket_config
        self.retry = retry or RetryPolicy()
        self.stats = RequestStats()
        self.granted: Counter[str] = Counter()
        self.denied: Counter[str] = Counter()
        self.with_tags = with_tags
        self._limiter = limiter or ConcurrencyLimiter(
            open_policy(bucket_config.policy, bucket_config.max_in_flight)
        )
        self._outages = OutageLog(bucket_config.display_name)
        self._transport = transport or Transport(bucket_config)
        self._with_checksums = ObjectRequests(self._transport, _CHECKSUMS)
        self._plain = ObjectRequests(self._transport, _NOTHING)
        self._fallbacks = 0
        self._answers = 0
        self._checked_at: float | None = None

    @property
    def requests_per_object(self) -> int:
        """The requests that an object takes if nothing fails."""
        return 1 + self.with_tags

    @property
    def max_in_flight(self) -> int:
        """The most requests in flight that the limit can ever allow."""
        return self.bucket_config.max_in_flight

    @property
    def limit(self) -> int:
        """The requests that may be in flight now."""
        return self._limiter.limit

    def reader(self) -> "ObjectReader":
        """A reader for one task of the event loop."""
        return ObjectReader(self, Lane(self._transport))

    def cancel(self) -> None:
        """End all requests and waits with `Cancelled`; later ones, too."""
        self._limiter.close()
        self._transport.abort()

    def close(self) -> None:
        """Close the idle connections."""
        self._transport.close()

    def policy(self, *, of_versions: bool) -> str:
        """The actions that the requests need, and the resource, for a policy."""
        actions = [HEAD_ACTION, *([TAGS_ACTION] if self.with_tags else [])]
        if of_versions:
            actions = [VERSION_ACTIONS[action] for action in actions]
        names = " and ".join(actions)
        return f"{names} on arn:aws:s3:::{self.bucket_config.bucket}/*"

    async def ask(
        self, lane: Lane, requests: ObjectRequests, method: str, key: str, query: Mapping[str, str]
    ) -> _Told:
        """Ask for an object until there is an answer.

        Raises:
            S3Error: An error that concerns every object.
            Cancelled: `cancel` was called.
        """
        try:
            return _Told(await self._send_once(lane, requests, method, key, query), None, 1)
        except (ErrorResponse, *_RETRYABLE) as error:
            first = error
        return await self._ask_again(first, lane, requests, method, key, query)

    async def _ask_again(
        self,
        error: Exception,
        lane: Lane,
        requests: ObjectRequests,
        method: str,
        key: str,
        query: Mapping[str, str],
    ) -> _Told:
        clock = asyncio.get_running_loop().time
        attempts: Attempts | None = None
        adaptations, count, answers, is_answered = 0, 1, self._answers, False
        try:
            while True:
                if self._limiter.is_closed:
                    raise Cancelled
                fault = classify(error)
                if fault is None:
                    if not isinstance(error, ErrorResponse):
                        raise to_user_error(error, self.bucket_config, HEAD_ACTION) from None
                    is_answered = True
                    may_adapt = adaptations < _MAX_ADAPTATIONS
                    if not may_adapt or not await self._adapt(error, requests):
                        return _Told(None, error, count)
                    adaptations += 1
                else:
                    self.stats.failed(fault)
                    now = clock()
                    attempts = attempts or Attempts(now, now)
                    attempts.failed(now, fault)
                    is_alone = self._answers - answers >= FAILURES_OF_ONE_OBJECT
                    is_persistent = attempts.failures >= FAILURES_OF_ONE_OBJECT
                    if fault in _MAY_BE_ONE_OBJECT and is_persistent and is_alone:
                        return _Told(None, None, count)
                    await self._wait(error, fault, attempts, now)
                count += 1
                try:
                    found = await self._send_once(lane, requests, method, key, query)
                except (ErrorResponse, *_RETRYABLE) as another:
                    error = another
                else:
                    is_answered = True
                    return _Told(found, None, count)
        finally:
            if attempts:
                self._outages.over(attempts, clock(), is_answered=is_answered)

    async def _wait(
        self, error: Exception, fault: TransientError, attempts: Attempts, now: float
    ) -> None:
        if attempts.last - attempts.began >= self.retry.outage_seconds:
            raise self._exhausted(error, fault, attempts) from None
        self._outages.failed(attempts, attempts.began, now, fault, self.retry.outage_seconds)
        asked = error.retry_after if isinstance(error, ErrorResponse) else 0.0
        await self._limiter.sleep(attempts.wait(self.retry, fault, asked))

    def _exhausted(
        self, error: Exception, fault: TransientError, attempts: Attempts
    ) -> RetriesExhausted:
        seconds = attempts.last - attempts.began
        return retries_exhausted(error, fault, attempts.failures, self.bucket_config, seconds)

    async def _send_once(
        self, lane: Lane, requests: ObjectRequests, method: str, key: str, query: Mapping[str, str]
    ) -> Response:
        if not self._limiter.try_acquire():
            await self._limiter.acquire()
        clock = asyncio.get_running_loop().time
        sent_at, outcome = clock(), None
        try:
            self.stats.sent()
            response = await lane.send(requests, method, key, query, bytearray())
            outcome = Outcome.SUCCEEDED
            if response.status != 200:
                raise ErrorResponse(response)  # noqa: TRY301 - counted below
        except (ErrorResponse, *_RETRYABLE) as error:
            outcome = _OUTCOMES.get(classify(error), Outcome.FAILED)
            raise
        finally:
            self._limiter.release(outcome, sent_at, clock())
        self._answers += 1
        return response

    async def _adapt(self, error: ErrorResponse, requests: ObjectRequests) -> bool:
        """Adopt what a refusal calls for; return whether the request is worth repeating.

        The refusal of a HEAD has no body. So whether the credentials have expired, or the clock is
        wrong, is asked by a listing request, which every source may send.

        Raises:
            S3Error: The endpoint refuses that request, too.
        """
        if requests.adapt_to_error(error):
            return True
        if error.status not in (400, 401, 403) or error.message:
            return False
        now = asyncio.get_running_loop().time()
        if self._checked_at is not None and now - self._checked_at < SECONDS_BETWEEN_CHECKS:
            return False
        self._checked_at = now
        self.stats.sent()
        query = {"list-type": "2", "max-keys": "1"}
        try:
            response = await self._transport.get(query, bytearray())
        except _RETRYABLE:
            return False
        if response.status == 200:
            return False
        told = ErrorResponse(response)
        if requests.adapt_to_error(told):
            return True
        user_error = to_user_error(told, self.bucket_config)
        if isinstance(user_error, AccessDenied) or classify(told) is not None:
            return False  # the listing may be allowed for some prefixes only
        raise user_error

    def why(self, refusal: ErrorResponse | None, action: str, *, of_version: bool) -> ObjectError:
        """The kind of a refusal; None stands for a transient error that persisted.

        Raises:
            AccessDenied: Nothing but denials came so far, so the permission is missing.
        """
        if refusal is None:
            return ObjectError.FAILED
        if refusal.code == "InvalidObjectState":
            return ObjectError.ARCHIVED
        if refusal.status in _GONE_STATUSES:
            return ObjectError.MISSING
        if refusal.status not in _DENIED_STATUSES:
            return ObjectError.REFUSED
        self.denied[action] += 1
        if not self.granted[action] and self.denied[action] >= DENIALS_BEFORE_END:
            what = "tags" if action == TAGS_ACTION else "metadata"
            setting = "set metadata.tags = false" if action == TAGS_ACTION else "remove its table"
            raise AccessDenied(
                f"{self.bucket_config.display_name}: the {what} of objects may not be read: all of "
                f"the first {self.denied[action]} requests are denied; grant "
                f"{self.policy(of_versions=of_version)} to these credentials, or {setting} "
                "in the configuration of the source"
            )
        return ObjectError.FORBIDDEN

    @property
    def plain(self) -> ObjectRequests:
        """Requests that do not ask for checksums."""
        return self._plain

    async def head(self, lane: Lane, key: str, query: Mapping[str, str]) -> _Told:
        """HeadObject, with checksums where they may be read.

        S3 denies the checksum of an object that is encrypted with a KMS key, and with it the
        answer, to credentials without kms:Decrypt. Then the rest is asked for alone.
        """
        if self._fallbacks >= _FALLBACKS_BEFORE_REST:
            return await self.ask(lane, self._plain, "HEAD", key, query)
        told = await self.ask(lane, self._with_checksums, "HEAD", key, query)
        if told.refusal is None or told.refusal.status not in _DENIED_STATUSES:
            self._fallbacks = 0
            return told
        again = await self.ask(lane, self._plain, "HEAD", key, query)
        if again.response is not None:
            self._fallbacks += 1
            if self._fallbacks == _FALLBACKS_BEFORE_REST:
                LOG.warning(
                    "%s: checksums of objects may not be read, and are left out from here on; "
                    "grant kms:Decrypt on the keys of encrypted objects to read them",
                    self.bucket_config.display_name,
                )
        return _Told(again.response, again.refusal, told.requests + again.requests)


class ObjectReader:
    """Asks for one object after the other; for one task.

    Args:
        client: The client.
        lane: Sends the requests.
    """

    def __init__(self, client: HeadClient, lane: Lane) -> None:
        self._client = client
        self._lane = lane

    async def read(self, key: str, version_id: str | None, e_tag: str | None) -> ObjectAnswer:
        """Ask for the metadata of an object.

        Args:
            key: Its key.
            version_id: The version, where versions are listed; otherwise None.
            e_tag: Its ETag when it was listed, without quotes.

        Raises:
            S3Error: An error that concerns every object.
            Cancelled: The client was cancelled.
        """
        client, of_version = self._client, version_id is not None
        query = _NOTHING if version_id is None else {"versionId": version_id}
        told = await client.head(self._lane, key, query)
        if told.response is None:
            why = client.why(told.refusal, HEAD_ACTION, of_version=of_version)
            return ObjectAnswer(None, None, why, told.requests)
        client.granted[HEAD_ACTION] += 1
        headers = told.response.headers
        found = headers.get("etag")
        if found is None and "last-modified" not in headers:
            return ObjectAnswer(None, None, ObjectError.REFUSED, told.requests)  # not from S3
        if e_tag and found is not None and found.removeprefix("W/").strip('"') != e_tag:
            return ObjectAnswer(None, None, ObjectError.CHANGED, told.requests)
        if not client.with_tags:
            return ObjectAnswer(headers, None, None, told.requests)
        tagging = await client.ask(self._lane, client.plain, "GET", key, {**_TAGGING, **query})
        count = told.requests + tagging.requests
        if tagging.response is None:
            why = client.why(tagging.refusal, TAGS_ACTION, of_version=of_version)
            return ObjectAnswer(headers, None, why, count)
        client.granted[TAGS_ACTION] += 1
        try:
            return ObjectAnswer(headers, tags_of(tagging.response.body), None, count)
        except MalformedResponse:
            return ObjectAnswer(headers, None, ObjectError.FAILED, count)

    def close(self) -> None:
        """Give the connection back."""
        self._lane.close()


def tags_of(body: bytearray) -> Mapping[str, str]:
    """The tags in a response to GetObjectTagging.

    Raises:
        MalformedResponse: It is no such response.
    """
    root = parse(body)
    if root.name != "Tagging":
        raise MalformedResponse(f"found <{root.name[:40]}> instead of <Tagging>")
    tags = [tag for tag_set in root.all("TagSet") for tag in tag_set.all("Tag")]
    return {tag.text_of("Key") or "": tag.text_of("Value") or "" for tag in tags}
