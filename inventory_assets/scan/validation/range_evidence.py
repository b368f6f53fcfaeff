"""The proof that a scan is complete: what was found in every range, and how its listing ended."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import pyarrow as pa

from inventory_assets.scan.keyspace.key_range import KeyRange


class Ending(StrEnum):
    """How the listing of a range came to its end."""

    LISTED_TO_END = "IsTruncated=false"
    BOUND_REACHED = "bound reached"
    RESUMED = "kept from a run that did not finish"


class Seam(StrEnum):
    """How the end of a range was found to agree with what lies to its right."""

    AGREES = "agrees"
    END_CONFIRMED = "end confirmed"
    """A request behind the last key showed no more."""
    CHANGED = "changed meanwhile"
    """Both sides agree now; an object was created or deleted there during the listing."""
    NOT_COMPARED = "not compared"
    """The other side belongs to an earlier run, or to another shard."""


@dataclass(frozen=True, slots=True)
class RangeEvidence:
    """What one range was found to hold.

    Attributes:
        key_range: The range.
        rows: Objects found in it.
        first_key: The first of them, or None where there is none.
        last_key: The last of them, or None where there is none.
        pages: Pages fetched for it.
        ending: How its listing ended.
        next_key: The first key beyond the range that its last page has shown; None where the store
            said that there is none, or where no page of this run was the last.
        seam: How that agrees with the next range to the right that holds any key.
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
    """Writes the evidence of ranges that are walked in order, as their objects pass by."""

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
        """Count objects, in key order, that all lie in the open range."""
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
