"""Dagster's code location: builds the definitions of every source of the configuration."""

import dagster as dg

from inventory_assets.config import Config, load_config
from inventory_assets.defs.assets import (
    build_change_log,
    build_iceberg_tables,
    build_inventory_exports,
    build_inventory_manifest,
    build_object_changes,
    build_object_listing,
    build_shards,
)
from inventory_assets.defs.gc_job import build_collection_job
from inventory_assets.defs.schedules import (
    build_collection_schedule,
    build_daily_schedule,
)
from inventory_assets.defs.sensors import build_following_sensor, build_new_prefix_sensor
from inventory_assets.defs.source.context import SourceAssets
from inventory_assets.defs.source.resources import (
    Clock,
    IcebergCatalog,
    InventoryStore,
    SourceBucket,
)


def build_definitions(config: Config, clock: Clock | None = None) -> dg.Definitions:
    """All assets, checks, jobs, schedules, sensors and resources of a configuration.

    Args:
        config: The sources and the store.
        clock: The clock to use instead of the real one.
    """
    resources: dict[str, object] = {
        "inventory_store": InventoryStore.of(config.store),
        "clock": clock or Clock(),
    }
    assets: list[dg.AssetsDefinition] = []
    jobs: list[dg.JobDefinition] = []
    schedules: list[dg.ScheduleDefinition] = []
    sensors: list[dg.SensorDefinition] = [build_following_sensor()]
    for source in config.sources.values():
        of_source = SourceAssets(source)
        resources[of_source.bucket_resource] = SourceBucket.of(source)
        assets += [
            build_shards(of_source),
            build_object_listing(of_source),
            build_object_changes(of_source),
            build_inventory_manifest(of_source),
            build_change_log(of_source),
        ]
        if source.exports:
            assets.append(build_inventory_exports(of_source))
        if source.iceberg:
            resources["iceberg_catalog"] = IcebergCatalog.of(config.iceberg)
            assets.append(build_iceberg_tables(of_source))
        collection = build_collection_job(of_source)
        jobs.append(collection)
        schedules.append(build_daily_schedule(of_source))
        if of_source.retention:
            schedules.append(build_collection_schedule(of_source, collection))
        sensors.append(build_new_prefix_sensor(of_source))
    return dg.Definitions(
        assets=assets,
        jobs=jobs,
        schedules=schedules,
        sensors=sensors,
        resources=resources,
        # A process per step would double the cost of a run; threads do the listing.
        executor=dg.in_process_executor,
    )


@dg.definitions
def defs() -> dg.Definitions:
    """The definitions of the configuration, which is read when the code location is loaded."""
    return build_definitions(load_config())
