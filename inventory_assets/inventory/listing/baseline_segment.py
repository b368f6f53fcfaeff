"""A segment of the baseline: the keys that one of its parts covers."""

from dataclasses import dataclass

from inventory_assets.inventory.parts.part import Part


@dataclass(frozen=True, slots=True)
class BaselineSegment:
    """Keys `k` with `after < k <= until` between the ends of two parts of the baseline.

    Attributes:
        after: The lower bound, exclusive.
        until: The upper bound, inclusive.
        rows: The number of records in the part of the baseline that ends here.
        part: This part; None if it cannot be reused, because it has no fingerprint or holds keys
            outside the segment.
    """

    after: str
    until: str
    rows: int = 0
    part: Part | None = None
