"""The sizes of parts, and the decision to write or reuse the records of a segment.

All functions are pure. `PartStream`, which hashes and writes, calls them.
"""

from dataclasses import dataclass, replace

from inventory_assets.inventory.listing.baseline_segment import BaselineSegment
from inventory_assets.inventory.parts.fingerprint import Fingerprint
from inventory_assets.inventory.parts.parquet_encoding import ROW_GROUP_ROWS
from inventory_assets.inventory.parts.part import Part
from inventory_assets.inventory.parts.part_writer import PART_ROWS
from inventory_assets.s3.decoding.page import MAX_KEYS


@dataclass(frozen=True, slots=True)
class PartSizing:
    """Sizes of parts, in records.

    Attributes:
        min_rows: A part with fewer records is small: when it is rewritten, it may be merged with
            its neighbour. A quarter of a row group is about 700 kB.
        max_rows: No part is extended beyond this.
        min_fraction: A part with less than this fraction (1 / n) of its shard is small, too. So a
            shard has at most some hundreds of parts, even after many changes.
        split_factor: A changed part of more than `split_factor * min_rows` is split, so that the
            next change rewrites less.
        merge_ratio: A part that is rewritten is merged with its right neighbour if that is at most
            this fraction (1 / n) of it. So at most 1 / n of the records are copied without need,
            and small parts do not accumulate.
        min_rows_to_split: The scan of a shard with at least this many objects is split where parts
            of the baseline ended. The scan of a smaller shard is too short to benefit.
    """

    min_rows: int = ROW_GROUP_ROWS // 4
    max_rows: int = PART_ROWS
    min_fraction: int = 256
    split_factor: int = 4
    merge_ratio: int = 16
    min_rows_to_split: int = 100 * MAX_KEYS

    def of_shard(self, rows: int) -> "PartSizing":
        """The sizes for a shard with `rows` records in the baseline."""
        min_rows = min(max(rows // self.min_fraction, self.min_rows), self.max_rows // 4)
        return replace(self, min_rows=min_rows)

    def should_merge(self, rows: int, neighbour_rows: int) -> bool:
        """Whether to merge a part that is rewritten with the part to its right.

        Args:
            rows: Records of the part.
            neighbour_rows: Records of the right neighbour, in the baseline.
        """
        together = rows + neighbour_rows
        is_cheap = neighbour_rows * self.merge_ratio <= rows and together <= self.max_rows
        return together <= self.min_rows or is_cheap

    def should_split(self, rows: int, segment_rows: int) -> bool:
        """Whether to end the open part within a segment, if the segment has changed.

        Args:
            rows: Records of the open part.
            segment_rows: Records of the segment, in the baseline.
        """
        large = self.split_factor * self.min_rows
        count = round(segment_rows / large)
        return rows >= (segment_rows / count if count else large)


DEFAULT_SIZING = PartSizing()


@dataclass(frozen=True, slots=True)
class HashedSegment:
    """The hash of the records that one stream has read of a segment, up to its end.

    Attributes:
        fingerprint: Of the records read.
        is_from_start: Whether the stream read the segment from its beginning.
        starts_part: Whether the open part has no records of an earlier segment.
        part_rows: Records of the open part, including those of this segment.
        next_rows: Records of the next segment, in the baseline.
    """

    fingerprint: Fingerprint
    is_from_start: bool
    starts_part: bool = True
    part_rows: int = 0
    next_rows: int = 0


@dataclass(frozen=True, slots=True)
class UsePart:
    """The segment is unchanged: use the part of the baseline instead of writing its records."""

    part: Part


@dataclass(frozen=True, slots=True)
class EndPart:
    """Write the records, and end the part with them."""


@dataclass(frozen=True, slots=True)
class ExtendPart:
    """Write the records, and continue the part with the next segment."""


def decide(
    segment: BaselineSegment, hashed: HashedSegment, sizing: PartSizing
) -> UsePart | EndPart | ExtendPart:
    """Decide what to do with the records of a segment that was read to its end.

    Args:
        segment: The segment.
        hashed: The hash of the records read.
        sizing: From `PartSizing.of_shard`.
    """
    part = segment.part
    if part is not None:
        if hashed.is_from_start:
            if hashed.starts_part and holds_same_records(part, hashed.fingerprint):
                return UsePart(part)
        elif 0 < hashed.fingerprint.rows < part.rows:
            return EndPart()  # perhaps unchanged, together with the records of another stream
    if hashed.part_rows and sizing.should_merge(hashed.part_rows, hashed.next_rows):
        return ExtendPart()
    return EndPart()


def holds_same_records(part: Part, fingerprint: Fingerprint) -> bool:
    """Whether a part of the baseline holds the records of a fingerprint."""
    return fingerprint.rows == part.rows and fingerprint.hexdigest() == part.fingerprint
