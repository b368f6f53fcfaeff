"""Count records in parts and find keys by position, reading few row groups."""

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from inventory_assets.inventory.parts.part import Part, open_files, read_records
from inventory_assets.inventory.parts.schema import RECORD_SCHEMA
from inventory_assets.inventory.storage.store import Store
from inventory_assets.scan.keyspace.key_range import KeyRange


def count_records(store: Store, parts: Sequence[Part], key_range: KeyRange) -> int:
    """The number of records in a range; parts entirely inside are not read."""
    total = 0
    for part in parts:
        if part.first_key in key_range and part.last_key in key_range:
            total += part.rows
        else:
            batches = read_records(store, [part], [key_range], ["key"])
            total += sum(batch.num_rows for batch in batches)
    return total


def keys_at(store: Store, parts: Sequence[Part], positions: Collection[int]) -> dict[int, str]:
    """The keys at positions in all records, counted from 0; reads few row groups."""
    start, found = 0, dict[int, str]()
    for part in parts:
        stop = start + part.rows
        if any(start <= position < stop for position in positions):
            with open_files(store, part) as file:
                for group in range(file.num_row_groups):
                    stop = start + file.metadata.row_group(group).num_rows
                    if here := [position for position in positions if start <= position < stop]:
                        keys = file.read_row_group(group, ["key"]).column("key")
                        found |= {position: keys[position - start].as_py() for position in here}
                    start = stop
        start = stop
    return found


def positions_of(
    store: Store, parts: Sequence[Part], keys: Collection[str], *, through: bool
) -> dict[str, int]:
    """The number of records before each key; reads few row groups.

    Args:
        store: The store of the parts.
        parts: The parts, in key order.
        keys: The keys, which need not exist.
        through: Whether to include the records with the key itself.
    """
    count = bisect_right if through else bisect_left
    start, found = 0, dict[str, int]()
    waiting = sorted(set(keys), reverse=True)
    for part in parts:
        while waiting and waiting[-1] < part.first_key:
            found[waiting.pop()] = start
        if not waiting:
            break
        stop = start + part.rows
        if waiting[-1] <= part.last_key:
            with open_files(store, part) as file:
                for group in range(file.num_row_groups):
                    if waiting and waiting[-1] <= _last_key(file, group, part):
                        column = file.read_row_group(group, ["key"]).column("key")
                        # A key's versions are never split over row groups.
                        last = column[-1].as_py()
                        while waiting and waiting[-1] <= last:
                            offset = count(column, waiting[-1], key=pa.StringScalar.as_py)
                            found[waiting.pop()] = start + offset
                    start += file.metadata.row_group(group).num_rows
        start = stop
    return found | dict.fromkeys(waiting, start)


def _last_key(file: pq.ParquetFile, group: int, part: Part) -> str:
    """The last key of a row group, or without statistics, of the whole part."""
    index = RECORD_SCHEMA.get_field_index("key")
    statistics = file.metadata.row_group(group).column(index).statistics
    last = statistics.max if statistics is not None and statistics.has_min_max else None
    return last if isinstance(last, str) else part.last_key
