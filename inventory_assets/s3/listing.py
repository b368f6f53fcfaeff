"""Ask a bucket for one page of its keys, through every passing trouble.

What can pass (throttling, server errors, timeouts, resets, damaged bodies) is retried with full
jitter (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/); what cannot
fails at once, with a message that says what to do.
"""

import asyncio
import random
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from http.client import HTTPException
from typing import TypeVar

from botocore.exceptions import BotoCoreError, ClientError
from urllib3.exceptions import HTTPError

from inventory_assets.s3.answers import Refusal, Response, decoded, lacks_versions
from inventory_assets.s3.columns import decode_columns
from inventory_assets.s3.connection import Connection
from inventory_assets.s3.control import controller
from inventory_assets.s3.echoes import contradiction
from inventory_assets.s3.errors import (
    Fault,
    MalformedResponse,
    RetriesExhausted,
)
from inventory_assets.s3.faults import (
    Repetition,
    brief,
    fault_of,
    final_error,
    versions_unsupported,
)
from inventory_assets.s3.gate import Cancelled, Gate
from inventory_assets.s3.pages import MAX_KEYS, ErrorDocument, Page, versions_markers
from inventory_assets.s3.received import Received, receive
from inventory_assets.s3.samples import Outcome
from inventory_assets.s3.store_profile import AWS, Continuation, KeyEncoding, StoreProfile
from inventory_assets.s3.transport import Transport

_T = TypeVar("_T", Page, Received)
_Reader = Callable[[bytearray], _T | ErrorDocument]
_TROUBLE = (BotoCoreError, ClientError, HTTPError, HTTPException, MalformedResponse, OSError)
_OUTCOMES: dict[Fault | None, Outcome] = {
    Fault.THROTTLED: Outcome.THROTTLED,
    Fault.TIMED_OUT: Outcome.TIMED_OUT,
}
_MAX_DOUBLINGS = 60
"""Later delays are far beyond any cap, and would overflow."""

_MAX_HEEDED = 4
"""How often one request is sent again at once because a refusal said what to change."""


@dataclass(frozen=True, slots=True)
class PageRequest:
    """One ListObjectsV2 request, or ListObjectVersions.

    Attributes:
        prefix: Only keys that start with it.
        start_after: Only keys after it, with all their versions; not sent along with a token.
        token: The continuation token of the page before.
        delimiter: Roll keys up into common prefixes at its first occurrence after the prefix.
        max_keys: Keys and common prefixes in the page at most.
        versions: Whether all versions and delete markers are asked for.
        encoding: How keys stand in the answer; None for what the store's profile says.
    """

    prefix: str = ""
    start_after: str = ""
    token: str | None = None
    delimiter: str | None = None
    max_keys: int = MAX_KEYS
    versions: bool = False
    encoding: KeyEncoding | None = None

    @property
    def action(self) -> str:
        """What must be allowed for it."""
        return "s3:ListBucketVersions" if self.versions else "s3:ListBucket"

    def parameters(self, continuation: Continuation = Continuation.TOKEN) -> dict[str, str]:
        """The query of the request, to a store whose listings go on in some way."""
        is_old = continuation is Continuation.MARKER and not self.versions
        kind = {"versions": ""} if self.versions else {"list-type": "2"}
        if is_old:
            kind = {}
        parameters = {**kind, "encoding-type": "url", "max-keys": str(self.max_keys)}
        if self.prefix:
            parameters["prefix"] = self.prefix
        if self.delimiter:
            parameters["delimiter"] = self.delimiter
        if self.token and self.versions:
            parameters["key-marker"], parameters["version-id-marker"] = versions_markers(self.token)
        elif self.token:
            parameters["continuation-token"] = self.token
        elif self.start_after:
            name = "key-marker" if self.versions else "marker" if is_old else "start-after"
            parameters[name] = self.start_after
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

    def add(self, other: "Tally") -> None:
        """Count what another piece of work has cost as well."""
        with self._lock:
            self.requests += other.requests
            self.response_bytes += other.response_bytes
            self.faults += other.faults

    def __getstate__(self) -> tuple[int, int, Counter[Fault]]:
        return self.requests, self.response_bytes, self.faults

    def __setstate__(self, state: tuple[int, int, Counter[Fault]]) -> None:
        self.requests, self.response_bytes, self.faults = state
        self._lock = threading.Lock()


