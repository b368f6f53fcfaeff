"""The number of requests in flight during a listing, and their distribution over workers."""

import asyncio
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from inventory_assets.s3.bucket_config import BucketConfig
from inventory_assets.s3.concurrency.limiter import ConcurrencyLimiter
from inventory_assets.s3.concurrency.policies import open_policy
from inventory_assets.s3.concurrency.request_outcome import Outcome


@dataclass(frozen=True, slots=True)
class InFlight:
    """The number of requests in flight over time.

    Attributes:
        begun: When the listing began, in seconds of a monotonic clock.
        ended: When it ended.
        changes: When the number changed, ascending, and what it was from then on; 0 before.
    """

    begun: float
    ended: float
    changes: Sequence[tuple[float, int]]

    @property
    def seconds(self) -> float:
        """The duration of the listing."""
        return self.ended - self.begun

    @property
    def mean(self) -> float:
        """Requests in flight on average."""
        return sum(seconds * number for seconds, number in self._spans()) / self.seconds

    def seconds_until(self, number: float) -> float | None:
        """Seconds until so many were in flight for the first time; None where they never were."""
        reached = (moment for moment, in_flight in self.changes if in_flight >= number)
        first = next(reached, None)
        return None if first is None else first - self.begun

    def seconds_below(self, number: float) -> float:
        """Seconds during which fewer were in flight, at the beginning, at the end or between."""
        return sum(seconds for seconds, in_flight in self._spans() if in_flight < number)

    def _spans(self) -> Iterator[tuple[float, int]]:
        """Seconds for each number of requests in flight."""
        changes = [(self.begun, 0), *self.changes, (self.ended, 0)]
        return ((until - since, number) for (since, number), (until, _) in pairwise(changes))


class ObservedLimiter(ConcurrencyLimiter):
    """A limiter that records the requests in flight.

    A request is in flight until its response is read from the socket, so a response that waits for
    a busy process still counts.

    There are as many workers as requests may be in flight. A task has a worker from its first
    request to its end; the worker that was idle for longest is assigned next.

    Attributes:
        changes: As in `InFlight`.
        sent_by: Requests that each worker sent.
        longest: Seconds of the slowest request.
    """

    def __init__(self, bucket_config: BucketConfig) -> None:
        super().__init__(open_policy(bucket_config.policy, bucket_config.max_in_flight))
        self.changes: list[tuple[float, int]] = []
        self.sent_by = [0] * bucket_config.max_in_flight
        self.longest = 0.0
        self._idle = deque(range(bucket_config.max_in_flight))
        self._workers: dict[asyncio.Task[object], int] = {}

    @property
    def skew(self) -> float:
        """Requests of the busiest worker by those of the average one, idle ones included."""
        return max(self.sent_by) * len(self.sent_by) / sum(self.sent_by)

    async def acquire(self) -> None:
        await super().acquire()
        self.sent_by[self._worker()] += 1
        self._changed()

    def release(self, outcome: Outcome | None, sent_at: float, ended_at: float) -> None:
        super().release(outcome, sent_at, ended_at)
        self.longest = max(self.longest, ended_at - sent_at)
        self._changed()

    def _changed(self) -> None:
        self.changes.append((time.monotonic(), self.in_flight))

    def _worker(self) -> int:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a request is sent outside any task")
        if task not in self._workers:
            if not self._idle:  # the reader asks now and then, besides the workers
                self._idle.append(len(self.sent_by))
                self.sent_by.append(0)
            self._workers[task] = self._idle.popleft()
            task.add_done_callback(self._on_task_done)
        return self._workers[task]

    def _on_task_done(self, task: asyncio.Task[object]) -> None:
        self._idle.append(self._workers.pop(task))
