"""Prove that a store lists in byte order where a range is split.

In directory order, all keys under `a/` are listed at the position of the name `a` among its
siblings, before `a-b`. If a range ends within `a/`, or between `a-b` and `a/`, and the store
compares StartAfter by bytes, neither of the two ranges lists `a-b`, although their seam agrees.
Therefore, for each name `a` whose siblings a boundary may separate, the siblings are listed. If the
two orders sort a pair of them differently, a request shows which one the store lists first; this
proves its order everywhere.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import pairwise

from inventory_assets.s3.page_request import PageRequest
from inventory_assets.s3.page_source import PageSource
from inventory_assets.s3.request_stats import RequestStats
from inventory_assets.scan.errors import KeysOutOfOrder
from inventory_assets.scan.first_page import first_page
from inventory_assets.scan.keyspace.key_range import DELIMITER

_BYTE_ORDER_SERVERS = ("AmazonS3", "MinIO")
"""Starts of the `Server` header of stores that are known to list in byte order."""


class OrderProof:
    """Proves the order of a store. For one event loop; each level is listed at most once.

    Args:
        lister: The bucket.
    """

    def __init__(self, lister: PageSource) -> None:
        self._lister = lister
        self._is_proven = False
        self._asking: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._asked: dict[str, bool] = {}

    async def prove(self, prefix: str, boundary: str, stats: RequestStats) -> None:
        """Check that no key is lost at the boundary of two ranges.

        Args:
            prefix: The prefix of all keys in the ranges.
            boundary: The last key of the range on the left.
            stats: Counts the requests.

        Raises:
            KeysOutOfOrder: The store lists in directory order.
            S3Error: A request failed permanently.
        """
        for name in (*names_at_risk(prefix, boundary), boundary):
            if self._is_proven or (self._lister.server or "").startswith(_BYTE_ORDER_SERVERS):
                return
            level = name[: name.rfind(DELIMITER) + 1]
            is_known = len(level) >= len(prefix) and await self._ask_once(level, stats)
            if not is_known and name not in (level, boundary):
                await self._ask_once(name, stats)

    async def _ask_once(self, start: str, stats: RequestStats) -> bool:
        async with self._asking[start]:
            if start not in self._asked:
                self._asked[start] = await self._ask(start, stats)
        return self._asked[start]

    async def _ask(self, start: str, stats: RequestStats) -> bool:
        """Check the names that begin with `start`; return whether one page showed all of them."""
        page = await first_page(self._lister, PageRequest(start, delimiter=DELIMITER), stats)
        keys: list[str] = page.objects.column("key").to_pylist()
        for names in (keys, list(page.common_prefixes)):
            if names != sorted(names):
                raise KeysOutOfOrder(
                    f"{self._lister.bucket_config.display_name}: the store does not list the names "
                    f"after {start!r} in byte order"
                )
        for name, folder in telling_pairs([*keys, *page.common_prefixes], page.common_prefixes):
            if not self._is_proven:
                await self._compare(name, folder, stats)
        return not page.is_truncated

    async def _compare(self, name: str, folder: str, stats: RequestStats) -> None:
        """Request the first of two siblings, and check that it is the one of byte order."""
        bare = folder.removesuffix(DELIMITER)
        # Two keys, as the bare name itself may be an object.
        page = await first_page(self._lister, PageRequest(bare, max_keys=2), stats)
        listed = [key for key in page.objects.column("key").to_pylist() if key != bare]
        if listed and listed[0].startswith(folder):
            raise KeysOutOfOrder(
                f"{self._lister.bucket_config.display_name}: the store lists {listed[0]!r} before "
                f"{name!r}, so not in byte order"
            )
        self._is_proven = self._is_proven or bool(listed)


def names_at_risk(prefix: str, boundary: str) -> Iterator[str]:
    """The names whose siblings a boundary may separate in directory order; shortest first."""
    if boundary.startswith(prefix):
        for index in range(len(prefix), len(boundary)):
            if boundary[index] <= DELIMITER:
                yield boundary[:index]


def telling_pairs(names: Iterable[str], folders: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Pairs of siblings that byte order and directory order sort differently.

    `a-b` and a folder `a/` are such a pair: in byte order `a-b` comes first.

    Args:
        names: All names of a level, folders included.
        folders: The folders of the level.
    """
    is_folder = set(folders)
    for name, folder in pairwise(sorted(set(names))):
        bare = folder.removesuffix(DELIMITER)
        if folder in is_folder and name.startswith(bare) and name != bare:
            yield name, folder