class BucketLister:
    """The pages of one bucket, for any number of threads.

    At most `connection.max_in_flight` requests are under way at once, whoever asks, and fewer where
    `connection.policy` finds that the store takes no more.

    Args:
        connection: The bucket and how to reach it.
        retry: How often and how patiently passing trouble is met.
    """

    profile: StoreProfile = AWS
    """How the store lists, as far as that is known."""

    proven_names: frozenset[str] = frozenset()
    """Characters whose reading in names was asked back (`scan.profiling.check_names`)."""

    def __init__(self, connection: Connection, retry: RetryPolicy | None = None) -> None:
        self.connection = connection
        self.server: str | None = None
        """The `Server` header of the last response, which tells the store's make."""
        self.retry = retry or RetryPolicy()
        self._gate = Gate(controller(connection.policy, connection.max_in_flight))
        self._transport = Transport(connection)

    @property
    def in_flight(self) -> tuple[int, int]:
        """How many requests are under way, and how many may be now."""
        return self._gate.inside, self._gate.limit

    def cancel(self) -> None:
        """End all requests and waits, those of other threads too, with `Cancelled`, for good."""
        self._gate.close()
        self._transport.abort()

    def reconnect(self) -> None:
        """Use none of the connections kept alive again."""
        self._transport.drop_idle()

    def close(self) -> None:
        """Close the connections kept alive."""
        self._transport.close()

    def page(self, request: PageRequest, tally: Tally) -> Page:
        """`fetch`, for those without an event loop."""
        return asyncio.run(self.fetch(request, tally))

    async def fetch(self, request: PageRequest, tally: Tally) -> Page:
        """Fetch and decode one page.

        Raises:
            S3Error: One of its children, when a retry cannot help or did not.
            Cancelled: `cancel` was called.
        """
        read = partial(decode_columns, encoding=request.encoding or self.profile.encoding)
        return await self._insist(request, tally, read, bytearray())

    async def receive(self, request: PageRequest, tally: Tally, body: bytearray) -> Received:
        """Fetch one page into `body`, and leave it to the caller to decode; raises as `fetch`."""
        read = partial(receive, encoding=self.profile.encoding)
        return await self._insist(request, tally, read, body)

    async def _insist(
        self, request: PageRequest, tally: Tally, read: _Reader[_T], body: bytearray
    ) -> _T:
        failures = heeded = 0
        repetition = Repetition()
        while True:
            try:
                return await self._attempt(request, tally, read, body)
            except Refusal as refusal:
                if heeded < _MAX_HEEDED and self._transport.heed(refusal):
                    heeded += 1
                    continue
                error: Exception = refusal
            except _TROUBLE as trouble:
                error = trouble
            if self._gate.is_closed:
                raise Cancelled
            fault = fault_of(error)
            if fault is None or repetition.is_final(error):
                raise final_error(error, self.connection, request.action) from None
            tally.failed(fault)
            failures += 1
            if failures >= self.retry.attempts:
                raise exhausted(error, fault, failures, self.connection) from None
            # Jitter spreads the retries of many workers; it guards no secret.
            chance = random.random()  # noqa: S311
            await self._gate.pause(self.retry.delay(failures, chance))

    async def _attempt(
        self, request: PageRequest, tally: Tally, read: _Reader[_T], body: bytearray
    ) -> _T:
        await self._gate.enter()
        clock = asyncio.get_running_loop().time
        sent_at, outcome = clock(), None
        try:
            tally.sent()
            response = await self._transport.get(
                request.parameters(self.profile.continuation), body
            )
            tally.received(len(response.body))
            self.server = response.headers.get("server")
            lack = lacks_versions(response.body) if request.versions else None
            if lack and response.status == 200:
                raise versions_unsupported(self.connection, lack)
            found = decoded(response, read)
            self._check_answer(request, response, found)
            outcome = Outcome.SUCCEEDED
        except (Refusal, *_TROUBLE) as error:
            outcome = _OUTCOMES.get(fault_of(error), Outcome.FAILED)
            raise
        finally:
            self._gate.leave(outcome, sent_at, clock())
        return found

    def _check_answer(
        self, request: PageRequest, response: Response, found: Page | Received
    ) -> None:
        """Check that an answer is that to its request, as far as it repeats it."""
        name = contradiction(request, found.echo, self.connection.bucket, self.profile.echoes)
        if name:
            # What comes on the same connection next is the answer to the request before, too.
            self._transport.discard(response)
            raise MalformedResponse(
                f"the answer to another request came: its <{name}> is not what was asked for"
            )


def exhausted(
    error: Exception, fault: Fault, attempts: int, connection: Connection
) -> RetriesExhausted:
    """What to tell the user about passing trouble that did not pass."""
    return RetriesExhausted(
        f"{connection.where}: {fault} {attempts} times in a row, last with: {brief(error)}; check "
        "that the endpoint can be reached and is not overloaded, then run this again",
        fault,
    )
