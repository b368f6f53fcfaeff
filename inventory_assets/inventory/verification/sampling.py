"""Draw samples from an inventory, reading a few row groups of its parts."""

import random
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from inventory_assets.inventory.parts.counting import keys_at, positions_of
from inventory_assets.inventory.parts.part import Part, read_records
from inventory_assets.inventory.storage.store import Store
from inventory_assets.scan.engine.key_density import common_start
from inventory_assets.scan.keyspace.key_range import DELIMITER, KeyRange, prefix_upper_bound


@dataclass(frozen=True, slots=True)
class SampledRecords:
    """The records of an inventory, with methods to draw samples.

    Attributes:
        store: The store of the parts.
        parts: The parts, in key order.
        prefix: The common prefix of all keys.
    """

    store: Store
    parts: Sequence[Part]
    prefix: str

    @property
    def rows(self) -> int:
        """The number of records."""
        return sum(part.rows for part in self.parts)

    def blocks(self, chance: random.Random, count: int, size: int) -> list[KeyRange]:
        """Divide all keys into ranges with `size` records each, and draw up to `count` of them."""
        rows = self.rows
        blocks = max(1, -(-rows // size))
        drawn = chance.sample(range(blocks), min(count, blocks))
        whole = KeyRange.of_prefix(self.prefix)
        ends = {block * size - 1 for number in drawn for block in (number, number + 1)}
        known = self._keys(end for end in ends if 0 <= end < rows - 1)
        bounds = [
            (
                known.get(number * size - 1, whole.after),
                known.get((number + 1) * size - 1, whole.until),
            )
            for number in drawn
        ]
        # All records of a block may be versions of one key.
        return [KeyRange(after, until) for after, until in bounds if after < until]

    def between_records(self, ranges: Sequence[KeyRange]) -> list[KeyRange]:
        """Widen empty ranges so that each contains the records before and after it.

        Otherwise, a store that wrongly returns an empty response would seem to agree. It must list
        the records at both ends, with no record between them.
        """
        whole = KeyRange.of_prefix(self.prefix)
        through_start = self._positions([each.after for each in ranges], through=True)
        through_end = self._positions([each.until for each in ranges], through=True)
        rows = self.rows
        neighbours = self._keys(
            [position - 1 for position in through_start.values() if position]
            + [position for position in through_end.values() if position < rows]
        )
        # Begin at the key before the left neighbour, which may have several versions.
        lefts = {after: neighbours.get(position - 1) for after, position in through_start.items()}
        before = self._positions(
            [left for left in lefts.values() if left is not None], through=False
        )
        outer = self._keys(position - 1 for position in before.values() if position)
        widened = []
        for key_range in ranges:
            left = lefts[key_range.after]
            after = whole.after if left is None else outer.get(before[left] - 1, whole.after)
            until = neighbours.get(through_end[key_range.until], whole.until)
            widened.append(KeyRange(after, until))
        return widened

    def prefixes(
        self, chance: random.Random, count: int, size: int, least_length: int
    ) -> list[str]:
        """Draw up to `count` records with equal probability, and return a prefix of each key.

        Each prefix is the shortest with at most `size` records, or a whole key. It has at least
        `least_length` characters, unless the key is shorter.
        """
        rows = self.rows
        positions = chance.sample(range(rows), min(count, rows))
        wanted = {
            bound
            for position in positions
            for bound in (position - size - 1, position, position + size)
        }
        known = self._keys(bound for bound in wanted if 0 <= bound < rows)
        whole = KeyRange.of_prefix(self.prefix)
        found = set[str]()
        for position in positions:
            key = known[position]
            if any(key.startswith(prefix) for prefix in found):
                continue
            if key in (known.get(position - size - 1), known.get(position + size)):
                found.add(key)  # the key has more than `size` versions
                continue
            window = KeyRange(
                known.get(position - size - 1, whole.after), known.get(position + size, whole.until)
            )
            shared = sorted(
                (
                    len(common_start(other, key))
                    for batch in read_records(self.store, self.parts, [window], ["key"])
                    for other in batch.column("key").to_pylist()
                ),
                reverse=True,
            )
            # Longer prefixes have at most `size` records.
            length = shared[size] + 1 if len(shared) > size else 0
            found.add(key[: max(length, least_length)])
        return sorted(found)

    def folders(self, chance: random.Random, count: int) -> list[str]:
        """Draw up to `count` records, and for each one of the folders that contain it."""
        rows = self.rows
        positions = chance.sample(range(rows), min(count, rows))
        found = set()
        for _, key in sorted(self._keys(positions).items()):
            names = key[len(self.prefix) :].split(DELIMITER)[:-1]
            depth = chance.randint(0, len(names))
            found.add(self.prefix + "".join(name + DELIMITER for name in names[:depth]))
        return sorted(found)

    def without_records(self, prefixes: Collection[str]) -> list[str]:
        """The prefixes without records."""
        before = self._positions(prefixes, through=False)
        through = self._positions([prefix_upper_bound(prefix) for prefix in prefixes], through=True)
        return sorted(
            each for each in prefixes if through[prefix_upper_bound(each)] == before[each]
        )

    def keys_without_records(self, keys: Collection[str]) -> list[str]:
        """The keys without records."""
        before, through = (self._positions(keys, through=each) for each in (False, True))
        return sorted(key for key in keys if through[key] == before[key])

    def _keys(self, positions: Iterable[int]) -> dict[int, str]:
        return keys_at(self.store, self.parts, set(positions))

    def _positions(self, keys: Collection[str], *, through: bool) -> dict[str, int]:
        return positions_of(self.store, self.parts, keys, through=through)
