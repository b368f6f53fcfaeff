"""Virtual time that several engines share, each with a thread and an event loop of its own.

One thread runs at a time: the one whose next moment is the earliest. So the engines meet in one
bucket as machines do, and a simulation takes the same course each time.
"""

import asyncio
import heapq
import selectors
import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest


class SharedClock:
    """Gives the threads of a simulation their turns.

    Attributes:
        now: Virtual seconds since the start.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self._waiting: list[tuple[float, int]] = []
        self._turns: list[threading.Semaphore] = []
        self._failure: BaseException | None = None
        self._thread = threading.local()

    def play(self, players: Sequence[Callable[[], None]]) -> None:
        """Run the players, each in a thread, until all have ended.

        Raises:
            BaseException: The first error of a player. The others end at their next turn.
        """
        self._turns = [threading.Semaphore(0) for _ in players]
        self._waiting = [(self.now, number) for number in range(len(players))]
        threads = [
            threading.Thread(target=self._play, args=(number, player), daemon=True)
            for number, player in enumerate(players)
        ]
        for thread in threads:
            thread.start()
        self._wake_next()
        for thread in threads:
            thread.join()
        if self._failure is not None:
            raise self._failure

    def wait_until(self, moment: float) -> None:
        """Let time pass in the calling thread; others have their turns meanwhile."""
        if not self._waiting or moment < self._waiting[0][0]:
            self.now = max(self.now, moment)
            return
        number: int = self._thread.number
        heapq.heappush(self._waiting, (moment, number))
        self._wake_next()
        self._turns[number].acquire()
        if self._failure is not None:
            raise _SomebodyFailed

    def spend(self, seconds: float) -> None:
        """Let some seconds pass in the calling thread, in which it computes."""
        self.wait_until(self.now + seconds)

    def _play(self, number: int, player: Callable[[], None]) -> None:
        self._thread.number = number
        self._turns[number].acquire()
        try:
            if self._failure is None:
                player()
        except _SomebodyFailed:
            pass
        except BaseException as error:  # noqa: BLE001 - `play` raises it
            self._failure = self._failure or error
        self._wake_next()

    def _wake_next(self) -> None:
        if self._waiting:
            moment, number = heapq.heappop(self._waiting)
            self.now = max(self.now, moment)
            self._turns[number].release()


class _SomebodyFailed(BaseException):
    """Another player failed, so that this one ends too."""


class _WaitingSelector(selectors.SelectSelector):
    def __init__(self, clock: SharedClock) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise RuntimeError("an engine waits for nothing that will ever happen")
        if timeout > 0:
            self._clock.spend(timeout)
        return []


class _SharedLoop(asyncio.SelectorEventLoop):
    def __init__(self, clock: SharedClock) -> None:
        self._clock = clock
        super().__init__(_WaitingSelector(clock))

    def time(self) -> float:
        return self._clock.now


def scans_share(clock: SharedClock, patch: pytest.MonkeyPatch) -> None:
    """Have the event loops that engines make run on a shared clock.

    They wait for time only, never for sockets or for another thread.
    """
    real_runner = asyncio.Runner
    patch.setattr(asyncio, "Runner", lambda: real_runner(loop_factory=lambda: _SharedLoop(clock)))
