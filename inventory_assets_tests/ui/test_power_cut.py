"""All of Dagster is killed in the middle of runs, and started again."""

import shutil
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest

from inventory_assets_tests.fakes.scripted_server import Answer, ScriptedServer
from inventory_assets_tests.ui import bucket
from inventory_assets_tests.ui.conftest import PROJECT, configuration
from inventory_assets_tests.ui.running_dagster import RunningDagster
from inventory_assets_tests.ui.test_ui import partition_tags

AT_ONCE = 4
"""Runs that may be under way at once, as in the file that is shipped."""


@pytest.fixture
def standing_store() -> Iterator[ScriptedServer]:
    """An S3 endpoint that does not respond for minutes."""
    with ScriptedServer([Answer(status=503, delay=600)]) as server:
        yield server


@pytest.fixture
def home(
    tmp_path: Path, moto_server: str, standing_store: ScriptedServer, ui_timezone: str, today: date
) -> Path:
    """A folder as a user has it."""
    for name in ("workspace.yaml", "dagster.yaml"):
        shutil.copy(PROJECT / name, tmp_path)
    assert f"max_concurrent_runs: {AT_ONCE}\n" in (tmp_path / "dagster.yaml").read_text()
    text = configuration(moto_server, standing_store.url, today - timedelta(days=3), ui_timezone)
    (tmp_path / "inventory.toml").write_text(text)
    bucket.fill()
    return tmp_path


@pytest.mark.slow  # Dagster is started twice
def test_runs_ended_by_a_power_failure_do_not_block_others(
    home: Path, environment: dict[str, str], standing_store: ScriptedServer, today: date
) -> None:
    environment = {**environment, "DAGSTER_HOME": str(home)}
    running = RunningDagster(home, environment)
    try:
        running.wait_until_it_answers()
        running.add_partition("slow_shards", "@remainder")
        tags = partition_tags(today, "@remainder")
        doomed = [running.materialize("slow/object_listing", tags=tags) for _ in range(AT_ONCE)]
        waiting = running.materialize("ui/shards")
        running.wait("all runs to ask the store", lambda: len(standing_store.seen) >= AT_ONCE)
        assert [each["runId"] for each in running.runs(statuses=["STARTED"])] == doomed[::-1]
        assert [each["runId"] for each in running.runs(statuses=["QUEUED"])] == [waiting]
        running.kill()
        running = RunningDagster(home, environment)
        running.wait_until_it_answers()
        assert [running.ended_run(run_id) for run_id in doomed] == ["FAILURE"] * AT_ONCE
        for run_id in doomed:
            assert "no longer exists" in running.run_failure(run_id)
        started = [waiting, *(running.materialize("ui/shards") for _ in range(AT_ONCE))]
        assert [running.ended_run(run_id) for run_id in started] == ["SUCCESS"] * (AT_ONCE + 1)
    finally:
        running.stop()
