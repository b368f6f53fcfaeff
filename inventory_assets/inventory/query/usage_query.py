"""The usage of any dataset: as it was published, or computed from the records."""

import pyarrow as pa

from inventory_assets.inventory.parts.part import Part
from inventory_assets.inventory.query.dataset import Dataset
from inventory_assets.inventory.usage.by_prefix import by_prefix
from inventory_assets.inventory.usage.date_usage import (
    DateUsage,
    merge_usage,
    read_usage_of,
)
from inventory_assets.inventory.usage.part_usage import published_part_usage, usage_of_part
from inventory_assets.inventory.usage.schema import PREFIX_SCHEMA, USAGE_SCHEMA
from inventory_assets.inventory.usage.usage_files import read_table


def published_usage(dataset: Dataset) -> DateUsage | None:
    """The usage that was published for an inventory; None where there is none, or an older one."""
    if dataset.layout is None or dataset.day is None or dataset.identity is None:
        return None
    return read_usage_of(dataset.store, dataset.layout, dataset.day, dataset.identity)


def usage_of(dataset: Dataset) -> pa.Table:
    """The aggregate of a dataset, with `USAGE_SCHEMA`; nothing is published.

    Where no usage was published for the inventory, its records are read, except those of parts
    whose usage is kept beside them.

    Raises:
        CorruptRecord: A part, or a table of the usage, is missing or damaged.
    """
    store, layout, usage = dataset.store, dataset.layout, published_usage(dataset)
    if usage:
        return read_table(store, usage.aggregate.key, USAGE_SCHEMA)

    def usage_of_one(part: Part) -> pa.Table:
        rows = published_part_usage(store, layout, part) if layout else None
        return usage_of_part(store, part) if rows is None else rows

    return merge_usage(dataset.parts, usage_of_one)


def prefixes_of(dataset: Dataset) -> pa.Table:
    """One row for each prefix, with `PREFIX_SCHEMA`; nothing is published.

    Where no usage was published for the inventory, there are no changes since earlier dates and no
    costs.

    Raises:
        CorruptRecord: A part, or a table of the usage, is missing or damaged.
    """
    usage = published_usage(dataset)
    if usage:
        return read_table(dataset.store, usage.by_prefix.key, PREFIX_SCHEMA)
    return by_prefix(usage_of(dataset))
