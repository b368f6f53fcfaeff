"""The common base of the sinks of a listing, which writes parts and checkpoints."""

from collections.abc import Sequence

import pyarrow as pa

from inventory_assets.inventory.listing.baseline_segment import BaselineSegment
from inventory_assets.inventory.listing.checkpoints import CheckpointLog
from inventory_assets.inventory.listing.part_assembler import PartAssembler
from inventory_assets.inventory.listing.part_sizing import DEFAULT_SIZING, PartSizing
from inventory_assets.inventory.listing.part_stream import RowBuffer
from inventory_assets.inventory.parts.part import Part
from inventory_assets.inventory.storage.layout import Layout
from inventory_assets.inventory.storage.store import Store
from inventory_assets.scan.engine.events import ListingJob, RangeCutShort, RangeSplit
from inventory_assets.scan.keyspace.key_range import KeyRange
from inventory_assets.scan.validation.range_evidence import RangeEvidence


class CheckpointedSink:
    """Writes the parts and checkpoints of a job; subclasses publish the result.

    Args:
        job: The ranges to list.
        checkpoints: The checkpoints of the listing.
        store: The store to publish to.
        layout: The keys and encodings of the results.
        buffer: Shared by all listings that run at the same time.
        for_manifest: See `PartAssembler`.
        segments: See `PartAssembler`.
        sizing: The sizes of parts.

    Attributes:
        assembler: Writes the parts.
        stats: The requests of this run.
        evidence: The evidence of the complete ranges, by their numbers.
    """

    def __init__(
        self,
        job: ListingJob,
        checkpoints: CheckpointLog,
        store: Store,
        layout: Layout,
        buffer: RowBuffer,
        *,
        for_manifest: bool = True,
        segments: Sequence[BaselineSegment] = (),
        sizing: PartSizing = DEFAULT_SIZING,
    ) -> None:
        self.stats = job.stats
        self.evidence: dict[int, RangeEvidence] = {}
        self.assembler = PartAssembler(
            store,
            layout,
            job.ranges,
            buffer,
            for_manifest=for_manifest,
            on_published=self._record_completed,
            segments=segments,
            sizing=sizing,
            drafts=checkpoints.drafts,
            on_tick=self._on_tick,
        )
        self._checkpoints = checkpoints
        self._ranges = len(job.ranges)
        checkpoints.track_open_ranges(self.assembler.open_ranges)

    @property
    def is_complete(self) -> bool:
        """Whether all ranges are listed."""
        return len(self.evidence) == self._ranges

    def write(self, index: int, objects: pa.RecordBatch) -> None:
        """Append objects to a range."""
        self.assembler.write(index, objects)

    def split(self, split: RangeSplit) -> None:
        """Begin a new range with the upper part of another."""
        self._ranges += 1
        self.assembler.split(split.index, split.upper, split.boundary, touches=split.touches)

    def cut_short(self, cut: RangeCutShort) -> None:
        """Note that another scan lists the upper part of a range."""
        self.assembler.cut_short(cut.index)

    def complete(self, index: int, evidence: RangeEvidence) -> None:
        """End a range."""
        self.evidence[index] = evidence
        self.assembler.end(index, evidence.key_range.until)

    def finish_part(self, index: int) -> None:
        """Publish the records written to a range so far."""
        self.assembler.finish_part(index)

    def close(self) -> None:
        """Write a last checkpoint, and remove scratch files."""
        try:
            self._checkpoints.save_drafts(self.stats)
        finally:
            self.assembler.close()
            self._checkpoints.close()

    def _record_completed(self, key_range: KeyRange, parts: Sequence[Part]) -> None:
        self._checkpoints.record_completed(key_range, parts, self.stats)

    def _on_tick(self) -> None:
        self._checkpoints.tick(self.stats)
