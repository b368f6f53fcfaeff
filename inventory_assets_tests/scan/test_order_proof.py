import asyncio

import pytest

from inventory_assets.s3.request_stats import RequestStats
from inventory_assets.scan.errors import KeysOutOfOrder
from inventory_assets.scan.validation.order_proof import OrderProof, names_at_risk, telling_pairs
from inventory_assets_tests.fakes.model_s3 import ModelS3

KEYS = ["top/a/1", "top/b-1/1", "top/b/1", "top/c/1"]


def prove(lister: ModelS3, *boundaries: str) -> int:
    """Prove the order at some boundaries; return the number of requests."""

    async def run() -> None:
        proof = OrderProof(lister)
        await asyncio.gather(
            *(proof.prove("", boundary, RequestStats()) for boundary in boundaries)
        )

    asyncio.run(run())
    return len(lister.requests)


@pytest.mark.parametrize("boundary", ["top/a/1", "top/b-1/1", "top/b/0", "top/c/", "top/b-"])
def test_directory_order_is_reported_wherever_a_range_is_split(boundary: str) -> None:
    with pytest.raises(KeysOutOfOrder, match="order"):
        prove(ModelS3(KEYS, 10, in_directory_order=True), boundary)


def test_byte_order_is_proven_by_one_pair_for_the_whole_bucket() -> None:
    lister = ModelS3(KEYS, 10)
    # The root, the level with the pair, and the first of the two siblings.
    assert prove(lister, "top/b/0") == 3
    lister.requests.clear()
    assert prove(lister, "top/b/0", "top/c/1", "top/b/0") <= 4


def test_a_level_is_listed_once_for_any_number_of_boundaries() -> None:
    keys = [f"logs/{day:02}/{n}" for day in range(30) for n in range(3)]
    lister = ModelS3(keys, 100)
    assert prove(lister, *(f"logs/{day:02}/\U0010fffd" for day in range(30))) == 2 + 30


def test_a_server_known_to_list_in_byte_order_takes_no_requests() -> None:
    lister = ModelS3(KEYS, 10)
    lister.server = "AmazonS3"
    assert prove(lister, "top/b/0") == 0


def test_names_at_risk_are_those_whose_siblings_a_boundary_may_separate() -> None:
    assert [*names_at_risk("", "a/b-c/d")] == ["a", "a/b", "a/b-c"]
    assert [*names_at_risk("a/", "a/b-c")] == ["a/b"]
    assert [*names_at_risk("x/", "a/b")] == []


def test_telling_pairs_are_siblings_that_both_orders_sort_differently() -> None:
    assert [*telling_pairs(["a-b", "a/", "b/", "c"], ["a/", "b/"])] == [("a-b", "a/")]
    assert [*telling_pairs(["a/", "a0/"], ["a/", "a0/"])] == []
