"""The schedules of a source: the daily listing of all shards, and garbage collection."""

from collections.abc import Iterator

import dagster as dg

from inventory_assets.defs.assets.listing import FIND_SHARDS_TAG
from inventory_assets.defs.assets.shards import add_remainder
from inventory_assets.defs.gc_job import collection_op_name
from inventory_assets.defs.source.context import SourceAssets

COLLECTION_CRON = "0 13 * * *"
"""The time of garbage collection, twelve hours after the default listing."""


def build_daily_schedule(assets: SourceAssets) -> dg.ScheduleDefinition:
    """The schedule of the run that searches for new prefixes and lists all shards.

    A tick sends no request to the bucket, whose answers may take longer than a tick may. It
    requests the known shards, or the remainder before there are any, and the run adds those that
    it finds. The definitions get its job through the schedule; the sensor for new prefixes names
    that job.
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
        description=f"List every shard of {assets.source.bucket}, once a day, in one run.",
    )
    def daily(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest]:
        name = assets.partitions.shards_name
        shard_keys = list(context.instance.get_dynamic_partitions(name))
        if not shard_keys:
            shard_keys = add_remainder(assets, context.instance)
        day = context.scheduled_execution_time.date()
        yield dg.RunRequest(
            run_key=day.isoformat(),
            tags={**assets.partitions.range_tags(day, shard_keys), FIND_SHARDS_TAG: "true"},
        )

    return daily


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
