"""`object_listing`: what each shard of a source holds, day by day."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from threading import Event

import dagster as dg

from inventory_assets.assets.metadata import RECORD_COLUMNS, snapshot_metadata, verdicts_table
from inventory_assets.assets.source import (
    OWNERS,
    SourceAssets,
    SourceAtWork,
    log_partition,
    partition_failure,
)
from inventory_assets.checks import log_check, partitioned_check
from inventory_assets.errors import InventoryError
from inventory_assets.inventory.dates import require_observable
from inventory_assets.inventory.evidence import Verdict, broken, judge, judge_files
from inventory_assets.inventory.snapshots import Snapshot, read_snapshot
from inventory_assets.inventory.taking import Taker

SHARDS_AT_ONCE = 8
"""Shards listed at the same time in one run; each holds a row group and a few pages in memory."""


def build_object_listing(assets: SourceAssets) -> dg.AssetsDefinition:
    """The asset that lists; a run may cover any range of dates and shards."""
    key = assets.key("object_listing")
    evidence = partitioned_check(
        "evidence_holds",
        key,
        assets.partitions.listing,
        "Ranges tile the shard, counts add up, keys ascend strictly over all parts, and none "
        "lies outside the shard. Run on its own, it reads every key of the Parquet files again.",
    )

    @dg.multi_asset(
        name=f"{assets.source.name}__object_listing",
        specs=[
            dg.AssetSpec(
                key,
                skippable=True,
                group_name=assets.source.name,
                owners=OWNERS,
                kinds={"s3", "parquet"},
                description=(
                    f"Every object of `{assets.source.bucket}`, by shard and day, as sorted "
                    "Parquet parts with S3 Inventory's columns."
                ),
                metadata={"dagster/column_schema": RECORD_COLUMNS},
                freshness_policy=assets.freshness,
            )
        ],
        check_specs=[evidence],
        partitions_def=assets.partitions.listing,
        backfill_policy=dg.BackfillPolicy.single_run(),
        required_resource_keys=assets.resource_keys,
        can_subset=True,
    )
    def object_listing(context: dg.AssetExecutionContext) -> Iterator[None]:
        work = assets.at_work(context.resources, context.instance)
        if key in context.selected_asset_keys:
            _list(context, work, evidence)
        else:
            _check_again(context, work, evidence)
        yield from ()

    return object_listing


def _list(
    context: dg.AssetExecutionContext, work: SourceAtWork, evidence: dg.AssetCheckSpec
) -> None:
    """List every partition of the run; those that succeed are kept whatever becomes of others."""
    failures: dict[str, Exception] = {}
    done = 0
    for partition_key, result in _take_all(work, context.partition_keys):
        if isinstance(result, Exception):
            context.log.error(f"{partition_key}: {result}")
            failures[partition_key] = result
            continue
        done += 1
        metadata = snapshot_metadata(work.store, work.layout, result)
        log_partition(context, evidence.asset_key, partition_key, result.fingerprint, metadata)
        _log_verdicts(context, evidence, partition_key, judge(result))
    if failures:
        raise partition_failure(
            "partitions", failures, done, "the others are kept; materialize just these again"
        )


def _check_again(
    context: dg.AssetExecutionContext, work: SourceAtWork, evidence: dg.AssetCheckSpec
) -> None:
    """Judge snapshots taken earlier by their files, key by key."""
    for partition_key in context.partition_keys:
        day, shard_key = work.assets.partitions.split(partition_key)
        snapshot = read_snapshot(work.store, work.layout, day, work.prefix(shard_key))
        if snapshot is None:
            raise dg.Failure(f"{partition_key}: nothing was listed yet; materialize it first")
        verdicts = (*judge(snapshot), *judge_files(work.store, snapshot))
        faults = _log_verdicts(context, evidence, partition_key, verdicts)
        if faults:
            raise dg.Failure(f"{partition_key}: {'; '.join(faults)}; list it again")


def _log_verdicts(
    context: dg.AssetExecutionContext,
    evidence: dg.AssetCheckSpec,
    partition_key: str,
    verdicts: Sequence[Verdict],
) -> list[str]:
    """Record what the check says of one partition; return the rules that do not hold."""
    faults = broken(verdicts)
    log_check(context, evidence, partition_key, faults, {"rules": verdicts_table(verdicts)})
    return faults


def _take_all(
    work: SourceAtWork, partition_keys: Sequence[str]
) -> Iterator[tuple[str, Snapshot | Exception]]:
    """Take the partitions' snapshots, several at a time under one limit of requests.

    No thread outlives the iteration: an interruption waits for the requests under way, and sends no
    more.
    """
    stop = Event()
    lister = work.bucket.lister(work.now(), stop)
    taker = Taker(lister, work.store, work.layout, work.key_order(), work.now)
    known = work.known_prefixes()

    def take(partition_key: str) -> Snapshot:
        day, shard_key = work.assets.partitions.split(partition_key)
        require_observable(day, work.now(), work.source.schedule.timezone)
        return taker.take(day, work.shard(shard_key, known))

    try:
        yield from _in_parallel(take, partition_keys, stop)
    finally:
        lister.close()


def _in_parallel(
    take: Callable[[str], Snapshot], partition_keys: Sequence[str], stop: Event
) -> Iterator[tuple[str, Snapshot | Exception]]:
    with ThreadPoolExecutor(SHARDS_AT_ONCE, thread_name_prefix="shard") as pool:
        pending = {pool.submit(take, key): key for key in partition_keys}
        try:
            for future in as_completed(pending):
                error = future.exception()
                if error is None:
                    yield pending[future], future.result()
                elif isinstance(error, InventoryError | OSError):
                    yield pending[future], error
                else:
                    raise error
        finally:
            # After the last partition this changes nothing; before it, it ends the others soon.
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
