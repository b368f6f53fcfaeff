"""List shards together with other runs, and publish their snapshots."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime

from inventory_assets.errors import InventoryError
from inventory_assets.inventory.folder_listing.range_listing import Work
from inventory_assets.inventory.listing.listing_observer import UNOBSERVED, ListingObserver
from inventory_assets.inventory.listing.part_sizing import DEFAULT_SIZING, PartSizing
from inventory_assets.inventory.listing.snapshot_builder import ShardRequest
from inventory_assets.inventory.manifest.manifest import Manifest
from inventory_assets.inventory.manifest.manifest_merge import baselines_of
from inventory_assets.inventory.manifest.snapshot import Snapshot
from inventory_assets.inventory.runs.shard_run import OnRun, ignore_run, read_shard_run
from inventory_assets.inventory.shared_listing.conditional_record import (
    require_conditional_writes,
)
from inventory_assets.inventory.shared_listing.listing_lifecycle import (
    DEFAULT_SHARING,
    SharingOptions,
)
from inventory_assets.inventory.shared_listing.shared_listing import Participant
from inventory_assets.inventory.shared_shards.shard_goal import ShardGoal
from inventory_assets.inventory.storage.bucket_store import BucketStore
from inventory_assets.inventory.storage.layout import Layout
from inventory_assets.inventory.storage.store import Store
from inventory_assets.s3.page_source import PageSource
from inventory_assets.scan.engine.parallel_scan import utc_now
from inventory_assets.scan.engine.progress import Report, ignore_events
from inventory_assets.scan.keyspace.key_order import KeyOrder


@dataclass(frozen=True, slots=True)
class SharedShardLister:
    """Lists shards of one source, each together with all other runs that list it.

    Attributes:
        lister: The bucket; its profile is corrected if listings contradict it.
        store: The store to publish parts and snapshots to.
        layout: The keys and encodings of the results.
        since: When the listing was requested; a snapshot whose listing began later is taken as it
            is.
        key_order: The order in which the store lists; None to detect it.
        now: The clock.
        report: Receives every event of this process, on any thread.
        sizing: The sizes of parts.
        observer: Is told what the listing does, on any thread.
        on_run: Receives the run record of each shard.
        options: How to take part; its `now` is not used.
    """

    lister: PageSource
    store: Store
    layout: Layout
    since: datetime
    key_order: KeyOrder | None = None
    now: Callable[[], datetime] = utc_now
    report: Report = ignore_events
    sizing: PartSizing = DEFAULT_SIZING
    observer: ListingObserver = UNOBSERVED
    on_run: OnRun = ignore_run
    options: SharingOptions = DEFAULT_SHARING

    def list_shards(
        self, wanted: Sequence[ShardRequest]
    ) -> Iterator[tuple[ShardRequest, Snapshot | Exception]]:
        """List shards one after the other, the smallest first.

        The largest shards are those that most runs have; the runs meet there.

        Yields:
            Each request with its snapshot, which perhaps another run has published, or with its
            error: `JoinRefused`, or one that `ShardLister.list_shards` yields.

        Raises:
            JoinRefused: The store of the results does not support conditional writes.
            StoreError: It cannot be used.
        """
        if isinstance(self.store, BucketStore):
            require_conditional_writes(self.store, "set shards.shared = false")
        baselines = baselines_of(self.store, self.layout, [each.day for each in wanted])
        for each in sorted(wanted, key=lambda each: _size(each, baselines)):
            try:
                yield each, self._list_shard(each, baselines[each.day])
            except (InventoryError, OSError) as error:  # the other shards continue
                yield each, error

    def _list_shard(self, request: ShardRequest, baseline: Manifest | None) -> Snapshot:
        prefix = request.shard.prefix
        work = Work(
            self.lister,
            prefix,
            1,
            self.store,
            self.report,
            request.versions,
            encodings=self.layout.encodings,
            key_order=self.key_order,
            observer=self.observer,
            results=self.layout,
        )
        goal = ShardGoal(work, request, baseline, self.since, self.sizing, self.now)
        options = replace(self.options, now=self.now)
        snapshot = Participant(work, options, goal).take_part()
        run = read_shard_run(self.store, self.layout, request.day, prefix, snapshot.finished_at)
        if run is not None:
            self.on_run(run)
        return snapshot


def _size(request: ShardRequest, baselines: dict[date, Manifest | None]) -> tuple[float, date, str]:
    """The expected number of objects, of which an unknown one counts as the greatest."""
    baseline = baselines[request.day]
    rows = {entry.shard.prefix: entry.rows for entry in baseline.shards} if baseline else {}
    return rows.get(request.shard.prefix, float("inf")), request.day, request.shard.prefix
