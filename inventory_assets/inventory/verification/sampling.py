"""Draw from an inventory what its bucket is asked for; a few row groups of its parts are read."""

import random
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from inventory_assets.inventory.parts.counting import keys_at, places_of
from inventory_assets.inventory.parts.part import Part, read_records
from inventory_assets.inventory.storage.store import Store
from inventory_assets.scan.engine.key_density import common_start
from inventory_assets.scan.keyspace.key_range import DELIMITER, KeyRange, prefix_upper_bound


@dataclass(frozen=True, slots=True)
class SampledRecords:
    """The records of an inventory, as samples are drawn of them.

    Attributes:
        store: Where the parts lie.
        parts: In key order.
        prefix: What all keys start with.
    """

    store: Store
    parts: Sequence[Part]
    prefix: str

    @property
    def rows(self) -> int:
        """How many records there are."""
        return sum(part.rows for part in self.parts)

    def blocks(self, chance: random.Random, count: int, size: int) -> list[KeyRange]:
        """Draw up to `count` of the ranges that hold `size` records each and tile all keys."""
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
        # All of a thousand versions may be of one key.
        return [KeyRange(after, until) for after, until in bounds if after < until]

    def between_records(self, stretches: Sequence[KeyRange]) -> list[KeyRange]:
        """Widen stretches without records so that each holds the records on both sides of it.

        An empty answer then proves nothing by itself: the store must show the key before the
        stretch, and the one behind it next.
        """
        whole = KeyRange.of_prefix(self.prefix)
        through_start = self._places([each.after for each in stretches], through=True)
        through_end = self._places([each.until for each in stretches], through=True)
        rows = self.rows
        neighbours = self._keys(
            [place - 1 for place in through_start.values() if place]
            + [place for place in through_end.values() if place < rows]
        )
        # The key before that neighbour, of which there may be several versions.
        lefts = {after: neighbours.get(place - 1) for after, place in through_start.items()}
        before = self._places([left for left in lefts.values() if left is not None], through=False)
        outer = self._keys(place - 1 for place in before.values() if place)
        widened = []
        for stretch in stretches:
            left = lefts[stretch.after]
            after = whole.after if left is None else outer.get(before[left] - 1, whole.after)
            until = neighbours.get(through_end[stretch.until], whole.until)
            widened.append(KeyRange(after, until))
        return widened

    def prefixes(
        self, chance: random.Random, count: int, size: int, least_length: int
    ) -> list[str]:
        """Draw up to `count` records, each as likely as any other: the prefixes around them.

        Each is the shortest that at most `size` records start with, or a whole key, and is no
        shorter than `least_length` if the key is not.
        """
        rows = self.rows
        places = chance.sample(range(rows), min(count, rows))
        wanted = {bound for place in places for bound in (place - size - 1, place, place + size)}
        known = self._keys(bound for bound in wanted if 0 <= bound < rows)
        whole = KeyRange.of_prefix(self.prefix)
        found = set[str]()
        for place in places:
            key = known[place]
            if any(key.startswith(prefix) for prefix in found):
                continue
            if key in (known.get(place - size - 1), known.get(place + size)):
                found.add(key)  # it has more versions than that
                continue
            window = KeyRange(
                known.get(place - size - 1, whole.after), known.get(place + size, whole.until)
            )
            shared = sorted(
                (
                    len(common_start(other, key))
                    for batch in read_records(self.store, self.parts, [window], ["key"])
                    for other in batch.column("key").to_pylist()
                ),
                reverse=True,
            )
            # As many records as this share no more than that with the key.
            length = shared[size] + 1 if len(shared) > size else 0
            found.add(key[: max(length, least_length)])
        return sorted(found)

    def folders(self, chance: random.Random, count: int) -> list[str]:
        """Draw up to `count` records, and of each one of the folders that it lies in."""
        rows = self.rows
        places = chance.sample(range(rows), min(count, rows))
        found = set()
        for _, key in sorted(self._keys(places).items()):
            names = key[len(self.prefix) :].split(DELIMITER)[:-1]
            depth = chance.randint(0, len(names))
            found.add(self.prefix + "".join(name + DELIMITER for name in names[:depth]))
        return sorted(found)

    def lacks(self, prefixes: Collection[str]) -> list[str]:
        """Those of some prefixes that no record starts with."""
        before = self._places(prefixes, through=False)
        through = self._places([prefix_upper_bound(prefix) for prefix in prefixes], through=True)
        return sorted(
            each for each in prefixes if through[prefix_upper_bound(each)] == before[each]
        )

    def lacks_keys(self, keys: Collection[str]) -> list[str]:
        """Those of some keys that no record has."""
        before, through = (self._places(keys, through=each) for each in (False, True))
        return sorted(key for key in keys if through[key] == before[key])

    def _keys(self, places: Iterable[int]) -> dict[int, str]:
        return keys_at(self.store, self.parts, set(places))

    def _places(self, keys: Collection[str], *, through: bool) -> dict[str, int]:
        return places_of(self.store, self.parts, keys, through=through)
