"""What the fakes of a `PageSource` share: they have no connections, and no limiter by default."""

import asyncio

from inventory_assets.s3.bucket_config import BucketConfig
from inventory_assets.s3.concurrency.activity import ActivityMeter
from inventory_assets.s3.decoding.page import Page
from inventory_assets.s3.page_request import PageRequest
from inventory_assets.s3.page_source import PageSource
from inventory_assets.s3.request_stats import RequestStats
from inventory_assets.s3.retries import RetryPolicy
from inventory_assets.s3.store_profile import AWS, StoreProfile


class FakeSource:
    """A `PageSource` without a network; its subclasses have the pages.

    Args:
        bucket_config: Names the bucket, and how many requests may be in flight.
        server: The `Server` header that it shows.
        retry: How damaged pages are retried.
    """

    profile: StoreProfile = AWS
    proven_names: frozenset[str] = frozenset()
    names_gone: int = 0

    def __init__(
        self,
        bucket_config: BucketConfig,
        server: str | None = None,
        retry: RetryPolicy | None = None,
    ) -> None:
        self.bucket_config = bucket_config
        self.server = server
        self.retry = retry or RetryPolicy()
        self.activity = ActivityMeter(bucket_config.max_in_flight)

    @property
    def in_flight(self) -> tuple[int, int]:
        return 0, self.bucket_config.max_in_flight

    def set_cap(self, maximum: int) -> None:
        """There is no limiter."""

    def cancel(self) -> None:
        """Nothing is on its way."""

    def reconnect(self) -> None:
        """There are no connections."""

    def close(self) -> None:
        """Nothing is open."""

    def list_page_sync(self: PageSource, request: PageRequest, stats: RequestStats) -> Page:
        return asyncio.run(self.list_page(request, stats))
