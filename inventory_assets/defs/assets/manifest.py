"""`inventory_manifest`: the merged shards of a date, in the layout of S3 Inventory."""

import logging
import random
from collections.abc import Iterator
from contextlib import closing
from datetime import date, timedelta

import dagster as dg

from inventory_assets.defs.source.automation import on_any_shard_change, shards_of_the_date
from inventory_assets.defs.source.checks import log_check, partitioned_check
from inventory_assets.defs.source.context import SourceAssets, SourceContext
from inventory_assets.defs.source.listing_check import listing_check, log_listing_check
from inventory_assets.defs.source.listing_metadata import record_columns, unreadable_table
from inventory_assets.defs.source.manifest_metadata import manifest_metadata, verification_metadata
from inventory_assets.defs.source.partition_steps import (
    StepResult,
    for_each_partition,
    log_partition,
)
from inventory_assets.defs.source.partitioned_asset import partitioned_asset
from inventory_assets.defs.source.terminated_listing import is_automatic, listing_was_terminated
from inventory_assets.errors import InventoryError
from inventory_assets.inventory.errors import (
    IncompleteListing,
    ManifestIncomplete,
)
from inventory_assets.inventory.manifest.manifest import Manifest
from inventory_assets.inventory.manifest.manifest_merge import (
    manifest_etag,
    merge,
    newest_manifest,
    publish_manifest,
    read_manifest,
    violations_of,
)
from inventory_assets.inventory.manifest.snapshot import (
    files_that_differ,
    read_snapshot,
    read_snapshots,
)
from inventory_assets.inventory.verification.targets import EMPTY_RANGES, VerificationTarget
from inventory_assets.inventory.verification.verification import RANGES, verify

LOG = logging.getLogger(__name__)

STALE_AFTER = timedelta(hours=24)
"""The maximum difference between the listing times of a manifest's shards."""


def build_inventory_manifest(assets: SourceAssets) -> dg.AssetsDefinition:
    """The asset of the manifests, which merges the date's snapshots."""
    key = assets.key("inventory_manifest")
    listings = listing_check(assets, key)
    tiling = partitioned_check(
        "shards_cover_source",
        key,
        assets.partitions.dates,
        "Every key of the source belongs to exactly one shard; parts ascend without overlap.",
    )
    files = partitioned_check(
        "data_files_exist",
        key,
        assets.partitions.dates,
        "Every file that the manifest lists exists and has the recorded size.",
    )
    age = partitioned_check(
        "shards_equally_fresh",
        key,
        assets.partitions.dates,
        f"No shard was listed more than {STALE_AFTER} before the one that was listed last.",
        blocking=False,
    )

    readable = partitioned_check(
        "records_readable",
        key,
        assets.partitions.dates,
        "Every record of the listings could be decoded. Records that could not are in no part; the "
        "snapshot of a shard keeps the original XML of the first 1,000 (`unreadable`).",
        blocking=False,
    )
    sample = partitioned_check(
        "sample_matches_bucket",
        key,
        assets.partitions.dates,
        f"{RANGES} random ranges of a page each, and {EMPTY_RANGES} ranges without objects, are "
        "listed again. No object older than the listing is missing from it or differs, no more "
        "than half are gone, and keys that seem gone do not exist when requested by name.",
        blocking=False,
    )

    @partitioned_asset(
        assets,
        key,
        assets.partitions.dates,
        description=(
            "The whole inventory of a day: `manifest.json` lists the sorted parts of all shards. "
            "No data is moved. It fails while shards are missing, and names them; if their listing "
            "was terminated, automation leaves it out."
        ),
        kinds={"parquet"},
        deps=[dg.AssetDep(assets.key("object_listing"), partition_mapping=shards_of_the_date())],
        columns=record_columns(assets.source.versions),
        checks=[listings, tiling, files, age, readable, sample],
        automation_condition=on_any_shard_change(),
        one_run_per_partition=True,  # so that an incomplete date fails alone
    )
    def inventory_manifest(context: dg.AssetExecutionContext) -> Iterator[StepResult]:
        work = assets.bind(context.resources, context.instance)
        is_check_only = key not in context.selected_asset_keys

        def process(partition_key: str) -> list[str]:
            day = date.fromisoformat(partition_key)
            selected = context.selected_asset_check_keys
            broken = []
            if is_check_only and listings.key in selected:
                broken = log_listing_check(context, listings, work, day, is_on_its_own=True)
                if selected == {listings.key}:
                    return broken
            try:
                manifest = (_read if is_check_only else _publish)(work, day)
            except InventoryError as error:
                if is_automatic(context) and listing_was_terminated(context, work, day):
                    LOG.warning("%s: %s; its listing was terminated", day, error)
                    return []
                raise
            if not is_check_only:
                metadata = manifest_metadata(work.store, work.layout, manifest, assets.prices)
                log_partition(context, key, partition_key, manifest.identity, metadata)
                broken = log_listing_check(context, listings, work, day, is_on_its_own=False)
            violations = violations_of(manifest)
            differing = files_that_differ(work.store, manifest.parts)
            log_check(context, tiling, partition_key, violations)
            log_check(context, files, partition_key, differing)
            log_check(context, age, partition_key, _stale_shards(manifest))
            _log_readable(context, readable, work, manifest)
            if sample.key in selected:
                _log_sample(context, sample, work, manifest)
            altered = [f"{file} is missing or was altered" for file in differing]
            return [*broken, *violations, *altered]

        yield from for_each_partition(context, "manifests", process)

    return inventory_manifest


