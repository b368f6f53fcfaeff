"""Count records of parts, and find keys by their places, reading as little as that takes."""

from collections.abc import Collection, Sequence

from inventory_assets.inventory.parts import Part, opened, read_records
from inventory_assets.inventory.store import Store
from inventory_assets.scan.ranges import KeyRange


def count_records(store: Store, parts: Sequence[Part], key_range: KeyRange) -> int:
    """How many records lie in a range; parts wholly inside are not read."""
    total = 0
    for part in parts:
        if part.first_key in key_range and part.last_key in key_range:
            total += part.rows
        else:
            batches = read_records(store, [part], [key_range], ["key"])
            total += sum(batch.num_rows for batch in batches)
    return total


def keys_at(store: Store, parts: Sequence[Part], places: Collection[int]) -> dict[int, str]:
    """The keys at some places of the sorted whole, counted from 0; few row groups are read."""
    start, found = 0, dict[int, str]()
    for part in parts:
        stop = start + part.rows
        if any(start <= place < stop for place in places):
            with opened(store, part) as file:
                for group in range(file.num_row_groups):
                    stop = start + file.metadata.row_group(group).num_rows
                    if here := [place for place in places if start <= place < stop]:
                        keys = file.read_row_group(group, ["key"]).column("key")
                        found |= {place: keys[place - start].as_py() for place in here}
                    start = stop
        start = stop
    return found
