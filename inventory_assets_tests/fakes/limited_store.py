"""A store on virtual time that is limited by what a test says: slow, throttling, failing, serial.

It replaces the network: the retries, limiter and policy of `ListClient` are real.
"""

import asyncio
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from random import Random

from inventory_assets.s3.http.response import RequestContext, Response
from inventory_assets_tests.fakes.idle_transport import IdleTransport
from inventory_assets_tests.fakes.listings import Listed, render

_SENT = RequestContext("nowhere", timedelta(0), None)
_SLOW_DOWN = b"<Error><Code>SlowDown</Code><Message>Please reduce your rate.</Message></Error>"


@dataclass(frozen=True, slots=True)
class StoreLimits:
    """What limits the store.

    Attributes:
        latency: Seconds that a page takes, once the store works on it; it varies by a tenth.
        slots: The pages on which the store works at the same time; others wait. None: no end.
        rate: The requests a second before it throttles; None: never.
        refused: The share of requests that are throttled for no reason.
        unreachable: The times, in seconds, between which nothing can be reached.
        slow_prefix: Pages of keys with this prefix take ten times as long; "" for none.
    """

    latency: float = 0.1
    slots: int | None = None
    rate: float | None = None
    refused: float = 0.0
    unreachable: tuple[float, float] = (0.0, 0.0)
    slow_prefix: str = ""


class LimitedStore(IdleTransport):
    """Replaces the transport of a `ListClient`.

    Args:
        keys: The keys of its objects, ascending.
        limits: What limits it.
        page_size: Keys in a page.
        seed: The seed of all chances.
    """

    def __init__(
        self, keys: Sequence[str], limits: StoreLimits, page_size: int = 20, seed: int = 0
    ) -> None:
        self._keys = keys
        self._limits = limits
        self._page_size = page_size
        self._chances = Random(seed)  # noqa: S311 - chance to repeat, not a secret
        self._tokens, self._filled_at = limits.rate or 0.0, 0.0
        self._free = asyncio.Semaphore(limits.slots) if limits.slots else None

    async def get(self, parameters: Mapping[str, str], body: bytearray) -> Response:
        limits, now = self._limits, asyncio.get_running_loop().time()
        if limits.unreachable[0] <= now < limits.unreachable[1]:
            raise ConnectionRefusedError
        if not self._admits(now) or self._chances.random() < limits.refused:
            await asyncio.sleep(0.02)
            body[:] = _SLOW_DOWN
            return Response(503, {}, body, _SENT)
        after = parameters.get("start-after", "")
        after = parameters.get("continuation-token", after)
        prefix = parameters.get("prefix", "")
        start = bisect_right(self._keys, max(after, prefix and prefix[:-1]))
        size = min(self._page_size, int(parameters["max-keys"]))
        found = [key for key in self._keys[start : start + size] if key.startswith(prefix)]
        await self._work(bool(found) and found[-1].startswith(limits.slow_prefix or "\0"))
        is_truncated = len(found) == size and start + size < len(self._keys)
        listed = [Listed(key) for key in found]
        body[:] = render(listed, token=found[-1] if is_truncated else None)
        return Response(200, {"server": "Limited"}, body, _SENT)

    async def _work(self, is_slow: bool) -> None:
        latency = self._limits.latency * self._chances.uniform(0.9, 1.1) * (10 if is_slow else 1)
        if self._free is None:
            await asyncio.sleep(latency)
            return
        async with self._free:
            await asyncio.sleep(latency)

    def _admits(self, now: float) -> bool:
        rate = self._limits.rate
        if rate is None:
            return True
        self._tokens = min(rate, self._tokens + rate * (now - self._filled_at))
        self._filled_at = now
        admits = self._tokens >= 1
        self._tokens -= admits
        return admits


@cache
def spread_keys(pages: int, page_size: int = 20) -> tuple[str, ...]:
    """Keys in folders of twenty pages, so that they can be split anywhere."""
    return tuple(
        f"data/{page // 20:04}/{page % 20:02}{number:03}"
        for page in range(pages)
        for number in range(page_size)
    )
