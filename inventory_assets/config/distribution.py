"""Whether runs are spread over several machines, and what the configuration must then be."""

from collections.abc import Mapping
from pathlib import Path

from inventory_assets.config.config_file import Config
from inventory_assets.config.loading import ConfigError
from inventory_assets.config.wording import describe_value

DISTRIBUTED_VARIABLE = "INVENTORY_DISTRIBUTED"
"""Profiles of deployments set it to 1 where Dagster starts runs on several machines."""

_MEANINGS = {"": False, "0": False, "false": False, "1": True, "true": True}


def is_distributed(environ: Mapping[str, str]) -> bool:
    """Whether the environment says that runs are spread over several machines.

    Raises:
        ConfigError: The variable says neither yes nor no.
    """
    value = environ.get(DISTRIBUTED_VARIABLE, "")
    meaning = _MEANINGS.get(value.strip().lower())
    if meaning is None:
        raise ConfigError(
            f"{DISTRIBUTED_VARIABLE}: found {describe_value(value)}, expected 1 where runs are "
            "spread over several machines, or 0; correct the environment variable"
        )
    return meaning


def require_shared_store(config: Config, environ: Mapping[str, str]) -> None:
    """Check that all machines with runs can reach the store.

    Raises:
        ConfigError: Runs are spread over several machines, and the store is a folder of one.
    """
    if not is_distributed(environ) or not isinstance(config.store, Path) or config.store_is_shared:
        return
    raise ConfigError(
        f"store: found the folder {config.store} while {DISTRIBUTED_VARIABLE} says that runs are "
        "spread over several machines, expected a store that all of them reach; write for example "
        'store = "s3://acme-inventories/daily", or store_is_shared = true if the folder is on a '
        "file system that all of them mount at this path"
    )
