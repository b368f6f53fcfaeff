"""Ask a bucket for one page of its keys, through every passing trouble.

Requests are sent by boto3, whose response parser is bypassed: the bytes go to
`columns.decode_columns`. What can pass (throttling, server errors, timeouts, resets, damaged
bodies) is retried with full jitter
(https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/); what cannot fails at
once, with a message that says what to do.
"""

import random
import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from urllib3.exceptions import HTTPError

from inventory_assets.s3.columns import decode_columns
from inventory_assets.s3.connection import Connection, open_client
from inventory_assets.s3.errors import Fault, MalformedResponse, RetriesExhausted, S3Error
from inventory_assets.s3.faults import brief, fault_of, final_error
from inventory_assets.s3.pages import MAX_KEYS, ErrorDocument, Page

_MAX_DOUBLINGS = 60
"""Later delays are far beyond any cap, and would overflow."""


class Cancelled(Exception):
    """The caller asked the listing to stop; not an error, and never retried."""


@dataclass(frozen=True, slots=True)
class PageRequest:
    """One ListObjectsV2 request.

    Attributes:
        prefix: Only keys that start with it.
        start_after: Only keys after it; not sent along with a token.
        token: The continuation token of the page before.
        delimiter: Roll keys up into common prefixes at its first occurrence after the prefix.
        max_keys: Keys and common prefixes in the page at most.
    """

    prefix: str = ""
    start_after: str = ""
    token: str | None = None
    delimiter: str | None = None
    max_keys: int = MAX_KEYS

    def parameters(self) -> dict[str, Any]:
        """The request as boto3 takes it."""
        parameters: dict[str, Any] = {"EncodingType": "url", "MaxKeys": self.max_keys}
        if self.prefix:
            parameters["Prefix"] = self.prefix
        if self.delimiter:
            parameters["Delimiter"] = self.delimiter
        if self.token:
            parameters["ContinuationToken"] = self.token
        elif self.start_after:
            parameters["StartAfter"] = self.start_after
        return parameters


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Exponential backoff with full jitter: wait `uniform(0, min(cap, base * 2**n))` seconds."""

    attempts: int = 8
    base_seconds: float = 0.1
    cap_seconds: float = 20.0

    def delay(self, failures: int, chance: float) -> float:
        """Seconds to wait after `failures` failed attempts, for a `chance` in [0, 1)."""
        return chance * min(
            self.cap_seconds, self.base_seconds * 2.0 ** min(failures, _MAX_DOUBLINGS)
        )


@dataclass(slots=True)
class Tally:
    """What a piece of work has cost so far; safe to share between threads.

    Attributes:
        requests: Requests sent, failed attempts included.
        response_bytes: Bytes of the bodies received.
        faults: Passing trouble met, by kind.
    """

    requests: int = 0
    response_bytes: int = 0
    faults: Counter[Fault] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def sent(self) -> None:
        with self._lock:
            self.requests += 1

    def received(self, size: int) -> None:
        with self._lock:
            self.response_bytes += size

    def failed(self, fault: Fault) -> None:
        with self._lock:
            self.faults[fault] += 1


class BucketLister:
    """The pages of one bucket, for any number of threads.

    At most `connection.max_in_flight` requests are under way at once, whoever asks.

    Args:
        connection: The bucket and how to reach it.
        retry: How often and how patiently passing trouble is met.
        stop: Set from outside, ends every wait, and every request once it is answered or has timed
            out, with `Cancelled`.
    """

    def __init__(
        self,
        connection: Connection,
        retry: RetryPolicy | None = None,
        stop: threading.Event | None = None,
    ) -> None:
        self.connection = connection
        self.stop = stop or threading.Event()
        self.server: str | None = None
        """The `Server` header of the last response, which tells the store's make."""
        self._retry = retry or RetryPolicy()
        self._in_flight = threading.BoundedSemaphore(connection.max_in_flight)
        self._client = open_client(connection)
        # The wildcard puts it before botocore's own handler, which makes any 200 that it cannot
        # read a 500 and hides what was in it.
        self._client.meta.events.register("before-parse.*.ListObjectsV2", _keep_body)

    def close(self) -> None:
        """Close the connections kept alive."""
        self._client.close()

    def page(self, request: PageRequest, tally: Tally) -> Page:
        """Fetch and decode one page.

        Raises:
            S3Error: One of its children, when a retry cannot help or did not.
            Cancelled: `stop` was set.
        """
        failures = 0
        while True:
            if self.stop.is_set():
                raise Cancelled
            try:
                return self._attempt(request, tally)
            except (BotoCoreError, ClientError, HTTPError, MalformedResponse) as error:
                fault = fault_of(error)
                if fault is None:
                    raise final_error(error, self.connection) from None
                tally.failed(fault)
                failures += 1
                if failures >= self._retry.attempts:
                    raise _exhausted(error, fault, failures, self.connection) from None
            # Jitter spreads the retries of many workers; it guards no secret.
            chance = random.random()  # noqa: S311
            if self.stop.wait(self._retry.delay(failures, chance)):
                raise Cancelled

    def _attempt(self, request: PageRequest, tally: Tally) -> Page:
        parameters = request.parameters()
        if self.connection.requester_pays:
            parameters["RequestPayer"] = "requester"
        with self._in_flight:
            if self.stop.is_set():
                raise Cancelled
            tally.sent()
            response: dict[str, Any] = dict(
                self._client.list_objects_v2(Bucket=self.connection.bucket, **parameters)
            )
        body: bytes = response["RawBody"]
        tally.received(len(body))
        self.server = response["ResponseMetadata"]["HTTPHeaders"].get("server")
        page = decode_columns(body)
        if isinstance(page, ErrorDocument):
            raise ClientError(
                {"Error": {"Code": page.code, "Message": page.message}}, "ListObjectsV2"
            )
        return page


def _keep_body(
    response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: object
) -> None:
    """Hand the bytes of a good response through botocore untouched, and spare its parser."""
    if response_dict["status_code"] == 300:
        response_dict["status_code"] = 400  # botocore reads neither a result nor an error in a 300
    if response_dict["status_code"] < 300:
        customized_response_dict["RawBody"] = response_dict["body"]
        response_dict["body"] = b"<ListBucketResult/>"


def _exhausted(error: Exception, fault: Fault, attempts: int, connection: Connection) -> S3Error:
    return RetriesExhausted(
        f"{connection.where}: {fault} {attempts} times in a row, last with: {brief(error)}; check "
        "that the endpoint can be reached and is not overloaded, then run this again",
        fault,
    )
