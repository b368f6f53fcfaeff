"""`object_listing`: the objects of each shard of a source on each date."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from datetime import date, timedelta

import dagster as dg

from inventory_assets.defs.assets.shards import find_shards, retire_shards
from inventory_assets.defs.source.context import SourceAssets, SourceContext
from inventory_assets.defs.source.expected_failure import ExpectedFailure
from inventory_assets.defs.source.listing_metadata import record_columns, snapshot_metadata
from inventory_assets.defs.source.partition_steps import (
    StepResult,
    log_partition,
    partition_failure,
    partitions_of,
    step_results,
)
from inventory_assets.defs.source.partitioned_asset import partitioned_asset
from inventory_assets.defs.source.partitions import RUN_OF_DATE_TAG
from inventory_assets.defs.source.planned_shards import with_shards_since_plan
from inventory_assets.defs.source.pools import pool_mistake
from inventory_assets.defs.source.repeated_run import listed_before, requested_at
from inventory_assets.defs.source.request_share import request_share
from inventory_assets.defs.source.run_checks import shard_run_metadata
from inventory_assets.defs.source.run_log import logged_to_run
from inventory_assets.defs.source.run_telemetry import run_telemetry
from inventory_assets.defs.source.shard_listing import list_partitions
from inventory_assets.errors import InventoryError
from inventory_assets.inventory.errors import RunEnded, UnknownShard
from inventory_assets.inventory.listing.budget import budget_excess, expected_requests
from inventory_assets.inventory.listing.source_record import require_source
from inventory_assets.inventory.manifest.manifest_merge import newest_manifest
from inventory_assets.inventory.manifest.snapshot import Snapshot, read_snapshot
from inventory_assets.inventory.runs.shard_run import ShardRun
from inventory_assets.s3.page_source import PageSource
from inventory_assets.scan.prefix_discovery import Discovery
from inventory_assets.telemetry.listing_telemetry import ListingTelemetry

LOG = logging.getLogger(__name__)

FIND_SHARDS_TAG = "inventory_assets/find_shards"
"""The tag of a run that searches for new prefixes before it lists."""


def build_object_listing(assets: SourceAssets) -> dg.AssetsDefinition:
    """The asset of the listings; one run can cover a range of dates and shards."""
    key = assets.key("object_listing")
    what = "Every version and delete marker" if assets.source.versions else "Every object"

    @partitioned_asset(
        assets,
        key,
        assets.partitions.listing,
        description=(
            f"{what} of `{assets.source.bucket}`, by shard and day, as sorted Parquet parts with "
            "S3 Inventory's columns."
        ),
        kinds={"s3", "parquet"},
        sends_requests=True,
        columns=record_columns(assets.source.versions),
    )
    def object_listing(context: dg.AssetExecutionContext) -> Iterator[StepResult]:
        work = assets.bind_run(context)
        try:
            with logged_to_run(context.log), run_telemetry(context, work) as telemetry:
                wanted = with_shards_since_plan(context, work, partitions_of(context))
                before = listed_before(context, work, wanted)
                missing = [each for each in wanted if each not in before]
                _require_start(context, work, missing)
                with request_share(context, work) as keep_within_share:
                    work, discovery = _list(
                        context, work, key, telemetry, keep_within_share, missing, before
                    )
        except RunEnded as error:
            raise ExpectedFailure(str(error)) from None
        yield from step_results(context)
        # Dagster derives the partitions of the run from its first and last shard until here.
        with logged_to_run(context.log):
            _retire(context, work, discovery)

    return object_listing


def _require_start(
    context: dg.AssetExecutionContext, work: SourceContext, partition_keys: Sequence[str]
) -> None:
    """Check what a run must comply with before it lists its partitions.

    Raises:
        dagster.Failure: The folder of the results belongs to another source, or the run is expected
            to exceed the budget.
    """
    try:
        require_source(work.store, work.layout, work.source_record)
    except InventoryError as error:
        raise ExpectedFailure(str(error)) from None
    _require_budget(work, partition_keys, is_part_of_date=RUN_OF_DATE_TAG in context.run.tags)
    if mistake := pool_mistake(context.instance, work.source):
        context.log.warning(mistake)


def _list(
    context: dg.AssetExecutionContext,
    work: SourceContext,
    key: dg.AssetKey,
    telemetry: ListingTelemetry,
    keep_within_share: Callable[[PageSource], None],
    partition_keys: Sequence[str],
    before: Mapping[str, Snapshot],
) -> tuple[SourceContext, Discovery | None]:
    """List the partitions that were not listed before; a failed one does not affect the others.

    Returns:
        The source with the shards that were found, and the discovery, if there was one.

    Raises:
        RunEnded: The run has ended for Dagster.
    """
    failures: dict[str, Exception] = {}
    done = len(before)
    if before:
        context.log.info(
            f"{done:,} of {done + len(partition_keys):,} partitions were listed by the run that "
            "this one repeats, and are not listed again"
        )
    discovery = None
    if FIND_SHARDS_TAG in context.run.tags:
        work, partition_keys, discovery = _with_new_shards(context, work, partition_keys)
    runs: dict[tuple[date, str], ShardRun] = {}

    def note_run(run: ShardRun) -> None:
        runs[run.day, run.prefix] = run

    for partition_key, snapshot in before.items():
        _log_listing(context, work, key, partition_key, snapshot, None)
    since = requested_at(context) if work.source.shards.shared else None
    with closing(
        list_partitions(work, partition_keys, telemetry, note_run, keep_within_share, since)
    ) as listed:
        for partition_key, result in listed:
            if isinstance(result, RunEnded):
                raise result
            if isinstance(result, Exception):
                context.log.error(f"{partition_key}: {result}")
                failures[partition_key] = result
                continue
            run = runs.pop((result.day, result.shard.prefix), None)
            _log_listing(context, work, key, partition_key, result, run)
            done += 1
    if failures:
        raise partition_failure(
            "partitions", failures, done, "the others are kept; materialize just these again"
        )
    return work, discovery


def _log_listing(
    context: dg.AssetExecutionContext,
    work: SourceContext,
    key: dg.AssetKey,
    partition_key: str,
    snapshot: Snapshot,
    run: ShardRun | None,
) -> None:
    """Log the materialization of a published snapshot, and warn of what is odd in it."""
    metadata = {
        **snapshot_metadata(work.store, work.layout, snapshot),
        **shard_run_metadata(run),
    }
    log_partition(context, key, partition_key, snapshot.fingerprint, metadata)
    if snapshot.unreadable.count:
        context.log.warning(
            f"{partition_key}: {snapshot.unreadable.count:,} record(s) could not be decoded and "
            "are in no part"
        )
    if _is_newer_than_next_date(work, snapshot):
        context.log.warning(
            f"{partition_key}: the next date was listed before this listing; objects that came "
            "in between are told as created by this date, and again by a later one "
            "(docs/changes.md)"
        )


def _retire(
    context: dg.AssetExecutionContext, work: SourceContext, discovery: Discovery | None
) -> None:
    """Retire shards that were empty for long; an error is a warning, as all is listed."""
    try:
        retired = retire_shards(work, discovery, context.instance, context.run.run_id)
    except InventoryError as error:
        context.log.warning(f"no shards were retired: {error}")
        return
    if retired:
        context.log.info(
            f"{len(retired):,} shard(s) were retired, which were empty for "
            f"{work.source.shards.retire_after_days} days: {', '.join(retired)}"
        )


def _require_budget(
    work: SourceContext, partition_keys: Sequence[str], *, is_part_of_date: bool
) -> None:
    """Check that the run is within the budget of the source, before it sends a request.

    Args:
        work: The source.
        partition_keys: The partitions of the run.
        is_part_of_date: Whether other runs list the other shards of the date at the same time; then
            the budget is that of all of them.

    Raises:
        dagster.Failure: It is expected to cost more.
    """
    budget = work.source.budget
    if budget.requests is None and budget.usd is None:
        return
    prefixes: dict[date, list[str]] = {}
    listed = [work.assets.partitions.split(each) for each in partition_keys]
    if is_part_of_date:
        days = sorted({day for day, _ in listed})
        listed = [(day, shard_key) for day in days for shard_key in work.shard_keys]
    for day, shard_key in listed:
        with suppress(UnknownShard):  # the listing reports it
            prefixes.setdefault(day, []).append(work.prefix(shard_key))
    newest = newest_manifest(work.store, work.layout, before=date.max)
    expected = expected_requests(newest, prefixes.values())
    if expected is None:
        LOG.info("there is no manifest yet, so the budget cannot be checked")
        return
    excess = budget_excess(work.source.name, budget, expected, work.assets.prices)
    if excess:
        raise ExpectedFailure(excess)


def _is_newer_than_next_date(work: SourceContext, snapshot: Snapshot) -> bool:
    """Whether a listing of yesterday shows a later state than the listing of today."""
    if snapshot.versions or snapshot.day >= work.assets.day_of(work.now()):
        return False
    following = snapshot.day + timedelta(days=1)
    try:
        found = read_snapshot(work.store, work.layout, following, snapshot.shard.prefix)
    except InventoryError:
        return False
    return found is not None and found.finished_at < snapshot.started_at


def _with_new_shards(
    context: dg.AssetExecutionContext, work: SourceContext, partition_keys: Sequence[str]
) -> tuple[SourceContext, Sequence[str], Discovery | None]:
    """Search for new prefixes; return the source with their shards, all partitions, and the result.

    The new shards are not among the planned partitions of the run, but are listed in it.
    """
    try:
        found = find_shards(work, context.instance)
    except InventoryError as error:
        # The listings of the known shards report what is wrong with the bucket.
        context.log.warning(f"no new prefixes were searched for: {error}")
        return work, partition_keys, None
    if found.excess:
        context.log.warning(f"the remainder covers prefixes without a shard: {found.excess}")
    if found.added:
        context.log.info(f"{len(found.added):,} shard(s) were added: {', '.join(found.added)}")
    days = sorted({work.assets.partitions.split(each)[0] for each in partitions_of(context)})
    new = [str(work.assets.partitions.key(day, each)) for day in days for each in found.added]
    known = dict.fromkeys([*work.shard_keys, *found.added])
    return replace(work, shard_keys=tuple(known)), [*partition_keys, *new], found.discovery
