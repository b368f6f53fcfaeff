"""An event loop whose clock jumps: long waits end at once, in the same order."""

import asyncio
import selectors
from functools import partial
from typing import Any

import pytest


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop on virtual time, for what waits for nothing but time.

    Attributes:
        now: Virtual seconds since it was made.
    """

    def __init__(self) -> None:
        self.now = 0.0
        super().__init__(_JumpingSelector(self))

    def time(self) -> float:
        return self.now


class _JumpingSelector(selectors.SelectSelector):
    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[Any]:
        ready = super().select(0)
        if not ready and timeout is None:
            raise RuntimeError("everybody waits, and nothing will ever happen")
        if not ready and timeout:
            self._loop.now += timeout
        return ready


def scans_run_on_virtual_time(patch: pytest.MonkeyPatch) -> None:
    """Have event loops that the engine makes run on virtual time."""
    patch.setattr(asyncio, "Runner", partial(asyncio.Runner, loop_factory=VirtualLoop))
