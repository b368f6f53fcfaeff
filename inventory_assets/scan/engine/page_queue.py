"""The bounded queue between the tasks that receive pages and the reader that decodes them."""

import asyncio
from collections import deque
from dataclasses import dataclass

from inventory_assets.fast_values import value
from inventory_assets.s3.concurrency.activity import ActivityMeter
from inventory_assets.s3.decoding.page_peek import RawPage
from inventory_assets.s3.page_request import PageRequest
from inventory_assets.scan.engine.events import RangeCutShort
from inventory_assets.scan.engine.range_task import RangeTask
from inventory_assets.scan.validation.range_evidence import Ending
from inventory_assets.scan.validation.seams import Beyond, ListedRange

BATCH_PAGES = 8
"""Maximum pages decoded in one call, which takes less CPU time than a call per page."""

QUEUED_PAGES = BATCH_PAGES
"""The capacity of the queue, in pages."""

BATCH_WAIT_SECONDS = 0.02
"""Maximum time for which the reader waits for a full batch."""


@value
class PageReceived:
    """A page of a range, not yet decoded.

    Attributes:
        task: The range.
        attempt: The attempt of the range that requested the page.
        raw_page: The page.
        request: The request of the page.
        ending: How the range ends with this page; None if more pages follow.
    """

    task: RangeTask
    attempt: int
    raw_page: RawPage
    request: PageRequest
    ending: Ending | None


@dataclass(frozen=True, slots=True)
class FetchStopped:
    """The fetcher stopped before the end of a range.

    Attributes:
        task: The range.
        attempt: The attempt of the range that stopped.
        error: The reason; None if the job failed or the attempt is obsolete.
    """

    task: RangeTask
    attempt: int
    error: BaseException | None = None


@dataclass(frozen=True, slots=True)
class RangeSplitOff:
    """The upper part of a range became a new range.

    Attributes:
        task: The range.
        upper: The new range, to its right.
    """

    task: RangeTask
    upper: RangeTask


@dataclass(frozen=True, slots=True)
class SeamProbed:
    """The result of probing the seam between two ranges.

    Attributes:
        task: The range on the left.
        attempt: The attempt of that range when the probe was sent.
        right: The range on the right.
        shown: The first key after the lower bound of `right`, as the store lists it now.
    """

    task: RangeTask
    attempt: int
    right: ListedRange
    shown: Beyond


QueueItem = PageReceived | FetchStopped | RangeSplitOff | RangeCutShort | SeamProbed


class PageQueue:
    """The queue, for one event loop, any number of writers and one reader.

    Every item except `RangeSplitOff` and `RangeCutShort` counts as a page. Writers wait while the
    queue has `QUEUED_PAGES` pages. The reader waits for the first page, and then up to
    `BATCH_WAIT_SECONDS` for a full batch. An urgent item ends the wait, as other ranges may depend
    on it.

    Args:
        activity: Is told how many writers are blocked.
    """

    def __init__(self, activity: ActivityMeter) -> None:
        self._activity = activity
        self._items: deque[QueueItem] = deque()
        self._pages = 0
        """The number of items in the queue that count as pages."""
        self._blocked_writers: deque[asyncio.Future[None]] = deque()
        """Writers that wait for room, first in, first out."""
        self._waiting_reader: tuple[int, asyncio.Future[None]] | None = None
        """The number of pages that the reader waits for, and the future that wakes it."""

    @property
    def is_empty(self) -> bool:
        """Whether the queue has no items."""
        return not self._items

    def add(self, item: RangeSplitOff | RangeCutShort) -> None:
        """Append an item that does not count as a page, without waiting."""
        self._items.append(item)

    async def put(self, item: PageReceived | FetchStopped | SeamProbed) -> None:
        """Append an item as soon as there is room for a page."""
        while self._pages >= QUEUED_PAGES:
            room = asyncio.get_running_loop().create_future()
            self._blocked_writers.append(room)
            self._activity.receivers_blocked(len(self._blocked_writers))
            await room
        self._items.append(item)
        self._pages += 1
        if self._waiting_reader:
            wanted, arrived = self._waiting_reader
            if self._pages >= wanted or _is_urgent(item):
                _wake(arrived)

    async def get_batch(self) -> list[QueueItem]:
        """Wait for a page; remove and return the next items, with up to `BATCH_PAGES` pages."""
        if not self._pages:
            await self._arrival(1, None)
        if self._pages < BATCH_PAGES and not _is_urgent(self._items[-1]):
            await self._arrival(BATCH_PAGES, BATCH_WAIT_SECONDS)
        batch: list[QueueItem] = []
        pages = 0
        while self._items and pages < BATCH_PAGES:
            batch.append(self._items.popleft())
            pages += not isinstance(batch[-1], RangeSplitOff | RangeCutShort)
        self._pages -= pages
        if self._blocked_writers:
            for _ in range(min(QUEUED_PAGES - self._pages, len(self._blocked_writers))):
                _wake(self._blocked_writers.popleft())
            self._activity.receivers_blocked(len(self._blocked_writers))
        return batch

    async def _arrival(self, pages: int, seconds: float | None) -> None:
        """Wait for `pages` pages in the queue, an urgent item, or the end of `seconds`."""
        loop = asyncio.get_running_loop()
        arrived = loop.create_future()
        self._waiting_reader = (pages, arrived)
        timer = loop.call_later(seconds, _wake, arrived) if seconds else None
        try:
            await arrived
        finally:
            self._waiting_reader = None
            if timer:
                timer.cancel()


def _is_urgent(item: QueueItem) -> bool:
    """Whether other ranges may depend on the item."""
    if isinstance(item, PageReceived):
        return item.ending is not None
    return not isinstance(item, RangeSplitOff | RangeCutShort)


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
