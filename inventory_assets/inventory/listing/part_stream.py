"""Write the objects of neighbouring ranges into parts, and reuse parts of the baseline.

What waits to be written is bounded over all streams of a process, by `RowBuffer`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pyarrow as pa

from inventory_assets.errors import InventoryError
from inventory_assets.inventory.listing.part_reuse import (
    SegmentHasher,
)
from inventory_assets.inventory.listing.part_sizing import (
    ExtendPart,
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
        self._streams: dict[PartStream, int] = {}

    def reserve(self, run: "PartStream", rows: int) -> None:
        """Note how many objects wait in `run`, and have the fullest run write them if need be."""
        self._total += rows - self._streams.get(run, 0)
        self._streams[run] = rows
        if self._total > self._rows:
            max(self._streams, key=self._streams.__getitem__).spill()

    def release(self, run: "PartStream") -> None:
        """Nothing waits in `run` any more."""
        self._total -= self._streams.pop(run, 0)


class PartStream:
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
        self.right: PartStream | None = None
        self.merged_into: PartStream | None = None
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

    def merge_right(self, right: "PartStream") -> None:
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
        parts, drafts = self.parts[self._reported_parts :], self._writer.unpublished_drafts
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
