"""Which prefixes of a piece have rows of their own.

A piece is any run of neighbouring records: a batch, a part, the whole of a date. A prefix of a
piece is kept if it has at least `MIN_SHARE` of the piece's records or bytes, or is among the
`LARGEST` of the piece by records or by bytes, or is a prefix of the piece's first or last key.
Of prefixes with equal numbers, the first in byte order counts as larger. The others have no rows;
what they hold is part of the rows of their ancestors, as these are cumulative.

Merging pruned pieces gives exactly the rows of the whole, pruned:

- A prefix that lies within one piece has the same numbers in it as in the whole. The piece is no
  larger than the whole, and every prefix that is ahead of it in the piece is also ahead in the
  whole. So if the whole keeps it, its piece keeps it.
- A prefix that spans several pieces is a prefix of the last key of one and of the first key of the
  next, so each of them keeps it.
- A prefix that a piece drops lies within that piece, so no other piece adds to it. What is kept is
  therefore complete.

An ancestor is at least as large as its descendants and precedes them, so the ancestors of a kept
prefix are kept, too.
"""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from inventory_assets.inventory.usage.dimensions import Ints


@dataclass(frozen=True, slots=True)
class KeepRule:
    """The thresholds.

    Attributes:
        min_share: The share of a piece's records or bytes from which a prefix is kept.
        largest: The number of prefixes that are kept by records, and by bytes, in any case.
    """

    min_share: Fraction = Fraction(1, 10_000)
    largest: int = 1000

    def kept(
        self, records: Ints, sizes: Ints, within: tuple[int, int] = (0, 0)
    ) -> npt.NDArray[np.bool_]:
        """Which prefixes of a piece are kept, except those of its first and last key.

        Args:
            records: The number of records of each prefix; the prefixes are in byte order, so that
                the first is the whole piece.
            sizes: The bytes of each prefix.
            within: The records and bytes of a larger piece that this one is part of, if they are
                known. Then the shares are those of the larger piece, and fewer prefixes are kept.
        """
        return self._is_large(records, within[0]) | self._is_large(sizes, within[1])

    def most_without_row(self, whole: int, rows: int) -> int:
        """The most records, or bytes, of a prefix that is not kept.

        Args:
            whole: The records, or bytes, of the whole piece.
            rows: The number of prefixes that are kept.
        """
        # As long as there are no more than `largest` prefixes, all are kept.
        return 0 if rows < self.largest else max(self._needed(whole), 1) - 1

    def _needed(self, whole: int) -> int:
        return -(-whole * self.min_share.numerator // self.min_share.denominator)

    def _is_large(self, numbers: Ints, of_larger: int) -> npt.NDArray[np.bool_]:
        if not len(numbers):
            return np.zeros(0, np.bool_)
        # In a piece without bytes, no prefix has a share of them.
        is_large: npt.NDArray[np.bool_] = numbers >= max(
            self._needed(max(int(numbers[0]), of_larger)), 1
        )
        if len(numbers) <= self.largest:
            return np.ones(len(numbers), np.bool_)
        least = np.partition(numbers, -self.largest)[-self.largest]
        is_large |= numbers > least
        ties = np.flatnonzero(numbers == least)
        is_large[ties[: self.largest - np.count_nonzero(numbers > least)]] = True
        return is_large


KEEP = KeepRule()
"""The rule of all stored tables."""
