"""End-to-end tests of the UI: webserver, daemon, runs and browser are real; S3 is moto.

The tests are in the order of a user's actions; slow work of the daemon runs during tests that do
not need it. Each test can run alone, as its fixtures do the previous steps.
"""

import re
import subprocess
import time
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from inventory_assets_tests.fakes.scripted_server import ScriptedServer
from inventory_assets_tests.ui import bucket
from inventory_assets_tests.ui.browser import PATIENCE_MS, Browser, partition_path
from inventory_assets_tests.ui.conftest import PROJECT
from inventory_assets_tests.ui.dagster_client import PATIENCE_SECONDS
from inventory_assets_tests.ui.running_dagster import RunningDagster, tool

LISTING = "ui/object_listing"
ARRIVED = tuple(f"arrived/{number}" for number in range(7))
ROW_COUNT = re.compile(f"^({bucket.ALL_KEYS}|{bucket.ALL_KEYS + len(ARRIVED)})$")
"""Of today's manifest, before or after automation has followed what the sensor found."""

CANCELED_WITHIN_SECONDS = 60
"""Less than the slow store is tried for: the run was ended."""


def test_materializing_shards_adds_the_partitions(shard_keys: list[str]) -> None:
    assert shard_keys == list(bucket.SHARD_KEYS)


def test_a_backfill_of_all_shards_is_one_run(
    dagster: RunningDagster, listed: dict[str, Any], today: date
) -> None:
    assert listed["status"] == "COMPLETED_SUCCESS"
    (run,) = listed["runs"]
    assert run["status"] == "SUCCESS"
    statuses = dagster.statuses(LISTING, today)
    assert statuses == dict.fromkeys(bucket.SHARD_KEYS, "materialized")


def test_the_location_is_valid_for_the_command_line(
    folder: Path, environment: dict[str, str]
) -> None:
    command = [tool("dagster"), "definitions", "validate", "-w", "workspace.yaml"]
    done = run_tool(command, folder, environment)
    assert done.returncode == 0, done.stdout
    assert "All code locations passed validation" in done.stdout


@pytest.mark.slow  # it is another ten seconds for the same definitions
def test_dg_finds_the_definitions_valid(environment: dict[str, str]) -> None:
    done = run_tool([tool("dg"), "check", "defs"], PROJECT, environment)
    assert done.returncode == 0, done.stdout


def test_nothing_listens_but_on_the_loopback_address(dagster: RunningDagster) -> None:
    listening = dagster.listening()
    assert ("127.0.0.1", urlsplit(dagster.url).port) in listening
    assert {address for address, _ in listening} == {"127.0.0.1"}


def test_a_backfill_of_one_prefix_lists_just_that(
    dagster: RunningDagster, one_prefix: str, today: date
) -> None:
    ended = dagster.ended_backfill(one_prefix)
    assert ended["status"] == "COMPLETED_SUCCESS"
    (run,) = ended["runs"]
    newest = dagster.materializations(LISTING, f"{today}|-hostile/")[0]
    assert newest["runId"] == run["runId"]
    others = dagster.materializations(LISTING, f"{today}|logs/")
    assert run["runId"] not in {other["runId"] for other in others}


def test_a_failed_shard_is_named_and_the_others_are_kept(
    dagster: RunningDagster, one_unknown: str, one_prefix: str, today: date
) -> None:
    ended = dagster.ended_backfill(one_unknown)
    assert ended["status"] == "COMPLETED_FAILED"
    (run,) = ended["runs"]
    said = dagster.failures(run["runId"])
    assert "1 of 2 partitions failed; the others are kept" in said
    assert "'~bogus' does not belong to a known prefix" in said
    assert "materialize the source's asset `shards`" in said
    newest = dagster.materializations(LISTING, f"{today}|photos/")[0]
    assert newest["runId"] == run["runId"]
    dagster.ended_backfill(one_prefix)  # a partition under way is shown as neither of these
    statuses = dagster.statuses(LISTING, today)
    expected = {**dict.fromkeys(bucket.SHARD_KEYS, "materialized"), "~bogus": "failed"}
    assert statuses == expected


def test_a_partitions_page_shows_its_counts(
    browser: Browser, listed: dict[str, Any], today: date
) -> None:
    assert listed["status"] == "COMPLETED_SUCCESS"
    browser.open(partition_path(LISTING, f"{today}|-hostile/"))
    browser.see(f"{today}|-hostile/", "Materialized", "dagster/row_count")
    count = browser.page.locator("tr").filter(has_text="dagster/row_count")
    expect(count.first).to_contain_text(str(len(bucket.HOSTILE_KEYS)), timeout=PATIENCE_MS)
    browser.keep("partition")
    assert browser.injected().count() == 0
    assert browser.complaints == []


def test_a_hostile_prefix_is_shown_as_text(
    browser: Browser, listed: dict[str, Any], today: date
) -> None:
    assert listed["status"] == "COMPLETED_SUCCESS"
    key = bucket.SHARD_KEYS[2]
    browser.open(partition_path(LISTING, f"{today}|{key}"))
    browser.see(f"{today}|{key}", bucket.HOSTILE_PREFIX)
    browser.keep("partition-of-hostile-prefix")
    assert browser.injected().count() == 0
    assert browser.complaints == []


