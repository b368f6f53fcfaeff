"""The schedules of a source: the daily listing of all shards, and garbage collection."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date

import dagster as dg

from inventory_assets.bounded_call import TookTooLong, call_within
from inventory_assets.defs.assets.listing import FIND_SHARDS_TAG
from inventory_assets.defs.assets.shards import add_remainder
from inventory_assets.defs.gc_job import collection_op_name
from inventory_assets.defs.source.context import SourceAssets, SourceContext
from inventory_assets.defs.source.partitioned_asset import SHARDS_TAG
from inventory_assets.defs.source.partitions import RUN_OF_DATE_TAG
from inventory_assets.defs.source.planned_shards import LAST_PLANNED_TAG
from inventory_assets.defs.source.pools import pool_mistake
from inventory_assets.defs.source.repeated_run import LISTED_SINCE_TAG
from inventory_assets.errors import InventoryError
from inventory_assets.inventory.errors import StoreError
from inventory_assets.inventory.listing.run_plan import (
    balanced_slices,
    planned_runs,
    shard_weights,
    shared_slices,
)
from inventory_assets.inventory.manifest.manifest_merge import newest_manifest

STORE_SECONDS = 20.0
"""How long a tick waits for the store of the results. Dagster ends a tick after a minute, and the
date would then have no run."""

COLLECTION_CRON = "0 13 * * *"
"""The time of garbage collection, twelve hours after the default listing."""


def build_daily_schedule(assets: SourceAssets) -> dg.ScheduleDefinition:
    """The schedule of the run that searches for new prefixes and lists all shards, or of several.

    A tick sends no request to the bucket, whose answers may take longer than a tick may. It
    requests the known shards, or the remainder before there are any, and the run adds those that
    it finds. Of several runs, the first does. The definitions get its job through the schedule; the
    sensor for new prefixes names that job.
    """
    are_several = assets.source.schedule.runs > 1
    job = dg.define_asset_job(
        assets.listing_job,
        selection=dg.AssetSelection.assets(assets.key("object_listing")),
        description=f"List shards of `{assets.source.bucket}`.",
    )

    @dg.schedule(
        name=f"{assets.source.name}_daily",
        job=job,
        cron_schedule=assets.source.schedule.cron,
        execution_timezone=assets.source.schedule.timezone,
        required_resource_keys=assets.resource_keys if are_several else None,
        description=(
            f"List every shard of {assets.source.bucket}, once a day, in "
            f"{f'up to {assets.source.schedule.runs} runs' if are_several else 'one run'}."
        ),
    )
    def daily(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest]:
        name = assets.partitions.shards_name
        shard_keys = list(context.instance.get_dynamic_partitions(name))
        if not shard_keys:
            shard_keys = add_remainder(assets, context.instance)
        day = context.scheduled_execution_time.date()
        parts = [shard_keys]
        if are_several:
            parts = [list(each) for each in _planned_parts(context, assets, day, shard_keys)]
        since = {LISTED_SINCE_TAG: context.scheduled_execution_time.isoformat()}
        for number, part in enumerate(parts, start=1):
            tags = assets.partitions.range_tags(day, part)
            if assets.source.shards.shared:
                tags |= since
            if number == 1:
                tags |= {FIND_SHARDS_TAG: "true", LAST_PLANNED_TAG: shard_keys[-1]}
            if len(parts) == 1:
                yield dg.RunRequest(run_key=day.isoformat(), tags=tags)
                continue
            tags |= {RUN_OF_DATE_TAG: f"{number} of {len(parts)}", SHARDS_TAG: assets.source.name}
            # A tick that is repeated may divide the shards otherwise; none is left out then.
            run_key = f"{day}|{part[0]}..{part[-1]}"
            same = parts[: number - 1].count(part)
            yield dg.RunRequest(run_key=f"{run_key}|{same + 1}" if same else run_key, tags=tags)

    return daily


def _planned_parts(
    context: dg.ScheduleEvaluationContext,
    assets: SourceAssets,
    day: date,
    shard_keys: Sequence[str],
) -> list[Sequence[str]]:
    """The shards of each run: neighbours in Dagster's order, alike in rows of the last manifest.

    If they are shared, several runs may have the same shard. Not so the remainder before any prefix
    is known: the first run searches for prefixes, and others would list what it finds, too.
    """
    if mistake := pool_mistake(context.instance, assets.source):
        context.log.warning(mistake)
    work = assets.bind(context.resources, context.instance)
    rows: Mapping[str, int] = {}
    try:
        rows = _rows_of_last_manifest(work, day)
    except (InventoryError, OSError) as error:
        context.log.warning(f"the runs have equal numbers of shards, as no rows are known: {error}")
    schedule = assets.source.schedule
    count = planned_runs(rows, schedule.runs, schedule.objects_per_run)
    weights = shard_weights([_known_prefix(work, key) for key in shard_keys], rows)
    if assets.source.shards.shared:
        if not rows and len(shard_keys) == 1 and assets.source.shards.depth:
            count = 1
        return [shard_keys[part] for part in shared_slices(weights, count)]
    return [shard_keys[part] for part in balanced_slices(weights, count)]


def _rows_of_last_manifest(work: SourceContext, day: date) -> Mapping[str, int]:
    """The rows of each shard; none without a manifest.

    Raises:
        InventoryError: The manifest cannot be read, or not in the time that a tick has.
        OSError: As before.
    """
    try:
        manifest = call_within(
            STORE_SECONDS, lambda: newest_manifest(work.store, work.layout, before=day)
        )
    except TookTooLong:
        raise StoreError(f"the store did not answer within {STORE_SECONDS:.0f} s") from None
    return {entry.shard.prefix: entry.rows for entry in manifest.shards} if manifest else {}


def _known_prefix(work: SourceContext, shard_key: str) -> str:
    try:
        return work.prefix(shard_key)
    except InventoryError:  # the listing reports it
        return shard_key


def build_collection_schedule(assets: SourceAssets, job: dg.JobDefinition) -> dg.ScheduleDefinition:
    """The daily schedule of garbage collection; without a retention, it removes no date."""
    return dg.ScheduleDefinition(
        name=f"{assets.source.name}_collect_garbage_daily",
        job=job,
        cron_schedule=COLLECTION_CRON,
        execution_timezone=assets.source.schedule.timezone,
        run_config={"ops": {collection_op_name(assets): {"config": {"dry_run": False}}}},
        description=(
            f"Remove expired dates and unused files of {assets.source.name}, and the runs of "
            "dates that are gone, once a day."
        ),
    )