def _publish(work: SourceContext, day: date) -> Manifest:
    expected_etag = manifest_etag(work.store, work.layout, day)
    snapshots = read_snapshots(work.store, work.layout, day)
    manifest = merge(
        work.store,
        work.layout,
        work.source.prefix,
        snapshots,
        work.now(),
        baseline=newest_manifest(work.store, work.layout, before=day),
        # The external ID is no secret for AWS, but is often treated as one.
        configuration=work.source.model_dump(mode="json", exclude={"external_id", "demo"}),
    )
    violations = violations_of(manifest)
    if violations:
        raise IncompleteListing(
            f"the shards of {day} do not make one inventory: {'; '.join(violations)}; materialize "
            "object_listing for the shards concerned again"
        )
    publish_manifest(work.store, work.layout, manifest, expected_etag)
    return manifest


def _read(work: SourceContext, day: date) -> Manifest:
    manifest = read_manifest(work.store, work.layout, day)
    if manifest is None:
        raise ManifestIncomplete("no manifest was published; materialize it first")
    return manifest


def _log_readable(
    context: dg.AssetExecutionContext,
    check: dg.AssetCheckSpec,
    work: SourceContext,
    manifest: Manifest,
) -> None:
    """Log the check of unreadable records; the first are read from the shards' snapshots."""
    violations, metadata = [], {}
    if manifest.unreadable:
        with_some = (each.shard.prefix for each in manifest.shards if each.unreadable)
        snapshots = (
            read_snapshot(work.store, work.layout, manifest.day, prefix) for prefix in with_some
        )
        violations = [f"{manifest.unreadable:,} record(s) could not be decoded and are in no part"]
        metadata = {
            "unreadable": manifest.unreadable,
            "records": unreadable_table(filter(None, snapshots)),
        }
    severity = dg.AssetCheckSeverity.WARN
    log_check(context, check, str(manifest.day), violations, metadata, severity)


def _log_sample(
    context: dg.AssetExecutionContext,
    check: dg.AssetCheckSpec,
    work: SourceContext,
    manifest: Manifest,
) -> None:
    """Verify a sample; an error fails the check, not the run, as everything is published."""
    day, seed = str(manifest.day), context.run.run_id  # each run draws another sample
    try:
        inventory = VerificationTarget.of_manifest(work.store, work.layout, manifest)
        with closing(work.bucket.lister(work.now())) as lister:
            found = verify(inventory, lister, random.Random(seed))  # noqa: S311
    except (InventoryError, OSError) as error:
        log_check(context, check, day, [str(error)])
    else:
        log_check(context, check, day, found.problems, verification_metadata(found, seed))


def _stale_shards(manifest: Manifest) -> list[str]:
    newest = max(entry.finished_at for entry in manifest.shards)
    return [
        f"{entry.shard.prefix!r} was listed at {entry.finished_at:%Y-%m-%d %H:%M}"
        for entry in manifest.shards
        if newest - entry.finished_at > STALE_AFTER
    ]
