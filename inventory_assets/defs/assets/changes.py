"""`object_changes`: the differences of each shard from its baseline."""

import logging
from collections.abc import Iterator
from hashlib import sha256

import dagster as dg

from inventory_assets.defs.source.automation import on_shard_change
from inventory_assets.defs.source.change_metadata import CHANGE_COLUMNS, changes_metadata
from inventory_assets.defs.source.context import SourceAssets, SourceContext
from inventory_assets.defs.source.partition_steps import (
    StepResult,
    for_each_partition,
    log_partition,
)
from inventory_assets.defs.source.partitioned_asset import partitioned_asset
from inventory_assets.errors import InventoryError
from inventory_assets.inventory.changes.shard_changes import Changes, publish_changes
from inventory_assets.inventory.errors import ManifestIncomplete
from inventory_assets.inventory.manifest.manifest import Manifest
from inventory_assets.inventory.manifest.manifest_merge import newest_manifest
from inventory_assets.inventory.manifest.snapshot import Snapshot, read_snapshot
from inventory_assets.inventory.usage.date_usage import part_usage

LOG = logging.getLogger(__name__)


def build_object_changes(assets: SourceAssets) -> dg.AssetsDefinition:
    """The asset with a shard's changes; the baseline comes from the store, not from a partition."""
    key = assets.key("object_changes")

    @partitioned_asset(
        assets,
        key,
        assets.partitions.listing,
        description=(
            "The objects that were created, modified, touched, transitioned or deleted since the "
            "baseline, which is the newest complete manifest before the day. They are compared by "
            "ETag, size, LastModified and storage class; each row has the old and new values."
        ),
        kinds={"parquet"},
        deps=[assets.key("object_listing")],
        columns=CHANGE_COLUMNS,
        automation_condition=on_shard_change(assets.key("inventory_manifest")),
    )
    def object_changes(context: dg.AssetExecutionContext) -> Iterator[StepResult]:
        work = assets.bind_run(context)

        def process(partition_key: str) -> list[str]:
            snapshot, baseline = _compared(work, partition_key)
            changes = publish_changes(work.store, work.layout, snapshot, baseline, work.now())
            metadata = changes_metadata(work.store, changes)
            log_partition(context, key, partition_key, _data_version(changes), metadata)
            if work.source.schedule.runs > 1:
                _aggregate(work, snapshot, baseline)
            return []

        yield from for_each_partition(context, "partitions", process)

    return object_changes


def _compared(work: SourceContext, partition_key: str) -> tuple[Snapshot, Manifest | None]:
    """The snapshot of a partition, and the baseline that it is compared with."""
    day, shard_key = work.assets.partitions.split(partition_key)
    snapshot = read_snapshot(work.store, work.layout, day, work.prefix(shard_key))
    if snapshot is None:
        raise ManifestIncomplete("nothing was listed; materialize object_listing for it first")
    return snapshot, newest_manifest(work.store, work.layout, before=day)


def _aggregate(work: SourceContext, snapshot: Snapshot, baseline: Manifest | None) -> None:
    """Aggregate the usage of new parts, so that the one run of `prefix_usage` has only to merge it.

    An error is left to that run: it finds no aggregate, and reads the part.
    """
    known = {part.key for part in baseline.parts} if baseline else set()
    for part in snapshot.parts:
        if part.key not in known:
            try:
                part_usage(work.store, work.layout, part)
            except InventoryError as error:
                LOG.warning("the usage of %s is not aggregated yet: %s", part.key, error)


def _data_version(changes: Changes) -> str:
    """A hash of what was compared, which determines the changes."""
    compared = f"{changes.baseline_identity} {changes.snapshot_fingerprint}"
    return sha256(compared.encode()).hexdigest()[:32]
