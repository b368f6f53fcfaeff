"""A simulated bucket that changes while it is listed, a faulty network, and a process that may be
killed at any time. Everything follows from a seed and runs on virtual time.

It replaces the network: the retries, limiter and policy of `ListClient` are real.
"""

import asyncio
from bisect import insort
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import islice
from pathlib import Path
from random import Random
from urllib.parse import quote, unquote

from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets.s3.http.response import RequestContext, Response
from inventory_assets_tests.fakes.common_prefixes import rolled_up
from inventory_assets_tests.fakes.idle_transport import IdleTransport
from inventory_assets_tests.fakes.listings import Listed, render

_SENT = RequestContext("nowhere", timedelta(0), None)
_SLOW_DOWN = b"<Error><Code>SlowDown</Code><Message>Please reduce your rate.</Message></Error>"
_INTERNAL = b"<Error><Code>InternalError</Code><Message>We failed.</Message></Error>"


class Killed(BaseException):
    """The process is no more."""


@dataclass(slots=True)
class Life:
    """The operations of a process before it is killed.

    Attributes:
        left: The remaining requests and writes to the store.
    """

    left: float

    def spend(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise Killed


@dataclass(frozen=True, slots=True)
class ErrorRates:
    """The probabilities of errors of a request.

    Attributes:
        throttled: 503 SlowDown.
        failed: 500 InternalError.
        reset: The connection ends.
        timed_out: No response for half a minute.
        cut_off: The body ends early.
        garbled: The body is damaged in the middle.
        empty: A page is empty, and more are to come.
        stuck: A page has the token of its request.
        repeated: A page has the token of its own position.
        changed: An object is created or deleted before the response.
    """

    throttled: float = 0
    failed: float = 0
    reset: float = 0
    timed_out: float = 0
    cut_off: float = 0
    garbled: float = 0
    empty: float = 0
    stuck: float = 0
    repeated: float = 0
    changed: float = 0


@dataclass(slots=True)
class SimulatedBucket:
    """The content of the bucket, over all runs that list it.

    Attributes:
        keys: The keys of the objects, ascending.
        others: The keys of objects that may be created.
        page_size: Keys and common prefixes in a page at most.
        chances: The random generator of all events.
        ever: Keys that existed at any time.
        throughout: Keys that existed all the time.
        seconds: The time.
    """

    keys: list[str]
    others: list[str]
    page_size: int
    chances: Random
    ever: set[str] = field(init=False)
    throughout: set[str] = field(init=False)
    seconds: float = 0.0

    def __post_init__(self) -> None:
        self.ever, self.throughout = set(self.keys), set(self.keys)

    def change(self) -> None:
        """Create an object, or delete one."""
        if self.others and (not self.keys or self.chances.random() < 0.5):
            key = self.others.pop(self.chances.randrange(len(self.others)))
            insort(self.keys, key)
            self.ever.add(key)
        elif self.keys:
            key = self.keys.pop(self.chances.randrange(len(self.keys)))
            self.others.append(key)
            self.throughout.discard(key)

    def entries(self, prefix: str, delimiter: str | None, after: str) -> Iterator[tuple[str, bool]]:
        """Keys and folders after a key or folder, each with whether it is a folder."""
        last = after if delimiter and after.endswith(delimiter) else None
        for key in self.keys:
            if key <= after or not key.startswith(prefix) or (last and key.startswith(last)):
                continue
            name, is_folder = rolled_up(key, prefix, delimiter)
            last = name if is_folder else None
            yield name, is_folder


class SimulatedNetwork(IdleTransport):
    """Replaces the transport of a `ListClient`.

    Args:
        bucket: The bucket.
        life: The life of the requesting process.
        rates: The probabilities of errors.

    Attributes:
        under_way: Requests in flight.
        most_under_way: The maximum of requests in flight.
    """

    def __init__(self, bucket: SimulatedBucket, life: Life, rates: ErrorRates) -> None:
        self._bucket = bucket
        self._life = life
        self._rates = rates
        self._began = bucket.seconds
        self._asked = 0
        self.under_way = self.most_under_way = 0

    async def get(self, parameters: Mapping[str, str], body: bytearray) -> Response:
        self._life.spend()
        self._asked += 1
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            return await self._answer(parameters, body)
        finally:
            self.under_way -= 1

    async def _answer(self, parameters: Mapping[str, str], body: bytearray) -> Response:
        bucket, rates = self._bucket, self._rates
        await asyncio.sleep(bucket.chances.choice((0, 0.01, 0.1, 0.1, 0.2, 2)))
        bucket.seconds = self._began + asyncio.get_running_loop().time()
        if self._befalls(rates.changed):
            bucket.change()
        if self._befalls(rates.throttled):
            return _response(503, _SLOW_DOWN, body)
        if self._befalls(rates.failed):
            return _response(500, _INTERNAL, body)
        if self._befalls(rates.reset):
            raise ConnectionResetError
        if self._befalls(rates.timed_out):
            await asyncio.sleep(30)
            raise TimeoutError
        page = self._page(parameters)
        if self._befalls(rates.cut_off):
            page = page[: bucket.chances.randrange(len(page))]
        if self._befalls(rates.garbled):
            page = page.replace(b"<Size>", b"<Size>x", 1)
        return _response(200, page, body)

    def _befalls(self, chance: float) -> bool:
        return bool(chance) and self._bucket.chances.random() < chance

    def _page(self, parameters: Mapping[str, str]) -> bytes:
        token = parameters.get("continuation-token")
        after = parameters.get("start-after", "") if token is None else _after(token)
        delimiter = parameters.get("delimiter")
        size = min(self._bucket.page_size, int(parameters["max-keys"]))
        if self._befalls(self._rates.empty):
            return render([], token=self._token(after))
        found = self._bucket.entries(parameters.get("prefix", ""), delimiter, after)
        entries = [*islice(found, size + 1)]
        page, is_truncated = entries[:size], len(entries) > size
        next_token = self._token(page[-1][0]) if is_truncated else None
        if is_truncated and self._befalls(self._rates.repeated):
            next_token = self._token(after)
        if is_truncated and self._befalls(self._rates.stuck):
            next_token = token or next_token
        objects = [Listed(name, size=len(name)) for name, is_folder in page if not is_folder]
        return render(objects, [name for name, is_folder in page if is_folder], next_token)

    def _token(self, after: str) -> str:
        """Like a real one it differs from any other, and means a key rather than a number."""
        return f"{self._asked}:{quote(after)}"


def _after(token: str) -> str:
    return unquote(token.partition(":")[2])


def _response(status: int, page: bytes, body: bytearray) -> Response:
    body[:] = page
    return Response(status, {"server": "Simulated"}, body, _SENT)


class MortalStore(LocalStore):
    """A store that a process writes to as long as it lives, and leaves as it is then."""

    def __init__(self, root: Path, life: Life) -> None:
        super().__init__(root)
        self._life = life

    def publish(self, key: str, data: bytes) -> None:
        self._life.spend()
        super().publish(key, data)

    def put_if_match(self, key: str, data: bytes, version: str) -> str:
        self._life.spend()
        return super().put_if_match(key, data, version)

    def publish_file(self, key: str, file: Path, digest: str | None = None) -> None:
        self._life.spend()
        super().publish_file(key, file, digest)

    def remove_key(self, key: str) -> None:
        self._life.spend()
        super().remove_key(key)


def cut_short(files: Iterable[Path], chances: Random) -> None:
    """Leave a file as a power cut may: shorter than it was said to be."""
    if found := sorted(files):
        file = chances.choice(found)
        content = file.read_bytes()
        file.write_bytes(content[: chances.randrange(len(content) + 1)])
