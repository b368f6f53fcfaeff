"""The sink of the ranges of a shared shard."""

from collections.abc import Callable, Sequence
from datetime import date, datetime

from inventory_assets.inventory.folder_listing.range_listing import RangesListed, Work
from inventory_assets.inventory.listing.baseline_segment import BaselineSegment
from inventory_assets.inventory.listing.checkpoint_record import ResumedWork
from inventory_assets.inventory.listing.checkpoints import CheckpointLog
from inventory_assets.inventory.listing.part_reuse import PartialHashes
from inventory_assets.inventory.listing.snapshot_builder import replay_resumed
from inventory_assets.inventory.parts.part import Part
from inventory_assets.inventory.runs.shard_run import JobObserver
from inventory_assets.inventory.shared_listing.range_builder import SharedRangesBuilder
from inventory_assets.inventory.shared_listing.range_claim import RangeClaim
from inventory_assets.inventory.shared_shards.range_summary import RangeSummary, summarize
from inventory_assets.scan.engine.events import ListingJob
from inventory_assets.scan.keyspace.key_range import KeyRange


class ShardRangesBuilder(SharedRangesBuilder):
    """A `SharedRangesBuilder` that hashes the records, and observes the listing.

    Args:
        work: The bucket and the store.
        checkpoints: The checkpoints of the ranges.
        job: The ranges.
        claim: The claim that must be held.
        segments: The segments of the baseline.
        now: The clock.
    """

    def __init__(
        self,
        work: Work,
        checkpoints: CheckpointLog,
        job: ListingJob,
        claim: RangeClaim,
        segments: Sequence[BaselineSegment],
        now: Callable[[], datetime],
    ) -> None:
        super().__init__(work, checkpoints, job, claim, segments)
        self._segments = segments
        self._now = now
        self._observer = JobObserver(work.lister, job, now, is_serial=False)
        self._fingerprints: PartialHashes = []
        self._partial_hashes: PartialHashes = []
        self._unchanged: set[Part] = set()

    def finish(self) -> RangesListed:
        listed = super().finish()
        self._fingerprints = self.assembler.fingerprints()
        self._partial_hashes, self._unchanged = self.assembler.hashed()
        return listed

    def summary(self, day: date, resumed: ResumedWork, ranges: Sequence[KeyRange]) -> RangeSummary:
        """The summary of complete ranges.

        Args:
            day: The date of the snapshot.
            resumed: The work of earlier holders.
            ranges: The ranges.

        Raises:
            CorruptRecord: A part of an earlier holder is damaged.
        """
        replayed = replay_resumed(self._work.store, resumed, self._segments)
        return summarize(
            self._fingerprints,
            self._partial_hashes,
            self._unchanged,
            replayed,
            ranges,
            self.stats.response_bytes + resumed.response_bytes,
            self._observer.run(self._work.layout, day, self.rows, self._now()),
        )
