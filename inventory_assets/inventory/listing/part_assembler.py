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
from inventory_assets.inventory.listing.part_reuse import (
    BaselineSegment,
    Reread,
    SegmentHasher,
    small_rows,
    with_unchanged,
)
from inventory_assets.inventory.parts.drafts import Draft, Drafts
from inventory_assets.inventory.parts.fingerprint import Fingerprint
from inventory_assets.inventory.parts.part import Part, is_there
from inventory_assets.inventory.parts.part_writer import ROW_GROUP_ROWS, PartWriter
from inventory_assets.inventory.parts.schema import RECORD_SCHEMA, to_records
from inventory_assets.inventory.storage.layout import Layout
from inventory_assets.inventory.storage.store import Store
from inventory_assets.scan.keyspace.key_range import KeyRange
from inventory_assets.scan.keyspace.sorted_keys import count_up_to

ROWS_IN_MEMORY = 8 * ROW_GROUP_ROWS
"""Objects that wait to be written, over all ranges of a process; an object is 100 to 200 bytes."""

_NO_RECORDS = pa.RecordBatch.from_pylist([], RECORD_SCHEMA)

Published = Callable[[KeyRange, Sequence[Part]], None]


def _nothing() -> None:
    """Nobody wants to know."""


@dataclass(frozen=True, slots=True)
class Unfinished:
    """Keys whose records are written or wait to be, in this order.

    Attributes:
        key_range: Which.
        parts: Published ones.
        drafts: Files that are not.
        waiting: Objects that are in no file yet.
    """

    key_range: KeyRange
    parts: tuple[Part, ...]
    drafts: tuple[Draft, ...]
    waiting: tuple[pa.RecordBatch, ...]


