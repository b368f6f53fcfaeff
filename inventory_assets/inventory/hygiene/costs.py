"""What the objects of a finding cost, by a price table."""

from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from inventory_assets.inventory.hygiene.part_findings import StorageTotal
from inventory_assets.inventory.hygiene.report import PriceTable, StoragePrice
from inventory_assets.inventory.parts.open_part import NO_STORAGE_CLASS
from inventory_assets.inventory.pricing.price_table import Prices
from inventory_assets.inventory.pricing.storage_cost import rates_of, storage_usd

_SCHEMA = pa.schema(
    [("storage_class", pa.string()), ("objects", pa.int64()), ("bytes", pa.int64())]
)


def priced_by(prices: Prices) -> PriceTable:
    """The costs of storage by a price table.

    Tiers are those of the whole inventory: a finding costs its share at their average price.
    """

    def at_totals(whole: Sequence[StorageTotal]) -> StoragePrice:
        rates = rates_of(prices, _table(whole))

        def monthly_usd(totals: Sequence[StorageTotal]) -> float | None:
            costs = storage_usd(rates, _table(totals))
            return None if costs.null_count else float(pc.sum(costs, min_count=0).as_py())

        return monthly_usd

    return at_totals


def minimum_bytes(prices: Prices) -> Mapping[str, int]:
    """What an object is billed for at least, by storage class, where there is a minimum."""
    return {
        name: found.minimum_billable_bytes
        for name, found in prices.classes.items()
        if found.minimum_billable_bytes
    }


def _table(totals: Sequence[StorageTotal]) -> pa.Table:
    rows = [
        {
            "storage_class": "" if each.storage_class == NO_STORAGE_CLASS else each.storage_class,
            "objects": each.objects,
            "bytes": each.bytes,
        }
        for each in totals
    ]
    return pa.Table.from_pylist(rows, schema=_SCHEMA)
