"""What a run that repeats others, or is one of several, need not list.

Dagster executes a run again by itself (`run_retries` in `dagster.yaml`) or because a person asks
for *Re-execute from failure*. The shards that were complete by then stay as they are.
"""

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial

import dagster as dg

from inventory_assets.defs.source.context import SourceContext
from inventory_assets.errors import InventoryError
from inventory_assets.inventory.manifest.snapshot import Snapshot, read_snapshot
from inventory_assets.inventory.storage.parallel_reads import read_each

LISTED_SINCE_TAG = "inventory_assets/listed_since"
"""The tag of the runs that a tick of the schedule has started together, with the time from which on
a listing counts as theirs."""

_FROM_FAILURE_TAG = "dagster/is_resume_retry"
"""The tag of runs that execute again only what failed; other repetitions list everything again."""

_RETRY_TAG = "dagster/retry_number"
"""The tag of runs that Dagster executes again by itself."""

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


def requested_at(context: dg.AssetExecutionContext) -> datetime:
    """When the listing of a run was requested: a shared listing that began later is the run's own.

    It is the time of the run, of the run that it retries, or of the tick that started it together
    with others. A run that a person executes again as a whole is a new request.
    """
    run, instance = context.run, context.instance
    root = run.tags.get(_ROOT_TAG)
    is_retry = run.tags.get(_FROM_FAILURE_TAG) == "true" or _RETRY_TAG in run.tags
    if root is None or is_retry:
        with suppress(KeyError, ValueError):
            return datetime.fromisoformat(run.tags[LISTED_SINCE_TAG])
    record = instance.get_run_record_by_id(root if root is not None and is_retry else run.run_id)
    if record is None:
        record = instance.get_run_record_by_id(run.run_id)
    return datetime.now(UTC) if record is None else record.create_timestamp


def _first_requested_at(context: dg.AssetExecutionContext) -> datetime | None:
    tags = context.run.tags
    if tags.get(_FROM_FAILURE_TAG) != "true" or _ROOT_TAG not in tags:
        return None
    root = context.instance.get_run_record_by_id(tags[_ROOT_TAG])
    return None if root is None else root.create_timestamp
