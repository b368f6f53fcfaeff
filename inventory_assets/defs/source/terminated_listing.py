"""Whether a date is incomplete because a user terminated its listing, which is no fault."""

from datetime import date

import dagster as dg

from inventory_assets.defs.source.context import SourceContext
from inventory_assets.defs.source.partitioned_asset import SHARDS_TAG
from inventory_assets.defs.source.partitions import PARTITION_TAGS, RUN_OF_DATE_TAG

_AUTOMATION_TAGS = frozenset({"dagster/from_automation_condition", "dagster/auto_materialize"})
_RUNS_READ = 50
"""The runs by date and shard among which the last listing is searched for."""


def is_automatic(context: dg.AssetExecutionContext) -> bool:
    """Whether automation requested the run, and no user."""
    return not _AUTOMATION_TAGS.isdisjoint(context.run.tags)


def listing_was_terminated(
    context: dg.AssetExecutionContext, work: SourceContext, day: date
) -> bool:
    """Whether the last run that listed shards of a date was terminated.

    Where several runs listed the date together, whether one of them was, and not executed again.
    """
    listing = work.assets.key("object_listing")
    of_source = dg.RunsFilter(tags={SHARDS_TAG: work.source.name})
    executed_again: set[str | None] = set()
    for run in context.instance.get_runs(of_source, limit=_RUNS_READ):
        lists = run.job_name == work.assets.listing_job or listing in (run.asset_selection or ())
        is_of_day = any(run.tags.get(tag, "").startswith(f"{day}|") for tag in PARTITION_TAGS)
        if not lists or not is_of_day or run.run_id in executed_again:
            continue
        if run.status in (dg.DagsterRunStatus.CANCELED, dg.DagsterRunStatus.CANCELING):
            return True
        if RUN_OF_DATE_TAG not in run.tags:
            return False
        executed_again |= {run.root_run_id, run.parent_run_id}
    return False
