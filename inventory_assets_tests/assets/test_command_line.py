"""The demo's assets, materialized by Dagster's own command line."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from inventory_assets.config import Source
from inventory_assets.defs.source.context import SourceAssets
from inventory_assets.inventory.manifest.snapshot import read_snapshots
from inventory_assets.inventory.storage.local_store import LocalStore

pytestmark = pytest.mark.slow
LAYOUT = SourceAssets(Source(name="demo", bucket="demo-bucket")).layout


def materialize(home: Path, select: str, *options: str) -> None:
    """`dagster asset materialize` in a folder that is Dagster's home as well."""
    environ = {name: text for name, text in os.environ.items() if name != "INVENTORY_CONFIG"}
    command = ["asset", "materialize", "--select", select, *options]
    ended = subprocess.run(
        [sys.executable, "-m", "dagster", *command, "-m", "inventory_assets.definitions"],
        cwd=home,
        env={**environ, "DAGSTER_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which `demo/shards` was materialized."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    materialize(folder, "demo/shards")
    return folder


def prefixes(home: Path) -> list[str]:
    day = datetime.now(UTC).date()
    return list(read_snapshots(LocalStore(home / "data/inventory"), LAYOUT, day))


def test_one_shard_and_then_a_range_of_shards_can_be_materialized(home: Path) -> None:
    store = LocalStore(home / "data/inventory")
    first, second = json.loads(store.read(LAYOUT.discovery) or b"")["prefixes"][:2]
    day = datetime.now(UTC).date()
    materialize(home, "demo/object_listing", "--partition", f"{day}|{second}")
    assert prefixes(home) == [second]
    bounds = f"{day}|@remainder...{day}|{second}"
    materialize(home, "demo/object_listing", "--partition-range", bounds)
    assert prefixes(home) == ["", first, second]
