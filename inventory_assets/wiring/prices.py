"""What storage and requests of a source cost, by the price table that it names."""

from pathlib import Path
from typing import TYPE_CHECKING

from inventory_assets.config import Source

if TYPE_CHECKING:
    import pyarrow as pa

    from inventory_assets.inventory.pricing.price_table import Prices
    from inventory_assets.inventory.usage.by_prefix import Pricing


def prices_of(source: Source | None) -> "Prices":
    """The price table of a source: its own, or S3's list prices, as where there is no source.

    Raises:
        ConfigError: The table cannot be read or is invalid.
    """
    from inventory_assets.inventory.pricing.price_table import load_prices

    return load_prices(Path(source.prices) if source and source.prices else None)


def usage_pricing(prices: "Prices") -> "Pricing":
    """What the storage of the rows of a usage table costs by a price table."""

    def monthly_usd(rows: "pa.Table") -> "pa.DoubleArray":
        import pyarrow.compute as pc

        from inventory_assets.inventory.parts.schema import listed_classes
        from inventory_assets.inventory.pricing.storage_cost import rates_of, storage_usd

        at, classes = rows.schema.get_field_index("storage_class"), rows.column("storage_class")
        rows = rows.set_column(at, "storage_class", listed_classes(classes))
        whole = rows.filter(pc.equal(rows.column("prefix"), ""))
        return storage_usd(rates_of(prices, whole), rows)

    return monthly_usd
