"""Whether a date is incomplete because a user terminated its listing, which is no fault."""

from datetime import date

import dagster as dg

from inventory_assets.defs.source.context import SourceContext
from inventory_assets.defs.source.partitioned_asset import SHARDS_TAG
from inventory_assets.defs.source.partitions import PARTITION_TAGS

_AUTOMATION_TAGS = frozenset({"dagster/from_automation_condition", "dagster/auto_materialize"})
_RUNS_READ = 50
"""The runs by date and shard among which the last listing is searched for."""


def is_automatic(context: dg.AssetExecutionContext) -> bool:
    """Whether automation requested the run, and no user."""
    return not _AUTOMATION_TAGS.isdisjoint(context.run.tags)


def listing_was_terminated(
    context: dg.AssetExecutionContext, work: SourceContext, day: date
) -> bool:
    """Whether the last run that listed shards of a date was terminated."""
    listing = work.assets.key("object_listing")
    of_source = dg.RunsFilter(tags={SHARDS_TAG: work.source.name})
    for run in context.instance.get_runs(of_source, limit=_RUNS_READ):
        lists = run.job_name == work.assets.listing_job or listing in (run.asset_selection or ())
        is_of_day = any(run.tags.get(tag, "").startswith(f"{day}|") for tag in PARTITION_TAGS)
        if lists and is_of_day:
            return run.status in (dg.DagsterRunStatus.CANCELED, dg.DagsterRunStatus.CANCELING)
    return False
