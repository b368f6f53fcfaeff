"""The configuration file: which buckets to inventory, how and when, and where the results go.

`load_config` reads one TOML file, `inventory.toml`, into frozen, typed values. It reports all
mistakes at once, each with its location and a remedy. The file contains no secrets, and no message
repeats a value that may be one.
"""

from inventory_assets.config.alerts import Alerts, Email
from inventory_assets.config.config_file import CONFIG_FILE, CONFIG_VARIABLE, Config, ConfigFile
from inventory_assets.config.distribution import (
    DISTRIBUTED_VARIABLE,
    is_distributed,
    require_shared_store,
)
from inventory_assets.config.gate import Gate
from inventory_assets.config.growth import Growth
from inventory_assets.config.iceberg import Iceberg
from inventory_assets.config.loading import (
    DEMO_DATES,
    ConfigError,
    json_schema,
    load_config,
    load_valid_sources,
)
from inventory_assets.config.metadata import Metadata
from inventory_assets.config.schedule import (
    DEFAULT_CRON,
    Schedule,
    Shards,
    estimated_partitions,
)
from inventory_assets.config.source import (
    LIFECYCLE_OF_BUCKET,
    MANY_PARTITIONS,
    MAX_PREFIX_BYTES,
    Budget,
    Exports,
    Hygiene,
    Retention,
    Source,
    SourceName,
    SourceTable,
)
from inventory_assets.config.store import DEFAULT_STORE, StoreBucket

__all__ = [
    "CONFIG_FILE",
    "CONFIG_VARIABLE",
    "DEFAULT_CRON",
    "DEFAULT_STORE",
    "DEMO_DATES",
    "DISTRIBUTED_VARIABLE",
    "LIFECYCLE_OF_BUCKET",
    "MANY_PARTITIONS",
    "MAX_PREFIX_BYTES",
    "Alerts",
    "Budget",
    "Config",
    "ConfigError",
    "ConfigFile",
    "Email",
    "Exports",
    "Gate",
    "Growth",
    "Hygiene",
    "Iceberg",
    "Metadata",
    "Retention",
    "Schedule",
    "Shards",
    "Source",
    "SourceName",
    "SourceTable",
    "StoreBucket",
    "estimated_partitions",
    "is_distributed",
    "json_schema",
    "load_config",
    "load_valid_sources",
    "require_shared_store",
]
