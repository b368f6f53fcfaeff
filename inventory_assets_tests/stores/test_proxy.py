"""Behind a proxy that exchanges responses, listings lose nothing."""

from collections import Counter
from pathlib import Path

import pytest

from inventory_assets.s3.list_client import ListClient
from inventory_assets_tests.stores.habits import Habits
from inventory_assets_tests.stores.holdings import folders
from inventory_assets_tests.stores.listing_runs import list_and_compare
from inventory_assets_tests.stores.odd_server import OddServer
from inventory_assets_tests.stores.odd_store import OddStore
from inventory_assets_tests.stores.proxy import EVERYTHING, Mishap, MixingProxy
from inventory_assets_tests.stores.report import Noted

HOLDINGS = folders([f"d{number:02}/" for number in range(8)], 150)

FEW, MANY = 12, 1000

ENOUGH = 0.9
"""Of the listings must end with the truth; the others may be refused by name."""


def list_behind(proxy: MixingProxy, server: OddServer, number: int, folder: Path) -> Counter[str]:
    """List so many times, with various numbers of requests at once; how each ended."""
    results: Counter[str] = Counter()
    listers = [
        ListClient(server.bucket_config(in_flight, endpoint_url=proxy.url))
        for in_flight in (8, 2, 16)
    ]
    try:
        for each in range(number):
            server.store.asked.clear()
            outcome = list_and_compare(
                listers[each % len(listers)],
                server.store.asked,
                server.store.holdings,
                folder / str(each),
            )
            results[outcome.kind] += 1
    finally:
        for lister in listers:
            lister.close()
    return results


def check(number: int, folder: Path, noted: Noted) -> None:
    chances = EVERYTHING
    with (
        OddServer(OddStore(HOLDINGS, Habits(page_keys=50))) as server,
        MixingProxy(server.url, chances, seed=number) as proxy,
    ):
        results = list_behind(proxy, server, number, folder)
    told = ", ".join(f"{count:,} {mishap}" for mishap, count in sorted(proxy.mishaps.items()))
    noted.stories(f"Listings behind a proxy that mixes answers up ({told})", results)
    assert set(proxy.mishaps) == set(chances)
    assert not results.keys() & {"lost", "doubled"}, results
    assert results["exact"] >= ENOUGH * number, results


def test_some_listings_behind_the_proxy(tmp_path: Path, noted: Noted) -> None:
    check(FEW, tmp_path, noted)


@pytest.mark.stores
def test_a_thousand_listings_behind_the_proxy(tmp_path: Path, noted: Noted) -> None:
    check(MANY, tmp_path, noted)


@pytest.mark.stores
@pytest.mark.parametrize("mishap", Mishap)
def test_listings_behind_a_proxy_with_one_mishap(
    mishap: Mishap, tmp_path: Path, noted: Noted
) -> None:
    with (
        OddServer(OddStore(HOLDINGS, Habits(page_keys=50))) as server,
        MixingProxy(
            server.url, {mishap: 0.4 if mishap is Mishap.SWAPPED else 0.1}, seed=1
        ) as proxy,
    ):
        results = list_behind(proxy, server, FEW, tmp_path)
    noted.stories(f"Listings behind a proxy, answers {mishap}", results)
    assert proxy.mishaps[mishap]
    assert not results.keys() & {"lost", "doubled"}, results
