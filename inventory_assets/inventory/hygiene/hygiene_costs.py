"""What the objects of findings cost by a price table."""

from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from inventory_assets.inventory.hygiene.findings import StorageTotal
from inventory_assets.inventory.hygiene.report import PriceTable, StoragePrice
from inventory_assets.inventory.parts.schema import listed_classes
from inventory_assets.inventory.pricing.price_table import Prices
from inventory_assets.inventory.pricing.storage_cost import rates_of, storage_usd


def priced_by(prices: Prices) -> PriceTable:
    """The prices of findings by a price table."""

    def at_totals(whole: Sequence[StorageTotal]) -> StoragePrice:
        rates = rates_of(prices, _rows(whole))

        def price(totals: Sequence[StorageTotal]) -> float | None:
            costs = storage_usd(rates, _rows(totals))
            return None if costs.null_count else pc.sum(costs).as_py() or 0.0

        return price

    return at_totals


def minimum_bytes(prices: Prices) -> Mapping[str, int]:
    """What an object is billed for at least, by storage class, where there is a minimum."""
    return {
        name: found.minimum_billable_bytes
        for name, found in prices.classes.items()
        if found.minimum_billable_bytes
    }


def _rows(totals: Sequence[StorageTotal]) -> pa.Table:
    classes = pa.array([total.storage_class for total in totals], pa.string())
    return pa.table(
        {
            "storage_class": listed_classes(classes),
            "objects": pa.array([total.objects for total in totals], pa.int64()),
            "bytes": pa.array([total.bytes for total in totals], pa.int64()),
        }
    )
