"""What the earlier runs of a run that is executed again from its failure have listed.

Dagster executes a run again by itself (`run_retries` in `dagster.yaml`) or because a person asks
for *Re-execute from failure*. The shards that were complete by then stay as they are.
"""

from collections.abc import Sequence
from datetime import datetime
from functools import partial

import dagster as dg

from inventory_assets.defs.source.context import SourceContext
from inventory_assets.errors import InventoryError
from inventory_assets.inventory.manifest.snapshot import Snapshot, read_snapshot
from inventory_assets.inventory.storage.parallel_reads import read_each

_FROM_FAILURE_TAG = "dagster/is_resume_retry"
"""The tag of runs that execute again only what failed; other repetitions list everything again."""

_ROOT_TAG = "dagster/root_run_id"
"""The tag with the first of the runs that such a run repeats."""


def listed_before(
    context: dg.AssetExecutionContext, work: SourceContext, partition_keys: Sequence[str]
) -> dict[str, Snapshot]:
    """The partitions that were listed since the first of the repeated runs was requested.

    Returns:
        Their published snapshots, in the order of the partition keys.
    """
    since = _first_requested_at(context)
    if since is None:
        return {}
    found = read_each(partial(_listed_since, work, since, work.known_prefixes()), partition_keys)
    return {key: each for key, each in zip(partition_keys, found, strict=True) if each is not None}


def _listed_since(
    work: SourceContext, since: datetime, known: Sequence[str], partition_key: str
) -> Snapshot | None:
    """The snapshot of a partition, if it was listed since then, and as it would be now."""
    day, shard_key = work.assets.partitions.split(partition_key)
    try:
        shard = work.shard(shard_key, known)
        found = read_snapshot(work.store, work.layout, day, shard.prefix)
    except InventoryError:  # the listing reports it
        return None
    if found is None or found.shard != shard or found.started_at < since:
        return None
    return found if (found.versions is not None) is work.source.versions else None


def _first_requested_at(context: dg.AssetExecutionContext) -> datetime | None:
    tags = context.run.tags
    if tags.get(_FROM_FAILURE_TAG) != "true" or _ROOT_TAG not in tags:
        return None
    root = context.instance.get_run_record_by_id(tags[_ROOT_TAG])
    return None if root is None else root.create_timestamp
