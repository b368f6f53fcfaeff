"""The sink of the ranges of one claim."""

from collections.abc import Sequence

import pyarrow as pa

from inventory_assets.inventory.folder_listing.range_listing import RangesBuilder, Work
from inventory_assets.inventory.listing.baseline_segment import BaselineSegment
from inventory_assets.inventory.listing.checkpoints import CheckpointLog
from inventory_assets.inventory.shared_listing.range_claim import RangeClaim
from inventory_assets.scan.engine.events import ListingJob
from inventory_assets.scan.validation.range_evidence import RangeEvidence


class SharedRangesBuilder(RangesBuilder):
    """A `RangesBuilder` that ends when the claim to its ranges is lost.

    Attributes:
        job: The ranges.
        rows: The objects listed so far.
    """

    def __init__(
        self,
        work: Work,
        checkpoints: CheckpointLog,
        job: ListingJob,
        claim: RangeClaim,
        segments: Sequence[BaselineSegment] | None = None,
    ) -> None:
        super().__init__(work, checkpoints, job, segments)
        self.job = job
        self.rows = 0
        self._claim = claim

    def write(self, index: int, objects: pa.RecordBatch) -> None:
        self._claim.require_held()
        self.rows += objects.num_rows
        super().write(index, objects)

    def complete(self, index: int, evidence: RangeEvidence) -> None:
        self._claim.require_held()
        super().complete(index, evidence)
