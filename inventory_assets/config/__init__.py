"""The configuration file: which buckets to inventory, how and when, and where the results go.

One TOML file, `inventory.toml`, is read at the edge of the program by `load_config` and handed
down as frozen, typed values. All its mistakes are reported at once, each with its place and its
remedy. Secrets have no place in the file, and no message repeats one.
"""

from inventory_assets.config.iceberg import Iceberg
from inventory_assets.config.loading import ConfigError, json_schema, load_config
from inventory_assets.config.tables import (
    CONFIG_FILE,
    CONFIG_VARIABLE,
    DEFAULT_CRON,
    DEFAULT_STORE,
    MAX_PREFIX_BYTES,
    Config,
    Exports,
    Retention,
    Schedule,
    Shards,
    Source,
    SourceName,
    SourceTable,
    StoreBucket,
)

__all__ = [
    "CONFIG_FILE",
    "CONFIG_VARIABLE",
    "DEFAULT_CRON",
    "DEFAULT_STORE",
    "MAX_PREFIX_BYTES",
    "Config",
    "ConfigError",
    "Exports",
    "Iceberg",
    "Retention",
    "Schedule",
    "Shards",
    "Source",
    "SourceName",
    "SourceTable",
    "StoreBucket",
    "json_schema",
    "load_config",
]
