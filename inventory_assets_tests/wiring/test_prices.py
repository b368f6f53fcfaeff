"""The price tables of sources."""

import pyarrow as pa

from inventory_assets.inventory.pricing.price_table import load_prices
from inventory_assets.wiring.prices import usage_pricing


def test_usage_is_priced_at_the_rates_of_the_whole_and_an_unnamed_class_by_the_table() -> None:
    gb = 2**30
    rows = pa.Table.from_pylist(
        [
            {"prefix": prefix, "storage_class": name, "objects": 1, "bytes": gb}
            for prefix, name in [
                ("", "STANDARD"),
                ("", "UNKNOWN"),
                ("", "OTHER"),
                ("a/", "STANDARD"),
                ("a/", "UNKNOWN"),
            ]
        ]
    )
    found = usage_pricing(load_prices())(rows).to_pylist()
    assert found == [0.023, 0.023, None, 0.023, 0.023]
