"""A snapshot that is being taken: what of it is listed, and its end."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime

import pyarrow as pa

from inventory_assets.inventory.errors import (
    ConflictError,
    CorruptRecord,
    IncompleteListing,
    RecordsUnreadable,
)
from inventory_assets.inventory.listing.checkpoints import CheckpointLog
from inventory_assets.inventory.listing.part_assembler import PartAssembler
from inventory_assets.inventory.listing.part_reuse import (
    ReplayedHashes,
    replay_hashes,
    reuse_whole_shard,
    segments_of,
)
from inventory_assets.inventory.listing.part_sizing import PartSizing
from inventory_assets.inventory.listing.part_stream import RowBuffer
from inventory_assets.inventory.manifest.manifest import Manifest
from inventory_assets.inventory.manifest.snapshot import (
    Snapshot,
    publish_snapshot,
    snapshot_etag,
)
from inventory_assets.inventory.manifest.snapshot_validation import failed_rules_of
from inventory_assets.inventory.manifest.unreadable_records import MAX_TOLERATED, require_readable
from inventory_assets.inventory.parts.fingerprint import joined
from inventory_assets.inventory.parts.part import Part, part_exists, read_records
from inventory_assets.inventory.storage.layout import Layout
from inventory_assets.inventory.storage.store import Store
from inventory_assets.s3.list_client import ListClient
from inventory_assets.scan.engine.events import ListingJob, RangeNarrowed, RangeSplit
from inventory_assets.scan.errors import KeysOutOfOrder, NamesMisread
from inventory_assets.scan.keyspace.key_order import KeyOrder
from inventory_assets.scan.keyspace.key_range import KeyRange, coalesce
from inventory_assets.scan.keyspace.shard import Shard
from inventory_assets.scan.validation.object_versions import Versions
from inventory_assets.scan.validation.range_evidence import RangeEvidence

_NOT_RESUMABLE = (
    KeysOutOfOrder,
    NamesMisread,
    IncompleteListing,
    RecordsUnreadable,
    CorruptRecord,
    ConflictError,
)
"""After these, what is safe is wrong, damaged, or older than what was published since."""


@dataclass(frozen=True, slots=True)
class ShardRequest:
    """A snapshot to take, of some versions, or of the current objects."""

    day: date
    shard: Shard
    versions: Versions | None = None


@dataclass(frozen=True, slots=True)
class ResumeState:
    """What is there of a snapshot before anything is listed.

    Attributes:
        request: Of what.
        checkpoints: What of it is safe already.
        baseline: What it may share parts with.
        key_order: In which order the shard is listed.
        expected_etag: The version of the snapshot that is there, where something is safe that must
            not replace another; None for what it is when the listing begins.
    """

    request: ShardRequest
    checkpoints: CheckpointLog
    baseline: Manifest | None
    key_order: KeyOrder
    expected_etag: str | None


class SnapshotBuilder:
    """A snapshot being taken; to be closed.

    Args:
        start: Of what, and what is there of it.
        job: What is still to be listed of it.
        budget: Of all that is listed at the same time.
        store: Where it is published.
        layout: Under which keys.
        lister: The bucket, for messages; its profile becomes part of the snapshot.
        now: The clock.
        sizing: How large parts are.

    Attributes:
        wanted: Of what.
        assembler: Where its objects go.
        stats: What it has cost.
        evidence: By number of the range, of those listed whole.
    """

    def __init__(
        self,
        start: ResumeState,
        job: ListingJob,
        budget: RowBuffer,
        store: Store,
        layout: Layout,
        lister: ListClient,
        now: Callable[[], datetime],
        sizing: PartSizing,
    ) -> None:
        self.wanted = request = start.request
        self.stats = job.stats
        baseline = start.baseline
        segments = segments_of(baseline.parts, request.shard.ranges, sizing) if baseline else []
        # After a change of the encodings, parts are written again rather than shared.
        self._segments = [
            each if each.part and layout.encodes_like(each.part.key) else replace(each, part=None)
            for each in segments
        ]
        self.assembler = PartAssembler(
            store,
            layout,
            job.ranges,
            budget,
            published=self._record_completed,
            segments=self._segments,
            sizing=sizing,
            drafts=start.checkpoints.drafts,
            ticked=self._on_tick,
        )
        start.checkpoints.follow(self.assembler.open_runs)
        self._baseline = baseline
        self._checkpoints = start.checkpoints
        self._store = store
        self._layout = layout
        self._lister = lister
        self._key_order = start.key_order
        self._now = now
        self.evidence: dict[int, RangeEvidence] = {}
        self._resumed = start.checkpoints.resumed
        self._resumed_evidence = {each.key_range: each for each in self._resumed.evidence}
        self._ranges = len(job.ranges)
        self._started_at = self._resumed.started_at or job.began_at or now()
        self._expected_etag = start.expected_etag
        if self._expected_etag is None:
            self._expected_etag = snapshot_etag(store, layout, request.day, request.shard.prefix)

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

    def narrow(self, narrowed: RangeNarrowed) -> None:
        """Move the beginning of a range that was completed, or resumed."""
        evidence = [*self.evidence.items(), *self._resumed_evidence.items()]
        for place, each in evidence:
            if each.key_range == narrowed.was:
                later = replace(each, key_range=KeyRange(narrowed.after, narrowed.was.until))
                rows = self.evidence if isinstance(place, int) else self._resumed_evidence
                rows[place] = later  # type: ignore[index]

    def complete(self, index: int, evidence: RangeEvidence) -> None:
        """End a range."""
        self.evidence[index] = evidence
        self.assembler.end(index, evidence.key_range.until)

    def finish_part(self, index: int) -> None:
        """Publish what was written to a range so far."""
        self.assembler.finish_part(index)

    def close(self) -> None:
        """Save what another run can continue with; the rest is removed."""
        try:
            self._checkpoints.save_drafts(self.stats)
        finally:
            self.assembler.close()
            self._checkpoints.close()

    def fail(self, error: Exception) -> None:
        """Remove the checkpoints if the error makes them useless for another run."""
        if isinstance(error, _NOT_RESUMABLE):
            self._checkpoints.clear()

    def _is_reusable(self, part: Part) -> bool:
        return self._layout.encodes_like(part.key) and part_exists(self._store, part)

    def _record_completed(self, key_range: KeyRange, parts: Sequence[Part]) -> None:
        self._checkpoints.record_completed(key_range, parts, self.stats)

    def _on_tick(self) -> None:
        self._checkpoints.tick(self.stats)

    def _replay_resumed(self) -> list[tuple[str, ReplayedHashes]]:
        """What is kept, as far as nothing is to be listed between, each with its first key."""
        found = []
        parts = self._resumed.parts
        for key_range in coalesce(completed.key_range for completed in self._resumed.completed):
            start = bisect_right(parts, key_range.after, key=_first_key)
            stop = bisect_right(parts, key_range.until, key=_first_key)
            if start < stop:
                batches = read_records(self._store, parts[start:stop], [key_range])
                each = replay_hashes(batches, key_range, self._segments)
                found.append((parts[start].first_key, each))
        return found

    def finish(self) -> Snapshot:
        """Publish the snapshot.

        Raises:
            IncompleteListing: Its evidence does not prove that it is complete.
            RecordsUnreadable: Most records cannot be decoded.
            ConflictError: Another run published it meanwhile.
            StoreError: A part cannot be written.
        """
        shard, resumed = self.wanted.shard, self._resumed
        written = sorted([*self.assembler.finish(), *resumed.parts], key=_first_key)
        read = self._replay_resumed()
        hashed = [(first_key, each.fingerprint) for first_key, each in read]
        fingerprint = joined([*self.assembler.fingerprints(), *hashed])
        parts, shared = reuse_whole_shard(
            self._baseline,
            shard,
            fingerprint,
            self.assembler.substitute_unchanged(written, [each for _, each in read]),
            self._is_reusable,
        )
        evidence = [*self.evidence.values(), *self._resumed_evidence.values()]
        faults = Counter({fault.value: count for fault, count in self.stats.faults.items()})
        faults.update(resumed.faults)
        snapshot = Snapshot(
            bucket=self._layout.bucket,
            source=self._layout.source,
            day=self.wanted.day,
            shard=shard,
            started_at=self._started_at,
            finished_at=self._now(),
            key_order=self._key_order,
            parts=tuple(parts),
            evidence=tuple(sorted(evidence, key=lambda each: each.key_range)),
            fingerprint=fingerprint,
            requests=self.stats.requests + resumed.requests,
            response_bytes=self.stats.response_bytes + resumed.response_bytes,
            faults=dict(sorted(faults.items())),
            reuse=shared,
            versions=self.wanted.versions,
            profile=self._lister.profile,
            unreadable=resumed.unreadable.joined(self.stats.unreadable),
        )
        bucket = self._lister.connection.display_name
        broken = failed_rules_of(snapshot)
        if broken:
            raise IncompleteListing(
                f"{bucket}: the listing of {shard.prefix!r} does not prove "
                f"that it is complete and was not published: {'; '.join(broken)}; list it again"
            )
        where = f"{bucket}, prefix {shard.prefix!r}"
        require_readable(where, snapshot.rows, snapshot.unreadable, MAX_TOLERATED)
        publish_snapshot(self._store, self._layout, snapshot, self._expected_etag)
        self._checkpoints.clear()
        return snapshot


def _first_key(part: Part) -> str:
    return part.first_key
