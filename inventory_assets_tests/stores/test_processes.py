"""Processes that share a listing lose nothing where their ranges meet, on any store."""

from collections import Counter
from pathlib import Path

import pytest

from inventory_assets.s3.list_client import ListClient
from inventory_assets_tests.stores.habits import EarlyEnd, Habits, Order
from inventory_assets_tests.stores.holdings import folders
from inventory_assets_tests.stores.listing_runs import EXACT, impatient, list_and_compare
from inventory_assets_tests.stores.odd_server import OddServer
from inventory_assets_tests.stores.odd_store import OddStore

HABITS: dict[str, Habits] = {
    "as AWS": Habits(),
    "ends too early": Habits(early_end=EarlyEnd(chance=0.05)),
    "by directory": Habits(order=Order.DIRECTORY),
}

HOLDINGS = [*folders(["d/obj/", "d/obj-1/", "d/obj.x/"], 300), *folders(["e/", "f/"], 300)]


@pytest.mark.stores
@pytest.mark.parametrize("habits", HABITS.values(), ids=HABITS)
def test_processes_lose_nothing_where_their_ranges_meet(habits: Habits, tmp_path: Path) -> None:
    results: Counter[str] = Counter()
    with OddServer(OddStore(HOLDINGS, Habits(page_keys=20) | habits)) as server:
        for number in range(5):
            lister = ListClient(server.bucket_config(6), impatient())
            outcome = list_and_compare(
                lister, server.store.asked, HOLDINGS, tmp_path / str(number), processes=3
            )
            lister.close()
            results[outcome.kind] += 1
    assert results.keys() <= {EXACT, "refused"}, results
    assert results[EXACT], results
