"""`inventory_manifest`: the merged shards of a date, in the layout of S3 Inventory."""

import logging
import random
from collections.abc import Iterator
from contextlib import closing
from datetime import date

import dagster as dg

from inventory_assets.defs.source.automation import on_any_shard_change, shards_of_the_date
from inventory_assets.defs.source.checks import log_check, partitioned_check
from inventory_assets.defs.source.context import SourceAssets, SourceContext
from inventory_assets.defs.source.listing_check import log_listing_check
from inventory_assets.defs.source.listing_metadata import record_columns
from inventory_assets.defs.source.manifest_checks import ManifestChecks, log_hold, log_manifest
from inventory_assets.defs.source.manifest_metadata import verification_metadata
from inventory_assets.defs.source.partition_steps import (
    StepResult,
    for_each_partition,
)
from inventory_assets.defs.source.partitioned_asset import partitioned_asset
from inventory_assets.defs.source.terminated_listing import is_automatic, listing_was_terminated
from inventory_assets.errors import InventoryError
from inventory_assets.inventory.errors import IncompleteListing, ManifestIncomplete
from inventory_assets.inventory.gate.held_date import read_held
from inventory_assets.inventory.gate.publication import Outcome, begin_date, publish_or_hold
from inventory_assets.inventory.gate.verdict import ALLOWED
from inventory_assets.inventory.manifest.manifest import Manifest
from inventory_assets.inventory.manifest.manifest_merge import (
    merge,
    newest_manifest,
    read_manifest,
    violations_of,
)
from inventory_assets.inventory.manifest.snapshot import read_snapshots
from inventory_assets.inventory.verification.targets import EMPTY_RANGES, VerificationTarget
from inventory_assets.inventory.verification.verification import RANGES, verify

LOG = logging.getLogger(__name__)


def build_inventory_manifest(assets: SourceAssets) -> dg.AssetsDefinition:
    """The asset of the manifests, which merges the date's snapshots."""
    key = assets.key("inventory_manifest")
    checks = ManifestChecks.of(assets)
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
            "was terminated, automation leaves it out. A date that crosses a bound of the gate is "
            f"held until a person releases it, by the job `{assets.release_job}`."
        ),
        kinds={"parquet"},
        deps=[dg.AssetDep(assets.key("object_listing"), partition_mapping=shards_of_the_date())],
        columns=record_columns(assets.source.versions),
        checks=[*checks.specs, sample],
        automation_condition=on_any_shard_change(),
        one_run_per_partition=True,  # so that an incomplete date fails alone
    )
    def inventory_manifest(context: dg.AssetExecutionContext) -> Iterator[StepResult]:
        work = assets.bind_run(context)
        is_check_only = key not in context.selected_asset_keys

        def process(partition_key: str) -> list[str]:
            day = date.fromisoformat(partition_key)
            selected = context.selected_asset_check_keys
            broken: list[str] = []
            if is_check_only and checks.listings.key in selected:
                broken = log_listing_check(context, checks.listings, work, day, is_on_its_own=True)
                if selected == {checks.listings.key}:
                    return broken
            try:
                outcome = (_read if is_check_only else _publish)(work, day)
            except InventoryError as error:
                if is_automatic(context) and listing_was_terminated(context, work, day):
                    LOG.warning("%s: %s; its listing was terminated", day, error)
                    return []
                raise
            if is_check_only:
                held = read_held(work.store, work.layout, day)
                broken += checks.log_all(context, work, outcome.manifest, held=held)
            elif outcome.is_held:
                broken = log_hold(context, checks, work, outcome)
            else:
                broken = log_manifest(context, checks, work, outcome.manifest, outcome.verdict)
            if sample.key in selected:
                _log_sample(context, sample, work, outcome.manifest)
            return broken

        yield from for_each_partition(context, "manifests", process)

    return inventory_manifest


def _publish(work: SourceContext, day: date) -> Outcome:
    begun = begin_date(work.store, work.layout, day, work.now())
    snapshots = read_snapshots(work.store, work.layout, day)
    manifest = merge(
        work.store,
        work.layout,
        work.source.prefix,
        snapshots,
        work.now(),
        baseline=newest_manifest(work.store, work.layout, before=day),
        # The external ID is no secret for AWS, but is often treated as one. Who is told of alerts
        # says nothing of the inventory.
        configuration=work.source.model_dump(
            mode="json", exclude={"external_id", "demo", "alerts"}
        ),
    )
    violations = violations_of(manifest)
    if violations:
        raise IncompleteListing(
            f"the shards of {day} do not make one inventory: {'; '.join(violations)}; materialize "
            "object_listing for the shards concerned again"
        )
    bounds = work.assets.gate_bounds
    return publish_or_hold(work.store, work.layout, manifest, snapshots, bounds, begun, work.now())


def _read(work: SourceContext, day: date) -> Outcome:
    manifest = read_manifest(work.store, work.layout, day)
    if manifest is None:
        raise ManifestIncomplete("no manifest was published; materialize it first")
    return Outcome(manifest, ALLOWED)


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
