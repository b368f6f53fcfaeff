"""What a listing is expected to cost, and whether that is within its budget."""

from collections.abc import Iterable

from inventory_assets.config import Budget
from inventory_assets.inventory.manifest.manifest import Manifest
from inventory_assets.inventory.pricing.price_table import Prices
from inventory_assets.units import human_usd


def expected_requests(manifest: Manifest | None, listings: Iterable[Iterable[str]]) -> int | None:
    """The LIST requests that listings are expected to take: as many as those of a manifest.

    The keys of a new shard were listed with the shard that held them then.

    Args:
        manifest: The newest manifest of the source.
        listings: For each date to list, the prefixes of its shards.

    Returns:
        The number; None without a manifest, or if it has none of the shards.
    """
    if manifest is None:
        return None
    requests = {entry.shard.prefix: entry.requests for entry in manifest.shards}
    known = sorted(requests, key=len, reverse=True)
    expected, is_known = 0, False
    for prefixes in listings:
        covering = (
            next((each for each in known if prefix.startswith(each)), None) for prefix in prefixes
        )
        held_by = {each for each in covering if each is not None}
        is_known = is_known or bool(held_by)
        expected += sum(requests[each] for each in held_by)
    return expected if is_known else None


def budget_excess(source: str, budget: Budget, expected: int, prices: Prices) -> str | None:
    """Why a run exceeds its budget, and what to do; None if it is within it.

    Args:
        source: The name of the source.
        budget: Its budget.
        expected: The number of LIST requests that the run is expected to take.
        prices: Its prices.
    """
    usd = prices.listing_usd(expected)
    if budget.requests is not None and expected > budget.requests:
        field, bound = "requests", f"{budget.requests:,}"
    elif budget.usd is not None and usd > budget.usd:
        field, bound = "usd", human_usd(budget.usd)
    else:
        return None
    return (
        f"listing was not started: it is expected to take {expected:,} LIST requests for "
        f"{human_usd(usd)} ({prices.label}), by the newest manifest, and the budget is {bound}; "
        f"raise sources.{source}.budget.{field}, or materialize fewer partitions in a run"
    )
