"""Assets that are launched together, in a run and in a backfill, like by the UI."""

from datetime import date

import pytest

from inventory_assets_tests.ui.browser import Browser, partition_path
from inventory_assets_tests.ui.running_dagster import RunningDagster
from inventory_assets_tests.ui.test_ui import partition_tags

pytestmark = pytest.mark.slow  # assets/test_one_run.py says the same without servers

BY_SHARD = ("ui/object_listing", "ui/object_changes")
BY_DATE = ("ui/inventory_manifest", "ui/change_log")


def made_by(dagster: RunningDagster, key: str, partition_key: str) -> list[str]:
    return [found["runId"] for found in dagster.materializations(key, partition_key)]


def test_assets_by_shard_are_made_in_one_run(
    dagster: RunningDagster, browser: Browser, shard_keys: list[str], today: date
) -> None:
    assert "photos/" in shard_keys
    run_id = dagster.materialize(*BY_SHARD, tags=partition_tags(today, "photos/"))
    assert dagster.ended_run(run_id) == "SUCCESS"
    for key in BY_SHARD:
        assert made_by(dagster, key, f"{today}|photos/").count(run_id) == 1
    browser.open(f"/runs/{run_id}")
    browser.see("Success")
    browser.keep("one-run-of-two-assets")
    browser.open(partition_path(BY_SHARD[1], f"{today}|photos/"))
    browser.see(f"{today}|photos/", "Materialized", "dagster/row_count")
    browser.keep("changes-of-one-run")
    assert browser.complaints == []


@pytest.mark.usefixtures("followed")
def test_assets_by_date_are_made_in_one_run(dagster: RunningDagster, today: date) -> None:
    run_id = dagster.materialize(*BY_DATE, tags={"dagster/partition": str(today)})
    assert dagster.ended_run(run_id) == "SUCCESS"
    for key in BY_DATE:
        assert made_by(dagster, key, str(today)).count(run_id) == 1


def test_assets_by_shard_and_by_date_fail_in_one_run(dagster: RunningDagster, today: date) -> None:
    """Dagster has no partition that is one of both; the UI makes a backfill of them instead."""
    tags = {"dagster/partition": str(today)}
    run_id = dagster.materialize("ui/object_listing", "ui/inventory_manifest", tags=tags)
    assert dagster.ended_run(run_id) == "FAILURE"
    assert "one run cannot materialize assets of both kinds" in dagster.failures(run_id)


def test_a_backfill_of_all_of_them_makes_all(
    dagster: RunningDagster, shard_keys: list[str], today: date
) -> None:
    chosen = [f"{today}|{key}" for key in shard_keys if key != "~bogus"]
    ended = dagster.ended_backfill(dagster.backfill(BY_SHARD + BY_DATE, chosen))
    assert ended["status"] == "COMPLETED_SUCCESS", ended
    runs = {run["runId"] for run in ended["runs"]}
    for key in BY_SHARD:
        for partition_key in chosen:
            assert runs & set(made_by(dagster, key, partition_key))
    for key in BY_DATE:
        assert runs & set(made_by(dagster, key, str(today)))