class RowBuffer:
    """Bounds how many objects wait in memory, over all the runs of a process.

    Args:
        rows: The bound.
    """

    def __init__(self, rows: int = ROWS_IN_MEMORY) -> None:
        self._rows = rows
        self._total = 0
        self._runs: dict[_PartStream, int] = {}

    def hold(self, run: "_PartStream", rows: int) -> None:
        """Note how many objects wait in `run`, and have the fullest run write them if need be."""
        self._total += rows - self._runs.get(run, 0)
        self._runs[run] = rows
        if self._total > self._rows:
            max(self._runs, key=self._runs.__getitem__).make_room()

    def let_go(self, run: "_PartStream") -> None:
        """Nothing waits in `run` any more."""
        self._total -= self._runs.pop(run, 0)


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
        intervals: Between the ends of the baseline's parts; none where nothing can be shared.
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
        published: Published | None = None,
        intervals: Sequence[BaselineSegment] = (),
        drafts: Drafts | None = None,
        ticked: Callable[[], None] = _nothing,
    ) -> None:
        self._store = store
        self._ticked = ticked
        self._intervals = intervals
        new_reader = partial(SegmentHasher, intervals, small_rows(intervals))
        self._new_run = partial(
            _PartStream, store, layout, budget, for_manifest, published, new_reader, drafts
        )
        self._runs = [self._new_run(key_range.after) for key_range in ranges]
        self._first = self._runs[0] if self._runs else None
        for number, (left, right) in enumerate(pairwise(self._runs)):
            left.right = right
            right.touches = ranges[number].until == ranges[number + 1].after

    def close(self) -> None:
        """Remove what is not published; after `finish`, nothing."""
        for run in self._in_order():
            run.abandon()

    def split(self, index: int, upper: int, at: str, *, touches: bool = True) -> None:
        """What the range numbered `index` holds after `at` is now the range numbered `upper`.

        Args:
            index: The range.
            upper: The new one.
            at: What the new one begins after.
            touches: Whether the range ends there; else a gap is between them.
        """
        run, new = self._run(index), self._new_run(at)
        run.right, new.right, new.touches = new, run.right, touches
        self._runs += [new] * (upper + 1 - len(self._runs))
        self._runs[upper] = new

    def write(self, index: int, objects: pa.RecordBatch) -> None:
        """Append a batch with `OBJECT_SCHEMA` to the range `index`, after all written to it."""
        self._run(index).write(objects)
        self._ticked()

    def unfinished(self) -> list[Unfinished]:
        """What was written, and is not told to be published, of each run that has some."""
        return [found for run in self._in_order() if (found := run.unfinished())]

    def end(self, index: int, until: str) -> None:
        """The range numbered `index` is whole, and ends at `until`."""
        run = self._run(index)
        run.is_whole, run.until = True, until
        while run.is_whole and (right := run.right) and right.touches and not right.has_begun:
            run.absorb(right)
        # A small run waits for the range to its left, which may take it in.
        if run.is_whole and (run.has_begun or not run.touches):
            run.cut()

    def cut(self, index: int) -> None:
        """Publish what was written to the range `index` so far, however little."""
        self._run(index).cut()

    def finish(self) -> tuple[Part, ...]:
        """All parts, in key order."""
        for run in self._in_order():
            run.cut()
            run.reader.stop()
        return tuple(part for run in self._in_order() for part in run.parts)

    def with_unchanged(self, parts: Sequence[Part], earlier: Sequence[Reread]) -> list[Part]:
        """Once they are finished, parts of the baseline in the place of those that hold the same.

        Args:
            parts: From `finish`, and those of earlier runs, in key order.
            earlier: What those of earlier runs hold.
        """
        runs = [*self._in_order()]
        pieces = [piece for run in runs for piece in run.reader.pieces]
        pieces += [piece for each in earlier for piece in each.pieces]
        unchanged = {part for run in runs for part in run.unchanged}
        unchanged.update(part for each in earlier for part in each.unchanged)
        return with_unchanged(
            parts, self._intervals, pieces, unchanged, partial(is_there, self._store)
        )

    def fingerprints(self) -> list[tuple[str, Fingerprint]]:
        """The fingerprints of all records, once they are finished, each with its first key."""
        return [
            (run.parts[0].first_key, run.fingerprint)
            for run in self._in_order()
            if run.fingerprint and run.parts
        ]

    def _run(self, index: int) -> "_PartStream":
        run = self._runs[index]
        while run.absorber:
            run = run.absorber
        self._runs[index] = run
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
        absorber: The run before it, where that has taken it in.
        touches: Whether it begins where the run before it ends.
        is_whole: Whether the last of them is listed to its end.
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
        published: Published | None,
        new_reader: Callable[[str], SegmentHasher],
        drafts: Drafts | None,
        after: str,
    ) -> None:
        self.right: _PartStream | None = None
        self.absorber: _PartStream | None = None
        self.touches = False
        self.is_whole = False
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
        self._budget = budget
        self._lost: Exception | None = None
        self._published = published
        self._told_parts = 0
        self._told_until = after
        self.waiting: list[pa.RecordBatch] = []
        self._in_hand: list[pa.RecordBatch] = []
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
        self._raise_lost()
        self.waiting.append(objects)
        self.rows += objects.num_rows
        self._budget.hold(self, self.rows)
        if self.rows >= ROW_GROUP_ROWS:
            self.flush()

    def absorb(self, right: "_PartStream") -> None:
        """Take over what waits in the neighbour, and its place."""
        self.right, self.is_whole = right.right, False
        right.absorber = self
        waiting, right.waiting, right.rows = right.waiting, [], 0
        self._budget.let_go(right)
        for objects in waiting:
            self.write(objects)
        self.is_whole, self.until = right.is_whole, right.until

    def flush(self) -> None:
        """Write what waits as a row group."""
        if not self.rows:
            return
        waiting = self._in_hand = self.waiting
        self.waiting, self.rows = [], 0
        self._budget.let_go(self)
        records = to_records(pa.concat_batches(waiting), self._bucket)
        for piece, ends in self.reader.cut(records, self.until):
            self._take(piece, ends=ends)
        self._writer.end_row_group()
        self._in_hand = []
        if self.is_whole:
            self._end()
        pa.default_memory_pool().release_unused()
        self._tell()

    def _take(self, records: pa.RecordBatch, *, ends: bool) -> None:
        """Write records of one interval, or nothing if it ends with them and is as it was."""
        fingerprint = None
        if self.fingerprint is not None and records.num_rows:
            fingerprint = Fingerprint()
            fingerprint.update(records)
            self.fingerprint.join(fingerprint)
            self.reader.take(records, fingerprint)
        unchanged = self.reader.unchanged_part if ends else None
        # What is written of it, if anything, is in the open file, and nothing else is.
        is_alone = self._parts_before == len(self.parts)
        if unchanged and is_alone and is_there(self._store, unchanged):
            self._writer.share(unchanged)
        elif records.num_rows:
            self._writer.write(records, fingerprint)
        if ends:
            self._end_interval(unchanged)
        elif self.reader.is_enough(self._writer.rows):
            self._writer.set_aside()

    def _end_interval(self, unchanged: Part | None) -> None:
        """End the file at hand, unless what follows shall be in it, too."""
        is_apart = self.reader.may_be_unchanged
        if unchanged and self._parts_before is not None:
            is_apart = True
            if self.parts[-1:] != [unchanged]:
                self.unchanged.append(unchanged)
        rows = self._writer.rows
        if is_apart or not rows or not self.reader.goes_on(rows):
            self._writer.cut()
        self.reader.end()
        self._parts_before = None if self._writer.rows else len(self.parts)

    def _end(self) -> None:
        """Nothing more comes, as far as is known."""
        while self.reader.ends_by(self.until):
            self._take(_NO_RECORDS, ends=True)
        self._writer.cut()

    def _tell(self) -> None:
        """Say up to where all records are published."""
        if self.is_whole and not self.rows:
            upto = self.until
        elif len(self.parts) > self._told_parts:
            upto = self.parts[-1].last_key
        else:
            return
        told = KeyRange(self._told_until, upto)
        parts = self.parts[self._told_parts :]
        self._told_parts, self._told_until = len(self.parts), upto
        if self._published and told.after < told.until:
            self._published(told, parts)

    def unfinished(self) -> "Unfinished | None":
        """What was written, and is not told to be published."""
        parts, drafts = self.parts[self._told_parts :], self._writer.whole
        last = [part.last_key for part in parts] + [draft.last_key for draft in drafts]
        until = last[-1] if last else self._told_until
        waiting = []
        for objects in (*self._in_hand, *self.waiting):
            rest = objects.slice(count_up_to(objects.column("key"), until))
            if rest.num_rows:
                waiting.append(rest)
        if waiting:
            until = waiting[-1].column("key")[-1].as_py()
        if until <= self._told_until:
            return None
        key_range = KeyRange(self._told_until, until)
        return Unfinished(key_range, tuple(parts), tuple(drafts), tuple(waiting))

    def make_room(self) -> None:
        """Write what waits, for the sake of another run, which a failure does not concern."""
        try:
            self.flush()
        except (InventoryError, OSError) as error:
            self._lost = error

    def cut(self) -> None:
        self._raise_lost()
        self.flush()
        self._end()
        self._tell()

    def _raise_lost(self) -> None:
        if self._lost is not None:
            raise self._lost

    def abandon(self) -> None:
        self._budget.let_go(self)
        self._writer.abandon()
