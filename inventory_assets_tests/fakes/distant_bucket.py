"""A large bucket with latency and little CPU time; with virtual time it takes neither."""

import asyncio
from bisect import bisect_left, bisect_right
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from random import Random
from urllib.parse import quote_plus

from inventory_assets.s3.bucket_config import BucketConfig
from inventory_assets.s3.concurrency.limiter import ConcurrencyLimiter
from inventory_assets.s3.concurrency.policies import PolicyName, open_policy
from inventory_assets.s3.concurrency.request_outcome import Outcome
from inventory_assets.s3.decoding.page import MAX_KEYS, Page
from inventory_assets.s3.decoding.page_peek import RawPage
from inventory_assets.s3.page_request import PageRequest
from inventory_assets.s3.request_stats import RequestStats
from inventory_assets.scan.keyspace.key_range import prefix_upper_bound
from inventory_assets_tests.fakes.common_prefixes import rolled_up
from inventory_assets_tests.fakes.fake_source import FakeSource
from inventory_assets_tests.fakes.listings import (
    Listed,
    contents,
    contents_fields,
    element,
    listing,
    objects_of,
)

LATENCY = 0.1
"""Seconds that an answer takes on average; it varies by a fifth."""

_BEFORE, _AFTER = contents(*contents_fields(Listed("KEY"), url_encoded=True)).split("KEY")


class DistantBucket(FakeSource):
    """Responds with latency, to as many requests at once as the policy allows.

    Args:
        keys: Ascending keys without newlines.
        in_flight: Requests in flight at most.
        page_size: Keys and common prefixes in a page at most.
        policy: The policy for requests in flight.

    Attributes:
        requests: The requests received.
        in_flight_changes: When the number of requests in flight changed, in seconds of the event
            loop's clock, and what it was from then on; the last change is the end of the last one.
    """

    def __init__(
        self,
        keys: Sequence[str],
        in_flight: int,
        page_size: int = MAX_KEYS,
        policy: PolicyName = PolicyName.ADAPTIVE,
    ) -> None:
        bucket_config = BucketConfig("distant", max_in_flight=in_flight, policy=policy)
        super().__init__(bucket_config, "AmazonS3")
        self.requests: list[PageRequest] = []
        self._limiter = ConcurrencyLimiter(open_policy(policy, in_flight), self.activity)
        self._keys = keys
        self._page_size = page_size
        self._chances = Random(0)  # noqa: S311 - a repeatable test
        self.in_flight_changes: list[tuple[float, int]] = []

    @property
    def in_flight(self) -> tuple[int, int]:
        return self._limiter.in_flight, self._limiter.limit

    def cancel(self) -> None:
        self._limiter.close()

    async def fetch_raw_page(
        self, request: PageRequest, stats: RequestStats, body: bytearray
    ) -> RawPage:
        async with self._under_way(request, stats):
            start, stop = self._bounds(request)
        start = int(request.token or start)
        end = min(start + min(self._page_size, request.max_keys), stop)
        token = str(end) if end < stop else None
        names = quote_plus("\n".join(self._keys[start:end]), safe="/\n")
        body[:] = listing(
            *[_BEFORE, names.replace("\n", _AFTER + _BEFORE), _AFTER][: 3 * (end > start)],
            truncated="true" if token else "false",
            extra=element("NextContinuationToken", token),
        )
        last_key = self._keys[end - 1] if end > start else None
        return RawPage(body, token is not None, token, last_key)

    async def list_page(self, request: PageRequest, stats: RequestStats) -> Page:
        async with self._under_way(request, stats):
            at, stop = self._bounds(request)
        names: list[str] = []
        folders: list[str] = []
        size = min(self._page_size, request.max_keys)
        while at < stop and len(names) + len(folders) < size:
            name, is_folder = rolled_up(self._keys[at], request.prefix, request.delimiter)
            if is_folder:
                folders.append(name)
                at = bisect_right(self._keys, prefix_upper_bound(name))
            else:
                names.append(name)
                at += 1
        token = str(at) if at < stop else None
        return Page(objects_of(names), tuple(folders), token is not None, token)

    def _bounds(self, request: PageRequest) -> tuple[int, int]:
        first = bisect_left(self._keys, request.prefix)
        start = max(first, bisect_right(self._keys, request.start_after))
        return start, bisect_right(self._keys, prefix_upper_bound(request.prefix))

    @asynccontextmanager
    async def _under_way(self, request: PageRequest, stats: RequestStats) -> AsyncIterator[None]:
        await self._limiter.acquire()
        clock = asyncio.get_running_loop().time
        sent_at = clock()
        stats.sent()
        self.requests.append(request)
        self.in_flight_changes.append((sent_at, self._limiter.in_flight))
        try:
            await asyncio.sleep(LATENCY * self._chances.uniform(0.8, 1.2))
        finally:
            self._limiter.release(Outcome.SUCCEEDED, sent_at, clock())
            self.in_flight_changes.append((clock(), self._limiter.in_flight))
        yield
