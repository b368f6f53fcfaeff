"""What a shard need not write again: parts of its baseline whose records have not changed.

The parts of the baseline cut the keys of a shard into intervals, each of which ends where a part
ended. While a shard is listed, each interval's records are hashed; where they are those of the
baseline's part, that part is taken, and nothing is written. So a key that came or went concerns
the one part it falls in, and no part after it.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from inventory_assets.inventory.manifest.manifest import Manifest
from inventory_assets.inventory.manifest.snapshot import Reuse
from inventory_assets.inventory.parts.fingerprint import Fingerprint, joined
from inventory_assets.inventory.parts.part import Part
from inventory_assets.inventory.parts.part_writer import PART_ROWS, ROW_GROUP_ROWS
from inventory_assets.s3.decoding.xml_decoder import MAX_KEYS
from inventory_assets.scan.keyspace.key_range import KeyRange
from inventory_assets.scan.keyspace.shard import Shard
from inventory_assets.scan.keyspace.sorted_keys import count_up_to

MIN_PART_FRACTION = 256
"""A part of less than this share of its shard is small: not worth keeping apart from its neighbour
when something in it changes. So a shard has some hundreds of parts, however long its history."""

MIN_PART_ROWS = ROW_GROUP_ROWS // 4
"""Records up to which a part is small however small its shard is: some 700 kB."""

SPLIT_FACTOR = 4
"""Times what is small, from which on a part that has changed is cut: so that the next change will
concern less."""

MERGE_RATIO = 16
"""A part that is written again takes in its right neighbour where that is at most this part of
it: what is copied for nothing then costs a sixteenth at most, and fragments do not pile up."""

MIN_ROWS_TO_SPLIT = 100 * MAX_KEYS
"""Objects of a shard from which on it is cut where yesterday's parts ended; a smaller one is listed
before that would pay."""

PartialHashes = list[tuple[str, Fingerprint]]
"""Records of intervals that several runs have read, each stretch with its first key."""


@dataclass(frozen=True, slots=True)
class BaselineSegment:
    """Keys `k` with `after < k <= until` between the ends of two parts of the baseline.

    Attributes:
        after: The lower bound, exclusive.
        until: The upper bound, inclusive.
        rows: Records that the baseline holds in the part that ends here.
        part: That part; None where it cannot be shared, as it has no fingerprint or holds keys of
            others.
    """

    after: str
    until: str
    rows: int = 0
    part: Part | None = None


def segments_of(parts: Sequence[Part], ranges: Sequence[KeyRange]) -> list[BaselineSegment]:
    """Cut ranges where parts of the baseline end; the intervals tile the ranges.

    What follows the last part of a range belongs to it where it is small, and is an interval of its
    own where not: what is appended to a bucket does not rewrite a large part.

    Args:
        parts: The baseline's, in key order.
        ranges: Disjoint and in key order.
    """
    found: list[BaselineSegment] = []
    lasts: list[int] = []
    for key_range in ranges:
        after = key_range.after
        start = bisect_right(parts, key_range.after, key=_last_key)
        stop = bisect_right(parts, key_range.until, key=_last_key)
        for part in parts[start:stop]:
            is_ours = bool(part.fingerprint) and part.first_key > key_range.after
            found.append(
                BaselineSegment(after, part.last_key, part.rows, part if is_ours else None)
            )
            after = part.last_key
        if after < key_range.until:
            found.append(BaselineSegment(after, key_range.until))
            if start < stop:
                lasts.append(len(found) - 1)
    small = min_part_rows(found)
    for place in reversed(lasts):
        last, rest = found[place - 1 : place + 1]
        if last.rows < small:
            found[place - 1 : place + 1] = [replace(last, until=rest.until)]
    return found


def min_part_rows(segments: Sequence[BaselineSegment]) -> int:
    """Records up to which a part of a shard is small."""
    rows = sum(segment.rows for segment in segments)
    return min(max(rows // MIN_PART_FRACTION, MIN_PART_ROWS), PART_ROWS // 4)


def split_hints(parts: Sequence[Part], ranges: Sequence[KeyRange]) -> list[str]:
    """Where some ranges are best cut: where parts of the baseline ended, ready-made quantiles.

    A part whose keys are all listed in one range is shared without having been published again.

    Args:
        parts: The baseline's, in key order.
        ranges: In key order.
    """
    inside: list[Part] = []
    for key_range in ranges:
        start = bisect_right(parts, key_range.after, key=_last_key)
        stop = bisect_left(parts, key_range.until, key=_last_key)
        inside += parts[start:stop]
    if sum(part.rows for part in inside) < MIN_ROWS_TO_SPLIT:
        return []
    return [part.last_key for part in inside]


def should_merge(rows: int, neighbour_rows: int, small: int) -> bool:
    """Whether a part that is written anew goes on with the records of the part to its right.

    Args:
        rows: Its records.
        neighbour_rows: Those of the neighbour, as the baseline has it.
        small: From `min_part_rows`.
    """
    together = rows + neighbour_rows
    return together <= small or (neighbour_rows * MERGE_RATIO <= rows and together <= PART_ROWS)


class SegmentHasher:
    """Follows a run through the intervals, and tells of each whether it is as it was.

    Args:
        segments: In key order.
        small: From `min_part_rows`.
        after: Where the run begins; it goes on without a gap.

    Attributes:
        pieces: Hashes of what it read of intervals that it did not read whole.
    """

    def __init__(self, segments: Sequence[BaselineSegment], small: int, after: str) -> None:
        self.pieces: PartialHashes = []
        self._segments = segments
        self._min_part_rows = small
        self._index = bisect_right(segments, after, key=_until)
        self._after = after
        self._begin()

    def _begin(self) -> None:
        self._fingerprint = Fingerprint()
        self._first_key = ""

    @property
    def _segment(self) -> BaselineSegment | None:
        return self._segments[self._index] if self._index < len(self._segments) else None

    def split_at_segments(
        self, records: pa.RecordBatch, until: str
    ) -> Iterator[tuple[pa.RecordBatch, bool]]:
        """The records of each interval, and whether it ends with them; they may be none.

        An interval must have been ended, by `end`, before the next is asked for.

        Args:
            records: A batch, not empty, that goes on behind what was cut before.
            until: Up to where nothing else comes.
        """
        if self._segment is not None:
            last_key = records.column("key")[-1].as_py()
            while (segment := self._segment) and last_key > segment.until:
                inside = count_up_to(records.column("key"), segment.until)
                yield records.slice(0, inside), True
                records = records.slice(inside)
        yield records, self.ends_by(until)

    def ends_by(self, until: str) -> bool:
        """Whether the interval at hand ends there or before."""
        return self._segment is not None and self._segment.until <= until

    def update(self, records: pa.RecordBatch, fingerprint: Fingerprint) -> None:
        """Take note of records of the interval at hand."""
        if self._segment is None:
            return
        if not self._fingerprint.rows:
            self._first_key = records.column("key")[0].as_py()
        self._fingerprint.join(fingerprint)

    @property
    def unchanged_part(self) -> Part | None:
        """The part that the interval at hand is, if it was read whole."""
        segment = self._segment
        if segment is None or segment.part is None or segment.after < self._after:
            return None
        part = segment.part
        is_same = self._fingerprint.rows == part.rows
        return part if is_same and self._fingerprint.hexdigest() == part.fingerprint else None

    @property
    def may_be_unchanged(self) -> bool:
        """Whether the interval at hand may be, with what others read of it, as it was."""
        segment = self._segment
        return (
            segment is not None
            and segment.part is not None
            and segment.after < self._after
            and 0 < self._fingerprint.rows < segment.part.rows
        )

    def should_split(self, rows: int) -> bool:
        """Whether so many records make a part, if the interval at hand has changed."""
        segment = self._segment
        if segment is None:
            return False
        large = SPLIT_FACTOR * self._min_part_rows
        partial_hashes = round(segment.rows / large)
        return rows >= (segment.rows / partial_hashes if partial_hashes else large)

    def should_extend(self, rows: int) -> bool:
        """Whether a part with so many records is to take in the next interval's."""
        following = self._segments[self._index + 1 : self._index + 2]
        return should_merge(rows, following[0].rows if following else 0, self._min_part_rows)

    def end(self) -> None:
        """Leave the interval at hand."""
        if self.may_be_unchanged:
            self.pieces.append((self._first_key, self._fingerprint))
        self._index += 1
        self._begin()

    def stop(self) -> None:
        """The run ends, perhaps within an interval."""
        segment = self._segment
        if segment and segment.part and 0 < self._fingerprint.rows < segment.part.rows:
            self.pieces.append((self._first_key, self._fingerprint))
        self._index = len(self._segments)
        self._begin()


