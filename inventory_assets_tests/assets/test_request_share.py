"""The shares of runs in the requests of their source, with reservations in memory."""

import asyncio
import random
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inventory_assets.defs.source import request_share
from inventory_assets.defs.source.request_share import RequestShare, fair_share
from inventory_assets.s3.concurrency.limiter import Cancelled, ConcurrencyLimiter
from inventory_assets.s3.concurrency.policies import Fixed
from inventory_assets.s3.concurrency.request_outcome import Outcome


class Registry:
    """Reservations that each run writes and reads, with pauses in which others come between."""

    def __init__(self, pause: Callable[[], None] = lambda: None) -> None:
        self.reservations: dict[str, int] = {}
        self._pause = pause

    def of(self, run_id: str) -> "RunEntry":
        return RunEntry(self, run_id)

    def write(self, run_id: str, requests: int | None) -> None:
        self._pause()
        if requests is None:
            self.reservations.pop(run_id, None)
        else:
            self.reservations[run_id] = requests
        self._pause()

    def others(self, run_id: str) -> dict[str, int]:
        self._pause()
        found = {
            run: reservation
            for run, reservation in list(self.reservations.items())
            if run != run_id
        }
        self._pause()
        return found


class RunEntry:
    """The reservations as one run sees them."""

    def __init__(self, registry: Registry, run_id: str) -> None:
        self._registry = registry
        self._run_id = run_id

    def write(self, requests: int | None) -> None:
        self._registry.write(self._run_id, requests)

    def others(self) -> Mapping[str, int]:
        return self._registry.others(self._run_id)


class Client:
    """A client with as many requests in flight as a test says."""

    def __init__(self) -> None:
        self.flying = 0
        self.cap = -1

    @property
    def in_flight(self) -> tuple[int, int]:
        return self.flying, self.cap

    def set_cap(self, maximum: int) -> None:
        self.cap = maximum


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_share, "ADJUST_SECONDS", 0.02)
    monkeypatch.setattr(request_share, "WAIT_SECONDS", (0.001, 0.01))
    monkeypatch.setattr(request_share, "DRAIN_SECONDS", 0.02)
    monkeypatch.setattr(request_share, "LOOK_SECONDS", 0.001)


def share_of(registry: Registry, run_id: str, limit: int) -> tuple[RequestShare, Client]:
    share, client = RequestShare(limit, run_id, registry.of(run_id)), Client()
    share.govern(client)
    return share, client


@given(st.integers(1, 200), st.integers(1, 30))
def test_fair_shares_use_the_whole_limit_and_differ_by_one_at_most(limit: int, runs: int) -> None:
    names = [f"run{number}" for number in range(runs)]
    shares = [fair_share(limit, each, {n: 0 for n in names if n != each}) for each in names]
    assert max(shares) - min(shares) <= 1
    assert sum(shares) == max(limit, runs)


def test_a_run_that_is_alone_has_all_requests() -> None:
    share, client = share_of(Registry(), "a", 32)
    assert client.cap == 0
    share.acquire()
    assert (share.granted, client.cap) == (32, 32)


def test_a_newcomer_takes_only_what_is_left_until_the_others_have_shrunk() -> None:
    registry = Registry()
    first, busy = share_of(registry, "a", 10)
    first.acquire()
    busy.flying = 10
    second, client = share_of(registry, "b", 10)
    registry.write("b", 0)  # as `acquire` does, without waiting
    second.adjust()
    assert (second.granted, client.cap) == (0, 0)
    first.adjust()  # sends no more than 5 from now on, but 10 are in flight
    assert (busy.cap, first.granted, registry.reservations["a"]) == (5, 10, 10)
    second.adjust()
    assert second.granted == 0
    busy.flying = 8
    first.adjust()
    second.adjust()
    assert (first.granted, second.granted, client.cap) == (8, 2, 2)
    busy.flying = 5
    first.adjust()
    second.adjust()
    assert (first.granted, busy.cap, second.granted) == (5, 5, 5)


def test_what_a_run_leaves_is_taken_up_by_the_others() -> None:
    registry = Registry()
    first, client = share_of(registry, "a", 10)
    first.acquire()
    registry.write("b", 0)
    first.adjust()
    assert client.cap == 5
    registry.write("b", None)
    first.adjust()
    assert (first.granted, client.cap) == (10, 10)


def test_a_run_that_began_to_shrink_and_is_alone_again_sends_all_again() -> None:
    registry = Registry()
    share, client = share_of(registry, "a", 10)
    share.acquire()
    client.flying = 10
    registry.write("b", 0)
    share.adjust()
    assert (client.cap, share.granted) == (5, 10)
    registry.write("b", None)
    share.adjust()
    assert (client.cap, share.granted) == (10, 10)


