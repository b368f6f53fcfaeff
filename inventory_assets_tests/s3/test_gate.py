import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from inventory_assets.s3.gate import Cancelled, Gate


class Counted:
    """Counts who is inside at the same time, in any thread."""

    def __init__(self, gate: Gate) -> None:
        self.most = 0
        self.passed = 0
        self._gate = gate
        self._inside = 0
        self._lock = threading.Lock()

    async def visit(self) -> None:
        await self._gate.enter()
        with self._lock:
            self._inside += 1
            self.passed += 1
            self.most = max(self.most, self._inside)
        await asyncio.sleep(0.0005)
        with self._lock:
            self._inside -= 1
        self._gate.leave()

    async def visit_often(self, times: int) -> None:
        await asyncio.gather(*(self.visit() for _ in range(times)))


def test_no_more_than_the_limit_are_inside_and_all_come_in_from_any_thread() -> None:
    counted = Counted(Gate(3))
    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(asyncio.run, counted.visit_often(50)) for _ in range(4)]:
            done.result(timeout=20)
    assert (counted.most, counted.passed) == (3, 200)


def test_who_is_cancelled_while_waiting_leaves_the_place_to_the_next() -> None:
    async def scene() -> None:
        gate = Gate(1)
        await gate.enter()
        impatient = asyncio.create_task(gate.enter())
        patient = asyncio.create_task(gate.enter())
        await asyncio.sleep(0)
        gate.leave()  # calls the first in,
        impatient.cancel()  # who goes at that very moment
        await asyncio.wait_for(patient, 5)

    asyncio.run(scene())


@pytest.mark.parametrize("wait", ["enter", "pause"])
def test_closing_wakes_who_waits_in_another_thread(wait: str) -> None:
    gate = Gate(0)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(asyncio.run, gate.pause(30) if wait == "pause" else gate.enter())
        while not (gate._waiting or gate._pausing):
            time.sleep(0.001)
        since = time.monotonic()
        gate.close()
        assert isinstance(waiting.exception(timeout=10), Cancelled)
    assert time.monotonic() - since < 1


def test_nobody_enters_or_pauses_once_it_is_closed() -> None:
    gate = Gate(1)
    gate.close()
    for attempt in (gate.enter(), gate.pause(0)):
        with pytest.raises(Cancelled):
            asyncio.run(attempt)


def test_a_pause_ends_by_itself() -> None:
    asyncio.run(Gate(1).pause(0.001))
