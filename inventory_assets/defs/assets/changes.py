"""`object_changes`: the differences of each shard from its baseline."""

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
from inventory_assets.inventory.changes.shard_changes import Changes, publish_changes
from inventory_assets.inventory.errors import ManifestIncomplete
from inventory_assets.inventory.manifest.manifest_merge import newest_manifest
from inventory_assets.inventory.manifest.snapshot import read_snapshot


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
            changes = _compare(work, partition_key)
            metadata = changes_metadata(work.store, changes)
            log_partition(context, key, partition_key, _data_version(changes), metadata)
            return []

        yield from for_each_partition(context, "partitions", process)

    return object_changes


def _compare(work: SourceContext, partition_key: str) -> Changes:
    day, shard_key = work.assets.partitions.split(partition_key)
    snapshot = read_snapshot(work.store, work.layout, day, work.prefix(shard_key))
    if snapshot is None:
        raise ManifestIncomplete("nothing was listed; materialize object_listing for it first")
    baseline = newest_manifest(work.store, work.layout, before=day)
    return publish_changes(work.store, work.layout, snapshot, baseline, work.now())


def _data_version(changes: Changes) -> str:
    """A hash of what was compared, which determines the changes."""
    compared = f"{changes.baseline_identity} {changes.snapshot_fingerprint}"
    return sha256(compared.encode()).hexdigest()[:32]
