"""The schedules of a source: the daily listing of all shards, and garbage collection."""

from collections.abc import Iterator

import dagster as dg

from inventory_assets.defs.assets.shards import add_shards, discover_shards
from inventory_assets.defs.gc_job import collection_op_name
from inventory_assets.defs.source.context import SourceAssets
from inventory_assets.scan.errors import TooManyShards

COLLECTION_CRON = "0 13 * * *"
"""The time of garbage collection, twelve hours after the default listing."""


def build_daily_schedule(assets: SourceAssets) -> dg.ScheduleDefinition:
    """The schedule that searches for new prefixes, then lists all shards in one run.

    The definitions get its job through the schedule; the sensor for new prefixes names that job.
    """
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
        required_resource_keys=assets.resource_keys,
        description=f"List every shard of `{assets.source.bucket}`, once a day, in one run.",
    )
    def daily(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest]:
        work = assets.bind(context.resources, context.instance)
        try:
            added = add_shards(work, discover_shards(work), context.instance)
        except TooManyShards as error:
            if not work.shard_keys:
                raise
            # The remainder covers prefixes without a shard, with less parallelism.
            context.log.warning(f"no shards were added: {error}")
            added = []
        shard_keys = [*work.shard_keys, *added]
        day = context.scheduled_execution_time.date()
        yield dg.RunRequest(
            run_key=day.isoformat(), tags=assets.partitions.range_tags(day, shard_keys)
        )

    return daily


def build_collection_schedule(assets: SourceAssets, job: dg.JobDefinition) -> dg.ScheduleDefinition:
    """The daily schedule of garbage collection."""
    return dg.ScheduleDefinition(
        name=f"{assets.source.name}_collect_garbage_daily",
        job=job,
        cron_schedule=COLLECTION_CRON,
        execution_timezone=assets.source.schedule.timezone,
        run_config={"ops": {collection_op_name(assets): {"config": {"dry_run": False}}}},
        description=f"Remove expired dates and unused files of `{assets.source.name}`, once a day.",
    )
