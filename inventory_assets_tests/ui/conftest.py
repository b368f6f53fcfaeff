"""One Dagster for all tests of this folder, one bucket that they change, one browser."""

import shutil
from collections.abc import Generator, Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from inventory_assets_tests.fakes.scripted_server import Answer, ScriptedServer
from inventory_assets_tests.ui import bucket
from inventory_assets_tests.ui.browser import Browser, installed_browser, opened_browser
from inventory_assets_tests.ui.running_dagster import RunningDagster, environment_of

PROJECT = Path(__file__).parents[2]

_CONFIGURATION = """
[sources.ui]
bucket = "{bucket}"
endpoint_url = "{endpoint_url}"
shards.depth = 1
schedule.start_date = {start_date}
schedule.timezone = "{timezone}"
schedule.sensor_interval_seconds = 30

[sources.slow]
bucket = "slow-bucket"
endpoint_url = "{slow_url}"
key_order = "bytes"
schedule.start_date = {start_date}
schedule.timezone = "{timezone}"
"""
_CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "any",
    "AWS_SECRET_ACCESS_KEY": "any",
    "AWS_EC2_METADATA_DISABLED": "true",
    "NO_PROXY": "*",
}


def configuration(endpoint_url: str, slow_url: str, start_date: date, timezone: str) -> str:
    """A configuration with a source that is listed at once, and a slow one."""
    return _CONFIGURATION.format(
        bucket=bucket.NAME,
        endpoint_url=endpoint_url,
        slow_url=slow_url,
        start_date=start_date,
        timezone=timezone,
    )


@pytest.fixture(scope="session")
def ui_timezone() -> str:
    """A time zone where it is about noon, so that no test sees its date end."""
    ahead = 12 - datetime.now(UTC).hour
    return f"Etc/GMT{-ahead:+}" if ahead else "UTC"


@pytest.fixture(scope="session")
def today(ui_timezone: str) -> date:
    ahead = -int(ui_timezone.removeprefix("Etc/GMT")) if ui_timezone != "UTC" else 0
    return datetime.now(timezone(timedelta(hours=ahead))).date()


@pytest.fixture(scope="session")
def slow_store() -> Iterator[ScriptedServer]:
    """An S3 endpoint that takes its time, and then asks to be asked again."""
    with ScriptedServer([Answer(status=503, delay=8)]) as server:
        yield server


@pytest.fixture(scope="session")
def folder(
    tmp_path_factory: pytest.TempPathFactory,
    moto_server: str,
    slow_store: ScriptedServer,
    ui_timezone: str,
    today: date,
) -> Path:
    """A folder as a user has it: the project's Dagster files, and a configuration."""
    folder = tmp_path_factory.mktemp("dagster")
    for name in ("dagster.yaml", "workspace.yaml"):
        shutil.copy(PROJECT / name, folder / name)
    text = configuration(moto_server, slow_store.url, today - timedelta(days=3), ui_timezone)
    (folder / "inventory.toml").write_text(text)
    bucket.fill()
    return folder


@pytest.fixture(scope="session")
def environment(folder: Path) -> dict[str, str]:
    return environment_of(folder, _CREDENTIALS)


@pytest.fixture(scope="session")
def dagster(folder: Path, environment: dict[str, str]) -> Iterator[RunningDagster]:
    running = RunningDagster(folder, environment)
    try:
        running.wait_until_it_answers()
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="session")
def shard_keys(dagster: RunningDagster) -> list[str]:
    """The shards that materializing `shards` found."""
    assert dagster.ended_run(dagster.materialize("ui/shards")) == "SUCCESS"
    return dagster.shard_keys("ui/object_listing")


@pytest.fixture(scope="session")
def backfill(dagster: RunningDagster, shard_keys: list[str], today: date) -> str:
    """A backfill of all shards of today, which may be under way."""
    return dagster.backfill("ui/object_listing", [f"{today}|{key}" for key in shard_keys])


@pytest.fixture(scope="session")
def listed(dagster: RunningDagster, backfill: str) -> dict[str, Any]:
    """The same once it ended."""
    return dagster.ended_backfill(backfill)


@pytest.fixture(scope="session")
def one_unknown(dagster: RunningDagster, listed: dict[str, Any], today: date) -> str:
    """A backfill of two partitions, one of which stands for no prefix, that may be under way."""
    assert listed["status"] == "COMPLETED_SUCCESS"
    dagster.add_partition("ui_shards", "~bogus")
    some = [f"{today}|{key}" for key in ("photos/", "~bogus")]
    return dagster.backfill("ui/object_listing", some)


@pytest.fixture(scope="session")
def one_prefix(dagster: RunningDagster, one_unknown: str, today: date) -> str:
    """A backfill of one prefix, which may be under way beside the other."""
    assert one_unknown
    return dagster.backfill("ui/object_listing", [f"{today}|-hostile/"])


@pytest.fixture(scope="session")
def followed(dagster: RunningDagster, listed: dict[str, Any], today: date) -> None:
    """Changes and manifest of today exist, made by automation."""
    assert listed["status"] == "COMPLETED_SUCCESS"
    dagster.wait(
        "automation to publish the manifest",
        lambda: dagster.materializations("ui/inventory_manifest", str(today)),
    )
    dagster.wait(
        "automation to compare every shard",
        lambda: set(bucket.SHARD_KEYS) <= set(dagster.statuses("ui/object_changes", today)),
    )


@pytest.fixture(scope="module")
def browser(dagster: RunningDagster) -> Iterator[Browser]:
    """Gone with its module: an event loop runs in the thread as long as it is there."""
    executable = installed_browser()
    if executable is None:
        pytest.skip("no Chromium or Chrome is installed (Debian: apt-get install chromium)")
    with opened_browser(executable, dagster.url) as browser:
        yield browser


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show with a failure what the servers said."""
    report = yield
    running = getattr(item, "funcargs", {}).get("dagster")
    if report.failed and isinstance(running, RunningDagster):
        report.sections.append(("dagster dev", running.log_tail()))
    return report