@dataclass(frozen=True, slots=True)
class ReplayedHashes:
    """What a run would know of its records, had it not been killed.

    Attributes:
        fingerprint: Of all of them.
        unchanged: Parts of the baseline that whole intervals are.
        partial_hashes: What was read of the intervals at either end.
    """

    fingerprint: Fingerprint
    unchanged: Sequence[Part]
    partial_hashes: PartialHashes


def replay_hashes(
    batches: Iterable[pa.RecordBatch], key_range: KeyRange, segments: Sequence[BaselineSegment]
) -> ReplayedHashes:
    """Follow records that lie in published parts through the intervals.

    A fingerprint holds the records at its ends, so none is kept of an interval that is whole.

    Args:
        batches: All records of the keys, in key order.
        key_range: The keys.
        segments: From `segments_of`.
    """
    whole = Fingerprint()
    unchanged: list[Part] = []
    reader = SegmentHasher(segments, 0, key_range.after)  # nothing is written, however small

    def leave() -> None:
        if reader.unchanged_part:
            unchanged.append(reader.unchanged_part)
        reader.end()

    for records in batches:
        for piece, ends in reader.split_at_segments(records, ""):
            if piece.num_rows:
                fingerprint = Fingerprint()
                fingerprint.update(piece)
                whole.join(fingerprint)
                reader.update(piece, fingerprint)
            if ends:
                leave()
    while reader.ends_by(key_range.until):
        leave()
    reader.stop()
    return ReplayedHashes(whole, unchanged, reader.pieces)


