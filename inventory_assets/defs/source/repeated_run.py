"""What a run that repeats others, or is one of several, need not list.

Dagster executes a run again by itself (`run_retries` in `dagster.yaml`) or because a person asks
for *Re-execute from failure*. The shards that were complete by then stay as they are.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime

import dagster as dg

from inventory_assets.defs.source.context import SourceContext
from inventory_assets.errors import InventoryError
from inventory_assets.inventory.manifest.snapshot import Snapshot, read_snapshot

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
) -> Iterator[tuple[str, Snapshot]]:
    """The partitions that were listed since the first of the repeated runs was requested.

    Yields:
        The partition keys with the snapshots, which are published.
    """
    since = _first_requested_at(context)
    if since is None:
        return
    known = work.known_prefixes()
    for partition_key in partition_keys:
        day, shard_key = work.assets.partitions.split(partition_key)
        with suppress(InventoryError):  # the listing reports it
            shard = work.shard(shard_key, known)
            found = read_snapshot(work.store, work.layout, day, shard.prefix)
            is_same_listing = (
                found is not None
                and found.shard == shard
                and (found.versions is not None) is work.source.versions
            )
            if found is not None and is_same_listing and found.started_at >= since:
                yield partition_key, found


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
