"""Limit the number of requests in flight, across threads and event loops."""

import asyncio
import threading
from collections import deque

from inventory_assets.s3.concurrency.activity import ActivityMeter
from inventory_assets.s3.concurrency.policies import LimitPolicy
from inventory_assets.s3.concurrency.request_outcome import Outcome, Sample


class Cancelled(Exception):
    """The caller asked the listing to stop; not an error, and never retried."""


class ConcurrencyLimiter:
    """A semaphore whose limit a policy adjusts; shared by threads, each with its own event loop.

    A cap bounds the limit further, where several processes share what may be in flight.

    Args:
        policy: Sets the limit from the outcomes of requests.
        activity: Adds up what the requests do; None for nobody.

    Attributes:
        is_closed: Whether `close` was called; `acquire` and `sleep` then raise.
        in_flight: Slots in use.
    """

    def __init__(self, policy: LimitPolicy, activity: ActivityMeter | None = None) -> None:
        self.is_closed = False
        self.in_flight = 0
        self._policy = policy
        self._cap: int | None = None
        self._activity = activity
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._sleeping: set[asyncio.Future[None]] = set()
        self._lock = threading.Lock()

    @property
    def limit(self) -> int:
        """The current maximum of `in_flight`."""
        limit = self._policy.limit
        return limit if self._cap is None else min(limit, self._cap)

    def set_cap(self, maximum: int) -> None:
        """Allow at most so many requests in flight from now on, whatever the policy allows.

        Requests beyond a lower cap are not ended: `in_flight` falls as they end.
        """
        with self._lock:
            self._cap = maximum
            self._admit_waiters()

    def try_acquire(self) -> bool:
        """Take a slot if one is free, which saves a task the cost of waiting.

        Raises:
            Cancelled: The limiter is closed.
        """
        with self._lock:
            return self._take_free()

    async def acquire(self) -> None:
        """Wait for a free slot and take it.

        Raises:
            Cancelled: The limiter is closed.
        """
        with self._lock:
            if self._take_free():
                return
            waiter = asyncio.get_running_loop().create_future()
            self._waiting.append(waiter)
        try:
            await waiter
            self._raise_if_closed()
        except (asyncio.CancelledError, Cancelled):
            with self._lock:
                if waiter in self._waiting:
                    self._waiting.remove(waiter)
                else:  # a slot was assigned to it just before the cancellation
                    self.in_flight -= 1
                    self._admit_waiters()
            raise

    def release(self, outcome: Outcome | None, sent_at: float, ended_at: float) -> None:
        """Free the slot and report the request to the policy.

        Args:
            outcome: How the request ended; None if it was cancelled.
            sent_at: When it was sent, in seconds of a monotonic clock.
            ended_at: When it ended.
        """
        with self._lock:
            if outcome:
                sample = Sample(ended_at, ended_at - sent_at, outcome, self.in_flight)
                self._policy.on_sample(sample)
            self.in_flight -= 1
            if self._waiting:
                self._admit_waiters()
            if self._activity:
                self._activity.request_ended(self.in_flight, self.limit, outcome)

    async def sleep(self, seconds: float) -> None:
        """Sleep for `seconds`, or until the limiter is closed.

        Raises:
            Cancelled: The limiter is closed.
        """
        with self._lock:
            self._raise_if_closed()
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
        """Refuse further requests and wake all waiters, which raise `Cancelled`."""
        with self._lock:
            self.is_closed = True
            for waiter in (*self._waiting, *self._sleeping):
                _wake(waiter)

    def _take_free(self) -> bool:
        """Take a slot if one is free; the caller holds the lock."""
        self._raise_if_closed()
        if self.in_flight >= self.limit:
            return False
        self.in_flight += 1
        if self._activity:
            self._activity.request_sent(self.in_flight, self.limit)
        return True

    def _raise_if_closed(self) -> None:
        if self.is_closed:
            raise Cancelled

    def _admit_waiters(self) -> None:
        """Assign free slots to waiters; the caller holds the lock."""
        while self._waiting and self.in_flight < self.limit:
            self.in_flight += _wake(self._waiting.popleft())


def _wake(waiter: asyncio.Future[None]) -> bool:
    """Resolve a future on its own event loop; return False if that loop is closed."""

    def resolve() -> None:
        if not waiter.done():
            waiter.set_result(None)

    loop = waiter.get_loop()
    try:
        # Waking another thread's loop costs a system call or two.
        wake = loop.call_soon if loop is _running_loop() else loop.call_soon_threadsafe
        wake(resolve)
    except RuntimeError:  # the event loop is closed
        return False
    return True


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
