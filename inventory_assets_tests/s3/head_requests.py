"""Requests for single objects by a client, which is closed after them."""

import asyncio
from collections.abc import Sequence

from inventory_assets.s3.head_client import HeadClient
from inventory_assets.s3.object_answer import ObjectAnswer
from inventory_assets.s3.retries import RetryPolicy
from inventory_assets_tests.fakes.object_server import ObjectServer

QUICK = RetryPolicy(outage_seconds=5, base_seconds=0.001, cap_seconds=0.002)


def read(client: HeadClient, asked: Sequence[tuple[str, str | None, str]]) -> list[ObjectAnswer]:
    """Ask for objects, one after the other, in one task."""

    async def run() -> list[ObjectAnswer]:
        reader = client.reader()
        try:
            return [await reader.read(*each) for each in asked]
        finally:
            reader.close()

    try:
        return asyncio.run(run())
    finally:
        client.close()


def read_one(server: ObjectServer, key: str = "k", e_tag: str = "e") -> ObjectAnswer:
    (answer,) = read(HeadClient(server.config(), QUICK), [(key, None, e_tag)])
    return answer


def ends_of(client: HeadClient, keys: Sequence[str]) -> list[ObjectAnswer | BaseException]:
    """Ask for objects, each in a task of its own; the answer or the error of each."""

    async def one(key: str) -> ObjectAnswer:
        reader = client.reader()
        try:
            return await reader.read(key, None, "e")
        finally:
            reader.close()

    async def run() -> list[ObjectAnswer | BaseException]:
        return await asyncio.gather(*map(one, keys), return_exceptions=True)

    try:
        return asyncio.run(run())
    finally:
        client.close()
