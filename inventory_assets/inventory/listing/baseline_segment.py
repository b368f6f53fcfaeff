"""A segment of the baseline: the keys that one part of it covers."""

from dataclasses import dataclass

from inventory_assets.inventory.parts.part import Part


@dataclass(frozen=True, slots=True)
class BaselineSegment:
    """Keys `k` with `after < k <= until` between the ends of two parts of the baseline.

    Attributes:
        after: The lower bound, exclusive.
        until: The upper bound, inclusive.
        rows: Records that the baseline holds in the part that ends here.
        part: That part; None if it cannot be reused, as it has no fingerprint, or holds keys
            outside the segment.
    """

    after: str
    until: str
    rows: int = 0
    part: Part | None = None
