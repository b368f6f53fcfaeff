"""The shards that were added after the runs of a date were planned.

No run of the date has them among its partitions. The run that searches for new prefixes lists them:
those that it adds, and those that another run had added. That one may be the run that it repeats,
which was lost after it had added them, or a repeated run of the date before.
"""

from collections.abc import Sequence

import dagster as dg

from inventory_assets.defs.source.context import SourceContext
from inventory_assets.defs.source.partitions import UNFINISHED

LAST_PLANNED_TAG = "inventory_assets/last_planned_shard"
"""The tag of the run that searches for new prefixes, with the last of the shards, in Dagster's
order, that the runs of its date were planned for."""


def with_shards_since_plan(
    context: dg.AssetExecutionContext, work: SourceContext, planned: Sequence[str]
) -> Sequence[str]:
    """The partitions of a run, and those of its dates whose shards were added after its plan.

    Of the latter, those that another unfinished run has as its one partition are left to it: the
    sensor for new prefixes has requested it.

    Args:
        context: The context of the run.
        work: The source.
        planned: The partitions that the run was planned for.
    """
    last = context.run.tags.get(LAST_PLANNED_TAG)
    if last not in work.shard_keys:
        return planned
    added = work.shard_keys[work.shard_keys.index(last) + 1 :]
    days = sorted({work.assets.partitions.split(each)[0] for each in planned})
    found = [str(work.assets.partitions.key(day, each)) for day in days for each in added]
    if not found:
        return planned
    runs = context.instance.get_runs(dg.RunsFilter(statuses=UNFINISHED))
    elsewhere = {each.tags.get("dagster/partition") for each in runs}
    return [*planned, *(each for each in found if each not in elsewhere)]
