"""What receivers hand to the reader, through a short queue that holds up who is too fast."""

import asyncio
from collections import deque
from dataclasses import dataclass

from inventory_assets.s3.decoding.page_peek import RawPage
from inventory_assets.s3.page_request import PageRequest
from inventory_assets.scan.engine.range_task import RangeTask
from inventory_assets.scan.validation.range_evidence import Ending
from inventory_assets.scan.validation.seams import Beyond, ListedRange

BATCH_PAGES = 8
"""Pages decoded in one call, which costs less than one after the other."""

QUEUED_PAGES = BATCH_PAGES
"""Pages that wait for the reader at most."""

BATCH_WAIT_SECONDS = 0.02
"""How long the reader waits for more pages to decode with those at hand."""


@dataclass(frozen=True, slots=True)
class QueueItem:
    """What a receiver hands over: a page, or why there is none, or a range it took.

    Attributes:
        upper: The range that was taken from this one.
        ending: How the range ends with this page, or None where it goes on.
        error: What ended the range.
        request: What the page answers.
        probe: Of a probe: the range whose seam is probed, and what the store has shown.
    """

    task: RangeTask
    attempt: int
    raw_page: RawPage | None = None
    upper: RangeTask | None = None
    ending: Ending | None = None
    error: BaseException | None = None
    request: PageRequest | None = None
    probe: tuple[ListedRange, Beyond] | None = None

    @property
    def is_last(self) -> bool:
        """Whether the receiver has let go of the range; without a page or error, as told to."""
        others = (self.raw_page, self.upper, self.probe)
        return self.ending is not None or all(other is None for other in others)

    @property
    def is_urgent(self) -> bool:
        """Whether others may wait for what follows from it."""
        return self.is_last or self.probe is not None


class PageQueue:
    """The queue, for one event loop; the pages in it are bounded."""

    def __init__(self) -> None:
        self._queue: deque[QueueItem] = deque()
        self._pages = 0
        self._full: deque[asyncio.Future[None]] = deque()
        """Receivers that wait for room."""
        self._hungry: tuple[int, asyncio.Future[None]] | None = None
        """For how many pages the reader waits."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits for the reader."""
        return not self._queue

    def add(self, item: QueueItem) -> None:
        """Tell of a range that was taken from another; nobody waits for that."""
        self._queue.append(item)

    async def put(self, item: QueueItem) -> None:
        """Hand over a page, or the end of a range, as soon as there is room."""
        while self._pages >= QUEUED_PAGES:
            room = asyncio.get_running_loop().create_future()
            self._full.append(room)
            await room
        self._queue.append(item)
        self._pages += 1
        if self._hungry and (self._pages >= self._hungry[0] or item.is_urgent):
            _set(self._hungry[1])

    async def take(self) -> list[QueueItem]:
        """What has come, once there is a page; so many pages that they are cheap to decode."""
        if not self._pages:
            await self._arrival(1, None)
        if self._pages < BATCH_PAGES and not self._queue[-1].is_urgent:
            # Pages decoded together cost less, and nobody waits for these.
            await self._arrival(BATCH_PAGES, BATCH_WAIT_SECONDS)
        taken: list[QueueItem] = []
        pages = 0
        while self._queue and pages < BATCH_PAGES:
            taken.append(self._queue.popleft())
            pages += taken[-1].upper is None
        self._pages -= pages
        for _ in range(min(QUEUED_PAGES - self._pages, len(self._full))):
            _set(self._full.popleft())
        return taken

    async def _arrival(self, count: int, patience: float | None) -> None:
        """Wait until so many pages are there, or the last of a range is, or for some seconds."""
        loop = asyncio.get_running_loop()
        arrived = loop.create_future()
        self._hungry = (count, arrived)
        timer = loop.call_later(patience, _set, arrived) if patience else None
        try:
            await arrived
        finally:
            self._hungry = None
            if timer:
                timer.cancel()


def _set(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
