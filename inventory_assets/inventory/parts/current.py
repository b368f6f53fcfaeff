"""The current objects among records: all of them, but for a source that lists versions.

Comparing two days needs one record for each key. Versions that are not the latest, and keys that a
delete marker hides, are left out as batches are read, so memory stays bounded by a row group.
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
    """The current objects of some ranges, as `read_records` reads records.

    Args:
        store: Where the parts lie.
        parts: In key order, of versions or not.
        ranges: Disjoint and in key order.
        columns: Which columns, `key` among them.
        dictionaries: Which of them to leave dictionary-encoded, as they are in the file.

    Yields:
        Batches of at least these columns, none empty, but `version_id` where none were listed.
    """
    read = [*columns, *(name for name in VERSION_COLUMNS if name not in columns)]
    return current_of(read_records(store, parts, ranges, read, dictionaries))


def current_of(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The current objects among records of either schema."""
    for batch in batches:
        current = batch.filter(are_current(batch)) if has_versions(batch.schema) else batch
        if current.num_rows:
            yield current


def count_current(store: Store, parts: Sequence[Part], key_range: KeyRange) -> int:
    """How many current objects lie in a range; parts wholly inside are not read."""
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
