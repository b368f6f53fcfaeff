import pyarrow as pa

from inventory_assets.inventory.usage.by_prefix import by_prefix
from inventory_assets.inventory.usage.largest import largest_prefixes
from inventory_assets_tests.inventory.usage.test_aggregate import aggregated, sorted_records


def prefixes_of(sizes: dict[str, int]) -> pa.Table:
    keys = sorted(sizes)
    return by_prefix(aggregated(sorted_records(keys, [{"size": sizes[key]} for key in keys])))


def test_the_largest_come_first_and_of_equal_ones_the_first() -> None:
    table = prefixes_of({"b/x": 2, "a/x": 2, "c/x": 9, "d": 100})
    assert largest_prefixes(table, "bytes").column("prefix").to_pylist() == ["c/", "a/", "b/"]


def test_a_prefix_with_a_single_prefix_beneath_is_left_out() -> None:
    table = prefixes_of({"a/b/c/1": 5, "a/b/c/d/1": 5, "e/f/1": 1, "ef/1": 1})
    found = largest_prefixes(table, "bytes").column("prefix").to_pylist()
    assert found == ["a/b/c/", "a/b/c/d/", "e/f/", "ef/"]


def test_there_may_be_none() -> None:
    assert largest_prefixes(prefixes_of({"a": 1}), "bytes").num_rows == 0
    assert largest_prefixes(prefixes_of({}), "objects").num_rows == 0
