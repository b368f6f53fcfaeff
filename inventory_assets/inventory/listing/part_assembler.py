"""Turn the objects of ranges that are listed side by side into parts in key order.

Each range begins as a *run* of its own. When a run is listed whole, the range to its right joins
it, unless that one has begun a file: so small neighbours end in one file, and each file holds an
unbroken stretch of the key space. Nothing is sorted, and nothing is read again.

Where there is a baseline, files are cut where its parts ended, and what turns out to be the same as
one of them is not published again (`part_reuse.py`).
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import pairwise

import pyarrow as pa

from inventory_assets.inventory.listing.baseline_segment import BaselineSegment
from inventory_assets.inventory.listing.part_reuse import (
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
    OpenRun,
    PartStream,
    RowBuffer,
)
from inventory_assets.inventory.parts.drafts import Drafts
from inventory_assets.inventory.parts.fingerprint import Fingerprint
from inventory_assets.inventory.parts.part import Part, part_exists
from inventory_assets.inventory.storage.layout import Layout
from inventory_assets.inventory.storage.store import Store
from inventory_assets.scan.keyspace.key_range import KeyRange


def _nothing() -> None:
    """Nobody wants to know."""


class PartAssembler:
    """The parts of some ranges; to be closed, after which what was not finished is gone.

    Args:
        store: Where the parts are published, each as soon as it is complete.
        layout: Under which keys.
        ranges: Disjoint and in key order; a part never spans a gap between them.
        budget: Shared by all that is assembled at the same time.
        for_manifest: Whether a manifest will state fingerprints and MD5s of the parts, which
            cost an eighth of the CPU.
        published: Told of keys whose records are all published, and of the parts that hold them.
        segments: From `segments_of`; none if nothing can be reused.
        sizing: How large parts are.
        drafts: Where files are written that another process can go on with, if this one is killed.
        ticked: Called after each event of the scan.
    """

    def __init__(
        self,
        store: Store,
        layout: Layout,
        ranges: Sequence[KeyRange],
        budget: RowBuffer,
        *,
        for_manifest: bool = True,
        published: OnPublished | None = None,
        segments: Sequence[BaselineSegment] = (),
        sizing: PartSizing = DEFAULT_SIZING,
        drafts: Drafts | None = None,
        ticked: Callable[[], None] = _nothing,
    ) -> None:
        self._store = store
        self._on_tick = ticked
        self._segments = segments
        sizing = sizing.of_shard(sum(segment.rows for segment in segments))
        new_reader = partial(SegmentHasher, segments, sizing)
        self._new_stream = partial(
            PartStream, store, layout, budget, for_manifest, published, new_reader, drafts
        )
        self._streams = [self._new_stream(key_range.after) for key_range in ranges]
        self._first = self._streams[0] if self._streams else None
        for number, (left, right) in enumerate(pairwise(self._streams)):
            left.right = right
            right.touches = ranges[number].until == ranges[number + 1].after

    def close(self) -> None:
        """Remove what is not published; after `finish`, nothing."""
        for run in self._in_order():
            run.discard()

    def split(self, index: int, upper: int, at: str, *, touches: bool = True) -> None:
        """What the range numbered `index` holds after `at` is now the range numbered `upper`.

        Args:
            index: The range.
            upper: The new one.
            at: What the new one begins after.
            touches: Whether the range ends there; else a gap is between them.
        """
        run, new = self._stream(index), self._new_stream(at)
        run.right, new.right, new.touches = new, run.right, touches
        self._streams += [new] * (upper + 1 - len(self._streams))
        self._streams[upper] = new
        self._on_tick()

    def write(self, index: int, objects: pa.RecordBatch) -> None:
        """Append a batch with `OBJECT_SCHEMA` to the range `index`, after all written to it."""
        self._stream(index).write(objects)
        self._on_tick()

    def open_runs(self) -> list[OpenRun]:
        """What was written, and is not told to be published, of each run that has some."""
        return [found for run in self._in_order() if (found := run.open_run())]

    def end(self, index: int, until: str) -> None:
        """The range numbered `index` is whole, and ends at `until`."""
        run = self._stream(index)
        run.is_complete, run.until = True, until
        while run.is_complete and (right := run.right) and right.touches and not right.has_begun:
            run.merge_right(right)
        # A small run waits for the range to its left, which may take it in.
        if run.is_complete and (run.has_begun or not run.touches):
            run.finish_part()
        self._on_tick()

    def finish_part(self, index: int) -> None:
        """Publish what was written to the range `index` so far, however little."""
        self._stream(index).finish_part()

    def finish(self) -> tuple[Part, ...]:
        """All parts, in key order."""
        for run in self._in_order():
            run.finish_part()
            run.reader.stop()
        return tuple(part for run in self._in_order() for part in run.parts)

    def substitute_unchanged(
        self, parts: Sequence[Part], earlier: Sequence[ReplayedHashes]
    ) -> list[Part]:
        """Once they are finished, parts of the baseline in the place of those that hold the same.

        Args:
            parts: From `finish`, and those of earlier runs, in key order.
            earlier: What those of earlier runs hold.
        """
        runs = [*self._in_order()]
        pieces = [piece for run in runs for piece in run.reader.pieces]
        pieces += [piece for each in earlier for piece in each.partial_hashes]
        unchanged = {part for run in runs for part in run.unchanged}
        unchanged.update(part for each in earlier for part in each.unchanged)
        return substitute_unchanged(
            parts, self._segments, pieces, unchanged, partial(part_exists, self._store)
        )

    def fingerprints(self) -> list[tuple[str, Fingerprint]]:
        """The fingerprints of all records, once they are finished, each with its first key."""
        return [
            (run.parts[0].first_key, run.fingerprint)
            for run in self._in_order()
            if run.fingerprint and run.parts
        ]

    def _stream(self, index: int) -> PartStream:
        run = self._streams[index]
        while run.merged_into:
            run = run.merged_into
        self._streams[index] = run
        return run

    def _in_order(self) -> Iterator[PartStream]:
        run: PartStream | None = self._first
        while run:
            yield run
            run = run.right
