"""What the earlier runs of a run that is executed again from its failure have listed.

Dagster executes a run again by itself (`run_retries` in `dagster.yaml`) or because a person asks
for *Re-execute from failure*. The shards that were complete by then stay as they are.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime

import dagster as dg

from inventory_assets.defs.source.context import SourceContext
from inventory_assets.errors import InventoryError
from inventory_assets.inventory.manifest.snapshot import Snapshot, read_snapshot

_FROM_FAILURE_TAG = "dagster/is_resume_retry"
"""The tag of runs that execute again only what failed; other repetitions list everything again."""

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


def _first_requested_at(context: dg.AssetExecutionContext) -> datetime | None:
    tags = context.run.tags
    if tags.get(_FROM_FAILURE_TAG) != "true" or _ROOT_TAG not in tags:
        return None
    root = context.instance.get_run_record_by_id(tags[_ROOT_TAG])
    return None if root is None else root.create_timestamp
