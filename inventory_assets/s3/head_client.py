"""Ask a bucket for the metadata of its objects, by HeadObject and GetObjectTagging.

An error of one object is part of the answer: the object was deleted, may not be read, or always
fails. Errors that concern every object end the work, with a message that says what to do.
"""

import logging
from collections import Counter
from collections.abc import Mapping

from inventory_assets.s3.bucket_config import BucketConfig
from inventory_assets.s3.concurrency.limiter import ConcurrencyLimiter
from inventory_assets.s3.errors import AccessDenied, MalformedResponse
from inventory_assets.s3.http.object_requests import Lane, ObjectRequests
from inventory_assets.s3.http.response import ErrorResponse
from inventory_assets.s3.http.transport import Transport
from inventory_assets.s3.object_answer import (
    DENIED_STATUSES,
    ObjectAnswer,
    ObjectError,
    error_of_headers,
    error_of_refusal,
    tags_of,
)
from inventory_assets.s3.object_sender import (
    GET_OBJECT_TAGGING,
    HEAD_OBJECT,
    ObjectOperation,
    ObjectSender,
    SendResult,
)
from inventory_assets.s3.request_observer import RequestObserver
from inventory_assets.s3.request_stats import RequestStats
from inventory_assets.s3.retries import RetryPolicy

LOG = logging.getLogger("inventory_assets.s3")

DENIALS_BEFORE_END = 32
"""If so many first answers are denials, and nothing else, permission is missing for all objects."""

_CHECKSUMS = {"x-amz-checksum-mode": "ENABLED"}
"""Without this header, S3 leaves checksums out."""

_TAGGING = {"tagging": ""}
_NOTHING: Mapping[str, str] = {}
_FALLBACKS_BEFORE_REST = 32
"""After so many answers in a row that came without checksums only, these are not asked for."""


