"""The record of some key ranges of a shared listing: who lists them, and what was found.

A record is claimed, renewed, divided, completed and released by conditional writes, so its states
follow one another without a gap, and each write is one of the functions here. All are pure.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from inventory_assets.inventory.manifest.range_bounds import Ranges
from inventory_assets.inventory.manifest.unreadable_records import (
    NOTHING_UNREADABLE,
    UnreadableRecords,
)
from inventory_assets.inventory.parts.part import Part
from inventory_assets.scan.keyspace.key_range import KeyRange
from inventory_assets.scan.validation.range_evidence import RangeEvidence


class RangeState(StrEnum):
    """The state of a range record."""

    FREE = "free"
    CLAIMED = "claimed"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class GivenRanges:
    """Ranges that a holder gave away, until their own record exists.

    Attributes:
        name: The name of their record.
        ranges: The ranges, in key order.
    """

    name: str
    ranges: tuple[KeyRange, ...]


@dataclass(frozen=True, slots=True)
class RangeResult:
    """What was found in the ranges of a record.

    Attributes:
        parts: The parts that hold the records of the keys, in key order.
        evidence: The evidence of each range, in key order.
        requests: Requests sent, by all that held the record.
        faults: Their transient errors, by kind.
        unreadable: Records that could not be decoded, and are in no part.
        summary: The name of the file with what else the result needs; "" if it needs nothing.
    """

    parts: tuple[Part, ...] = ()
    evidence: Ranges[RangeEvidence] = ()
    requests: int = 0
    faults: Mapping[str, int] = field(default_factory=dict)
    unreadable: UnreadableRecords = NOTHING_UNREADABLE
    summary: str = ""


@dataclass(frozen=True, slots=True)
class RangeRecord:
    """The record of some ranges.

    Attributes:
        ranges: The ranges, in key order; without those that were given away.
        state: The state.
        holder: The participant that holds the record, or held it last; "" before the first.
        epoch: How often it was claimed. It tells a holder from an earlier one.
        renewals: How often the holder has renewed its claim, so that the record changes.
        pages_left: The holder's estimate of the pages left; None if it is unknown.
        given: Ranges that were given away and may have no record yet.
        result: What was found, once it is done.
    """

    ranges: tuple[KeyRange, ...]
    state: RangeState = RangeState.FREE
    holder: str = ""
    epoch: int = 0
    renewals: int = 0
    pages_left: int | None = None
    given: tuple[GivenRanges, ...] = ()
    result: RangeResult | None = None

    def claimed_by(self, holder: str) -> "RangeRecord":
        """The record after a participant has claimed it, perhaps from another."""
        if self.state is RangeState.DONE:
            raise ValueError("a range that is done cannot be claimed")
        return replace(
            self,
            state=RangeState.CLAIMED,
            holder=holder,
            epoch=self.epoch + 1,
            renewals=0,
            pages_left=None,
        )

    def renewed(self, pages_left: int | None, recorded: Sequence[str] = ()) -> "RangeRecord":
        """The record after its holder has renewed the claim.

        Args:
            pages_left: The new estimate.
            recorded: The names of ranges given away whose own records exist.
        """
        given = tuple(each for each in self.given if each.name not in recorded)
        return replace(self, renewals=self.renewals + 1, pages_left=pages_left, given=given)

    def without(self, given: GivenRanges) -> "RangeRecord":
        """The record after its holder has given some of its keys away."""
        kept = tuple(left for each in self.ranges for left in each.difference(given.ranges))
        return replace(self, ranges=kept, renewals=self.renewals + 1, given=(*self.given, given))

    def released(self) -> "RangeRecord":
        """The record after its holder has given it up."""
        return replace(self, state=RangeState.FREE, renewals=self.renewals + 1)

    def completed(self, result: RangeResult) -> "RangeRecord":
        """The record after its ranges are listed."""
        return replace(
            self, state=RangeState.DONE, renewals=self.renewals + 1, pages_left=0, result=result
        )
