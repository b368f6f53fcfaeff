"""A bucket for simulations of scale: keys that are computed, and S3's partitions with their rates.

It replaces the network; the retries, limiter and policy of `ListClient` are real.
"""

import asyncio
import math
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import accumulate
from random import Random
from typing import overload

from inventory_assets.s3.http.response import RequestContext, Response
from inventory_assets.scan.keyspace.key_range import prefix_upper_bound
from inventory_assets_tests.fakes.common_prefixes import rolled_up
from inventory_assets_tests.fakes.idle_transport import IdleTransport
from inventory_assets_tests.fakes.listings import (
    Listed,
    contents,
    contents_fields,
    element,
    listing,
    render,
)

LIST_RATE = 5_500.0
"""LIST, GET and HEAD requests a second that S3 answers for one partitioned prefix, at least:
https://docs.aws.amazon.com/AmazonS3/latest/userguide/optimizing-performance.html"""

WRITE_RATE = 3_500.0
"""PUT, COPY, POST and DELETE requests a second of the same page."""

SPLIT_SECONDS = 1_800.0
"""How long a partition is under load before it is split: an assumption. AWS says "gradually", and a
comment on its page 30 to 60 minutes:
https://repost.aws/knowledge-center/s3-object-key-naming-pattern"""

SPLIT_LOAD = 0.8
"""The share of its rate from which a partition counts as under load: an assumption."""

REFUSAL_SECONDS = 0.02
"""A 503 comes back sooner than a page."""

_MASK = 2**64 - 1
_SENT = RequestContext("nowhere", timedelta(0), None)
_SLOW_DOWN = b"<Error><Code>SlowDown</Code><Message>Please reduce your rate.</Message></Error>"
_BEFORE, _AFTER = contents(*contents_fields(Listed("KEY"), url_encoded=True)).split("KEY")


class Keys(Sequence[str]):
    """Ascending keys that are computed when they are asked for: hashes behind prefixes.

    Args:
        counts: The number of keys behind each prefix. Prefixes are in key order; none begins with
            another.

    Attributes:
        sizes: As `counts`.
    """

    def __init__(self, counts: Mapping[str, int]) -> None:
        self.sizes = dict(counts)
        self._prefixes = tuple(counts)
        self._ends = [*accumulate(counts.values())]
        self._counts = [*counts.values()]

    def __len__(self) -> int:
        return self._ends[-1]

    @overload
    def __getitem__(self, at: int) -> str: ...
    @overload
    def __getitem__(self, at: slice) -> list[str]: ...
    def __getitem__(self, at: int | slice) -> str | list[str]:
        if isinstance(at, slice):
            return [self._key(number) for number in range(*at.indices(len(self)))]
        if not 0 <= at < len(self):
            raise IndexError(at)
        return self._key(at)

    def _key(self, number: int) -> str:
        place = bisect_right(self._ends, number)
        count = self._counts[place]
        within = number - (self._ends[place] - count)
        step = _MASK // count
        chance = (number * 0x9E3779B97F4A7C15 ^ number >> 7) * 0xBF58476D1CE4E5B9 & _MASK
        return f"{self._prefixes[place]}{within * step + (chance * step >> 64):016x}"


@dataclass(frozen=True, slots=True)
class StoreLimits:
    """How the store responds.

    Attributes:
        latency: The median seconds of a page.
        spread: Sigma of its lognormal distribution; 0.3 makes P95 1.64 medians, 0 none.
        rate: Requests a second and partition before 503 SlowDown, with a second's worth saved up;
            None: no end.
        split_seconds: How long a partition is under load before it is split in the middle.
        partitions: Partitions at the beginning, with equal numbers of keys.
    """

    latency: float = 0.1
    spread: float = 0.3
    rate: float | None = LIST_RATE
    split_seconds: float = SPLIT_SECONDS
    partitions: int = 1

    @property
    def mean_latency(self) -> float:
        """The mean seconds of a page."""
        return self.latency * math.exp(self.spread**2 / 2)


@dataclass(slots=True)
class _Partition:
    """Keys with a rate of their own: up to `end`, from where the partition before ends."""

    end: int
    tokens: float
    filled_at: float
    counted_from: float
    answered: int = 0