class HeadClient:
    """Asks for the metadata of the objects of one bucket, from one event loop at a time.

    Args:
        bucket_config: The bucket and how to reach it.
        retry: How transient errors are retried.
        with_tags: Whether to ask for the tags of each object, by a request of their own.
        transport: Sends the requests; None for a new one.
        limiter: Limits the requests in flight; None for one that follows `bucket_config`.
        observer: Is told of each HeadObject and GetObjectTagging; None for nobody.

    Attributes:
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
        observer: RequestObserver | None = None,
    ) -> None:
        self.bucket_config = bucket_config
        self.granted: Counter[str] = Counter()
        self.denied: Counter[str] = Counter()
        self.with_tags = with_tags
        self._transport = transport or Transport(bucket_config)
        self._sender = ObjectSender(
            bucket_config, retry or RetryPolicy(), self._transport, limiter, observer
        )
        self._with_checksums = ObjectRequests(self._transport, _CHECKSUMS)
        self._plain = ObjectRequests(self._transport, _NOTHING)
        self._fallbacks = 0

    @property
    def stats(self) -> RequestStats:
        """The requests so far, and their transient errors."""
        return self._sender.stats

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
        return self._sender.limiter.limit

    @property
    def in_flight(self) -> tuple[int, int]:
        """The number of requests in flight, and the current limit."""
        return self._sender.limiter.in_flight, self._sender.limiter.limit

    def set_cap(self, maximum: int) -> None:
        """Allow at most so many requests in flight from now on, whatever the policy allows."""
        self._sender.limiter.set_cap(maximum)

    def reader(self) -> "ObjectReader":
        """A reader for one task of the event loop."""
        return ObjectReader(self, Lane(self._transport))

    def cancel(self) -> None:
        """End all requests and waits with `Cancelled`; later ones, too."""
        self._sender.limiter.close()
        self._transport.abort()

    def close(self) -> None:
        """Close the idle connections."""
        self._transport.close()

    def policy(self, *, of_versions: bool) -> str:
        """The actions that the requests need, and the resource, for a policy."""
        operations = [HEAD_OBJECT, *([GET_OBJECT_TAGGING] if self.with_tags else [])]
        names = " and ".join(
            each.version_action if of_versions else each.action for each in operations
        )
        return f"{names} on arn:aws:s3:::{self.bucket_config.bucket}/*"

    async def head(self, lane: Lane, key: str, query: Mapping[str, str]) -> SendResult:
        """HeadObject, with checksums where they may be read.

        S3 denies the checksum of an object that is encrypted with a KMS key, and with it the
        answer, to credentials without kms:Decrypt. Then the rest is asked for alone.

        Raises:
            S3Error: An error that concerns every object.
            Cancelled: `cancel` was called.
        """
        if self._fallbacks >= _FALLBACKS_BEFORE_REST:
            return await self._sender.send(lane, self._plain, HEAD_OBJECT, key, query)
        told = await self._sender.send(lane, self._with_checksums, HEAD_OBJECT, key, query)
        if told.refusal is None or told.refusal.status not in DENIED_STATUSES:
            self._fallbacks = 0
            return told
        again = await self._sender.send(lane, self._plain, HEAD_OBJECT, key, query)
        if again.response is not None:
            self._fallbacks += 1
            if self._fallbacks == _FALLBACKS_BEFORE_REST:
                LOG.warning(
                    "%s: checksums of objects may not be read, and are left out from here on; "
                    "grant kms:Decrypt on the keys of encrypted objects to read them",
                    self.bucket_config.display_name,
                )
        return SendResult(again.response, again.refusal, told.requests + again.requests)

    async def tagging(self, lane: Lane, key: str, query: Mapping[str, str]) -> SendResult:
        """GetObjectTagging; raises the errors of `head`."""
        query = {**_TAGGING, **query}
        return await self._sender.send(lane, self._plain, GET_OBJECT_TAGGING, key, query)

    def why(
        self, refusal: ErrorResponse | None, operation: ObjectOperation, *, of_version: bool
    ) -> ObjectError:
        """The kind of a refusal; None stands for a transient error that persisted.

        Raises:
            AccessDenied: Nothing but denials came so far, so the permission is missing.
        """
        error = error_of_refusal(refusal)
        if error is not ObjectError.FORBIDDEN:
            return error
        self.denied[operation.action] += 1
        denials = self.denied[operation.action]
        if not self.granted[operation.action] and denials >= DENIALS_BEFORE_END:
            is_tagging = operation is GET_OBJECT_TAGGING
            what = "tags" if is_tagging else "metadata"
            setting = "set metadata.tags = false" if is_tagging else "remove its table"
            raise AccessDenied(
                f"{self.bucket_config.display_name}: the {what} of objects may not be read: all of "
                f"the first {denials} requests are denied; grant "
                f"{self.policy(of_versions=of_version)} to these credentials, or {setting} "
                "in the configuration of the source"
            )
        return error


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
            why = client.why(told.refusal, HEAD_OBJECT, of_version=of_version)
            return ObjectAnswer(None, None, why, told.requests)
        client.granted[HEAD_OBJECT.action] += 1
        headers = told.response.headers
        error = error_of_headers(headers, e_tag)
        if error is not None:
            return ObjectAnswer(None, None, error, told.requests)
        if not client.with_tags:
            return ObjectAnswer(headers, None, None, told.requests)
        tagging = await client.tagging(self._lane, key, query)
        count = told.requests + tagging.requests
        if tagging.response is None:
            why = client.why(tagging.refusal, GET_OBJECT_TAGGING, of_version=of_version)
            return ObjectAnswer(headers, None, why, count)
        client.granted[GET_OBJECT_TAGGING.action] += 1
        try:
            return ObjectAnswer(headers, tags_of(tagging.response.body), None, count)
        except MalformedResponse:
            return ObjectAnswer(headers, None, ObjectError.FAILED, count)

    def close(self) -> None:
        """Give the connection back."""
        self._lane.close()
