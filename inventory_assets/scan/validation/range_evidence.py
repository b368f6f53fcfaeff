"""The evidence that a scan is complete: what each range contains, and how its listing ended."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import pyarrow as pa

from inventory_assets.scan.keyspace.key_range import KeyRange


class Ending(StrEnum):
    """Why the listing of a range ended."""

    LISTED_TO_END = "IsTruncated=false"
    BOUND_REACHED = "bound reached"
    RESUMED = "kept from a run that did not finish"


class Seam(StrEnum):
    """How the end of a range agrees with the ranges to its right."""

    AGREES = "agrees"
    END_CONFIRMED = "end confirmed"
    """A request that starts after the last key returned no more keys."""
    CHANGED = "changed meanwhile"
    """A request showed that an object was created or deleted there during the listing."""
    NOT_COMPARED = "not compared"
    """The other side belongs to an earlier run, or to another shard."""


@dataclass(frozen=True, slots=True)
class RangeEvidence:
    """The result of listing one range.

    Attributes:
        key_range: The range.
        rows: The number of objects in it.
        first_key: The first of their keys, or None if there are none.
        last_key: The last of their keys, or None if there are none.
        pages: The number of pages fetched for it.
        ending: Why its listing ended.
        next_key: The first key beyond the range in its last page; None if no keys follow, or if an
            earlier run listed the range.
        seam: How `next_key` agrees with the next range to the right that has keys.
    """

    key_range: KeyRange
    rows: int
    first_key: str | None
    last_key: str | None
    pages: int
    ending: Ending
    next_key: str | None = None
    seam: Seam = Seam.NOT_COMPARED


class EvidenceBuilder:
    """Collects the evidence of ranges that are listed one after the other.

    Args:
        ranges: The ranges, in the order in which they are listed.

    Attributes:
        closed: The evidence of the ranges that ended.
    """

    def __init__(self, ranges: Sequence[KeyRange]) -> None:
        self.closed: list[RangeEvidence] = []
        self._ranges = ranges
        self._rows = 0
        self._pages = 0
        self._first: str | None = None
        self._last: str | None = None

    @property
    def first_key(self) -> str | None:
        """The first key seen in the open range."""
        return self._first

    @property
    def last_key(self) -> str | None:
        """The last key seen in the open range."""
        return self._last

    def page(self) -> None:
        """Count a page fetched for the open range."""
        self._pages += 1

    def rows(self, keys: pa.StringArray) -> None:
        """Count objects of the open range, given by their keys in order."""
        if len(keys):
            self._rows += len(keys)
            self._first = self._first if self._first is not None else keys[0].as_py()
            self._last = keys[-1].as_py()

    def close(
        self, ending: Ending, next_key: str | None = None, seam: Seam = Seam.NOT_COMPARED
    ) -> None:
        """End the open range and open the next."""
        key_range = self._ranges[len(self.closed)]
        self.closed.append(
            RangeEvidence(
                key_range,
                self._rows,
                self._first,
                self._last,
                self._pages,
                ending,
                next_key,
                seam,
            )
        )
        self._rows = self._pages = 0
        self._first = self._last = None
