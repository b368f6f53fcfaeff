"""How large parts are, and what to do with the records of a segment of the baseline.

All of it is pure: the assembler of parts, which hashes and writes, asks here.
"""

from dataclasses import dataclass, replace

from inventory_assets.inventory.listing.baseline_segment import BaselineSegment
from inventory_assets.inventory.parts.fingerprint import Fingerprint
from inventory_assets.inventory.parts.part import Part
from inventory_assets.inventory.parts.part_writer import PART_ROWS, ROW_GROUP_ROWS
from inventory_assets.s3.decoding.xml_decoder import MAX_KEYS


@dataclass(frozen=True, slots=True)
class PartSizing:
    """Sizes of parts, in records.

    Attributes:
        min_rows: A part with fewer is small: it is written again, together with its neighbour, when
            something in it changes. A quarter of a row group is some 700 kB.
        max_rows: No part is extended beyond this.
        min_fraction: A part of less than this fraction (1 / n) of its shard is small, too. So a
            shard has some hundreds of parts, however long its history is.
        split_factor: A changed part of more than this many small ones is split, so that the next
            change will rewrite less.
        merge_ratio: A part that is written again takes in its right neighbour if that is at most
            this fraction (1 / n) of it. So at most a sixteenth is copied without need, and
            fragments do not pile up.
        min_rows_to_split: Objects of a shard from which on its scan is split where parts of the
            baseline ended. A smaller shard is listed before that would pay.
    """

    min_rows: int = ROW_GROUP_ROWS // 4
    max_rows: int = PART_ROWS
    min_fraction: int = 256
    split_factor: int = 4
    merge_ratio: int = 16
    min_rows_to_split: int = 100 * MAX_KEYS

    def of_shard(self, rows: int) -> "PartSizing":
        """The sizes for a shard of which the baseline holds so many records."""
        min_rows = min(max(rows // self.min_fraction, self.min_rows), self.max_rows // 4)
        return replace(self, min_rows=min_rows)

    def should_merge(self, rows: int, neighbour_rows: int) -> bool:
        """Whether a part that is written again takes in the part to its right.

        Args:
            rows: Its records.
            neighbour_rows: Those of the neighbour, in the baseline.
        """
        together = rows + neighbour_rows
        is_cheap = neighbour_rows * self.merge_ratio <= rows and together <= self.max_rows
        return together <= self.min_rows or is_cheap

    def should_split(self, rows: int, segment_rows: int) -> bool:
        """Whether so many records of a segment make a part, should the segment have changed.

        Args:
            rows: Records of the open part.
            segment_rows: Those of the segment, in the baseline.
        """
        large = self.split_factor * self.min_rows
        count = round(segment_rows / large)
        return rows >= (segment_rows / count if count else large)


DEFAULT_SIZING = PartSizing()


@dataclass(frozen=True, slots=True)
class HashedSegment:
    """What one stream has read of a segment, up to the segment's end.

    Attributes:
        fingerprint: Of the records read.
        is_from_start: Whether the stream read the segment from its beginning.
        starts_part: Whether the open part has no records of the segment before.
        part_rows: Records of the open part, those of this segment included.
        next_rows: Records of the next segment, in the baseline.
    """

    fingerprint: Fingerprint
    is_from_start: bool
    starts_part: bool = True
    part_rows: int = 0
    next_rows: int = 0


@dataclass(frozen=True, slots=True)
class UsePart:
    """The segment is unchanged: the part of the baseline takes the place of its records."""

    part: Part


@dataclass(frozen=True, slots=True)
class EndPart:
    """Write the records, and end the part with them."""


@dataclass(frozen=True, slots=True)
class ExtendPart:
    """Write the records; those of the next segment go to the same part."""


def decide(
    segment: BaselineSegment, hashed: HashedSegment, sizing: PartSizing
) -> UsePart | EndPart | ExtendPart:
    """What to do with the records of a segment, now that they were read to its end.

    Args:
        segment: The segment.
        hashed: What was read of it.
        sizing: From `PartSizing.of_shard`.
    """
    part = segment.part
    if part is not None:
        if hashed.is_from_start:
            if hashed.starts_part and is_same(part, hashed.fingerprint):
                return UsePart(part)
        elif 0 < hashed.fingerprint.rows < part.rows:
            return EndPart()  # it may be unchanged, together with what another stream reads of it
    if hashed.part_rows and sizing.should_merge(hashed.part_rows, hashed.next_rows):
        return ExtendPart()
    return EndPart()


def is_same(part: Part, fingerprint: Fingerprint) -> bool:
    """Whether a part of the baseline holds the records of a fingerprint."""
    return fingerprint.rows == part.rows and fingerprint.hexdigest() == part.fingerprint
