"""List the partitions of a run: shards of a source on some dates."""

import logging
from collections.abc import Callable, Generator, Sequence
from datetime import date, datetime

from inventory_assets.defs.source.context import SourceContext
from inventory_assets.errors import InventoryError
from inventory_assets.inventory.listing.listable_dates import require_observable, versions_of
from inventory_assets.inventory.listing.shard_lister import ShardLister
from inventory_assets.inventory.listing.snapshot_builder import ShardRequest
from inventory_assets.inventory.manifest.manifest_merge import newest_manifest
from inventory_assets.inventory.manifest.snapshot import Snapshot
from inventory_assets.inventory.runs.shard_run import OnRun
from inventory_assets.inventory.shared_listing.lease import LEASE_SECONDS
from inventory_assets.inventory.shared_listing.listing_lifecycle import SharingOptions
from inventory_assets.inventory.shared_shards.shared_shard_lister import SharedShardLister
from inventory_assets.s3.page_source import PageSource
from inventory_assets.scan.engine.progress import Progress, ProgressMeter, reported_every
from inventory_assets.scan.validation.object_versions import Versions
from inventory_assets.telemetry.listing_telemetry import ListingTelemetry

LOG = logging.getLogger(__name__)

PROGRESS_INTERVAL_SECONDS = 5.0
"""Interval of progress messages in the run's log."""


def list_partitions(
    work: SourceContext,
    partition_keys: Sequence[str],
    telemetry: ListingTelemetry,
    on_run: OnRun,
    keep_within_share: Callable[[PageSource], None],
    since: datetime | None,
) -> Generator[tuple[str, Snapshot | Exception], None, None]:
    """List the partitions in parallel, under one limit of requests.

    If the source shares its shards, list them together with other runs: `since` is then the time
    from which on a listing counts as that of this run.

    No thread outlives the iteration: an interruption ends the requests under way. The progress of
    all of them is logged every few seconds. `on_run` receives the run record of each shard, and
    `keep_within_share` the client that sends the requests.
    """
    known = work.known_prefixes()
    requests: dict[ShardRequest, str] = {}
    for partition_key in partition_keys:
        day, shard_key = work.assets.partitions.split(partition_key)
        try:
            versions = versions_for_date(day, work)
            requests[ShardRequest(day, work.shard(shard_key, known), versions)] = partition_key
        except InventoryError as error:
            yield partition_key, error
    expected = expected_rows(work, list(requests))
    lister = work.bucket.lister(work.now(), telemetry.requests)
    keep_within_share(lister)
    telemetry.watch(lambda: lister.in_flight)
    meter = ProgressMeter(lambda: lister.in_flight, expected)
    lister.profile = work.profile(lister)
    shard_lister: ShardLister | SharedShardLister
    report = telemetry.reported(meter.on_event)
    place, key_order = (work.store, work.layout), work.key_order()
    if since is None:
        shard_lister = ShardLister(
            lister,
            *place,
            key_order,
            work.now,
            report,
            observer=telemetry.listing,
            on_run=on_run,
        )
    else:
        shard_lister = SharedShardLister(
            lister,
            *place,
            since,
            key_order,
            work.now,
            report,
            observer=telemetry.listing,
            on_run=on_run,
            options=SharingOptions(LEASE_SECONDS),
        )
    try:
        with reported_every(meter, _log_progress, PROGRESS_INTERVAL_SECONDS):
            for each, result in shard_lister.list_shards(list(requests)):
                yield requests[each], result
    finally:
        lister.close()


def _log_progress(progress: Progress) -> None:
    LOG.info("%s", progress.line)


def versions_for_date(day: date, work: SourceContext) -> Versions | None:
    """The versions that represent a date; None for current objects.

    Raises:
        DateNotObservable: The date cannot be listed now.
    """
    timezone = work.source.schedule.timezone
    if work.source.versions:
        return versions_of(day, work.now(), timezone)
    require_observable(day, work.now(), timezone)
    return None


def expected_rows(work: SourceContext, requests: Sequence[ShardRequest]) -> dict[str, int | None]:
    """The expected number of objects of each shard: that of the baseline, or None."""
    if not requests:
        return {}
    day = min(each.day for each in requests)
    baseline = newest_manifest(work.store, work.layout, before=day)
    rows = {entry.shard.prefix: entry.rows for entry in baseline.shards} if baseline else {}
    return {each.shard.prefix: rows.get(each.shard.prefix) for each in requests}
