"""Rows of an aggregate as NumPy arrays: adding equal ones, and rolling them up to ancestors."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from inventory_assets.inventory.usage.dimensions import CODE_BITS, Codes, Ints

CODE_MASK = (1 << CODE_BITS) - 1

_CELLS_PER_RECORD = 4
"""The most totals that are counted for each record in a table of all prefixes and codes."""

_EXACT = 2**53
"""Up to this number, sums of integers are exact as float64, too."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of an aggregate, ascending.

    Attributes:
        places: The number of the prefix, followed by the code of the other columns.
        objects: Records.
        bytes: Their sizes.
    """

    places: Ints
    objects: Ints
    bytes: Ints

    @property
    def nbytes(self) -> int:
        """The memory that the rows take."""
        return self.places.nbytes + self.objects.nbytes + self.bytes.nbytes

    @property
    def prefixes(self) -> Ints:
        """The number of each row's prefix."""
        return self.places >> CODE_BITS

    def at(self, chosen: npt.NDArray[np.bool_]) -> "Rows":
        """Some of the rows."""
        return Rows(self.places[chosen], self.objects[chosen], self.bytes[chosen])

    def moved(self, prefixes: Ints) -> "Rows":
        """The rows, with the number of each prefix replaced by the one at its index."""
        places = (prefixes[self.prefixes] << CODE_BITS) | (self.places & CODE_MASK)
        return Rows(places, self.objects, self.bytes)

    def totals(self, prefixes: int) -> tuple[Ints, Ints]:
        """Records and bytes of each of so many prefixes; the rows are those of `sum_rows`."""
        bounds = np.searchsorted(self.prefixes, np.arange(prefixes + 1))
        sums = (np.concatenate([[0], np.cumsum(each)]) for each in (self.objects, self.bytes))
        objects, sizes = (each[bounds[1:]] - each[bounds[:-1]] for each in sums)
        return objects, sizes


def sum_rows(pieces: Sequence[Rows]) -> Rows:
    """All rows in order, those of equal places added."""
    places = np.concatenate([each.places for each in pieces])
    # The pieces are sorted and hardly overlap, which a stable sort makes use of.
    order = np.argsort(places, kind="stable")
    places = places[order]
    starts = np.flatnonzero(np.append(True, places[1:] != places[:-1])[: len(places)])
    if not len(starts):
        return Rows(places, places, places)
    return Rows(
        places[starts],
        np.add.reduceat(np.concatenate([each.objects for each in pieces])[order], starts),
        np.add.reduceat(np.concatenate([each.bytes for each in pieces])[order], starts),
    )


def rolled_up(
    own: Ints, codes: Codes, sizes: Ints, depths: Ints, parents: Ints, ends: Ints
) -> Rows:
    """Count records in each prefix, with those of its descendants.

    Args:
        own: For each record, the number of the deepest prefix that it counts in.
        codes: The codes of the records.
        sizes: Their sizes in bytes.
        depths: The depth of each prefix; prefixes are in byte order.
        parents: The number of the parent of each prefix.
        ends: For each prefix, the number after those of its descendants.
    """
    if len(ends) * len(codes.distinct) <= _CELLS_PER_RECORD * len(own):
        return _rolled_up_densely(own, codes, sizes, ends)
    places = (own << CODE_BITS) | codes.distinct[codes.indices]
    return _rolled_up_sparsely(
        sum_rows([Rows(places, np.ones(len(own), np.int64), sizes)]), depths, parents
    )


def _rolled_up_densely(own: Ints, codes: Codes, sizes: Ints, ends: Ints) -> Rows:
    """Count in a table with a row for each prefix and a column for each code."""
    shape = len(ends), len(codes.distinct)
    cells = own * shape[1] + codes.indices
    count = shape[0] * shape[1]
    first = np.arange(shape[0])

    def table(totals: npt.NDArray[np.int64 | np.float64]) -> Ints:
        # The descendants of a prefix follow it, so its total is a difference of running sums.
        running = np.zeros((shape[0] + 1, shape[1]), np.int64)
        np.cumsum(totals.reshape(shape), axis=0, dtype=np.int64, out=running[1:])
        return (running[ends] - running[first]).ravel()

    objects = table(np.bincount(cells, minlength=count))
    sums = table(_exact_sums(cells, sizes, count))
    found = np.flatnonzero(objects)
    places = (found // shape[1] << CODE_BITS) | codes.distinct[found % shape[1]]
    return Rows(places, objects[found], sums[found])


def _exact_sums(cells: Ints, sizes: Ints, count: int) -> Ints:
    """The sum of the sizes of each of so many cells."""
    if int(sizes.max()) < _EXACT // len(sizes):
        return np.bincount(cells, sizes, count).astype(np.int64)
    low, high = (
        np.bincount(cells, half, count).astype(np.int64)
        for half in (sizes & (2**32 - 1), sizes >> 32)
    )
    return (high << 32) + low


def _rolled_up_sparsely(own: Rows, depths: Ints, parents: Ints) -> Rows:
    """Add the rows of each prefix to those of its ancestors."""
    found = []
    depth_of_row = depths[own.prefixes]
    carried = own.at(np.zeros(len(own.places), np.bool_))
    for depth in range(int(depths.max()), -1, -1):
        current = sum_rows([own.at(depth_of_row == depth), carried])
        found.append(current)
        carried = current.moved(parents)
    return sum_rows(found)
