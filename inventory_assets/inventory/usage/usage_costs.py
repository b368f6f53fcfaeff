"""What the storage of usage costs by a price table."""

import pyarrow as pa
import pyarrow.compute as pc

from inventory_assets.inventory.parts.open_part import NO_STORAGE_CLASS
from inventory_assets.inventory.pricing.price_table import Prices
from inventory_assets.inventory.pricing.storage_cost import rates_of, storage_usd
from inventory_assets.inventory.usage.by_prefix import Pricing


def pricing_by(prices: Prices) -> Pricing:
    """The pricing of usage by a price table.

    The rows of the prefix "" are the totals that tiered prices depend on.
    """

    def price(rows: pa.Table, /) -> pa.DoubleArray:
        priced = _with_unnamed_class(rows)
        whole = priced.filter(pc.equal(priced.column("prefix"), ""))
        return storage_usd(rates_of(prices, whole), priced)

    return price


def _with_unnamed_class(rows: pa.Table) -> pa.Table:
    """The rows with "" where the store names no storage class, as price tables have it."""
    classes = rows.column("storage_class")
    named = pc.if_else(pc.equal(classes, NO_STORAGE_CLASS), "", classes)
    return rows.set_column(rows.schema.get_field_index("storage_class"), "storage_class", named)
