"""`lifecycle_simulation`: what lifecycle rules would do to a date's inventory."""

from collections.abc import Iterator
from datetime import date
from functools import partial
from hashlib import sha256

import dagster as dg

from inventory_assets.defs.source.automation import on_listing_change
from inventory_assets.defs.source.context import SourceAssets, SourceContext
from inventory_assets.defs.source.lifecycle_metadata import lifecycle_metadata
from inventory_assets.defs.source.partition_steps import StepResult, publish_each_date
from inventory_assets.defs.source.partitioned_asset import partitioned_asset
from inventory_assets.inventory.lifecycle.date_simulation import DATE_SIMULATION, DateSimulation
from inventory_assets.inventory.lifecycle.simulation import COLUMNS, simulate
from inventory_assets.inventory.manifest.manifest_merge import required_manifest
from inventory_assets.inventory.parts.part import read_records
from inventory_assets.inventory.storage.commit import publish
from inventory_assets.scan.keyspace.key_range import KeyRange


def build_lifecycle_simulation(assets: SourceAssets) -> dg.AssetsDefinition:
    """The asset of the simulations; a source has it if rules are configured."""
    key = assets.key("lifecycle_simulation")

    @partitioned_asset(
        assets,
        key,
        assets.partitions.dates,
        description=(
            "What lifecycle rules would move and delete in a day's inventory within 30 days and at "
            "rest, what that costs and saves by the price table, and which rules disagree. Nothing "
            "is changed in the bucket."
        ),
        kinds={"s3"},
        deps=[assets.key("inventory_manifest")],
        automation_condition=on_listing_change(),
    )
    def lifecycle_simulation(context: dg.AssetExecutionContext) -> Iterator[StepResult]:
        work = assets.bind_run(context)
        yield from publish_each_date(context, key, "simulations", partial(_simulate, work))

    return lifecycle_simulation


def _simulate(work: SourceContext, day: date) -> tuple[str, dict[str, object]]:
    manifest = required_manifest(work.store, work.layout, day)
    rules = work.bucket.lifecycle_rules(work.source.lifecycle, work.now())
    prices = work.assets.prices
    records = read_records(work.store, manifest.parts, [KeyRange.of_prefix("")], COLUMNS)
    simulation = simulate(records, rules, day, prices)
    version = sha256(f"{manifest.identity} {rules} {prices}".encode()).hexdigest()[:32]
    record = DateSimulation(
        bucket=manifest.bucket,
        source=manifest.source,
        day=day,
        manifest_identity=manifest.identity,
        created_at=work.now(),
        simulation=simulation,
    )
    publish(work.store, DATE_SIMULATION.file(work.layout.lifecycle(day), record))
    return version, lifecycle_metadata(simulation)