class PartitionedStore:
    """A bucket whose partitions each have a rate, and are split under load.

    Args:
        keys: Its keys.
        limits: How it responds.
        page_keys: Keys in a page at most. Fewer than 1,000 save time: what a simulation is about is
            the number of pages.

    Attributes:
        requests: Requests received.
        refused: Those of them that were answered by 503.
        splits: When partitions were split, in virtual seconds.
    """

    def __init__(self, keys: Keys, limits: StoreLimits, page_keys: int) -> None:
        self.keys = keys
        self.limits = limits
        self.page_keys = page_keys
        self.requests = self.refused = 0
        self.splits: list[float] = []
        rate, count = limits.rate or 0.0, limits.partitions
        self._partitions = [
            _Partition(len(keys) * number // count, rate, 0.0, 0.0)
            for number in range(1, count + 1)
        ]

    @property
    def partitions(self) -> int:
        """The number of partitions now."""
        return len(self._partitions)

    def admits(self, at: int, now: float) -> bool:
        """Count a request for the keys from a position on; return whether it is answered."""
        self.requests += 1
        rate = self.limits.rate
        if rate is None:
            return True
        place = bisect_right(self._partitions, at, key=lambda each: each.end)
        place = min(place, len(self._partitions) - 1)
        partition = self._partitions[place]
        if now - partition.counted_from >= self.limits.split_seconds:
            if partition.answered >= SPLIT_LOAD * rate * self.limits.split_seconds:
                partition = self._split(place, at, now)
            partition.answered, partition.counted_from = 0, now
        filled = partition.tokens + rate * (now - partition.filled_at)
        partition.tokens, partition.filled_at = min(rate, filled), now
        if partition.tokens < 1:
            self.refused += 1
            return False
        partition.tokens -= 1
        partition.answered += 1
        return True

    def _split(self, place: int, at: int, now: float) -> _Partition:
        upper = self._partitions[place]
        start = self._partitions[place - 1].end if place else 0
        middle = (start + upper.end) // 2
        rate = self.limits.rate or 0.0
        lower = _Partition(middle, rate, now, now)
        self._partitions.insert(place, lower)
        upper.answered, upper.counted_from = 0, now
        self.splits.append(now)
        return lower if at < middle else upper


class StoreTransport(IdleTransport):
    """The way of one worker to the store; replaces the transport of its `ListClient`.

    Args:
        store: The store.
        seed: The seed of its latencies.
    """

    def __init__(self, store: PartitionedStore, seed: int) -> None:
        self._store = store
        self._chances = Random(seed)  # noqa: S311 - chance to repeat, not a secret

    async def get(self, parameters: Mapping[str, str], body: bytearray) -> Response:
        store, keys = self._store, self._store.keys
        prefix = parameters.get("prefix", "")
        if token := parameters.get("continuation-token"):
            start = int(token)
        else:
            after = parameters.get("start-after", "")
            start = max(bisect_right(keys, after), bisect_left(keys, prefix))
        if not store.admits(start, asyncio.get_running_loop().time()):
            await asyncio.sleep(REFUSAL_SECONDS)
            body[:] = _SLOW_DOWN
            return Response(503, {}, body, _SENT)
        await asyncio.sleep(self._latency())
        stop = bisect_right(keys, prefix_upper_bound(prefix)) if prefix else len(keys)
        size = min(store.page_keys, int(parameters["max-keys"]))
        delimiter = parameters.get("delimiter")
        page = self._folders if delimiter else self._page
        body[:] = page(start, stop, size, prefix)
        return Response(200, {"server": "AmazonS3"}, body, _SENT)

    def _latency(self) -> float:
        limits = self._store.limits
        if not limits.spread:
            return limits.latency
        return self._chances.lognormvariate(math.log(limits.latency), limits.spread)

    def _page(self, start: int, stop: int, size: int, _prefix: str) -> bytes:
        end = max(start, min(start + size, stop))
        token = str(end) if end < stop else None
        names = [f"{_BEFORE}{key}{_AFTER}" for key in self._store.keys[start:end]]
        return listing(
            *names,
            truncated="true" if token else "false",
            extra=element("NextContinuationToken", token),
        )

    def _folders(self, start: int, stop: int, size: int, prefix: str) -> bytes:
        keys, at = self._store.keys, start
        names: list[str] = []
        folders: list[str] = []
        while at < stop and len(names) + len(folders) < size:
            name, is_folder = rolled_up(keys[at], prefix, "/")
            (folders if is_folder else names).append(name)
            at = bisect_right(keys, prefix_upper_bound(name)) if is_folder else at + 1
        token = str(at) if at < stop else None
        return render([Listed(name) for name in names], folders, token)
