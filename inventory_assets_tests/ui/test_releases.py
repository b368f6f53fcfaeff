"""The sensor of releases, evaluated by a real daemon that launches real runs."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from inventory_assets.inventory.gate.held_date import HELD
from inventory_assets.inventory.gate.publication import (
    begin_date,
    publish_or_hold,
    release_date,
)
from inventory_assets.inventory.gate.unfinished_release import unfinished_release
from inventory_assets.inventory.gate.verdict import GateBounds
from inventory_assets.inventory.manifest.manifest_merge import merge, read_manifest
from inventory_assets.inventory.manifest.snapshot import publish_snapshot, read_snapshots
from inventory_assets.inventory.storage.layout import Layout
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets_tests.inventory.gate.gated_dates import die, interrupted
from inventory_assets_tests.inventory.histories import Killed
from inventory_assets_tests.ui import bucket
from inventory_assets_tests.ui.running_dagster import RunningDagster

LAYOUT = Layout(bucket.NAME, "ui")


@pytest.mark.slow  # the sensor is evaluated once a minute
def test_the_daemon_finishes_a_release_whose_process_was_killed(
    dagster: RunningDagster, folder: Path, listed: dict[str, Any], today: date
) -> None:
    assert listed["status"] == "COMPLETED_SUCCESS"
    store, day = LocalStore(folder / "data" / "inventory"), today - timedelta(days=1)
    ago = datetime.now(UTC) - timedelta(minutes=5)
    snapshots = {
        prefix: replace(found, day=day, requests=1_000, faults={"throttled": 50})
        for prefix, found in read_snapshots(store, LAYOUT, today).items()
    }
    for snapshot in snapshots.values():
        publish_snapshot(store, LAYOUT, snapshot)
    begun = begin_date(store, LAYOUT, day, ago)
    manifest = merge(store, LAYOUT, "", snapshots, ago)
    bounds = GateBounds(failed_percent=0.8, slower_ms=150)
    assert publish_or_hold(store, LAYOUT, manifest, snapshots, bounds, begun, ago).is_held
    with pytest.raises(Killed):  # with its decision on record, and nothing published
        release_date(interrupted(store, 1, die), LAYOUT, day, "ada", "only slow", lambda: ago)
    assert unfinished_release(store, LAYOUT, day) is not None
    dagster.wait(
        "the daemon to request a run that finishes the release",
        lambda: dagster.materializations("ui/inventory_manifest", str(day)),
    )
    published = read_manifest(store, LAYOUT, day)
    assert published is not None
    assert published.release is not None
    assert (published.identity, published.release.released_by) == (manifest.identity, "ada")
    record = HELD.read(store, LAYOUT.held(day))
    assert record is not None
    assert record.manifest == ()
    [newest, *_] = dagster.materializations("ui/inventory_manifest", str(day))
    (run,) = dagster.runs(runIds=[newest["runId"]])
    tags = {tag["key"]: tag["value"] for tag in run["tags"]}
    assert tags["dagster/sensor_name"] == "ui_releases"
