"""The common declaration of a source's partitioned assets."""

from collections.abc import Callable, Iterator, Sequence
from functools import wraps
from typing import Any

import dagster as dg

from inventory_assets.config import Source
from inventory_assets.defs.source.context import SourceAssets
from inventory_assets.defs.source.expected_failure import ExpectedFailure
from inventory_assets.defs.source.partition_steps import StepResult
from inventory_assets.defs.source.partitions import PARTITION_TAGS
from inventory_assets.defs.source.planned_code import FINGERPRINT_TAG, require_planned_code
from inventory_assets.defs.source.pools import pool_of

SHARDS_TAG = "inventory_assets/shards_of"
"""The tag of runs by date and shard, whose value is the source's name."""

DATES_TAG = "inventory_assets/dates_of"
"""The tag of runs by date."""

Step = Callable[[dg.AssetExecutionContext], Iterator[StepResult]]
"""The body of an asset, which logs its partitions itself and ends with `step_results`."""


def partitioned_asset(
    assets: SourceAssets,
    key: dg.AssetKey,
    partitions: dg.PartitionsDefinition[Any],
    *,
    description: str,
    kinds: set[str],
    deps: Sequence[dg.AssetKey | dg.AssetDep] = (),
    columns: dg.TableSchema | None = None,
    checks: Sequence[dg.AssetCheckSpec] = (),
    automation_condition: dg.AutomationCondition[Any] | None = None,
    one_run_per_partition: bool = False,
    sends_requests: bool = False,
    further_resources: frozenset[str] = frozenset(),
) -> Callable[[Step], dg.AssetsDefinition]:
    """A decorator that turns a function into a partitioned asset of a source.

    A check can also run without materializing its asset; then the asset's key is not in the
    `selected_asset_keys` of the function's context.

    Args:
        assets: The source.
        key: The key of the asset.
        partitions: The partitions of the asset and of its checks.
        description: The description in the UI.
        kinds: The kinds in the UI.
        deps: The assets that it reads.
        columns: The columns of its records, if it has records.
        checks: Its checks, which the function logs.
        automation_condition: When it is materialized automatically.
        one_run_per_partition: Whether a backfill starts a run for each partition, so that a failed
            partition does not fail the run of others; otherwise, it starts one run for all, or
            several where several runs list a date.
        sends_requests: Whether it sends many requests to the bucket, so that its runs belong to the
            source's pool.
        further_resources: The keys of resources besides those of the source.
    """
    is_by_shard = isinstance(partitions, dg.MultiPartitionsDefinition)
    declare = dg.multi_asset(
        name="__".join(key.path),
        specs=[
            dg.AssetSpec(
                key,
                deps=deps,
                skippable=True,
                group_name=assets.group_name,
                owners=assets.options.owners,
                tags=assets.options.tags,
                kinds=kinds | assets.options.kinds,
                description=description,
                metadata={"dagster/column_schema": columns} if columns else None,
                automation_condition=automation_condition if assets.options.automation else None,
                freshness_policy=assets.freshness,
            )
        ],
        check_specs=checks,
        partitions_def=partitions,
        backfill_policy=(
            dg.BackfillPolicy.multi_run(1)
            if one_run_per_partition
            else _backfill_policy(assets.source, is_by_shard=is_by_shard)
        ),
        required_resource_keys=assets.resource_keys | further_resources,
        op_tags={FINGERPRINT_TAG: assets.fingerprint} if assets.fingerprint else None,
        pool=pool_of(assets.source) if sends_requests else None,
        can_subset=bool(checks),
    )
    tag = SHARDS_TAG if is_by_shard else DATES_TAG

    def decorate(step: Step) -> dg.AssetsDefinition:
        @wraps(step)
        def tagged(context: dg.AssetExecutionContext) -> Iterator[StepResult]:
            # So that the collection job finds the run.
            context.instance.add_run_tags(context.run.run_id, {tag: assets.source.name})
            require_planned_code(context, assets.source.name, assets.fingerprint)
            if tag == SHARDS_TAG:
                _require_shards(assets, context)
            yield from step(context)

        return declare(tagged)

    return decorate


def _backfill_policy(source: Source, *, is_by_shard: bool) -> dg.BackfillPolicy:
    """One run for all partitions in a row; several for the shards of a date, as configured.

    Dagster takes the number of partitions of a run from the definition, so it follows from the
    maximum of shards. In a backfill of more dates than shards, a run lists one shard on many dates.
    """
    runs = source.schedule.runs
    if runs == 1 or not is_by_shard:
        return dg.BackfillPolicy.single_run()
    shards = source.shards.max_shards + 1 if source.shards.depth else 1
    return dg.BackfillPolicy.multi_run(-(-shards // runs))


def _require_shards(assets: SourceAssets, context: dg.AssetExecutionContext) -> None:
    """Check that the partitions that a run names belong to shards.

    Dagster checks it, too, except where a run is executed again, and its message is longer.

    Raises:
        dagster.Failure: A shard is retired, was deleted, or was never known.
    """
    tags = context.run.tags
    named = [tags[tag].partition("|")[2] for tag in PARTITION_TAGS if tag in tags]
    work = assets.bind_run(context)
    for shard_key in named:
        if shard_key and shard_key not in work.shard_keys:
            raise ExpectedFailure(work.why_no_shard(shard_key))
