"""An event loop whose clock jumps: long waits end at once, in the same order."""

import asyncio
import selectors
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from inventory_assets.s3.concurrency.activity import Clocks


@dataclass(slots=True)
class VirtualClock:
    """The clocks of a thread that lives on virtual time.

    Attributes:
        now: Virtual seconds since it was made.
        cpu: Those in which the thread computed.
        core_wait: Those in which it waited for a free core.
    """

    now: float = 0.0
    cpu: float = 0.0
    core_wait: float = 0.0

    def compute(self, seconds: float) -> None:
        """Compute for a while."""
        self.now += seconds
        self.cpu += seconds

    def wait_for_core(self, seconds: float) -> None:
        """Wait for a free core."""
        self.now += seconds
        self.core_wait += seconds

    def block(self, seconds: float) -> None:
        """Wait for anything else, such as a disk."""
        self.now += seconds

    @property
    def clocks(self) -> Clocks:
        return Clocks(lambda: self.now, lambda: self.cpu, lambda: self.cpu, lambda: self.core_wait)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop on virtual time, for what waits for nothing but time."""

    def __init__(self, clock: VirtualClock | None = None) -> None:
        self.clock = clock or VirtualClock()
        super().__init__(_JumpingSelector(self.clock))

    def time(self) -> float:
        return self.clock.now


class _JumpingSelector(selectors.SelectSelector):
    def __init__(self, clock: VirtualClock) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> list[Any]:
        ready = super().select(0)
        if not ready and timeout is None:
            raise RuntimeError("everybody waits, and nothing will ever happen")
        if not ready and timeout:
            self._clock.now += timeout
        return ready


def scans_run_on_virtual_time(patch: pytest.MonkeyPatch, clock: VirtualClock | None = None) -> None:
    """Have event loops that the engine makes run on virtual time, of one clock if one is given."""
    loop_factory = partial(VirtualLoop, clock)
    patch.setattr(asyncio, "Runner", partial(asyncio.Runner, loop_factory=loop_factory))
