"""List shards and publish their snapshots."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing
from dataclasses import dataclass
from datetime import date, datetime

from inventory_assets.errors import InventoryError
from inventory_assets.inventory.errors import CorruptRecord
from inventory_assets.inventory.listing.checkpoint_record import (
    checkpoint_name,
    listing_fingerprint,
    listing_of,
)
from inventory_assets.inventory.listing.checkpoints import CheckpointLog
from inventory_assets.inventory.listing.listing_driver import (
    ProfileCorrector,
    list_in_directory_order,
    list_in_parallel,
)
from inventory_assets.inventory.listing.listing_observer import UNOBSERVED, ListingObserver
from inventory_assets.inventory.listing.part_reuse import split_hints
from inventory_assets.inventory.listing.part_sizing import DEFAULT_SIZING, PartSizing
from inventory_assets.inventory.listing.part_stream import ROWS_IN_MEMORY, RowBuffer
from inventory_assets.inventory.listing.snapshot_builder import (
    ResumeState,
    ShardRequest,
    SnapshotBuilder,
)
from inventory_assets.inventory.manifest.manifest import Manifest
from inventory_assets.inventory.manifest.manifest_merge import baselines_of
from inventory_assets.inventory.manifest.snapshot import Snapshot, read_snapshot, snapshot_etag
from inventory_assets.inventory.runs.shard_run import OnRun, ignore_run
from inventory_assets.inventory.storage.layout import Layout
from inventory_assets.inventory.storage.prefix_encoding import file_stem
from inventory_assets.inventory.storage.store import Store
from inventory_assets.s3.page_source import PageSource
from inventory_assets.s3.request_stats import RequestStats
from inventory_assets.scan.engine.events import (
    ListingJob,
)
from inventory_assets.scan.engine.parallel_scan import utc_now
from inventory_assets.scan.engine.progress import Report, ignore_events
from inventory_assets.scan.engine.splitter import pick_evenly
from inventory_assets.scan.errors import KeysOutOfOrder, NamesMisread
from inventory_assets.scan.keyspace.key_order import KeyOrder
from inventory_assets.scan.keyspace.shard import Shard
from inventory_assets.scan.validation.object_versions import Versions

DIRECTORY_SHARDS_AT_ONCE = 8
"""Shards in directory order that are listed at the same time, each by sequential requests."""


@dataclass(frozen=True, slots=True)
class ShardLister:
    """Lists the shards of one source.

    Attributes:
        lister: The bucket; its profile is corrected if listings contradict it.
        store: The store to publish parts and snapshots to.
        layout: The keys and encodings of the results.
        key_order: The order in which the store lists; None to detect it.
        now: The clock.
        report: Receives every event, on any thread.
        sizing: The sizes of parts.
        observer: Is told what the listing does, on any thread.
        on_run: Receives the run record of each shard, on any thread.
    """

    lister: PageSource
    store: Store
    layout: Layout
    key_order: KeyOrder | None = None
    now: Callable[[], datetime] = utc_now
    report: Report = ignore_events
    sizing: PartSizing = DEFAULT_SIZING
    observer: ListingObserver = UNOBSERVED
    on_run: OnRun = ignore_run

    def list_shard(self, day: date, shard: Shard, versions: Versions | None = None) -> Snapshot:
        """List `shard` and publish its snapshot of `day`.

        Raises:
            Exception: What `list_shards` yields for it instead of a snapshot.
        """
        ((_, result),) = self.list_shards([ShardRequest(day, shard, versions)])
        if isinstance(result, Exception):
            raise result
        return result

    def list_shards(
        self, wanted: Sequence[ShardRequest]
    ) -> Iterator[tuple[ShardRequest, Snapshot | Exception]]:
        """List shards in parallel, and publish the snapshot of each as soon as it is complete.

        Ranges that earlier, unfinished runs completed are not listed again. A snapshot is published
        only if its evidence proves that it is complete. If a store turns out not to list in byte
        order, its shards are listed again in directory order, unless `key_order` forbids it.
        Leaving the iteration early cancels the lister.

        Yields:
            Each request with its snapshot or its error: `KeysOutOfOrder` (the store lists in no
            known order, or not in `key_order`), `IncompleteListing`, `S3Error` or `StoreError`.
        """
        baselines = baselines_of(self.store, self.layout, [each.day for each in wanted])
        if self.key_order is KeyOrder.DIRECTORY:
            yield from self._list_by_directories(wanted, baselines)
            return
        corrector = ProfileCorrector(self.lister)
        is_corrected = True
        while is_corrected:
            again: dict[ShardRequest, Exception] = {}
            for each, result in self._list_by_ranges(wanted, baselines):
                if isinstance(result, (KeysOutOfOrder, NamesMisread)):
                    again[each] = result
                else:
                    yield each, result
            wanted = [*again]
            failed = {each.shard.prefix: error for each, error in again.items()}
            is_corrected = bool(failed) and corrector.correct(failed, RequestStats())
        may_change_order = self.key_order is None
        for each in wanted:
            if each.versions or not may_change_order:
                yield each, self._final_error(again[each])
        in_directories = [each for each in wanted if may_change_order and not each.versions]
        yield from self._list_by_directories(in_directories, baselines)

    def _final_error(self, error: Exception) -> Exception:
        if self.key_order is None:
            return error
        return KeysOutOfOrder(
            f'{error}; the source says key_order = "{self.key_order}": remove that line to detect '
            "the order"
        )

    def _list_by_ranges(
        self, wanted: Sequence[ShardRequest], baselines: Mapping[date, Manifest | None]
    ) -> Iterator[tuple[ShardRequest, Snapshot | Exception]]:
        buffer = RowBuffer()
        jobs: dict[ListingJob, ResumeState] = {}
        for start in self._resume_states(wanted, baselines, KeyOrder.BYTES):
            each, resumed = start.request, start.checkpoints.resumed
            ranges = resumed.missing(each.shard.ranges)
            hints = split_hints(start.baseline.parts if start.baseline else (), ranges, self.sizing)
            job = ListingJob(
                each.shard.prefix,
                ranges,
                initial_splits=pick_evenly(hints, self.lister.bucket_config.max_in_flight),
                split_hints=hints,
                resumed_objects=resumed.rows,
                resumed_evidence=resumed.evidence,
                versions=each.versions,
            )
            jobs[job] = start

        def open_builder(job: ListingJob) -> SnapshotBuilder:
            return self._new_builder(jobs[job], job, buffer)

        listed = list_in_parallel(
            self.lister, [*jobs], open_builder, self.report, self.now, self.observer
        )
        with closing(listed):
            for job, result in listed:
                yield jobs[job].request, result

    def _new_builder(
        self, start: ResumeState, job: ListingJob, buffer: RowBuffer
    ) -> SnapshotBuilder:
        return SnapshotBuilder(
            start,
            job,
            buffer,
            self.store,
            self.layout,
            self.lister,
            self.now,
            self.sizing,
            self.on_run,
        )

    def _resume_states(
        self,
        wanted: Sequence[ShardRequest],
        baselines: Mapping[date, Manifest | None],
        key_order: KeyOrder,
    ) -> Iterator[ResumeState]:
        names: dict[date, list[str]] = {}
        for each in wanted:
            folder, shard = self.layout.checkpoints(each.day), each.shard
            name = checkpoint_name(file_stem(shard.prefix), key_order)
            if each.day not in names:
                names[each.day] = self.store.list_names(folder)
            records = [record for record in names[each.day] if listing_of(record) == name]
            identity = listing_fingerprint(
                self.lister.bucket_config,
                shard.prefix,
                shard.excluded,
                key_order,
                each.versions,
                self.layout.encodings,
            )
            expected_etag, published_at = None, None
            if records:  # a resumed listing may replace the present snapshot, but no later one
                expected_etag = snapshot_etag(self.store, self.layout, each.day, shard.prefix)
                published_at = self._published_at(each)
            checkpoints = CheckpointLog(
                self.store,
                folder,
                name,
                identity,
                self.now,
                records,
                published_at,
                layout=self.layout,
                observer=self.observer,
            )
            checkpoints.log_resumption(f"{each.day}, {shard.prefix!r}: ")
            yield ResumeState(each, checkpoints, baselines[each.day], key_order, expected_etag)

    def _published_at(self, wanted: ShardRequest) -> datetime | None:
        """When the present snapshot was finished; no earlier state may replace it."""
        try:
            found = read_snapshot(self.store, self.layout, wanted.day, wanted.shard.prefix)
        except CorruptRecord:  # the time is unknown, so only a new listing may replace it
            return self.now()
        return found.finished_at if found else None

    def _list_by_directories(
        self, wanted: Sequence[ShardRequest], baselines: Mapping[date, Manifest | None]
    ) -> Iterator[tuple[ShardRequest, Snapshot | Exception]]:
        with ThreadPoolExecutor(DIRECTORY_SHARDS_AT_ONCE, thread_name_prefix="shard") as pool:
            pending = {
                pool.submit(self._list_by_directory, start): start.request
                for start in self._resume_states(wanted, baselines, KeyOrder.DIRECTORY)
            }
            try:
                for future in as_completed(pending):
                    try:
                        yield pending[future], future.result()
                    except (InventoryError, OSError) as error:
                        yield pending[future], error
            except BaseException:
                self.lister.cancel()
                pool.shutdown(wait=True, cancel_futures=True)
                raise

    def _list_by_directory(self, start: ResumeState) -> Snapshot:
        wanted, resumed = start.request, start.checkpoints.resumed
        buffer = RowBuffer(ROWS_IN_MEMORY // DIRECTORY_SHARDS_AT_ONCE)
        job = ListingJob(
            wanted.shard.prefix,
            resumed.missing(wanted.shard.ranges),
            resumed_objects=resumed.rows,
            versions=wanted.versions,
        )
        builder = self._new_builder(start, job, buffer)
        return list_in_directory_order(
            self.lister, job, builder, self.report, self.now, self.observer
        )
