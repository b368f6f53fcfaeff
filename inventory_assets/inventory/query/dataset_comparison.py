"""Compare the current objects of two datasets."""

from collections.abc import Iterator
from dataclasses import replace

import pyarrow as pa

from inventory_assets.inventory.changes.sorted_diff import (
    BASELINE_COLUMNS,
    DIFFERENCE_SCHEMA,
    SNAPSHOT_COLUMNS,
    diff_sorted,
)
from inventory_assets.inventory.parts.current import read_current
from inventory_assets.inventory.parts.schema import RECORD_SCHEMA
from inventory_assets.inventory.query.dataset import Dataset
from inventory_assets.scan.keyspace.key_range import KeyRange

BUCKET_DIFFERENCE_SCHEMA = pa.schema(
    [
        RECORD_SCHEMA.field("bucket"),
        *(field for field in DIFFERENCE_SCHEMA if field.name != "version_id"),
    ]
)
"""The schema of `changes_between`: with the bucket, without date and version."""


def changes_between(old: Dataset, new: Dataset) -> Iterator[pa.RecordBatch]:
    """The differences between the current objects, in key order; skips files that both share.

    Yields:
        Batches with `BUCKET_DIFFERENCE_SCHEMA`.
    """
    shared = set(old.uris) & set(new.uris)
    before, after = (
        replace(
            side,
            parts=tuple(part for part in side.parts if side.store.uri(part.key) not in shared),
        )
        for side in (old, new)
    )
    bucket = pa.scalar(after.bucket or before.bucket)
    sides = (
        read_current(side.store, side.parts, [KeyRange.of_prefix(side.prefix)], columns)
        for side, columns in ((before, BASELINE_COLUMNS), (after, SNAPSHOT_COLUMNS))
    )
    for table in diff_sorted(*sides):
        differences = table.drop_columns(["version_id"]).columns
        columns = [pa.repeat(bucket, table.num_rows), *differences]
        yield from pa.Table.from_arrays(columns, schema=BUCKET_DIFFERENCE_SCHEMA).to_batches()
