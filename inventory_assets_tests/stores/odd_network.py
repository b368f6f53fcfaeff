"""An odd store without sockets, behind the retries, limiter and decoder of `ListClient`."""

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from random import Random
from typing import Any

from inventory_assets.s3.bucket_config import BucketConfig
from inventory_assets.s3.http.response import RequestContext, Response
from inventory_assets_tests.fakes.simulated_bucket import (
    Life,
    SimulatedBucket,
    SimulatedLister,
    SimulatedNetwork,
    Troubles,
)
from inventory_assets_tests.stores.odd_store import OddStore

_NOWHERE = RequestContext("nowhere", timedelta(0), None)
_SECONDS = (0, 0.01, 0.1, 0.1, 0.2, 2)
"""How long answers take, of virtual time."""


class OddNetwork(SimulatedNetwork):
    """Takes the place of `Transport`, for an odd store.

    Args:
        store: What answers.
        life: Of the process that asks.
    """

    def __init__(self, store: OddStore, life: Life) -> None:
        chances = Random(store.seed)  # noqa: S311 - a repeatable test
        super().__init__(SimulatedBucket([], [], 1, chances), life, Troubles())
        self._store = store
        self._chances = chances

    async def get(
        self, parameters: Mapping[str, str], body: bytearray, *_: Any, **__: Any
    ) -> Response:
        self._life.spend()
        await asyncio.sleep(self._chances.choice(_SECONDS))
        answer = self._store.answer(parameters)
        body[:] = answer.body
        headers = {name.lower(): value for name, value in answer.headers.items()}
        return Response(answer.status, headers, body, _NOWHERE)

    def discard(self, _response: Response) -> None:
        """Does nothing: each response has its own connection."""


class OddLister(SimulatedLister):
    """Lists an odd store within this process.

    Args:
        store: The bucket.
        connection: How many requests may be in flight, by which policy.
        life: Of the process.
    """

    def __init__(self, store: OddStore, connection: BucketConfig, life: Life) -> None:
        nothing = SimulatedBucket([], [], 1, Random(0))  # noqa: S311
        super().__init__(nothing, connection, life, Troubles())
        self._transport = OddNetwork(store, life)  # type: ignore[assignment]
