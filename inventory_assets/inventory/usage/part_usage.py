"""The usage of parts: computed once for each part, and kept beside it.

A part never changes, so neither does its usage. Dates that share the part share the file.
"""

import pyarrow as pa

from inventory_assets.inventory.parts.part import Part, read_records
from inventory_assets.inventory.storage.layout import Layout
from inventory_assets.inventory.storage.store import Store
from inventory_assets.inventory.usage.aggregate import UsageAggregate
from inventory_assets.inventory.usage.dimensions import RECORD_COLUMNS
from inventory_assets.inventory.usage.usage_files import read_part_table, write_part_table
from inventory_assets.scan.keyspace.key_range import KeyRange

_EVERYTHING = (KeyRange.of_prefix(""),)


def usage_of_part(store: Store, part: Part) -> pa.Table:
    """The aggregate of the records of a part, computed from them.

    Raises:
        CorruptRecord: The part is missing or damaged.
    """
    usage = UsageAggregate(within=(part.rows, part.object_bytes))
    for batch in read_records(store, [part], _EVERYTHING, RECORD_COLUMNS, ["storage_class"]):
        usage.add_records(batch)
    return usage.table()


def published_part_usage(store: Store, layout: Layout, part: Part) -> pa.Table | None:
    """The aggregate of a part that is kept beside it; None where there is none that counts.

    It is as `read_part_table` reads it, for `UsageAggregate.add`.
    """
    return read_part_table(store, layout.part_usage(part.key), part.rows)


def publish_part_usage(store: Store, layout: Layout, part: Part) -> pa.Table:
    """Compute the aggregate of a part, and publish it beside the part.

    Raises:
        CorruptRecord: The part is missing or damaged.
        StoreError: The file cannot be written.
    """
    table = usage_of_part(store, part)
    with store.scratch() as folder:
        path = folder / "usage.parquet"
        write_part_table(path, layout, table, part.rows)
        store.publish_file(layout.part_usage(part.key), path)
    return table
