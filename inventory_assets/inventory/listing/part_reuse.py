"""Reuse parts of the baseline whose records have not changed.

The ends of the baseline's parts split the keys of a shard into segments. While a shard is listed,
the records of each segment are hashed. If the hash is that of the baseline's part, the part is
reused and its records are not published again. So an added or deleted key rewrites only the part
that it belongs to.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from inventory_assets.inventory.listing.baseline_segment import BaselineSegment
from inventory_assets.inventory.listing.part_sizing import (
    DEFAULT_SIZING,
    EndPart,
    ExtendPart,
    HashedSegment,
    PartSizing,
    UsePart,
    decide,
    holds_same_records,
)
from inventory_assets.inventory.manifest.manifest import Manifest
from inventory_assets.inventory.manifest.snapshot import Reuse
from inventory_assets.inventory.parts.fingerprint import Fingerprint, joined
from inventory_assets.inventory.parts.part import Part, part_exists
from inventory_assets.inventory.storage.layout import Layout
from inventory_assets.inventory.storage.store import Store
from inventory_assets.scan.keyspace.key_range import KeyRange
from inventory_assets.scan.keyspace.shard import Shard
from inventory_assets.scan.keyspace.sorted_keys import count_up_to

PartialHashes = list[tuple[str, Fingerprint]]
"""Hashes of pieces of segments that several streams have read, each with its first key."""


def segments_of(
    parts: Sequence[Part], ranges: Sequence[KeyRange], sizing: PartSizing
) -> list[BaselineSegment]:
    """Split ranges where parts of the baseline end; the segments tile the ranges.

    The keys after the last part of a range belong to that part's segment if the part is small.
    Otherwise they are a segment of their own, so that appended keys do not rewrite a large part.

    Args:
        parts: The baseline's parts, in key order.
        ranges: Disjoint and in key order.
        sizing: The sizes, before `PartSizing.of_shard`.
    """
    found: list[BaselineSegment] = []
    trailing: list[int] = []
    for key_range in ranges:
        after = key_range.after
        start = bisect_right(parts, key_range.after, key=_last_key)
        stop = bisect_right(parts, key_range.until, key=_last_key)
        for part in parts[start:stop]:
            is_reusable = bool(part.fingerprint) and part.first_key > key_range.after
            found.append(
                BaselineSegment(after, part.last_key, part.rows, part if is_reusable else None)
            )
            after = part.last_key
        if after < key_range.until:
            found.append(BaselineSegment(after, key_range.until))
            if start < stop:
                trailing.append(len(found) - 1)
    min_rows = sizing.of_shard(sum(each.rows for each in found)).min_rows
    for index in reversed(trailing):
        last, rest = found[index - 1 : index + 1]
        if last.rows < min_rows:
            found[index - 1 : index + 1] = [replace(last, until=rest.until)]
    return found


def split_hints(parts: Sequence[Part], ranges: Sequence[KeyRange], sizing: PartSizing) -> list[str]:
    """The keys at which to split some ranges: the ends of the baseline's parts.

    They are quantiles of the keys. Also, if one range covers a whole segment, its part can be
    reused before the records are published.

    Args:
        parts: The baseline's parts, in key order.
        ranges: In key order.
        sizing: The sizes, before `PartSizing.of_shard`.
    """
    inside: list[Part] = []
    for key_range in ranges:
        start = bisect_right(parts, key_range.after, key=_last_key)
        stop = bisect_left(parts, key_range.until, key=_last_key)
        inside += parts[start:stop]
    if sum(part.rows for part in inside) < sizing.min_rows_to_split:
        return []
    return [part.last_key for part in inside]


class SegmentHasher:
    """Hashes the records of a stream, segment by segment.

    Args:
        segments: In key order.
        sizing: From `PartSizing.of_shard`.
        after: The exclusive lower bound of the stream, which has no gaps.

    Attributes:
        partial_hashes: Hashes of segments that the stream has read in part.
    """

    def __init__(self, segments: Sequence[BaselineSegment], sizing: PartSizing, after: str) -> None:
        self.partial_hashes: PartialHashes = []
        self._segments = segments
        self._sizing = sizing
        self._index = bisect_right(segments, after, key=_until)
        self._after = after
        self._begin_segment()

    def _begin_segment(self) -> None:
        self._fingerprint = Fingerprint()
        self._first_key = ""

    @property
    def _segment(self) -> BaselineSegment | None:
        return self._segments[self._index] if self._index < len(self._segments) else None

    def split_at_segments(
        self, records: pa.RecordBatch, until: str
    ) -> Iterator[tuple[pa.RecordBatch, bool]]:
        """Split records by segment.

        The caller calls `end_segment` when a segment ends, before it asks for the next slice.

        Args:
            records: A batch, not empty, that continues the one before.
            until: The greatest key up to which the stream is complete.

        Yields:
            Slices, which may be empty, and whether the segment of each ends with it.
        """
        if self._segment is not None:
            last_key = records.column("key")[-1].as_py()
            while (segment := self._segment) and last_key > segment.until:
                inside = count_up_to(records.column("key"), segment.until)
                yield records.slice(0, inside), True
                records = records.slice(inside)
        yield records, self.ends_by(until)

    def ends_by(self, until: str) -> bool:
        """Whether the current segment ends at or before a key."""
        return self._segment is not None and self._segment.until <= until

    def update(self, records: pa.RecordBatch, fingerprint: Fingerprint) -> None:
        """Add records of the current segment."""
        if self._segment is None:
            return
        if not self._fingerprint.rows:
            self._first_key = records.column("key")[0].as_py()
        self._fingerprint.join(fingerprint)

    def decide(
        self, part_rows: int = 0, *, starts_part: bool = True
    ) -> UsePart | EndPart | ExtendPart:
        """Decide what to do with the records of the current segment, which was read to its end.

        Args:
            part_rows: Records of the open part, including those of this segment.
            starts_part: Whether the open part has no records of an earlier segment.
        """
        segment = self._segment
        if segment is None:
            return EndPart()
        following = self._segments[self._index + 1 : self._index + 2]
        hashed = HashedSegment(
            self._fingerprint,
            segment.after >= self._after,
            starts_part,
            part_rows,
            following[0].rows if following else 0,
        )
        return decide(segment, hashed, self._sizing)

    def should_split(self, part_rows: int) -> bool:
        """Whether the open part is large enough to be ended, if the segment has changed."""
        segment = self._segment
        return segment is not None and self._sizing.should_split(part_rows, segment.rows)

    def end_segment(self) -> None:
        """Go to the next segment."""
        segment = self._segment
        if segment is not None and segment.after < self._after:
            self._add_partial_hash()
        self._index += 1
        self._begin_segment()

    def _add_partial_hash(self) -> None:
        """Add the hash to `partial_hashes`, if the segment may be unchanged."""
        segment = self._segment
        if segment and segment.part and 0 < self._fingerprint.rows < segment.part.rows:
            self.partial_hashes.append((self._first_key, self._fingerprint))

    def stop(self) -> None:
        """End the stream, which may be within a segment."""
        self._add_partial_hash()
        self._index = len(self._segments)
        self._begin_segment()


@dataclass(frozen=True, slots=True)
class ReplayedHashes:
    """Hashes of the published records of an interrupted run.

    Attributes:
        fingerprint: Of all records.
        unchanged: Parts of the baseline whose segments are unchanged.
        partial_hashes: Hashes of the first and the last segment, if they were read in part.
    """

    fingerprint: Fingerprint
    unchanged: Sequence[Part]
    partial_hashes: PartialHashes


def replay_hashes(
    batches: Iterable[pa.RecordBatch], key_range: KeyRange, segments: Sequence[BaselineSegment]
) -> ReplayedHashes:
    """Hash records of published parts, segment by segment.

    Fingerprints hold the records at their ends in memory, so the result has no fingerprints of
    segments that were read completely.

    Args:
        batches: All records of the keys, in key order.
        key_range: The range of these keys.
        segments: From `segments_of`.
    """
    whole = Fingerprint()
    unchanged: list[Part] = []
    hasher = SegmentHasher(segments, DEFAULT_SIZING, key_range.after)

    def end_segment() -> None:
        decision = hasher.decide()  # nothing is written, so sizes do not matter
        if isinstance(decision, UsePart):
            unchanged.append(decision.part)
        hasher.end_segment()

    for records in batches:
        for segment_records, ends in hasher.split_at_segments(records, ""):
            if segment_records.num_rows:
                fingerprint = Fingerprint()
                fingerprint.update(segment_records)
                whole.join(fingerprint)
                hasher.update(segment_records, fingerprint)
            if ends:
                end_segment()
    while hasher.ends_by(key_range.until):
        end_segment()
    hasher.stop()
    return ReplayedHashes(whole, unchanged, hasher.partial_hashes)


def substitute_unchanged(
    parts: Sequence[Part],
    segments: Sequence[BaselineSegment],
    partial_hashes: PartialHashes,
    unchanged: Collection[Part],
    exists: Callable[[Part], bool],
) -> list[Part]:
    """Replace parts by those of the baseline that hold the same records.

    Args:
        parts: The parts that were written, in key order.
        segments: From `segments_of`.
        partial_hashes: Hashes of segments that several streams have read.
        unchanged: Parts of the baseline whose segments are unchanged, but were written.
        exists: Whether a part of the baseline can still be read.
    """
    found = [*parts]
    partial_hashes = sorted(partial_hashes, key=_first)
    for segment in reversed(segments):
        part = segment.part
        start = bisect_right(found, segment.after, key=_last_key)
        stop = bisect_right(found, segment.until, key=_first_key)
        if part is None or not _has_same_extent(found[start:stop], part):
            continue
        first = bisect_right(partial_hashes, segment.after, key=_first)
        last = bisect_right(partial_hashes, segment.until, key=_first)
        read = partial_hashes[first:last]
        if (part in unchanged or holds_same_records(part, joined(read))) and exists(part):
            found[start:stop] = [part]
    return found


def _has_same_extent(written: Sequence[Part], part: Part) -> bool:
    """Whether written parts hold as many records as a part, with the same first and last key.

    If so, they hold no records of another segment, so that the part can replace them.
    """
    return (
        sum(each.rows for each in written) == part.rows
        and [*written] != [part]
        and written[0].first_key == part.first_key
        and written[-1].last_key == part.last_key
    )


def is_reusable(store: Store, layout: Layout, part: Part) -> bool:
    """Whether a part of the baseline is still there, and has the encodings of the source."""
    return layout.encodes_like(part.key) and part_exists(store, part)


def reuse_whole_shard(
    baseline: Manifest | None,
    shard: Shard,
    fingerprint: str,
    parts: Sequence[Part],
    exists: Callable[[Part], bool],
) -> tuple[list[Part], Reuse]:
    """Replace the parts of a shard by those of the baseline, if the records are the same.

    Args:
        baseline: The baseline; None for a first inventory.
        shard: The shard.
        fingerprint: The fingerprint of its records.
        parts: Its parts, in key order.
        exists: Whether a part of the baseline can still be read.

    Returns:
        The parts, in key order, and how much of them is reused.
    """
    entries = [entry for entry in baseline.shards if entry.shard == shard] if baseline else []
    unchanged = any(entry.fingerprint == fingerprint for entry in entries)
    old = [part for entry in entries for part in entry.parts]
    # Some old parts have no fingerprint; that of the shard proves that the records are the same.
    if unchanged and old != [*parts] and all(map(exists, old)):
        parts = old
    reused = [part for part in parts if baseline and part.key in baseline.part_keys]
    return [*parts], Reuse(unchanged, len(reused), sum(part.file_bytes for part in reused))


def _first_key(part: Part) -> str:
    return part.first_key


def _last_key(part: Part) -> str:
    return part.last_key


def _until(segment: BaselineSegment) -> str:
    return segment.until


def _first(partial_hash: tuple[str, Fingerprint]) -> str:
    return partial_hash[0]
