"""Run assets of a source, and read them, with the version of the code that PYTHONPATH names.

It is run by its path, in a process of its own, so it imports nothing of these tests:

    python run_version.py DATE ACTION...

An action is the name of an asset, `listing=SHARD,SHARD`, `collect=DAYS` (as if so many days had
passed), or `read`, which prints what the version reads.
"""

import json
import sys
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import dagster as dg

import inventory_assets
from inventory_assets.config import load_config
from inventory_assets.definitions import build_definitions
from inventory_assets.defs.source.context import SourceAssets
from inventory_assets.defs.source.resources import Clock
from inventory_assets.errors import InventoryError
from inventory_assets.inventory.query.dataset import Dataset
from inventory_assets.inventory.retention.collector import execute, plan_collection
from inventory_assets.inventory.retention.policy import Retention
from inventory_assets.wiring.results import open_results

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
BY_SHARD = ("object_listing", "object_changes", "object_metadata")


class Version:
    """The assets of the only source of the configuration, at noon of a day."""

    def __init__(self, day: date) -> None:
        self.day = day
        self.config = load_config()
        (source,) = self.config.sources.values()
        self.assets = SourceAssets(source)
        self.store = open_results(self.config.store)
        now = datetime.combine(day, time(12), UTC)
        self.definitions = build_definitions(self.config, Clock(fixed=now.isoformat()))
        self.instance = dg.DagsterInstance.get()

    def do(self, action: str) -> dict[str, Any]:
        """Carry out an action; what came of it."""
        name, _, detail = action.partition("=")
        if name == "read":
            return self.read()
        if name == "collect":
            return self.collect(int(detail))
        known = self.instance.get_dynamic_partitions(self.assets.partitions.shards_name)
        shards = detail.split(",") if detail else list(known)
        asset = "object_listing" if name == "listing" else name
        options: dict[str, Any] = {"partition_key": str(self.day)}
        if asset in BY_SHARD:
            options = {"tags": self.assets.partitions.range_tags(self.day, shards)}
        elif asset == "shards":
            options = {}
        result = self.definitions.resolve_implicit_global_asset_job_def().execute_in_process(
            instance=self.instance,
            run_config=QUIET,
            raise_on_error=False,
            asset_selection=[self.assets.key(asset)],
            **options,
        )
        return {"action": action, "success": result.success, "shards": shards}

    def collect(self, days: int) -> dict[str, Any]:
        """Collect garbage as if days had passed; which data files were removed."""
        then = datetime.now(UTC) + timedelta(days=days)
        plan = plan_collection(self.store, self.assets.layout, Retention(), self.day, then)
        execute(self.store, plan, lambda: then)
        return {"action": "collect", "removed": [file.key for file in plan.removed]}

    def read(self) -> dict[str, Any]:
        """What the version reads of each date that is published."""
        found: dict[str, Any] = {}
        for age in (1, 0):
            day = self.day - timedelta(days=age)
            dataset = Dataset.of_date(self.store, self.assets.layout, day)
            changes = dataset.changes(day).collect()
            found[str(day)] = {
                "keys": dataset.scan().select("key").collect()["key"].to_list(),
                "changes": dict(zip(changes["key"], changes["change"], strict=True)),
            }
        return {"action": "read", "dates": found}


def main(day: str, actions: list[str]) -> None:
    version = Version(date.fromisoformat(day))
    outcomes: list[dict[str, Any]] = []
    for action in actions:
        try:
            outcomes.append(version.do(action))
        except InventoryError as error:
            outcomes.append({"action": action, "success": False, "error": str(error)})
    package = str(Path(inventory_assets.__file__).parent)
    print(json.dumps({"package": package, "outcomes": outcomes}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
