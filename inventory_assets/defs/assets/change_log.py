"""`change_log`: the changes of the whole source since a date's baseline."""

import logging
from collections.abc import Iterator
from datetime import date

import dagster as dg

from inventory_assets.defs.source.automation import on_any_shard_change_of, shards_of_the_date
from inventory_assets.defs.source.change_metadata import CHANGE_COLUMNS, change_log_metadata
from inventory_assets.defs.source.checks import log_check, partitioned_check
from inventory_assets.defs.source.context import SourceAssets, SourceContext
from inventory_assets.defs.source.growth_checks import change_growth_checks, log_change_growth
from inventory_assets.defs.source.partition_steps import (
    StepResult,
    for_each_partition,
    log_partition,
)
from inventory_assets.defs.source.partitioned_asset import partitioned_asset
from inventory_assets.inventory.changes.change_log import (
    ChangeLog,
    change_log_etag,
    compare_shards,
    next_change_log,
    outdated_reason,
    publish_change_log,
    read_change_log,
    violations_of,
)
from inventory_assets.inventory.changes.shard_changes import unreconciled_shards
from inventory_assets.inventory.errors import ManifestIncomplete
from inventory_assets.inventory.listing.shard_registry import shard_key
from inventory_assets.inventory.listing.shard_retirement import read_retirement
from inventory_assets.inventory.manifest.manifest_merge import required_manifest

LOG = logging.getLogger(__name__)


def build_change_log(assets: SourceAssets) -> dg.AssetsDefinition:
    """The asset with the list of a date's changed records."""
    key = assets.key("change_log")
    balance = partitioned_check(
        "change_log_reconciles",
        key,
        assets.partitions.dates,
        "Baseline + created - deleted = inventory, over all shards; every file exists. Run on its "
        "own, the check also adds up each shard, and finds out whether the baseline is still the "
        "newest before the date.",
    )
    growth = change_growth_checks(assets)

    @partitioned_asset(
        assets,
        key,
        assets.partitions.dates,
        description=(
            "All changes of a day, each key once, with the columns of S3 Metadata's journal "
            "table: a list of the shards' files of changes. No data is moved."
        ),
        kinds={"parquet"},
        deps=[
            dg.AssetDep(assets.key("object_changes"), partition_mapping=shards_of_the_date()),
            assets.key("inventory_manifest"),
        ],
        columns=CHANGE_COLUMNS,
        checks=[balance, *growth],
        automation_condition=on_any_shard_change_of(assets.key("inventory_manifest")),
        one_run_per_partition=True,  # so that an incomplete date fails alone
    )
    def change_log(context: dg.AssetExecutionContext) -> Iterator[StepResult]:
        work = assets.bind_run(context)
        is_check_only = key not in context.selected_asset_keys

        def process(partition_key: str) -> list[str]:
            day = date.fromisoformat(partition_key)
            if is_check_only:
                log = _read(work, day)
                prefixes = [entry.shard.prefix for entry in log.entries]
                violations = [
                    *violations_of(work.store, log),
                    *unreconciled_shards(work.store, work.layout, day, prefixes),
                    *_outdated(work, log),
                ]
                log_check(context, balance, partition_key, violations)
                log_change_growth(context, growth, work, partition_key, log)
                return violations
            log = _publish(work, day)
            orphans = work.without_partition(day, (entry.shard.prefix for entry in log.entries))
            metadata = change_log_metadata(work.store, work.layout, log, orphans)
            log_partition(context, key, partition_key, log.identity, metadata)
            violations = violations_of(work.store, log)
            log_check(context, balance, partition_key, violations)
            log_change_growth(context, growth, work, partition_key, log)
            for violation in _outdated(work, next_change_log(work.store, work.layout, day)):
                context.log.warning(violation)
            return violations

        yield from for_each_partition(context, "change logs", process)

    return change_log


def _publish(work: SourceContext, day: date) -> ChangeLog:
    expected_etag = change_log_etag(work.store, work.layout, day)
    manifest = required_manifest(work.store, work.layout, day)
    # `object_changes` cannot be materialized for a shard that has no partition.
    orphans = work.without_partition(day, (entry.shard.prefix for entry in manifest.shards))
    for prefix in compare_shards(work.store, work.layout, manifest, orphans, work.now()):
        if day < work.assets.partitions.first_listed_date:
            LOG.info("%s has left the window of listings; change_log compared %r", day, prefix)
        elif read_retirement(work.store, work.layout, shard_key(prefix, work.source.prefix)):
            LOG.info("shard %r is retired; change_log compared it for %s", prefix, day)
        else:
            LOG.warning(
                "the partition of shard %r was deleted; change_log compared it for %s", prefix, day
            )
    return publish_change_log(work.store, work.layout, manifest, work.now(), expected_etag)


def _outdated(work: SourceContext, log: ChangeLog | None) -> list[str]:
    violation = outdated_reason(work.store, work.layout, log) if log else None
    return [violation] if violation else []


def _read(work: SourceContext, day: date) -> ChangeLog:
    log = read_change_log(work.store, work.layout, day)
    if log is None:
        raise ManifestIncomplete("no change log was published; materialize it first")
    return log
