"""Turn the objects of ranges that are listed in parallel into parts in key order.

Each range begins with a `PartStream` of its own. When all ranges of a stream are complete, the
stream merges its right neighbour, unless the neighbour has begun a file. So small neighbours share
a file, and each file holds a contiguous range of keys. Nothing is sorted or read again.

With a baseline, files end where its parts ended, and a part with unchanged records is reused
instead of published again (`part_reuse.py`).
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import pairwise

import pyarrow as pa

from inventory_assets.inventory.listing.baseline_segment import BaselineSegment
from inventory_assets.inventory.listing.part_reuse import (
    PartialHashes,
    ReplayedHashes,
    SegmentHasher,
    substitute_unchanged,
)
from inventory_assets.inventory.listing.part_sizing import (
    DEFAULT_SIZING,
    PartSizing,
)
from inventory_assets.inventory.listing.part_stream import (
    OnPublished,
    OpenRange,
    PartStream,
    RowBuffer,
)
from inventory_assets.inventory.parts.drafts import Drafts
from inventory_assets.inventory.parts.fingerprint import Fingerprint
from inventory_assets.inventory.parts.part import Part, part_exists
from inventory_assets.inventory.storage.layout import Layout
from inventory_assets.inventory.storage.store import Store
from inventory_assets.scan.keyspace.key_range import KeyRange


def _ignore_tick() -> None:
    """Do nothing."""


class PartAssembler:
    """Writes the parts of some ranges; closing it removes what is not published.

    Args:
        store: The store to publish parts to, each as soon as it is complete.
        layout: The keys and encodings of parts.
        ranges: Disjoint and in key order; a part never spans a gap between them.
        buffer: Shared by all assemblers that run at the same time.
        for_manifest: Whether a manifest will state fingerprints and MD5s of the parts, which
            cost an eighth of the CPU.
        on_published: Called with a range whose records are all published, and with its parts.
        segments: From `segments_of`; none if nothing can be reused.
        sizing: The sizes of parts.
        drafts: Writes files with which another process can resume if this one is killed.
        on_tick: Called after each event of the scan.
    """

    def __init__(
        self,
        store: Store,
        layout: Layout,
        ranges: Sequence[KeyRange],
        buffer: RowBuffer,
        *,
        for_manifest: bool = True,
        on_published: OnPublished | None = None,
        segments: Sequence[BaselineSegment] = (),
        sizing: PartSizing = DEFAULT_SIZING,
        drafts: Drafts | None = None,
        on_tick: Callable[[], None] = _ignore_tick,
    ) -> None:
        self._store = store
        self._on_tick = on_tick
        self._segments = segments
        sizing = sizing.of_shard(sum(segment.rows for segment in segments))
        new_hasher = partial(SegmentHasher, segments, sizing)
        self._new_stream = partial(
            PartStream, store, layout, buffer, for_manifest, on_published, new_hasher, drafts
        )
        self._streams = [self._new_stream(key_range.after) for key_range in ranges]
        self._first = self._streams[0] if self._streams else None
        for number, (left, right) in enumerate(pairwise(self._streams)):
            left.right = right
            right.touches = ranges[number].until == ranges[number + 1].after

    def close(self) -> None:
        """Remove unpublished records; after `finish` there are none."""
        for stream in self._in_order():
            stream.discard()

    def split(self, index: int, upper: int, boundary: str, *, touches: bool = True) -> None:
        """Begin a new range with the upper part of another.

        Args:
            index: The number of the range that is split.
            upper: The number of the new range.
            boundary: The exclusive lower bound of the new range.
            touches: Whether the split range ends there; otherwise a gap is between them.
        """
        stream, new = self._stream(index), self._new_stream(boundary)
        stream.right, new.right, new.touches = new, stream.right, touches
        self._streams += [new] * (upper + 1 - len(self._streams))
        self._streams[upper] = new
        self._on_tick()

    def cut_short(self, index: int) -> None:
        """Note that the range `index` no longer reaches the next one."""
        right = self._stream(index).right
        if right is not None:
            right.touches = False
            if right.is_complete:  # it waited for this range, which might have merged it
                right.finish_part()

    def write(self, index: int, objects: pa.RecordBatch) -> None:
        """Append a batch with `OBJECT_SCHEMA` to the range `index`, after all written to it."""
        self._stream(index).write(objects)
        self._on_tick()

    def open_ranges(self) -> list[OpenRange]:
        """The ranges of records not yet reported as published, one for each stream with such."""
        return [found for stream in self._in_order() if (found := stream.open_range())]

    def end(self, index: int, until: str) -> None:
        """End the range numbered `index`, which is complete up to `until`."""
        stream = self._stream(index)
        stream.is_complete, stream.until = True, until
        while stream.is_complete and (right := stream.right):
            if not right.touches or right.has_begun:
                break
            stream.merge_right(right)
        # A small stream waits for its left neighbour, which may merge it.
        if stream.is_complete and (stream.has_begun or not stream.touches):
            stream.finish_part()
        self._on_tick()

    def finish_part(self, index: int) -> None:
        """Publish the records written to the range `index` so far."""
        self._stream(index).finish_part()

    def finish(self) -> tuple[Part, ...]:
        """Publish all records and return all parts, in key order."""
        for stream in self._in_order():
            stream.finish_part()
            stream.hasher.stop()
        return tuple(part for stream in self._in_order() for part in stream.parts)

    def substitute_unchanged(
        self, parts: Sequence[Part], replayed: Sequence[ReplayedHashes]
    ) -> list[Part]:
        """Replace finished parts by those of the baseline that hold the same records.

        Args:
            parts: From `finish`, and those of earlier runs, in key order.
            replayed: The hashes of the parts of earlier runs.
        """
        partial_hashes, unchanged = self.hashed()
        partial_hashes += [hashed for each in replayed for hashed in each.partial_hashes]
        unchanged.update(part for each in replayed for part in each.unchanged)
        return substitute_unchanged(
            parts, self._segments, partial_hashes, unchanged, partial(part_exists, self._store)
        )

    def hashed(self) -> tuple[PartialHashes, set[Part]]:
        """What was hashed, after `finish`.

        Returns:
            The hashes of segments that several streams have read, with their first keys; and the
            parts of the baseline that are unchanged, but were written again.
        """
        streams = [*self._in_order()]
        partial_hashes = [each for stream in streams for each in stream.hasher.partial_hashes]
        return partial_hashes, {part for stream in streams for part in stream.unchanged}

    def fingerprints(self) -> list[tuple[str, Fingerprint]]:
        """The fingerprint of each stream after `finish`, with its first key."""
        return [
            (stream.parts[0].first_key, stream.fingerprint)
            for stream in self._in_order()
            if stream.fingerprint and stream.parts
        ]

    def _stream(self, index: int) -> PartStream:
        stream = self._streams[index]
        while stream.merged_into:
            stream = stream.merged_into
        self._streams[index] = stream
        return stream

    def _in_order(self) -> Iterator[PartStream]:
        stream: PartStream | None = self._first
        while stream:
            yield stream
            stream = stream.right
