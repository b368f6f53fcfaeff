"""An in-memory bucket as a `PageSource`: with any key order and faulty behaviour."""

import asyncio
from collections.abc import Iterable
from enum import Enum, auto
from urllib.parse import quote, unquote

from inventory_assets.s3.bucket_config import BucketConfig
from inventory_assets.s3.concurrency.limiter import Cancelled
from inventory_assets.s3.decoding.page import Page
from inventory_assets.s3.decoding.page_peek import RawPage
from inventory_assets.s3.page_request import PageRequest
from inventory_assets.s3.request_stats import RequestStats
from inventory_assets.s3.retries import RetryPolicy
from inventory_assets_tests.fakes.common_prefixes import rolled_up
from inventory_assets_tests.fakes.fake_source import FakeSource
from inventory_assets_tests.fakes.listings import element, listing, objects_of, rendered_objects


class Habit(Enum):
    """Faulty behaviour of a store."""

    STUCK_TOKEN = auto()
    ENDLESS_EMPTY_PAGES = auto()
    GOES_BACKWARDS = auto()
    IGNORES_START_AFTER = auto()
    IGNORES_PREFIX = auto()
    LISTS_TWICE = auto()
    SHUFFLES_PAGES = auto()


class ModelS3(FakeSource):
    """Lists `keys` page by page.

    Args:
        keys: The keys of the bucket.
        page_size: Maximum keys and common prefixes in a page, whatever is requested.
        in_directory_order: List in directory order: the content of `a/` is at the position of `a`
            among its siblings, and StartAfter compares in that order, too.
        habit: A bad habit, or None.
        empty_pages: Empty pages before each non-empty page.
    """

    def __init__(
        self,
        keys: Iterable[str],
        page_size: int = 3,
        *,
        in_directory_order: bool = False,
        habit: Habit | None = None,
        empty_pages: int = 0,
    ) -> None:
        retry = RetryPolicy(base_seconds=0, malformed_attempts=3)
        super().__init__(BucketConfig("model"), "Model", retry)
        self._is_cancelled = False
        self.requests: list[PageRequest] = []
        self._page_size = page_size
        self._habit = habit
        self._empty_pages = empty_pages
        self._rank = _directory_rank if in_directory_order else _byte_rank
        self._keys = sorted(set(keys), key=self._rank)

    def cancel(self) -> None:
        self._is_cancelled = True

    def seconds(self, request: PageRequest) -> float:  # noqa: ARG002
        """The duration of a response."""
        return 0

    async def list_page(self, request: PageRequest, stats: RequestStats) -> Page:
        await asyncio.sleep(self.seconds(request))
        return self.list_page_sync(request, stats)

    async def fetch_raw_page(
        self, request: PageRequest, stats: RequestStats, body: bytearray
    ) -> RawPage:
        page = await self.list_page(request, stats)
        token = element("NextContinuationToken", page.next_token)
        truncated = "true" if page.is_truncated else "false"
        body[:] = listing(*rendered_objects(page.objects), truncated=truncated, extra=token)
        return RawPage(body, page.is_truncated, page.next_token, page.last_key)

    def list_page_sync(self, request: PageRequest, stats: RequestStats) -> Page:
        if self._is_cancelled:
            raise Cancelled
        stats.sent()
        self.requests.append(request)
        size = min(self._page_size, request.max_keys)
        # Like a real one, a token remembers where the listing began.
        at, empties, after = (request.token or f"0:0:{quote(request.start_after)}").split(":", 2)
        start, empty_before = int(at), int(empties)
        if self._habit is Habit.ENDLESS_EMPTY_PAGES or empty_before < self._empty_pages:
            return Page(objects_of([]), (), True, f"{start}:{empty_before + 1}:{after}")
        entries = self._entries(request, unquote(after))
        end = start + size
        if self._habit is Habit.GOES_BACKWARDS and start:
            start -= 1
        page = entries[start:end]
        if self._habit is Habit.LISTS_TWICE:
            page = page[:1] + page
        if self._habit is Habit.SHUFFLES_PAGES:
            page = page[::-1]
        token = f"{end}:0:{after}" if end < len(entries) else None
        if self._habit is Habit.STUCK_TOKEN and token:
            token = f"{size}:0:{after}"
        return Page(
            objects_of(name for name, is_folder in page if not is_folder),
            tuple(name for name, is_folder in page if is_folder),
            token is not None,
            token,
        )

    def _entries(self, request: PageRequest, after: str) -> list[tuple[str, bool]]:
        """The keys and folders that the request selects, each with whether it is a folder."""
        prefix = "" if self._habit is Habit.IGNORES_PREFIX else request.prefix
        if self._habit is Habit.IGNORES_START_AFTER:
            after = ""
        keys = [key for key in self._keys if key.startswith(prefix)]
        keys = [key for key in keys if not after or self._rank(key) > self._rank(after)]
        names = (rolled_up(key, prefix, request.delimiter) for key in keys)
        return list(dict.fromkeys(names))


def _byte_rank(key: str) -> list[bytes]:
    return [key.encode()]


def _directory_rank(key: str) -> list[bytes]:
    return [name.encode() for name in key.split("/")]
