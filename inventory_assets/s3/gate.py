"""How many requests are under way at once, whoever sends them."""

import asyncio
import threading
from collections import deque
from contextlib import suppress


class Cancelled(Exception):
    """The caller asked the listing to stop; not an error, and never retried."""


class Gate:
    """Lets so many in at once; shared by any number of threads, each with an event loop.

    Args:
        limit: How many.
    """

    def __init__(self, limit: int) -> None:
        self.is_closed = False
        self._limit = limit
        self._inside = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._pausing: set[asyncio.Future[None]] = set()
        self._lock = threading.Lock()

    async def enter(self) -> None:
        """Wait for a place, and take it.

        Raises:
            Cancelled: The gate is closed.
        """
        while True:
            with self._lock:
                self._check()
                if self._inside < self._limit:
                    self._inside += 1
                    return
                bell = asyncio.get_running_loop().create_future()
                self._waiting.append(bell)
            try:
                await bell
            except asyncio.CancelledError:
                with self._lock:
                    with suppress(ValueError):
                        self._waiting.remove(bell)
                    self._call()  # it may have been called in at that very moment
                raise

    def leave(self) -> None:
        """Give the place back."""
        with self._lock:
            self._inside -= 1
            self._call()

    async def pause(self, seconds: float) -> None:
        """Wait.

        Raises:
            Cancelled: The gate is closed.
        """
        with self._lock:
            self._check()
            end = asyncio.get_running_loop().create_future()
            self._pausing.add(end)
        try:
            async with asyncio.timeout(seconds):
                await end
        except TimeoutError:
            return
        finally:
            self._pausing.discard(end)
        raise Cancelled

    def close(self) -> None:
        """Let nobody in any more, and wake whoever waits."""
        with self._lock:
            self.is_closed = True
            for bell in (*self._waiting, *self._pausing):
                _ring(bell)

    def _check(self) -> None:
        if self.is_closed:
            raise Cancelled

    def _call(self) -> None:
        """Call in who waits, as far as there are places; the lock is held."""
        for _ in range(min(len(self._waiting), self._limit - self._inside)):
            _ring(self._waiting.popleft())


def _ring(bell: asyncio.Future[None]) -> None:
    """Wake who waits for it, in whatever thread its event loop runs."""

    def ring() -> None:
        if not bell.done():
            bell.set_result(None)

    with suppress(RuntimeError):  # its event loop is closed: nobody waits any more
        bell.get_loop().call_soon_threadsafe(ring)
