"""The bounded queue between the tasks that receive pages and the reader that decodes them."""

import asyncio
from collections import deque
from dataclasses import dataclass

from inventory_assets.fast_values import value
from inventory_assets.s3.decoding.page_peek import RawPage
from inventory_assets.s3.page_request import PageRequest
from inventory_assets.scan.engine.range_task import RangeTask
from inventory_assets.scan.validation.range_evidence import Ending
from inventory_assets.scan.validation.seams import Beyond, ListedRange

BATCH_PAGES = 8
"""Pages decoded in one call; that costs less CPU than one call for each page."""

QUEUED_PAGES = BATCH_PAGES
"""The capacity of the queue, in pages."""

BATCH_WAIT_SECONDS = 0.02
"""How long the reader waits for a full batch."""


@value
class PageReceived:
    """A page of a range, not yet decoded.

    Attributes:
        task: The range.
        attempt: The attempt of the range that requested the page.
        raw_page: The page.
        request: The request that the page answers.
        ending: How the range ends with this page; None where more pages follow.
    """

    task: RangeTask
    attempt: int
    raw_page: RawPage
    request: PageRequest
    ending: Ending | None


@dataclass(frozen=True, slots=True)
class FetchStopped:
    """No more pages of a range come, though the range has not ended.

    Attributes:
        task: The range.
        attempt: The attempt of the range that stopped.
        error: Why; None where the job has failed or the attempt is void.
    """

    task: RangeTask
    attempt: int
    error: BaseException | None = None


@dataclass(frozen=True, slots=True)
class RangeTaken:
    """The upper part of a range became a range of its own.

    Attributes:
        task: The range.
        upper: The new range, to its right.
    """

    task: RangeTask
    upper: RangeTask


@dataclass(frozen=True, slots=True)
class SeamProbed:
    """The answer to a probe of the seam between two ranges.

    Attributes:
        task: The range on the left.
        attempt: The attempt of that range when the probe was sent.
        right: The range on the right.
        shown: The first key that the store shows from the beginning of `right` on.
    """

    task: RangeTask
    attempt: int
    right: ListedRange
    shown: Beyond


QueueItem = PageReceived | FetchStopped | RangeTaken | SeamProbed


class PageQueue:
    """The queue; for one event loop, any number of writers and one reader.

    Every item but `RangeTaken` counts as a page. Writers wait while the queue holds `QUEUED_PAGES`
    pages. The reader waits for the first page, and then for up to `BATCH_WAIT_SECONDS` until a
    batch is complete; it does not wait longer once an urgent item has come, as other ranges may
    depend on what the reader finds in it.
    """

    def __init__(self) -> None:
        self._items: deque[QueueItem] = deque()
        self._pages = 0
        """Items in the queue that count as pages."""
        self._blocked_writers: deque[asyncio.Future[None]] = deque()
        """Writers that wait for room, the first one first."""
        self._waiting_reader: tuple[int, asyncio.Future[None]] | None = None
        """The number of pages that the reader waits for, and what wakes it."""

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to read."""
        return not self._items

    def add(self, item: RangeTaken) -> None:
        """Append an item that needs no room, without waiting."""
        self._items.append(item)

    async def put(self, item: PageReceived | FetchStopped | SeamProbed) -> None:
        """Append an item as soon as there is room for a page."""
        while self._pages >= QUEUED_PAGES:
            room = asyncio.get_running_loop().create_future()
            self._blocked_writers.append(room)
            await room
        self._items.append(item)
        self._pages += 1
        if self._waiting_reader:
            wanted, arrived = self._waiting_reader
            if self._pages >= wanted or _is_urgent(item):
                _wake(arrived)

    async def take(self) -> list[QueueItem]:
        """Remove the next items, with up to `BATCH_PAGES` pages, once there is a page."""
        if not self._pages:
            await self._arrival(1, None)
        if self._pages < BATCH_PAGES and not _is_urgent(self._items[-1]):
            await self._arrival(BATCH_PAGES, BATCH_WAIT_SECONDS)
        taken: list[QueueItem] = []
        pages = 0
        while self._items and pages < BATCH_PAGES:
            taken.append(self._items.popleft())
            pages += not isinstance(taken[-1], RangeTaken)
        self._pages -= pages
        for _ in range(min(QUEUED_PAGES - self._pages, len(self._blocked_writers))):
            _wake(self._blocked_writers.popleft())
        return taken

    async def _arrival(self, pages: int, seconds: float | None) -> None:
        """Wait until the queue holds so many pages, an urgent item comes, or the time is over."""
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
    """Whether other ranges may depend on what the reader finds in an item."""
    if isinstance(item, PageReceived):
        return item.ending is not None
    return not isinstance(item, RangeTaken)


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
