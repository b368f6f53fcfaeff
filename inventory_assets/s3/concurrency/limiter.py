"""How many requests are under way at once, whoever sends them."""

import asyncio
import threading
from collections import deque

from inventory_assets.s3.concurrency.policies import LimitPolicy
from inventory_assets.s3.concurrency.request_outcome import Outcome, Sample


class Cancelled(Exception):
    """The caller asked the listing to stop; not an error, and never retried."""


class ConcurrencyLimiter:
    """Lets so many in at once; shared by any number of threads, each with an event loop.

    Args:
        policy: Says how many, from how the requests end.

    Attributes:
        is_closed: Whether nobody is let in any more.
        in_flight: How many are.
    """

    def __init__(self, policy: LimitPolicy) -> None:
        self.is_closed = False
        self.in_flight = 0
        self._policy = policy
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._sleeping: set[asyncio.Future[None]] = set()
        self._lock = threading.Lock()

    @property
    def limit(self) -> int:
        """How many may be inside."""
        return self._policy.limit

    async def acquire(self) -> None:
        """Wait for a place, and take it.

        Raises:
            Cancelled: The gate is closed.
        """
        with self._lock:
            self._check()
            if self.in_flight < self.limit:
                self.in_flight += 1
                return
            bell = asyncio.get_running_loop().create_future()
            self._waiting.append(bell)
        try:
            await bell
            self._check()
        except (asyncio.CancelledError, Cancelled):
            with self._lock:
                if bell in self._waiting:
                    self._waiting.remove(bell)
                else:  # it was called in at that very moment
                    self.in_flight -= 1
                    self._call()
            raise

    def release(self, outcome: Outcome | None, sent_at: float, ended_at: float) -> None:
        """Give the place back.

        Args:
            outcome: How the request ended; None where it was given up.
            sent_at: When it was sent, in seconds of a clock that never goes back.
            ended_at: When it ended.
        """
        with self._lock:
            if outcome:
                sample = Sample(ended_at, ended_at - sent_at, outcome, self.in_flight)
                self._policy.on_sample(sample)
            self.in_flight -= 1
            self._call()

    async def sleep(self, seconds: float) -> None:
        """Wait.

        Raises:
            Cancelled: The gate is closed.
        """
        with self._lock:
            self._check()
            end = asyncio.get_running_loop().create_future()
            self._sleeping.add(end)
        try:
            async with asyncio.timeout(seconds):
                await end
        except TimeoutError:
            return
        finally:
            self._sleeping.discard(end)
        raise Cancelled

    def close(self) -> None:
        """Let nobody in any more, and wake whoever waits."""
        with self._lock:
            self.is_closed = True
            for bell in (*self._waiting, *self._sleeping):
                _wake(bell)

    def _check(self) -> None:
        if self.is_closed:
            raise Cancelled

    def _call(self) -> None:
        """Give the places that are free to those who wait; the lock is held."""
        while self._waiting and self.in_flight < self.limit:
            self.in_flight += _wake(self._waiting.popleft())


def _wake(waiter: asyncio.Future[None]) -> bool:
    """Wake who waits for it, in whatever thread its event loop runs; whether anybody does."""

    def ring() -> None:
        if not waiter.done():
            waiter.set_result(None)

    loop = waiter.get_loop()
    try:
        # Another thread's loop has to be woken up first, which costs a system call or two.
        wake = loop.call_soon if loop is _running_loop() else loop.call_soon_threadsafe
        wake(ring)
    except RuntimeError:  # its event loop is closed: nobody waits any more
        return False
    return True


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