def test_a_running_run_can_be_terminated_and_publishes_nothing(
    dagster: RunningDagster, slow_store: ScriptedServer, folder: Path, today: date
) -> None:
    dagster.add_partition("slow_shards", "@remainder")
    run_id = dagster.materialize("slow/object_listing", tags=partition_tags(today, "@remainder"))
    dagster.wait("a request to the slow store", lambda: slow_store.seen)
    asked = time.monotonic()
    dagster.terminate(run_id)
    assert dagster.ended_run(run_id) == "CANCELED"
    assert time.monotonic() - asked < CANCELED_WITHIN_SECONDS
    assert not list((folder / "data" / "inventory").glob("slow-bucket/**/*.json"))
    assert dagster.statuses("slow/object_listing", today).get("@remainder") != "materialized"


@pytest.mark.usefixtures("followed")
def test_automation_compares_and_publishes_without_being_asked(
    dagster: RunningDagster, today: date
) -> None:
    manifest = dagster.materializations("ui/inventory_manifest", str(today))[-1]
    counts = {entry["label"]: entry.get("intValue") for entry in manifest["metadataEntries"]}
    assert counts["dagster/row_count"] == bucket.ALL_KEYS
    (run,) = dagster.runs(runIds=[manifest["runId"]])
    tags = {tag["key"]: tag["value"] for tag in run["tags"]}
    assert tags["dagster/sensor_name"] == "ui_automation"


@pytest.mark.usefixtures("followed")
def test_automation_compares_several_shards_in_a_run(dagster: RunningDagster, today: date) -> None:
    """It asks for the shards in a row at once; one that was listed later may have another run."""
    runs = {
        dagster.materializations("ui/object_changes", f"{today}|{key}")[-1]["runId"]
        for key in bucket.SHARD_KEYS
    }
    assert len(runs) < len(bucket.SHARD_KEYS)


@pytest.mark.usefixtures("followed")
def test_the_sensor_lists_a_new_prefix_and_nothing_else(
    dagster: RunningDagster, today: date
) -> None:
    known = len(dagster.runs(pipelineName="ui_listing"))
    bucket.put(ARRIVED)
    dagster.start_sensor("ui_new_prefixes")
    dagster.wait(
        "the sensor to add the prefix and list it",
        lambda: dagster.statuses(LISTING, today).get("arrived/") == "materialized",
    )
    runs = dagster.runs(pipelineName="ui_listing")
    assert len(runs) - known == 1
    tags = {tag["key"]: tag["value"] for tag in runs[0]["tags"]}
    assert tags["dagster/partition"] == f"{today}|arrived/"
    assert tags["dagster/sensor_name"] == "ui_new_prefixes"


@pytest.mark.usefixtures("followed")
def test_the_graph_of_a_source_shows_its_assets_and_checks(browser: Browser) -> None:
    browser.open("/locations/inventory_assets/asset-groups/ui/lineage")
    browser.see("shards", "object_listing", "object_changes", "inventory_manifest", "change_log")
    browser.see("8 / 8 Passed", "Parquet")
    browser.keep("lineage")
    assert browser.complaints == []


@pytest.mark.usefixtures("followed")
def test_the_manifests_page_shows_its_counts_and_hostile_keys_as_text(
    browser: Browser,
) -> None:
    browser.open("/assets/ui/inventory_manifest")
    browser.see("Row count", ROW_COUNT, "(all other keys)", "Latest check results")
    browser.see(bucket.HOSTILE_PREFIX)
    browser.see(*bucket.SHOWN_HOSTILE_KEYS)
    browser.keep("manifest")
    assert browser.injected().count() == 0
    assert browser.complaints == []


@pytest.mark.usefixtures("followed")
def test_the_checks_page_shows_what_was_checked(browser: Browser) -> None:
    browser.open("/assets/ui/inventory_manifest?view=checks&checkDetail=listing_complete")
    browser.see("listing_complete", "Passed", "This is a blocking asset check.")
    browser.see(re.compile("keys ascend strictly over all parts"))
    browser.keep("checks")
    assert browser.complaints == []


def test_the_automation_page_shows_schedule_and_sensors(
    browser: Browser,
) -> None:
    browser.open("/automation")
    browser.see("ui_daily", "ui_new_prefixes", "ui_automation")
    browser.keep("automation")
    assert browser.complaints == []


@pytest.mark.usefixtures("followed")
def test_a_partition_can_be_listed_again_from_its_page(
    browser: Browser, dagster: RunningDagster, today: date
) -> None:
    partition_key = f"{today}|logs/"
    before = {found["runId"] for found in dagster.materializations(LISTING, partition_key)}
    browser.open(partition_path(LISTING, partition_key))
    browser.see(partition_key, "dagster/row_count")
    browser.page.get_by_role("button", name="Materialize…").first.click()
    browser.see(f"Launch runs to materialize {LISTING.replace('/', ' / ')}", "1 partition")
    browser.page.get_by_role("button", name="Launch 1 run").click()
    newest = dagster.wait(
        "the run that the dialog launched",
        lambda: next(
            (
                found["runId"]
                for found in dagster.materializations(LISTING, partition_key)
                if found["runId"] not in before
            ),
            None,
        ),
    )
    assert dagster.ended_run(newest) == "SUCCESS"
    browser.keep("launched")
    assert browser.complaints == []


def partition_tags(day: date, shard_key: str) -> dict[str, str]:
    return {
        "dagster/partition": f"{day}|{shard_key}",
        "dagster/partition/date": str(day),
        "dagster/partition/shard": shard_key,
    }


def run_tool(
    command: list[str], folder: Path, environment: dict[str, str]
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
