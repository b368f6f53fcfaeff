"""One run of `object_listing` as a process of its own: `python -m … LEASE_SECONDS TAGS`.

The instance is that of DAGSTER_HOME, the configuration that of INVENTORY_CONFIG. TAGS is a JSON
object. Prints the id of the run, and exits with 0 if it succeeded.
"""

import json
import sys
from unittest.mock import patch

import dagster as dg

from inventory_assets.config import load_config
from inventory_assets.definitions import build_definitions
from inventory_assets.defs.source import shard_listing
from inventory_assets.defs.source.context import SourceAssets


def main(lease_seconds: float, tags: dict[str, str]) -> bool:
    """Execute the run; whether it succeeded."""
    config = load_config()
    (source,) = config.sources.values()
    job = build_definitions(config).resolve_implicit_global_asset_job_def()
    selection = [SourceAssets(source).key("object_listing")]
    with (
        patch.object(shard_listing, "LEASE_SECONDS", lease_seconds),
        dg.DagsterInstance.get() as instance,
    ):
        result = job.execute_in_process(
            instance=instance, asset_selection=selection, tags=tags, raise_on_error=False
        )
        print(result.run_id, flush=True)
    return result.success


if __name__ == "__main__":
    sys.exit(0 if main(float(sys.argv[1]), json.loads(sys.argv[2])) else 1)
