"""The snapshot of a shard that several runs list together."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property, partial

from inventory_assets.inventory.errors import ConflictError, CorruptRecord, IncompleteListing
from inventory_assets.inventory.folder_listing.range_listing import Work
from inventory_assets.inventory.listing.baseline_segment import BaselineSegment
from inventory_assets.inventory.listing.checkpoint_record import ResumedWork
from inventory_assets.inventory.listing.checkpoints import CheckpointLog
from inventory_assets.inventory.listing.listable_dates import stand_for
from inventory_assets.inventory.listing.part_reuse import (
    is_reusable,
    reuse_whole_shard,
    split_hints,
    substitute_unchanged,
)
from inventory_assets.inventory.listing.part_sizing import PartSizing
from inventory_assets.inventory.listing.snapshot_builder import ShardRequest, segments_to_reuse
from inventory_assets.inventory.manifest.manifest import Manifest
from inventory_assets.inventory.manifest.snapshot import (
    Snapshot,
    files_that_differ,
    publish_snapshot,
    read_snapshot,
    snapshot_etag,
)
from inventory_assets.inventory.manifest.snapshot_validation import failed_rules_of
from inventory_assets.inventory.manifest.unreadable_records import MAX_TOLERATED
from inventory_assets.inventory.parts.fingerprint import joined
from inventory_assets.inventory.parts.part import part_exists
from inventory_assets.inventory.runs.merged_figures import merge_figures
from inventory_assets.inventory.runs.shard_run import ShardRun, record_shard_run
from inventory_assets.inventory.shared_listing.completion import join_results
from inventory_assets.inventory.shared_listing.listing_record import (
    ALL_VERSIONS,
    RecordPlaces,
    SharedListing,
    SharedResult,
)
from inventory_assets.inventory.shared_listing.range_board import CLOSING, BoardState
from inventory_assets.inventory.shared_listing.range_claim import RangeClaim
from inventory_assets.inventory.shared_listing.range_worker import open_checkpoints
from inventory_assets.inventory.shared_shards.range_summary import (
    RangeSummary,
    fingerprints_of,
    read_summary,
    write_summary,
)
from inventory_assets.inventory.shared_shards.shard_builder import ShardRangesBuilder
from inventory_assets.inventory.storage.layout import Layout
from inventory_assets.s3.latency_histogram import merged
from inventory_assets.scan.engine.events import ListingJob
from inventory_assets.scan.keyspace.key_order import KeyOrder
from inventory_assets.scan.keyspace.key_range import KeyRange
from inventory_assets.scan.validation.object_versions import Versions


@dataclass(slots=True)
class _Joined:
    """The results of all ranges.

    Attributes:
        result: Their parts and evidence.
        summaries: What else is known of the ranges.
    """

    result: SharedResult
    summaries: list[RangeSummary] = field(default_factory=list)


class ShardGoal:
    """A `ListingGoal`: the snapshot of a shard, in the store of its source.

    The record of the listing is removed when the snapshot is published. So a participant that
    finds another record than before, or none, looks at the snapshot. It takes one whose listing
    began since the participant was requested, or one that it has taken part in.

    Args:
        work: The bucket and the store.
        request: The shard and the date.
        baseline: The baseline, whose parts may be reused.
        since: When what this participant is to list was requested.
        sizing: The sizes of parts.
        now: The clock.
    """

    remedy = "set shards.shared = false, and let one run list the shard"
    advice = (
        "let that end, or give all machines the same version and configuration; then materialize "
        "this shard again"
    )

    is_replaceable = True

    def __init__(
        self,
        work: Work,
        request: ShardRequest,
        baseline: Manifest | None,
        since: datetime,
        sizing: PartSizing,
        now: Callable[[], datetime],
    ) -> None:
        self._work = work
        self._store = work.store
        self._layout: Layout = work.layout
        self._request = request
        self._wanted = request.versions
        self._baseline = baseline
        self._since = self._requested_at = since
        self._sizing = sizing
        self._now = now
        self._segments: dict[str, list[BaselineSegment]] = {}

    @cached_property
    def places(self) -> RecordPlaces:
        day, prefix = self._request.day, self._request.shard.prefix
        return RecordPlaces(self._layout.shared_listing(day, prefix), self._layout.shared_work(day))

    def prepare(self) -> bool:
        return True

    def new_listing(self, listing: SharedListing) -> SharedListing:
        etag = snapshot_etag(
            self._store, self._layout, self._request.day, self._request.shard.prefix
        )
        return replace(listing, excluded=self._request.shard.excluded, replaces=etag)

    def found(self) -> Snapshot | None:
        try:
            snapshot = self._published()
        except CorruptRecord:  # a new listing replaces it
            return None
        if snapshot is None or snapshot.started_at < self._since:
            return None
        covered = snapshot.shard.ranges
        is_covered = all(
            any(each.intersection(one) == each for one in covered)
            for each in self._request.shard.ranges
        )
        # A manifest leaves out what has become a shard of its own.
        asked_at = max(snapshot.started_at, self._requested_at)
        is_wanted = stand_for(snapshot.versions, self._wanted, asked_at)
        return snapshot if is_wanted and is_covered else None

    def accepts_all_versions(self, began_at: datetime) -> bool:
        return stand_for(Versions(), self._wanted, began_at)

    def _published(self) -> Snapshot | None:
        return read_snapshot(
            self._store, self._layout, self._request.day, self._request.shard.prefix
        )

    def result_of(self, _listing: SharedListing) -> Snapshot | None:
        return None

    def require_recent(self, _listing: SharedListing) -> None:
        """The record of a finished listing is removed."""

    def take_part(self, listing: SharedListing) -> None:
        self._since = min(self._since, listing.begun_at)
        # Of several definitions of the shard, that of the first participant counts.
        versions = Versions() if listing.request.versions == ALL_VERSIONS else self._wanted
        self._request = replace(self._request, shard=listing.shard, versions=versions)
        self._work = replace(self._work, versions=versions)

    def work_on(self, _listing: SharedListing) -> Work:
        return self._work

    def segments(self, listing: SharedListing) -> Sequence[BaselineSegment]:
        if listing.id not in self._segments:
            self._segments[listing.id] = segments_to_reuse(
                self._baseline, listing.shard, self._layout, self._sizing
            )
        return self._segments[listing.id]

    def split_hints(self, ranges: Sequence[KeyRange]) -> Sequence[str]:
        return split_hints(self._baseline.parts if self._baseline else (), ranges, self._sizing)

    def open_builder(
        self,
        work: Work,
        checkpoints: CheckpointLog,
        job: ListingJob,
        listing: SharedListing,
        claim: RangeClaim,
    ) -> ShardRangesBuilder:
        return ShardRangesBuilder(work, checkpoints, job, claim, self.segments(listing), self._now)

    def summarize(
        self,
        builder: object,
        resumed: ResumedWork,
        ranges: Sequence[KeyRange],
        listing: SharedListing,
    ) -> str:
        if not isinstance(builder, ShardRangesBuilder):
            raise TypeError(f"{type(builder).__name__} is not the builder of this goal")
        summary = builder.summary(self._request.day, resumed, ranges)
        return write_summary(self._store, self._summaries(listing), summary)

    def _summaries(self, listing: SharedListing) -> str:
        return f"{self.places.folder(listing)}/summaries"

    def publish(
        self, listing: SharedListing, _etag: str, state: BoardState, claim: RangeClaim
    ) -> None:
        """Publish the snapshot, unless a participant did that before it died.

        Raises:
            IncompleteListing: The results do not prove that they are complete, or another run has
                published a snapshot meanwhile.
            InventoryError: See `join_results`.
        """
        if not self._is_published(listing):
            snapshot, run = self._snapshot(listing, self._join(listing, state, claim))
            self._require_valid(snapshot)
            claim.renew(None)  # it proves that no other participant publishes
            try:
                publish_snapshot(self._store, self._layout, snapshot, listing.replaces)
            except ConflictError as error:
                if not self._is_published(listing):
                    raise IncompleteListing(str(error)) from None
            record_shard_run(self._store, self._layout, run)
        claim.renew(None)
        self.end(listing)

    def is_over(self, listing: SharedListing) -> bool:
        """Whether its snapshot is published, or one of another run, which it may not replace."""
        day, prefix = self._request.day, listing.request.prefix
        return snapshot_etag(self._store, self._layout, day, prefix) != listing.replaces

    def _is_published(self, listing: SharedListing) -> bool:
        """Whether the snapshot of a listing is published."""
        if not self.is_over(listing):
            return False
        with suppress(CorruptRecord):
            snapshot = self._published()
            return snapshot is not None and snapshot.started_at == listing.begun_at
        return False

    def _join(self, listing: SharedListing, state: BoardState, claim: RangeClaim) -> _Joined:
        """Join the results, and list keys again on which they disagree."""
        builders: list[ShardRangesBuilder] = []

        def open_builder(
            work: Work, checkpoints: CheckpointLog, job: ListingJob
        ) -> ShardRangesBuilder:
            builders.append(self.open_builder(work, checkpoints, job, listing, claim))
            return builders[-1]

        checkpoints = open_checkpoints(self._work, listing, CLOSING, self.places, for_manifest=True)
        found = _Joined(
            join_results(
                self._work, listing, state, self._now, checkpoints, open_builder, MAX_TOLERATED
            )
        )
        folder = self._summaries(listing)
        found.summaries = [
            read_summary(self._store, folder, result.summary)
            for _, result in state.results.values()
        ]
        found.summaries += [
            each.summary(self._request.day, ResumedWork(), listing.ranges) for each in builders
        ]
        return found

    def _snapshot(self, listing: SharedListing, found: _Joined) -> tuple[Snapshot, ShardRun]:
        result, summaries = found.result, found.summaries
        try:
            hashes = [one for each in summaries for one in fingerprints_of(each.hashes)]
            partly = [one for each in summaries for one in fingerprints_of(each.partial_hashes)]
        except ValueError:
            raise CorruptRecord(
                f"{self._store.where(self._summaries(listing))}: a hash is damaged; materialize "
                "object_listing again for this shard"
            ) from None
        fingerprint = joined(hashes).hexdigest()
        unchanged = {part for each in summaries for part in each.unchanged}
        parts = substitute_unchanged(
            result.parts,
            self.segments(listing),
            partly,
            unchanged,
            lambda part: part_exists(self._store, part),
        )
        parts, reuse = reuse_whole_shard(
            self._baseline,
            listing.shard,
            fingerprint,
            parts,
            partial(is_reusable, self._store, self._layout),
        )
        runs = [each.run for each in summaries]
        snapshot = Snapshot(
            bucket=self._layout.bucket,
            source=self._layout.source,
            day=self._request.day,
            shard=listing.shard,
            started_at=listing.begun_at,
            finished_at=result.finished_at,
            key_order=KeyOrder.BYTES,
            parts=tuple(parts),
            evidence=result.evidence,
            fingerprint=fingerprint,
            requests=result.requests,
            response_bytes=sum(each.response_bytes for each in summaries),
            faults=result.faults,
            reuse=reuse,
            versions=self._request.versions,
            profile=listing.profile,
            unreadable=result.unreadable,
            latency=merged(each.figures.latency for each in runs),
        )
        return snapshot, ShardRun(
            self._layout.bucket,
            self._layout.source,
            self._request.day,
            listing.request.prefix,
            self._work.lister.activity.run_id,
            min(each.started_at for each in runs),
            result.finished_at,
            merge_figures(runs),
        )

    def _require_valid(self, snapshot: Snapshot) -> None:
        bucket = self._work.lister.bucket_config.display_name
        if failed_rules := failed_rules_of(snapshot):
            raise IncompleteListing(
                f"{bucket}: the shared listing of {snapshot.shard.prefix!r} does not prove that it "
                f"is complete and was not published: {'; '.join(failed_rules)}; list it again"
            )
        if missing := files_that_differ(self._store, snapshot.parts):
            raise IncompleteListing(
                f"{self._store.where(missing[0])} is missing or was altered since it was written; "
                "list the shard again"
            )

    def remove(self, listing: SharedListing) -> None:
        """Remove the records of a listing; its parts are left to garbage collection."""
        for key in [file.key for file in self._store.files(self.places.folder(listing))]:
            self._store.remove_key(key)

    def tidy(self, listing: SharedListing) -> None:
        self.remove(listing)

    def end(self, listing: SharedListing) -> None:
        # A listing that begins at this moment loses its record, too, and begins anew.
        self._store.remove_key(self.places.listing)
        self.tidy(listing)
