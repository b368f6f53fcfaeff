"""What a scan needs of a bucket: its pages, and how to reach and judge the store.

`list_client.ListClient` is the implementation over HTTP.
"""

from typing import Protocol

from inventory_assets.s3.bucket_config import BucketConfig
from inventory_assets.s3.concurrency.activity import ActivityMeter
from inventory_assets.s3.decoding.page import Page
from inventory_assets.s3.decoding.page_peek import RawPage
from inventory_assets.s3.page_request import PageRequest
from inventory_assets.s3.request_stats import RequestStats
from inventory_assets.s3.retries import RetryPolicy
from inventory_assets.s3.store_profile import StoreProfile


class PageSource(Protocol):
    """The pages of one bucket's listing; shared by any number of threads.

    Attributes:
        profile: How the store lists; set after a probe.
        proven_names: Characters whose decoding in keys was verified; set by
            `scan.key_encoding.check_names`.
        names_gone: How many keys no longer existed when they were verified; set likewise.
    """

    profile: StoreProfile
    proven_names: frozenset[str]
    names_gone: int

    @property
    def bucket_config(self) -> BucketConfig:
        """The bucket and how to reach it."""

    @property
    def retry(self) -> RetryPolicy:
        """How transient errors are retried."""

    @property
    def server(self) -> str | None:
        """The `Server` header of the last response, which identifies the store's software."""

    @property
    def activity(self) -> ActivityMeter:
        """What the requests, and the scan that reads their pages, do over time."""

    @property
    def in_flight(self) -> tuple[int, int]:
        """The number of requests in flight, and the current limit."""

    def set_cap(self, maximum: int) -> None:
        """Allow at most so many requests in flight from now on, whatever the policy allows."""

    def list_page_sync(self, request: PageRequest, stats: RequestStats) -> Page:
        """`list_page`, for callers without an event loop."""

    async def list_page(self, request: PageRequest, stats: RequestStats) -> Page:
        """Fetch and decode one page.

        Raises:
            S3Error: A permanent error, or a transient one that persisted.
            Cancelled: `cancel` was called.
        """

    async def fetch_raw_page(
        self, request: PageRequest, stats: RequestStats, body: bytearray
    ) -> RawPage:
        """Fetch one page into `body` without decoding it; raises the errors of `list_page`."""

    def cancel(self) -> None:
        """End all requests and waits, of all threads, with `Cancelled`; later ones, too."""

    def reconnect(self) -> None:
        """Close the idle connections; new ones are opened when needed."""

    def close(self) -> None:
        """Close the idle connections."""
