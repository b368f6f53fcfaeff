"""The cost of aggregated rows: as that of each object by itself."""

import math
from collections.abc import Sequence

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inventory_assets.inventory.pricing.price_table import GB, Prices, load_prices
from inventory_assets.inventory.pricing.storage_cost import rates_of, storage_usd

KIB_128 = 131_072
Row = tuple[str | None, int, int]


def table(rows: Sequence[Row]) -> pa.Table:
    names, objects, sizes = zip(*rows, strict=True) if rows else ((), (), ())
    return pa.table(
        {
            "storage_class": pa.array(names, pa.string()),
            "objects": pa.array(objects, pa.int64()),
            "bytes": pa.array(sizes, pa.int64()),
        }
    )


def cost(*rows: Row, prices: Prices | None = None) -> list[float | None]:
    """The cost of each row of a bucket that has these rows."""
    found = table(rows)
    result: list[float | None] = storage_usd(
        rates_of(prices or load_prices(), found), found
    ).to_pylist()
    return result


def test_storage_is_billed_by_gb_of_two_to_the_thirty_bytes() -> None:
    assert cost(("STANDARD", 1, 100 * GB)) == [pytest.approx(2.3)]


def test_small_objects_are_billed_at_the_minimum_size_of_their_class() -> None:
    small, large = cost(("STANDARD_IA", 1000, 1000), ("STANDARD_IA", 1000, 1000 * KIB_128))
    assert small == large == pytest.approx(1000 * KIB_128 / GB * 0.0125)


def test_archived_objects_are_billed_with_their_overhead() -> None:
    (found,) = cost(("GLACIER", 1000, 1000))
    assert found == pytest.approx((1000 + 1000 * 32_768) / GB * 0.0036 + 8_192_000 / GB * 0.023)


def test_intelligent_tiering_monitors_objects_of_128_kib_and_more() -> None:
    small, large = cost(
        ("INTELLIGENT_TIERING", 1000, 1000 * (KIB_128 - 1)),
        ("INTELLIGENT_TIERING", 1000, 1000 * KIB_128),
    )
    assert small == pytest.approx(1000 * (KIB_128 - 1) / GB * 0.023)
    assert large == pytest.approx(1000 * KIB_128 / GB * 0.023 + 0.0025)


def test_an_unknown_class_has_an_unknown_cost_and_never_none_at_all() -> None:
    assert cost(("FAST", 1, GB), ("STANDARD", 1, GB)) == [None, pytest.approx(0.023)]


@pytest.mark.parametrize("name", ["", None])
def test_a_class_that_the_store_does_not_name_is_that_of_the_table(name: str | None) -> None:
    assert cost((name, 1, GB)) == [pytest.approx(0.023)]
    silent = load_prices().model_copy(update={"unnamed_class": None})
    assert cost((name, 1, GB), prices=silent) == [None]


def test_delete_markers_have_no_price_and_need_none() -> None:
    rows = table([("", 5, 0), ("", 1, GB)]).append_column(
        "state", pa.array(["delete_marker", "current"]).dictionary_encode()
    )
    silent = load_prices().model_copy(update={"unnamed_class": None})
    assert storage_usd(rates_of(silent, rows), rows).to_pylist() == [0.0, None]


def test_a_frame_of_polars_is_priced_as_a_table_of_arrow_is() -> None:
    rows = table([("STANDARD", 1, GB), ("GLACIER", 3, GB), (None, 1, 1)])
    frame = pl.DataFrame(rows).with_columns(pl.col("storage_class").cast(pl.Categorical))
    expected = storage_usd(rates_of(load_prices(), rows), rows)
    assert storage_usd(rates_of(load_prices(), frame), frame) == expected


def test_nothing_costs_nothing() -> None:
    assert cost() == []


def test_a_prefix_costs_its_share_of_a_bucket_in_several_tiers() -> None:
    whole = table([("STANDARD", 2, 102_400 * GB)])
    half = table([("STANDARD", 1, 51_200 * GB)])
    (found,) = storage_usd(rates_of(load_prices(), whole), half).to_pylist()
    assert found == pytest.approx(51_200 * (0.023 + 0.022) / 2)


SIZES = st.one_of(st.integers(0, 3 * KIB_128), st.integers(0, 2**50))
OBJECTS = st.lists(st.tuples(st.sampled_from(sorted(load_prices().classes)), SIZES), max_size=40)


@given(OBJECTS)
def test_rows_by_class_and_size_cost_what_their_objects_cost(
    objects: list[tuple[str, int]],
) -> None:
    """Each object by itself, by the words of the price list, at the tiers of the whole bucket."""
    prices = load_prices()
    billed: dict[str, int] = dict.fromkeys(prices.classes, 0)
    monitored = 0
    for name, size in objects:
        found = prices.classes[name]
        billed[name] += max(size, found.minimum_billable_bytes) + found.overhead_bytes
        billed["STANDARD"] += found.overhead_standard_bytes
        monitored += name == "INTELLIGENT_TIERING" and size >= KIB_128
    expected = monitored * 0.0025 / 1000
    for name, total in billed.items():
        start = 0.0
        for tier in prices.classes[name].tiers:
            end = tier.up_to_gb or math.inf
            expected += max(min(total / GB, end) - start, 0.0) * tier.usd_per_gb_month
            start = end
    rows: dict[tuple[str, bool], list[int]] = {}
    for name, size in objects:
        rows.setdefault((name, size >= KIB_128), []).append(size)
    found_rows = table([(name, len(all_), sum(all_)) for (name, _), all_ in rows.items()])
    costs = storage_usd(rates_of(prices, found_rows), found_rows).to_pylist()
    assert sum(costs) == pytest.approx(expected)