def test_a_run_whose_claim_meets_that_of_another_takes_it_back() -> None:
    """The other reserves the last request, too, after this run has seen it free."""
    registry = Registry()
    share, client = share_of(registry, "a", 8)
    registry.reservations |= {"a": 0, "b": 0, "c": 7}
    write = registry.write

    def write_and_meet(run_id: str, requests: int | None) -> None:
        write(run_id, requests)
        registry.reservations["b"] = 1

    registry.write = write_and_meet  # type: ignore[method-assign]
    share.adjust()
    assert (share.granted, client.cap, registry.reservations["a"]) == (0, 0, 0)
    registry.write = write  # type: ignore[method-assign]
    registry.reservations["b"] = 0  # the other took its reservation back, too
    share.adjust()
    assert (share.granted, client.cap, registry.reservations["a"]) == (1, 1, 1)


def test_a_client_that_comes_later_is_bounded_from_its_first_request_on() -> None:
    share, _ = share_of(Registry(), "a", 7)
    share.acquire()
    later = Client()
    share.govern(later)
    assert later.cap == 7


def test_a_storage_that_fails_leaves_the_share_as_it_is(
    caplog: pytest.LogCaptureFixture,
) -> None:
    registry = Registry()
    share, client = share_of(registry, "a", 6)
    share.acquire()
    fails = threading.Event()

    def fail(run_id: str) -> dict[str, int]:
        fails.set()
        raise OSError(f"no database for {run_id}")

    works, registry.others = registry.others, fail  # type: ignore[method-assign]
    keeper = threading.Thread(target=share.keep_adjusting)
    keeper.start()
    try:
        assert fails.wait(20)
        registry.write("b", 0)
        registry.others = works  # type: ignore[method-assign]
        wait_until(lambda: client.cap == 3)
    finally:
        share.end()
        keeper.join()
    told = [each.message for each in caplog.records if "no database for a" in each.message]
    assert told == [
        "the share of requests is not adjusted for now: no database for a",
    ]


def wait_until(is_true: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not is_true():
        assert time.monotonic() < until
        time.sleep(0.005)


class Bucket:
    """Counts the requests in flight of all runs."""

    def __init__(self) -> None:
        self.most = 0
        self.by_run: dict[str, int] = {}
        self._flying = 0
        self._lock = threading.Lock()

    async def answer(self, run_id: str) -> None:
        with self._lock:
            self._flying += 1
            self.most = max(self.most, self._flying)
            self.by_run[run_id] = self.by_run.get(run_id, 0) + 1
        await asyncio.sleep(random.uniform(0.0005, 0.004))  # noqa: S311
        with self._lock:
            self._flying -= 1


class LimiterClient:
    """A client with the limiter of the real ones."""

    def __init__(self, maximum: int) -> None:
        self.limiter = ConcurrencyLimiter(Fixed(maximum))

    @property
    def in_flight(self) -> tuple[int, int]:
        return self.limiter.in_flight, self.limiter.limit

    def set_cap(self, maximum: int) -> None:
        self.limiter.set_cap(maximum)


def run(registry: Registry, bucket: Bucket, run_id: str, limit: int, seconds: float) -> None:
    """Acquire a share, send as many requests at a time as it allows for a while, and give it up."""
    share = RequestShare(limit, run_id, registry.of(run_id))
    share.acquire()
    client = LimiterClient(limit)
    share.govern(client)
    keeper = threading.Thread(target=share.keep_adjusting)
    keeper.start()

    async def send() -> None:
        try:
            while True:
                await client.limiter.acquire()
                await bucket.answer(run_id)
                client.limiter.release(Outcome.SUCCEEDED, 0, 1)
        except Cancelled:
            pass

    async def send_all() -> None:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(limit):
                tasks.create_task(send())
            await asyncio.sleep(seconds)
            client.limiter.close()

    try:
        asyncio.run(send_all())
    finally:
        share.end()
        keeper.join()
        registry.write(run_id, None)


@pytest.fixture
def pauses() -> Callable[[], None]:
    chances = random.Random(7)  # noqa: S311 - a repeatable test
    return lambda: time.sleep(chances.uniform(0, 0.003))


@pytest.mark.parametrize("limit", [2, 7, 16])
def test_runs_that_come_and_go_never_exceed_the_limit_together(
    limit: int, pauses: Callable[[], None]
) -> None:
    registry, bucket, chances = Registry(pauses), Bucket(), random.Random(limit)  # noqa: S311
    with ThreadPoolExecutor(5) as pool:
        lives = [
            pool.submit(run, registry, bucket, f"run{number}", limit, chances.uniform(0.1, 0.6))
            for number in range(12)
        ]
        for each in lives:
            each.result(timeout=120)
    assert len(bucket.by_run) == 12  # all have sent requests, more runs at a time than the limit
    assert limit >= bucket.most >= min(limit, 5)
    assert registry.reservations == {}
