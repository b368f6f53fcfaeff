"""An odd store without sockets, behind the retries, limiter and decoder of `ListClient`."""

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from random import Random

from inventory_assets.s3.http.response import RequestContext, Response
from inventory_assets_tests.fakes.simulated_bucket import (
    ErrorRates,
    Life,
    SimulatedBucket,
    SimulatedNetwork,
)
from inventory_assets_tests.stores.odd_store import OddStore

_NOWHERE = RequestContext("nowhere", timedelta(0), None)
_SECONDS = (0, 0.01, 0.1, 0.1, 0.2, 2)
"""How long answers take, of virtual time."""


class OddNetwork(SimulatedNetwork):
    """Replaces the transport of a `ListClient`, for an odd store.

    Args:
        store: What answers.
        life: Of the process that asks.
    """

    def __init__(self, store: OddStore, life: Life) -> None:
        chances = Random(store.seed)  # noqa: S311 - a repeatable test
        super().__init__(SimulatedBucket([], [], 1, chances), life, ErrorRates())
        self._store = store
        self._chances = chances

    async def get(self, parameters: Mapping[str, str], body: bytearray) -> Response:
        self._life.spend()
        await asyncio.sleep(self._chances.choice(_SECONDS))
        answer = self._store.answer(parameters)
        body[:] = answer.body
        headers = {name.lower(): value for name, value in answer.headers.items()}
        return Response(answer.status, headers, body, _NOWHERE)
