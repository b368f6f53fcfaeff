"""Write the snapshot of a shard while the shard is listed."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import partial

from inventory_assets.inventory.errors import (
    ConflictError,
    CorruptRecord,
    IncompleteListing,
    RecordsUnreadable,
)
from inventory_assets.inventory.listing.baseline_segment import BaselineSegment
from inventory_assets.inventory.listing.checkpoint_record import ResumedWork
from inventory_assets.inventory.listing.checkpointed_sink import CheckpointedSink
from inventory_assets.inventory.listing.checkpoints import CheckpointLog
from inventory_assets.inventory.listing.part_reuse import (
    ReplayedHashes,
    is_reusable,
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
from inventory_assets.inventory.parts.part import Part, read_records
from inventory_assets.inventory.runs.shard_run import (
    JobObserver,
    OnRun,
    ignore_run,
    is_serial,
    record_shard_run,
)
from inventory_assets.inventory.storage.layout import Layout
from inventory_assets.inventory.storage.store import Store
from inventory_assets.s3.page_source import PageSource
from inventory_assets.scan.engine.events import ListingJob, RangeNarrowed
from inventory_assets.scan.errors import KeysOutOfOrder, NamesMisread
from inventory_assets.scan.keyspace.key_order import KeyOrder
from inventory_assets.scan.keyspace.key_range import KeyRange, coalesce
from inventory_assets.scan.keyspace.shard import Shard
from inventory_assets.scan.validation.object_versions import Versions

_NOT_RESUMABLE = (
    KeysOutOfOrder,
    NamesMisread,
    IncompleteListing,
    RecordsUnreadable,
    CorruptRecord,
    ConflictError,
)
"""After these errors, the checkpoints are wrong, damaged or outdated, and are removed."""


@dataclass(frozen=True, slots=True)
class ShardRequest:
    """A shard to list for a date.

    Attributes:
        day: The date.
        shard: The shard.
        versions: The versions to list; None for the current objects.
    """

    day: date
    shard: Shard
    versions: Versions | None = None


@dataclass(frozen=True, slots=True)
class ResumeState:
    """The state from which the listing of a shard begins or resumes.

    Attributes:
        request: The shard and the date.
        checkpoints: The checkpoints of earlier runs.
        baseline: The baseline, whose parts may be reused.
        key_order: The order in which the shard is listed.
        expected_etag: The ETag of the snapshot that the resumed listing may replace; None to take
            the present one when the listing begins.
    """

    request: ShardRequest
    checkpoints: CheckpointLog
    baseline: Manifest | None
    key_order: KeyOrder
    expected_etag: str | None


class SnapshotBuilder(CheckpointedSink):
    """The sink that writes a snapshot.

    Args:
        state: The shard, and the work of earlier runs.
        job: The ranges that are still to be listed.
        buffer: Shared by all listings that run at the same time.
        store: The store to publish to.
        layout: The keys and encodings of the results.
        lister: The bucket, for messages; its profile becomes part of the snapshot.
        now: The clock.
        sizing: The sizes of parts.
        on_run: Receives the run record.

    Attributes:
        request: The shard and the date.
    """

    def __init__(
        self,
        state: ResumeState,
        job: ListingJob,
        buffer: RowBuffer,
        store: Store,
        layout: Layout,
        lister: PageSource,
        now: Callable[[], datetime],
        sizing: PartSizing,
        on_run: OnRun = ignore_run,
    ) -> None:
        self.request = request = state.request
        baseline = state.baseline
        self._segments = segments_to_reuse(baseline, request.shard, layout, sizing)
        super().__init__(
            job,
            state.checkpoints,
            store,
            layout,
            buffer,
            segments=self._segments,
            sizing=sizing,
        )
        self._baseline = baseline
        self._store = store
        self._layout = layout
        self._lister = lister
        self._key_order = state.key_order
        self._now = now
        self._on_run = on_run
        serial = is_serial(state.key_order, lister.profile)
        self._observer = JobObserver(lister, job, now, is_serial=serial)
        self._resumed = state.checkpoints.resumed
        self._resumed_evidence = {each.key_range: each for each in self._resumed.evidence}
        self._started_at = self._resumed.started_at or job.began_at or now()
        self._expected_etag = state.expected_etag
        if self._expected_etag is None:
            self._expected_etag = snapshot_etag(store, layout, request.day, request.shard.prefix)

    def narrow(self, narrowed: RangeNarrowed) -> None:
        """Move the beginning of a range that was completed, or resumed."""
        evidence = [*self.evidence.items(), *self._resumed_evidence.items()]
        for index, each in evidence:
            if each.key_range == narrowed.was:
                later = replace(each, key_range=KeyRange(narrowed.after, narrowed.was.until))
                rows = self.evidence if isinstance(index, int) else self._resumed_evidence
                rows[index] = later  # type: ignore[index]

    def fail(self, error: Exception) -> None:
        """Remove the checkpoints if, after this error, no run can resume from them."""
        if isinstance(error, _NOT_RESUMABLE):
            self._checkpoints.clear()

    def finish(self) -> Snapshot:
        """Publish the snapshot.

        Raises:
            IncompleteListing: Its evidence does not prove that it is complete.
            RecordsUnreadable: Most records cannot be decoded.
            ConflictError: Another run published it meanwhile.
            StoreError: A part cannot be written.
        """
        shard, resumed = self.request.shard, self._resumed
        written = sorted([*self.assembler.finish(), *resumed.parts], key=_first_key)
        replayed = replay_resumed(self._store, resumed, self._segments)
        hashed = [(first_key, each.fingerprint) for first_key, each in replayed]
        fingerprint = joined([*self.assembler.fingerprints(), *hashed]).hexdigest()
        parts, reuse = reuse_whole_shard(
            self._baseline,
            shard,
            fingerprint,
            self.assembler.substitute_unchanged(written, [each for _, each in replayed]),
            partial(is_reusable, self._store, self._layout),
        )
        evidence = [*self.evidence.values(), *self._resumed_evidence.values()]
        faults = Counter({fault.value: count for fault, count in self.stats.faults.items()})
        faults.update(resumed.faults)
        snapshot = Snapshot(
            bucket=self._layout.bucket,
            source=self._layout.source,
            day=self.request.day,
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
            reuse=reuse,
            versions=self.request.versions,
            profile=self._lister.profile,
            unreadable=resumed.unreadable.joined(self.stats.unreadable),
            latency=self.stats.latency,
        )
        bucket = self._lister.bucket_config.display_name
        failed_rules = failed_rules_of(snapshot)
        if failed_rules:
            raise IncompleteListing(
                f"{bucket}: the listing of {shard.prefix!r} does not prove that it is complete and "
                f"was not published: {'; '.join(failed_rules)}; list it again"
            )
        where = f"{bucket}, prefix {shard.prefix!r}"
        require_readable(where, snapshot.rows, snapshot.unreadable, MAX_TOLERATED)
        publish_snapshot(self._store, self._layout, snapshot, self._expected_etag)
        self._checkpoints.clear()
        rows = sum(each.rows for each in self.evidence.values())
        run = self._observer.run(self._layout, snapshot.day, rows, snapshot.finished_at)
        self._on_run(run)
        record_shard_run(self._store, self._layout, run)
        return snapshot


def segments_to_reuse(
    baseline: Manifest | None, shard: Shard, layout: Layout, sizing: PartSizing
) -> list[BaselineSegment]:
    """The segments of a shard in the baseline; after a change of the encodings, without parts."""
    segments = segments_of(baseline.parts, shard.ranges, sizing) if baseline else []
    return [
        each if each.part and layout.encodes_like(each.part.key) else replace(each, part=None)
        for each in segments
    ]


def replay_resumed(
    store: Store, resumed: ResumedWork, segments: Sequence[BaselineSegment]
) -> list[tuple[str, ReplayedHashes]]:
    """Hash the parts of earlier runs, range by contiguous range.

    Returns:
        The hashes of each range, with its first key.
    """
    found = []
    parts = resumed.parts
    for key_range in coalesce(completed.key_range for completed in resumed.completed):
        start = bisect_right(parts, key_range.after, key=_first_key)
        stop = bisect_right(parts, key_range.until, key=_first_key)
        if start < stop:
            batches = read_records(store, parts[start:stop], [key_range])
            each = replay_hashes(batches, key_range, segments)
            found.append((parts[start].first_key, each))
    return found


def _first_key(part: Part) -> str:
    return part.first_key
