"""Write the objects of neighbouring ranges into parts, and reuse parts of the baseline.

`RowBuffer` bounds the objects that all streams of a process hold in memory.
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
from inventory_assets.inventory.parts.parquet_encoding import ROW_GROUP_ROWS
from inventory_assets.inventory.parts.part import Part, part_exists
from inventory_assets.inventory.parts.part_writer import PartWriter
from inventory_assets.inventory.parts.schema import RECORD_SCHEMA, to_records
from inventory_assets.inventory.storage.layout import Layout
from inventory_assets.inventory.storage.store import Store
from inventory_assets.scan.keyspace.key_range import KeyRange
from inventory_assets.scan.keyspace.sorted_keys import count_up_to

ROWS_IN_MEMORY = 8 * ROW_GROUP_ROWS
"""Maximum objects in memory, over all ranges of a process; an object is 100 to 200 bytes."""

_NO_RECORDS = pa.RecordBatch.from_pylist([], RECORD_SCHEMA)

OnPublished = Callable[[KeyRange, Sequence[Part]], None]


@dataclass(frozen=True, slots=True)
class OpenRange:
    """A range of keys whose records were listed, but not yet reported as published.

    Attributes:
        key_range: The keys. Their records are in the following, in this order.
        parts: Published parts.
        drafts: Unpublished files.
        buffered: Objects that are in no file yet.
    """

    key_range: KeyRange
    parts: tuple[Part, ...]
    drafts: tuple[Draft, ...]
    buffered: tuple[pa.RecordBatch, ...]


class RowBuffer:
    """Bounds how many objects are in memory, over all streams of a process.

    Args:
        rows: The maximum number of objects.
    """

    def __init__(self, rows: int = ROWS_IN_MEMORY) -> None:
        self._rows = rows
        self._total = 0
        self._streams: dict[PartStream, int] = {}

    def reserve(self, stream: "PartStream", rows: int) -> None:
        """Set the number of objects in `stream`; above the bound, spill the fullest stream."""
        self._total += rows - self._streams.get(stream, 0)
        self._streams[stream] = rows
        if self._total > self._rows:
            max(self._streams, key=self._streams.__getitem__).spill()

    def release(self, stream: "PartStream") -> None:
        """Set the number of objects in `stream` to zero."""
        self._total -= self._streams.pop(stream, 0)


class PartStream:
    """Writes the records of neighbouring ranges, one range after the other.

    Attributes:
        right: The next stream in key order, or None.
        merged_into: The stream before it, if this stream was merged into that one.
        touches: Whether it begins where the stream before it ends.
        is_complete: Whether its last range is listed to the end.
        until: The end of its last range, once that is complete.
        fingerprint: Of the records written; None without a manifest.
        hasher: Hashes the records by segment of the baseline.
        unchanged: Parts of the baseline that turned out to be unchanged only after their records
            were published again.
        buffered: Objects that are not written yet, `buffered_rows` in total.
    """

    def __init__(
        self,
        store: Store,
        layout: Layout,
        buffer: RowBuffer,
        for_manifest: bool,
        on_published: OnPublished | None,
        new_hasher: Callable[[str], SegmentHasher],
        drafts: Drafts | None,
        after: str,
    ) -> None:
        self.right: PartStream | None = None
        self.merged_into: PartStream | None = None
        self.touches = False
        self.is_complete = False
        self.until = ""
        self.fingerprint = Fingerprint() if for_manifest else None
        self.hasher = new_hasher(after)
        self.unchanged: list[Part] = []
        self._bucket = layout.bucket
        self._store = store
        self._writer = PartWriter(
            store, layout, with_fingerprint=False, with_md5=for_manifest, drafts=drafts
        )
        self._parts_before: int | None = 0
        self._buffer = buffer
        self._deferred_error: Exception | None = None
        self._on_published = on_published
        self._reported_parts = 0
        self._reported_until = after
        self.buffered: list[pa.RecordBatch] = []
        self._row_group: list[pa.RecordBatch] = []
        """Objects that are being written. After an interruption, some of them may be in no file."""
        self.buffered_rows = 0

    @property
    def has_begun(self) -> bool:
        """Whether it has begun a file."""
        return self._writer.has_begun

    @property
    def parts(self) -> list[Part]:
        return self._writer.parts

    def write(self, objects: pa.RecordBatch) -> None:
        if self._deferred_error is not None:
            raise self._deferred_error
        self.buffered.append(objects)
        self.buffered_rows += objects.num_rows
        self._buffer.reserve(self, self.buffered_rows)
        if self.buffered_rows >= ROW_GROUP_ROWS:
            self.flush()

    def merge_right(self, right: "PartStream") -> None:
        """Take over the buffered objects of the right neighbour, and its place."""
        self.right, self.is_complete = right.right, False
        right.merged_into = self
        buffered, right.buffered, right.buffered_rows = right.buffered, [], 0
        self._buffer.release(right)
        for objects in buffered:
            self.write(objects)
        self.is_complete, self.until = right.is_complete, right.until

    def flush(self) -> None:
        """Write the buffered objects as a row group."""
        if not self.buffered_rows:
            return
        buffered = self._row_group = self.buffered
        self.buffered, self.buffered_rows = [], 0
        self._buffer.release(self)
        records = to_records(pa.concat_batches(buffered), self._bucket)
        for segment_records, ends in self.hasher.split_at_segments(records, self.until):
            self._append(segment_records, ends=ends)
        self._writer.end_row_group()
        self._row_group = []
        if self.is_complete:
            self._end_parts()
        pa.default_memory_pool().release_unused()
        self._report_durable()

    def _append(self, records: pa.RecordBatch, *, ends: bool) -> None:
        """Write records of one segment, or reuse a part if the segment ends and is unchanged."""
        fingerprint = None
        if self.fingerprint is not None and records.num_rows:
            fingerprint = Fingerprint()
            fingerprint.update(records)
            self.fingerprint.join(fingerprint)
            self.hasher.update(records, fingerprint)
        if not ends:
            self._write(records, fingerprint)
            if self.hasher.should_split(self._writer.rows):
                self._writer.stage_part()
            return
        decision = self.hasher.decide(
            self._writer.rows + records.num_rows, starts_part=self._parts_before is not None
        )
        if not isinstance(decision, UsePart):
            self._write(records, fingerprint)
        # The open part holds records of this segment only, or none.
        elif self._parts_before == len(self.parts) and part_exists(self._store, decision.part):
            self._writer.reuse(decision.part)
        else:
            self._write(records, fingerprint)
            self.unchanged.append(decision.part)
        if not isinstance(decision, ExtendPart):
            self._writer.finish_part()
        self.hasher.end_segment()
        self._parts_before = None if self._writer.rows else len(self.parts)

    def _write(self, records: pa.RecordBatch, fingerprint: Fingerprint | None) -> None:
        if records.num_rows:
            self._writer.write(records, fingerprint)

    def _end_parts(self) -> None:
        """End the segments and the part up to the end of the last range."""
        while self.hasher.ends_by(self.until):
            self._append(_NO_RECORDS, ends=True)
        self._writer.finish_part()

    def _report_durable(self) -> None:
        """Report the range whose records have all been published since the last report."""
        if self.is_complete and not self.buffered_rows:
            upto = self.until
        elif len(self.parts) > self._reported_parts:
            upto = self.parts[-1].last_key
        else:
            return
        reported = KeyRange(self._reported_until, upto)
        parts = self.parts[self._reported_parts :]
        self._reported_parts, self._reported_until = len(self.parts), upto
        if self._on_published and reported.after < reported.until:
            self._on_published(reported, parts)

    def open_range(self) -> "OpenRange | None":
        """The range of the records not yet reported as published; None without such records."""
        parts, drafts = self.parts[self._reported_parts :], self._writer.unpublished_drafts
        last = [part.last_key for part in parts] + [draft.last_key for draft in drafts]
        until = last[-1] if last else self._reported_until
        buffered = []
        for objects in (*self._row_group, *self.buffered):
            rest = objects.slice(count_up_to(objects.column("key"), until))
            if rest.num_rows:
                buffered.append(rest)
        if buffered:
            until = buffered[-1].column("key")[-1].as_py()
        if until <= self._reported_until:
            return None
        key_range = KeyRange(self._reported_until, until)
        return OpenRange(key_range, tuple(parts), tuple(drafts), tuple(buffered))

    def spill(self) -> None:
        """Flush to free memory for another stream; an error is raised by the next own call."""
        try:
            self.flush()
        except (InventoryError, OSError) as error:
            self._deferred_error = error

    def finish_part(self) -> None:
        self._raise_deferred()
        self.flush()
        self._end_parts()
        self._report_durable()

    def _raise_deferred(self) -> None:
        if self._deferred_error is not None:
            raise self._deferred_error

    def discard(self) -> None:
        self._buffer.release(self)
        self._writer.discard()
