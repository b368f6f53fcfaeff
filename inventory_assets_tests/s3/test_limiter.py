import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from inventory_assets.s3.concurrency.limiter import Cancelled, ConcurrencyLimiter
from inventory_assets.s3.concurrency.policies import Fixed
from inventory_assets.s3.concurrency.request_outcome import Outcome, Sample


class Counted:
    """Counts who is inside at the same time, in any thread."""

    def __init__(self, limiter: ConcurrencyLimiter) -> None:
        self.most = 0
        self.passed = 0
        self._limiter = limiter
        self._inside = 0
        self._lock = threading.Lock()

    async def visit(self) -> None:
        await self._limiter.acquire()
        with self._lock:
            self._inside += 1
            self.passed += 1
            self.most = max(self.most, self._inside)
        await asyncio.sleep(0.0005)
        with self._lock:
            self._inside -= 1
        self._limiter.release(Outcome.SUCCEEDED, 0, 1)

    async def visit_often(self, times: int) -> None:
        await asyncio.gather(*(self.visit() for _ in range(times)))


def test_the_limit_holds_over_all_threads_and_every_request_gets_a_slot() -> None:
    counted = Counted(ConcurrencyLimiter(Fixed(3)))
    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(asyncio.run, counted.visit_often(50)) for _ in range(4)]:
            done.result(timeout=20)
    assert (counted.most, counted.passed) == (3, 200)


def test_a_cancelled_waiter_leaves_its_slot_to_the_next() -> None:
    async def scene() -> None:
        limiter = ConcurrencyLimiter(Fixed(1))
        await limiter.acquire()
        impatient = asyncio.create_task(limiter.acquire())
        patient = asyncio.create_task(limiter.acquire())
        await asyncio.sleep(0)
        limiter.release(None, 0, 0)  # assigns the slot to the first waiter,
        impatient.cancel()  # which is cancelled before it runs
        await asyncio.wait_for(patient, 5)
        assert impatient.cancelled()
        assert limiter.in_flight == 1

    asyncio.run(scene())


@pytest.mark.parametrize("wait", ["acquire", "sleep"])
def test_closing_wakes_waiters_in_another_thread(wait: str) -> None:
    limiter = ConcurrencyLimiter(Fixed(1))
    asyncio.run(limiter.acquire())
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(
            asyncio.run, limiter.sleep(30) if wait == "sleep" else limiter.acquire()
        )
        while not (limiter._waiting or limiter._sleeping):
            time.sleep(0.001)
        since = time.monotonic()
        limiter.close()
        assert isinstance(waiting.exception(timeout=10), Cancelled)
    assert time.monotonic() - since < 1


def test_acquire_and_sleep_raise_once_it_is_closed() -> None:
    limiter = ConcurrencyLimiter(Fixed(1))
    limiter.close()
    for attempt in (limiter.acquire(), limiter.sleep(0)):
        with pytest.raises(Cancelled):
            asyncio.run(attempt)


def test_a_sleep_ends_by_itself() -> None:
    since = time.monotonic()
    asyncio.run(ConcurrencyLimiter(Fixed(1)).sleep(0.02))
    assert 0.02 <= time.monotonic() - since < 5


class Remembering(Fixed):
    """Raises the limit by one with each sample."""

    def __init__(self) -> None:
        super().__init__(1)
        self.samples: list[Sample] = []

    @property
    def limit(self) -> int:
        return 1 + len(self.samples)

    def on_sample(self, sample: Sample) -> int:
        self.samples.append(sample)
        return self.limit


def test_the_policy_gets_outcomes_and_its_limit_applies_at_once() -> None:
    async def scene() -> None:
        memory = Remembering()
        limiter = ConcurrencyLimiter(memory)
        await limiter.acquire()
        waiting = [asyncio.create_task(limiter.acquire()) for _ in range(2)]
        await asyncio.sleep(0)
        limiter.release(Outcome.THROTTLED, 2.0, 5.0)
        await asyncio.wait_for(asyncio.gather(*waiting), 5)
        assert memory.samples == [Sample(5.0, 3.0, Outcome.THROTTLED, 1)]
        limiter.release(None, 5.0, 6.0)  # given up: it says nothing
        assert len(memory.samples) == 1

    asyncio.run(scene())


def test_a_cap_bounds_the_limit_of_the_policy_and_can_be_raised() -> None:
    async def scene() -> None:
        limiter = ConcurrencyLimiter(Fixed(4))
        limiter.set_cap(1)
        assert (limiter.limit, limiter.try_acquire(), limiter.try_acquire()) == (1, True, False)
        waiting = [asyncio.create_task(limiter.acquire()) for _ in range(4)]
        await asyncio.sleep(0.01)
        assert not any(task.done() for task in waiting)
        limiter.set_cap(3)
        await asyncio.sleep(0.01)
        assert (limiter.in_flight, sum(task.done() for task in waiting)) == (3, 2)
        limiter.set_cap(100)  # the policy allows 4
        await asyncio.sleep(0.01)
        assert (limiter.limit, limiter.in_flight) == (4, 4)
        limiter.release(None, 0, 0)
        await asyncio.gather(*waiting)

    asyncio.run(scene())


def test_a_lower_cap_lets_no_request_in_until_enough_have_ended() -> None:
    async def scene() -> None:
        limiter = ConcurrencyLimiter(Fixed(4))
        for _ in range(4):
            await limiter.acquire()
        limiter.set_cap(2)
        waiting = asyncio.create_task(limiter.acquire())
        for left in (3, 2):
            limiter.release(Outcome.SUCCEEDED, 0, 1)
            await asyncio.sleep(0)
            assert (limiter.in_flight, waiting.done()) == (left, False)
        limiter.release(Outcome.SUCCEEDED, 0, 1)
        await asyncio.wait_for(waiting, 5)
        assert limiter.in_flight == 2

    asyncio.run(scene())


def test_a_raised_cap_wakes_a_waiter_of_another_thread() -> None:
    limiter = ConcurrencyLimiter(Fixed(1))
    limiter.set_cap(0)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(asyncio.run, limiter.acquire())
        while not limiter._waiting:
            time.sleep(0.001)
        limiter.set_cap(1)
        waiting.result(timeout=10)