def substitute_unchanged(
    parts: Sequence[Part],
    segments: Sequence[BaselineSegment],
    pieces: PartialHashes,
    unchanged: Collection[Part],
    is_there: Callable[[Part], bool],
) -> list[Part]:
    """The parts, those of the baseline in the place of all that hold the same.

    Args:
        parts: What was written, in key order.
        segments: From `segments_of`.
        pieces: What was read of intervals by several runs.
        unchanged: Parts of the baseline that some interval is known to be, though it was written.
        is_there: Whether a part of the baseline can still be read.
    """
    found = [*parts]
    pieces = sorted(pieces, key=_first)
    for segment in reversed(segments):
        part = segment.part
        start = bisect_right(found, segment.after, key=_last_key)
        stop = bisect_right(found, segment.until, key=_first_key)
        inside = found[start:stop]
        if (
            part is None
            or inside in ([], [part])
            or sum(each.rows for each in inside) != part.rows
            or inside[0].first_key != part.first_key
            or inside[-1].last_key != part.last_key
        ):
            continue
        read = pieces[
            bisect_right(pieces, segment.after, key=_first) : bisect_right(
                pieces, segment.until, key=_first
            )
        ]
        if (part in unchanged or joined(read) == part.fingerprint) and is_there(part):
            found[start:stop] = [part]
    return found


def reuse_whole_shard(
    baseline: Manifest | None,
    shard: Shard,
    fingerprint: str,
    parts: Sequence[Part],
    is_there: Callable[[Part], bool],
) -> tuple[list[Part], Reuse]:
    """The parts of a shard, all of them the baseline's where it held the very same.

    Args:
        baseline: The baseline; None for a first inventory.
        shard: Which keys.
        fingerprint: Of their records.
        parts: What holds them, in key order.
        is_there: Whether a part of the baseline can still be read.

    Returns:
        The parts, in key order, and what is shared.
    """
    entries = [entry for entry in baseline.shards if entry.shard == shard] if baseline else []
    unchanged = any(entry.fingerprint == fingerprint for entry in entries)
    old = [part for entry in entries for part in entry.parts]
    # Parts of older code have no fingerprint, but those of the whole shard are no less the same.
    if unchanged and old != [*parts] and all(map(is_there, old)):
        parts = old
    shared = [part for part in parts if baseline and part.key in baseline.part_keys]
    return [*parts], Reuse(unchanged, len(shared), sum(part.file_bytes for part in shared))


def _first_key(part: Part) -> str:
    return part.first_key


def _last_key(part: Part) -> str:
    return part.last_key


def _until(segment: BaselineSegment) -> str:
    return segment.until


def _first(piece: tuple[str, Fingerprint]) -> str:
    return piece[0]
