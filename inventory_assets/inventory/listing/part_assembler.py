"""Turn the objects of ranges that are listed side by side into parts in key order.

Each range begins as a *run* of its own. When a run is listed whole, the range to its right joins
it, unless that one has begun a file: so small neighbours end in one file, and each file holds an
unbroken stretch of the key space. Nothing is sorted, and nothing is read again.

Where there is a baseline, files are cut where its parts ended, and what turns out to be the same as
one of them is not published again (`part_reuse.py`).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import pyarrow as pa

from inventory_assets.errors import InventoryError
from inventory_assets.inventory.listing.baseline_segment import BaselineSegment
from inventory_assets.inventory.listing.part_reuse import (
    ReplayedHashes,
    SegmentHasher,
    substitute_unchanged,
)
from inventory_assets.inventory.listing.part_sizing import (
    DEFAULT_SIZING,
    ExtendPart,
    PartSizing,
    UsePart,
)
from inventory_assets.inventory.parts.drafts import Draft, Drafts
from inventory_assets.inventory.parts.fingerprint import Fingerprint
from inventory_assets.inventory.parts.part import Part, part_exists
from inventory_assets.inventory.parts.part_writer import ROW_GROUP_ROWS, PartWriter
from inventory_assets.inventory.parts.schema import RECORD_SCHEMA, to_records
from inventory_assets.inventory.storage.layout import Layout
from inventory_assets.inventory.storage.store import Store
from inventory_assets.scan.keyspace.key_range import KeyRange
from inventory_assets.scan.keyspace.sorted_keys import count_up_to

ROWS_IN_MEMORY = 8 * ROW_GROUP_ROWS
"""Objects that wait to be written, over all ranges of a process; an object is 100 to 200 bytes."""

_NO_RECORDS = pa.RecordBatch.from_pylist([], RECORD_SCHEMA)

OnPublished = Callable[[KeyRange, Sequence[Part]], None]


def _nothing() -> None:
    """Nobody wants to know."""


@dataclass(frozen=True, slots=True)
class OpenRun:
    """Keys whose records are written or wait to be, in this order.

    Attributes:
        key_range: Which.
        parts: Published ones.
        drafts: Files that are not.
        buffered: Objects that are in no file yet.
    """

    key_range: KeyRange
    parts: tuple[Part, ...]
    drafts: tuple[Draft, ...]
    buffered: tuple[pa.RecordBatch, ...]


class RowBuffer:
    """Bounds how many objects wait in memory, over all the runs of a process.

    Args:
        rows: The bound.
    """

    def __init__(self, rows: int = ROWS_IN_MEMORY) -> None:
        self._rows = rows
        self._total = 0
        self._streams: dict[_PartStream, int] = {}

    def reserve(self, run: "_PartStream", rows: int) -> None:
        """Note how many objects wait in `run`, and have the fullest run write them if need be."""
        self._total += rows - self._streams.get(run, 0)
        self._streams[run] = rows
        if self._total > self._rows:
            max(self._streams, key=self._streams.__getitem__).spill()

    def release(self, run: "_PartStream") -> None:
        """Nothing waits in `run` any more."""
        self._total -= self._streams.pop(run, 0)


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
        ticked: Called again and again, whenever something was written.
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
            _PartStream, store, layout, budget, for_manifest, published, new_reader, drafts
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

    def _stream(self, index: int) -> "_PartStream":
        run = self._streams[index]
        while run.merged_into:
            run = run.merged_into
        self._streams[index] = run
        return run

    def _in_order(self) -> Iterator["_PartStream"]:
        run: _PartStream | None = self._first
        while run:
            yield run
            run = run.right


class _PartStream:
    """Neighbouring ranges that are written one after the other.

    Attributes:
        right: The run after it, or None.
        merged_into: The run before it, where that has taken it in.
        touches: Whether it begins where the run before it ends.
        is_complete: Whether the last of them is listed to its end.
        until: Where that was, once it is.
        fingerprint: Of the records written, where it is wanted.
        reader: Where it stands among the intervals of the baseline.
        unchanged: Parts of the baseline that it found unchanged when it had published their records
            already.
        waiting: Objects not written yet, and `rows` of them.
    """

    def __init__(
        self,
        store: Store,
        layout: Layout,
        budget: RowBuffer,
        for_manifest: bool,
        published: OnPublished | None,
        new_reader: Callable[[str], SegmentHasher],
        drafts: Drafts | None,
        after: str,
    ) -> None:
        self.right: _PartStream | None = None
        self.merged_into: _PartStream | None = None
        self.touches = False
        self.is_complete = False
        self.until = ""
        self.fingerprint = Fingerprint() if for_manifest else None
        self.reader = new_reader(after)
        self.unchanged: list[Part] = []
        self._bucket = layout.bucket
        self._store = store
        self._writer = PartWriter(
            store, layout, with_fingerprint=False, with_md5=for_manifest, drafts=drafts
        )
        self._parts_before: int | None = 0
        self._buffer = budget
        self._deferred_error: Exception | None = None
        self._published = published
        self._reported_parts = 0
        self._reported_until = after
        self.waiting: list[pa.RecordBatch] = []
        self._row_group: list[pa.RecordBatch] = []
        """What is being written just now, which an interruption may find half done."""
        self.rows = 0

    @property
    def has_begun(self) -> bool:
        """Whether something of it is written."""
        return self._writer.has_begun

    @property
    def parts(self) -> list[Part]:
        return self._writer.parts

    def write(self, objects: pa.RecordBatch) -> None:
        self._raise_deferred()
        self.waiting.append(objects)
        self.rows += objects.num_rows
        self._buffer.reserve(self, self.rows)
        if self.rows >= ROW_GROUP_ROWS:
            self.flush()

    def merge_right(self, right: "_PartStream") -> None:
        """Take over what waits in the neighbour, and its place."""
        self.right, self.is_complete = right.right, False
        right.merged_into = self
        buffered, right.waiting, right.rows = right.waiting, [], 0
        self._buffer.release(right)
        for objects in buffered:
            self.write(objects)
        self.is_complete, self.until = right.is_complete, right.until

    def flush(self) -> None:
        """Write what waits as a row group."""
        if not self.rows:
            return
        waiting = self._row_group = self.waiting
        self.waiting, self.rows = [], 0
        self._buffer.release(self)
        records = to_records(pa.concat_batches(waiting), self._bucket)
        for piece, ends in self.reader.split_at_segments(records, self.until):
            self._append(piece, ends=ends)
        self._writer.end_row_group()
        self._row_group = []
        if self.is_complete:
            self._end()
        pa.default_memory_pool().release_unused()
        self._report_durable()

    def _append(self, records: pa.RecordBatch, *, ends: bool) -> None:
        """Write records of one segment, or reuse a part if the segment ends and is unchanged."""
        fingerprint = None
        if self.fingerprint is not None and records.num_rows:
            fingerprint = Fingerprint()
            fingerprint.update(records)
            self.fingerprint.join(fingerprint)
            self.reader.update(records, fingerprint)
        if not ends:
            self._write(records, fingerprint)
            if self.reader.should_split(self._writer.rows):
                self._writer.stage_part()
            return
        decision = self.reader.decide(
            self._writer.rows + records.num_rows, starts_part=self._parts_before is not None
        )
        if not isinstance(decision, UsePart):
            self._write(records, fingerprint)
        # The open part holds what was written of the segment, and nothing else, if there is any.
        elif self._parts_before == len(self.parts) and part_exists(self._store, decision.part):
            self._writer.reuse(decision.part)
        else:
            self._write(records, fingerprint)
            self.unchanged.append(decision.part)
        if not isinstance(decision, ExtendPart):
            self._writer.finish_part()
        self.reader.end()
        self._parts_before = None if self._writer.rows else len(self.parts)

    def _write(self, records: pa.RecordBatch, fingerprint: Fingerprint | None) -> None:
        if records.num_rows:
            self._writer.write(records, fingerprint)

    def _end(self) -> None:
        """Nothing more comes, as far as is known."""
        while self.reader.ends_by(self.until):
            self._append(_NO_RECORDS, ends=True)
        self._writer.finish_part()

    def _report_durable(self) -> None:
        """Say up to where all records are published."""
        if self.is_complete and not self.rows:
            upto = self.until
        elif len(self.parts) > self._reported_parts:
            upto = self.parts[-1].last_key
        else:
            return
        told = KeyRange(self._reported_until, upto)
        parts = self.parts[self._reported_parts :]
        self._reported_parts, self._reported_until = len(self.parts), upto
        if self._published and told.after < told.until:
            self._published(told, parts)

    def open_run(self) -> "OpenRun | None":
        """What was written, and is not told to be published."""
        parts, drafts = self.parts[self._reported_parts :], self._writer.finish
        last = [part.last_key for part in parts] + [draft.last_key for draft in drafts]
        until = last[-1] if last else self._reported_until
        waiting = []
        for objects in (*self._row_group, *self.waiting):
            rest = objects.slice(count_up_to(objects.column("key"), until))
            if rest.num_rows:
                waiting.append(rest)
        if waiting:
            until = waiting[-1].column("key")[-1].as_py()
        if until <= self._reported_until:
            return None
        key_range = KeyRange(self._reported_until, until)
        return OpenRun(key_range, tuple(parts), tuple(drafts), tuple(waiting))

    def spill(self) -> None:
        """Write what waits, for the sake of another run, which a failure does not concern."""
        try:
            self.flush()
        except (InventoryError, OSError) as error:
            self._deferred_error = error

    def finish_part(self) -> None:
        self._raise_deferred()
        self.flush()
        self._end()
        self._report_durable()

    def _raise_deferred(self) -> None:
        if self._deferred_error is not None:
            raise self._deferred_error

    def discard(self) -> None:
        self._buffer.release(self)
        self._writer.discard()
