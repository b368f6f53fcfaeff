"""Dagster's code location: builds the definitions of every source of the configuration."""

import logging
import os
from collections.abc import Mapping

import dagster as dg

from inventory_assets.config import (
    MANY_PARTITIONS,
    Config,
    ConfigError,
    Source,
    estimated_partitions,
    is_distributed,
    load_valid_sources,
    require_shared_store,
)
from inventory_assets.defs.alert_sensor import build_alert_sensor
from inventory_assets.defs.assets import (
    build_change_log,
    build_hygiene_report,
    build_iceberg_tables,
    build_invalid_source,
    build_inventory_exports,
    build_inventory_manifest,
    build_lifecycle_simulation,
    build_object_changes,
    build_object_listing,
    build_object_metadata,
    build_prefix_usage,
    build_shards,
    build_storage_report,
)
from inventory_assets.defs.gc_job import build_collection_job
from inventory_assets.defs.release_job import build_release_job, build_release_sensor
from inventory_assets.defs.schedules import (
    build_collection_schedule,
    build_daily_schedule,
)
from inventory_assets.defs.sensors import build_automation_sensor, build_new_prefix_sensor
from inventory_assets.defs.source.context import AssetOptions, SourceAssets
from inventory_assets.defs.source.planned_code import code_fingerprint
from inventory_assets.defs.source.resources import (
    Clock,
    IcebergCatalog,
    InventoryStore,
    SourceBucket,
)
from inventory_assets.wiring.named_files import named_file_mistakes

LOG = logging.getLogger(__name__)

VALIDATION_VARIABLE = "DAGSTER_IS_DEFS_VALIDATION_CLI"
"""Dagster's commands that validate definitions set it."""


def build_definitions(
    config: Config, clock: Clock | None = None, options: AssetOptions | None = None
) -> dg.Definitions:
    """All assets, checks, jobs, schedules, sensors and resources of a configuration.

    They can be merged with any others: every name carries that of a source, and there is no
    executor and no IO manager among them.

    Args:
        config: The sources and the store.
        clock: The time, where it is not the real one.
        options: How the assets appear in Dagster.

    Raises:
        ConfigError: Runs are spread over several machines, which do not all reach the store.
    """
    require_shared_store(config, os.environ)
    options, loaded_at = options or AssetOptions(), (clock or Clock()).now()
    return dg.Definitions.merge(
        *(
            _source_definitions(
                SourceAssets(source, options, loaded_at, _fingerprint(source, config)),
                config,
                clock,
            )
            for source in config.sources.values()
        )
    )


def _fingerprint(source: Source, config: Config) -> str | None:
    """What a run is compared with; None where all runs are those of one machine."""
    are_several = source.has_several_runs or is_distributed(os.environ)
    return code_fingerprint(source, config.store) if are_several else None


def _source_definitions(
    source: SourceAssets, config: Config, clock: Clock | None
) -> dg.Definitions:
    _warn_of_many_partitions(source.source)
    resources: dict[str, object] = {
        source.bucket_resource: SourceBucket.of(source.source),
        source.store_resource: InventoryStore.of(config.store),
        source.clock_resource: clock or Clock(),
    }
    assets = [
        build_shards(source),
        build_object_listing(source),
        build_object_changes(source),
        build_inventory_manifest(source),
        build_change_log(source),
        build_prefix_usage(source),
        build_storage_report(source),
    ]
    if source.source.hygiene.enabled:
        assets.append(build_hygiene_report(source))
    if source.source.metadata is not None:
        assets.append(build_object_metadata(source))
    if source.source.exports:
        assets.append(build_inventory_exports(source))
    if source.source.lifecycle:
        assets.append(build_lifecycle_simulation(source))
    if source.source.iceberg:
        resources[source.catalog_resource] = IcebergCatalog.of(config.iceberg)
        assets.append(build_iceberg_tables(source))
    collection = build_collection_job(source)
    schedules = [build_daily_schedule(source), build_collection_schedule(source, collection)]
    sensors: list[dg.SensorDefinition] = [build_new_prefix_sensor(source)]
    if source.options.automation:
        sensors.append(build_automation_sensor(source, assets))
        sensors.append(build_release_sensor(source))
    if source.source.alerts is not None:
        sensors.append(build_alert_sensor(source, source.source.alerts))
    return dg.Definitions(
        assets=assets,
        jobs=[collection, build_release_job(source)],
        schedules=schedules,
        sensors=sensors,
        resources=resources,
    )


def _valid_sources() -> tuple[Config, Mapping[str, str]]:
    """The configuration without invalid sources, and the mistakes of each invalid one.

    A source is invalid, too, if a file that its table names is.
    """
    config, invalid = load_valid_sources()
    found = {name: named_file_mistakes(source) for name, source in config.sources.items()}
    mistaken = {name: "\n".join(mistakes) for name, mistakes in found.items() if mistakes}
    valid = {name: source for name, source in config.sources.items() if name not in mistaken}
    return config.model_copy(update={"sources": valid}), {**invalid, **mistaken}


def _warn_of_many_partitions(source: Source) -> None:
    partitions = estimated_partitions(source.shards, source.schedule)
    if partitions >= MANY_PARTITIONS:
        LOG.warning(
            "source %s may have %s partitions by date and shard, and the UI is slow beyond %s; "
            "lower schedule.listing_window_days or shards.max_shards",
            source.name,
            f"{partitions:,}",
            f"{MANY_PARTITIONS:,}",
        )


@dg.definitions
def defs() -> dg.Definitions:
    """The definitions of the configuration found; it is read when the location is loaded.

    A source whose table is invalid has one asset, which says so and fails. `dg check defs` and
    `dagster definitions validate` fail with the mistakes.

    Raises:
        ConfigError: The file is invalid outside the tables of sources, or has no valid source; or
            the definitions are being validated, and any source is invalid.
    """
    config, invalid = _valid_sources()
    if invalid and os.environ.get(VALIDATION_VARIABLE):
        raise ConfigError("\n".join(invalid.values()))
    return dg.Definitions.merge(
        build_definitions(config),
        dg.Definitions(
            assets=[build_invalid_source(name, mistakes) for name, mistakes in invalid.items()],
            # A process per step would double the cost of a run; threads do the listing.
            executor=dg.in_process_executor,
        ),
    )
