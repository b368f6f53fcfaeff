"""Exact sizes by prefix, the oracle, and the pruned table of usage that is made of them."""

from collections.abc import Mapping
from datetime import date

from inventory_assets.inventory.growth.bounds import GrowthBounds
from inventory_assets.inventory.growth.dated_sizes import DatedSizes, Sizes
from inventory_assets.inventory.usage.by_prefix import by_prefix
from inventory_assets.inventory.usage.keeping import KEEP, KeepRule
from inventory_assets_tests.inventory.usage.plain_usage import prefixes_of
from inventory_assets_tests.inventory.usage.test_aggregate import aggregated, sorted_records

Bucket = Mapping[str, int]
"""The sizes of objects by key."""

BOUNDS = GrowthBounds(
    fell_percent=50,
    rose_percent=100,
    prefix_percent=20,
    modified_percent=30,
    deleted_percent=30,
    stopped_after_dates=3,
    min_objects=1,
)


def exact(bucket: Bucket) -> dict[str, Sizes]:
    """Objects and bytes of every prefix."""
    found: dict[str, Sizes] = {"": (0, 0)}
    for key, size in bucket.items():
        for prefix in prefixes_of(key):
            objects, total = found.get(prefix, (0, 0))
            found[prefix] = objects + 1, total + size
    return found


def dated(bucket: Bucket, day: date, rule: KeepRule = KEEP) -> DatedSizes:
    """What the table of usage says, in which small prefixes have no row."""
    keys = sorted(bucket, key=str.encode)
    rows = sorted_records(keys, [{"size": bucket[key]} for key in keys])
    table = by_prefix(aggregated(rows, rule=rule))
    sizes = {row["prefix"]: (row["objects"], row["bytes"]) for row in table.to_pylist()}
    return DatedSizes(day, sizes, rule=rule)
