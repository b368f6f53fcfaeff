"""Read the current objects from parts, with or without versions.

Comparing two dates needs one record per key. Noncurrent versions and delete markers are filtered
out of each batch, so memory is bounded by a row group.
"""

from collections.abc import Iterable, Iterator, Sequence

import pyarrow as pa

from inventory_assets.inventory.parts.counting import count_records
from inventory_assets.inventory.parts.part import Part, read_records
from inventory_assets.inventory.parts.schema import VERSION_COLUMNS, are_current, has_versions
from inventory_assets.inventory.storage.store import Store
from inventory_assets.scan.keyspace.key_range import KeyRange


def read_current(
    store: Store,
    parts: Sequence[Part],
    ranges: Sequence[KeyRange],
    columns: Sequence[str],
    dictionaries: Sequence[str] = (),
) -> Iterator[pa.RecordBatch]:
    """The current objects in ranges; like `read_records`, but filtered.

    Args:
        store: The store of the parts.
        parts: The parts, in key order, with or without versions.
        ranges: The ranges, disjoint and in key order.
        columns: The columns, including `key`.
        dictionaries: The columns to leave dictionary-encoded.

    Yields:
        Non-empty batches of at least these columns, except `version_id` if it was not listed.
    """
    read = [*columns, *(name for name in VERSION_COLUMNS if name not in columns)]
    return current_of(read_records(store, parts, ranges, read, dictionaries))


def current_of(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Filter batches of either schema to the current objects."""
    for batch in batches:
        current = batch.filter(are_current(batch)) if has_versions(batch.schema) else batch
        if current.num_rows:
            yield current


def count_current(store: Store, parts: Sequence[Part], key_range: KeyRange) -> int:
    """The number of current objects in a range; parts entirely inside are not read."""
    total = 0
    for part in parts:
        if part.current is None:
            total += count_records(store, [part], key_range)
        elif part.first_key in key_range and part.last_key in key_range:
            total += part.current
        else:
            batches = read_current(store, [part], [key_range], ["key"])
            total += sum(batch.num_rows for batch in batches)
    return total
