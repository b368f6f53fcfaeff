"""Several processes that list a date together, started by a real daemon."""

import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from inventory_assets_tests.fakes.http_bucket import HttpBucket
from inventory_assets_tests.fakes.scripted_server import Answer, Seen
from inventory_assets_tests.ui.conftest import PROJECT
from inventory_assets_tests.ui.running_dagster import RunningDagster, environment_of, tool

LIMIT = 6
SHARDS = ["@remainder", "a/", "b/", "c/", "d/", "e/"]
PARTS = [("@remainder", "a/"), ("b/", "c/"), ("d/", "e/")]
KEYS = ["root", *(f"{prefix}{number:04}" for prefix in SHARDS[1:] for number in range(1500))]
SLOW, FAST = 5.0, 0.05
"""Seconds that an answer takes: until two processes had requests in flight at once, and later."""

_CONFIGURATION = """
[sources.many]
bucket = "many"
endpoint_url = "{url}"
anonymous = true
addressing_style = "path"
key_order = "bytes"
concurrency = {limit}
concurrency_policy = "fixed"
shards.depth = 1
shards.max_shards = 5
schedule.runs = 3
"""


_STATUS = "query Status($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"


class CountingBucket(HttpBucket):
    """A slow bucket that counts the requests in flight before their answers are sent.

    Attributes:
        most: The most requests in flight.
        parts_at_once: The most runs with requests in flight, told by the prefixes.
        is_slow: Whether answers take longer until there are two.
    """

    def __init__(self) -> None:
        super().__init__(KEYS, page_size=10)
        self._counted = threading.Lock()
        self.reset()

    def reset(self, *, is_slow: bool = False) -> None:
        self.is_slow = is_slow
        self.most = 0
        self.parts_at_once = 0
        self._flying: list[str] = []

    def reply(self, seen: Seen) -> Answer:
        query = dict(parse_qsl(urlsplit(seen.path).query, keep_blank_values=True))
        part = next((each[0] for each in PARTS if query.get("prefix", "") in each), PARTS[0][0])
        with self._counted:
            self._flying.append(part)
            self.most = max(self.most, len(self._flying))
            self.parts_at_once = max(self.parts_at_once, len(set(self._flying)))
        try:
            answer = super().reply(seen)
            time.sleep(SLOW if self.is_slow and self.parts_at_once < 2 else FAST)
            return answer
        finally:
            with self._counted:
                self._flying.remove(part)


@pytest.fixture(scope="module")
def bucket() -> Iterator[CountingBucket]:
    with CountingBucket() as server:
        yield server


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, bucket: CountingBucket) -> Path:
    place = tmp_path_factory.mktemp("many")
    for name in ("dagster.yaml", "workspace.yaml"):
        shutil.copy(PROJECT / name, place / name)
    text = (place / "dagster.yaml").read_text()
    assert "start_timeout_seconds: 180" in text
    # A busy machine takes its time to start three processes.
    (place / "dagster.yaml").write_text(text.replace("_seconds: 180", "_seconds: 1800"))
    (place / "inventory.toml").write_text(_CONFIGURATION.format(url=bucket.url, limit=LIMIT))
    return place


@pytest.fixture(scope="module")
def running(place: Path) -> Iterator[RunningDagster]:
    running = RunningDagster(place, {"NO_PROXY": "*"})
    try:
        running.wait_until_it_answers()
        assert running.ended_run(running.materialize("many/shards")) == "SUCCESS"
        assert running.shard_keys("many/object_listing") == SHARDS
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="module")
def day(running: RunningDagster) -> str:
    assert running.url
    return str(datetime.now(UTC).date())


def ranges(runs: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    """The first and last shard of each run, in order."""
    found = []
    for run in runs:
        tags = {each["key"]: each["value"] for each in run["tags"]}
        names = [f"dagster/asset_partition_range_{name}" for name in ("start", "end")]
        found.append(tuple(tags[name].partition("|")[2] for name in names))
    return sorted(found, key=lambda part: SHARDS.index(part[0]))


def test_processes_together_stay_within_the_limit(
    running: RunningDagster, bucket: CountingBucket, day: str
) -> None:
    bucket.reset(is_slow=True)
    backfill = running.backfill("many/object_listing", [f"{day}|{key}" for key in SHARDS])
    assert running.ended_backfill(backfill)["status"] == "COMPLETED_SUCCESS"
    runs = running.runs(tags=[{"key": "dagster/backfill", "value": backfill}])
    assert ranges(runs) == PARTS
    assert LIMIT // 2 < bucket.most <= LIMIT
    (manifest,) = running.wait(
        "automation to publish the manifest",
        lambda: running.materializations("many/inventory_manifest", day),
    )
    values = {each["label"]: each.get("intValue") for each in manifest["metadataEntries"]}
    assert values["dagster/row_count"] == len(KEYS)
    if bucket.parts_at_once < 2:
        pytest.skip("the machine was too busy to start a run before the one before it ended")


def test_a_pool_with_the_limit_of_the_command_keeps_a_run_waiting(
    running: RunningDagster, bucket: CountingBucket, place: Path, day: str
) -> None:
    command = [tool("dagster"), "instance", "concurrency", "set", "inventory_many", "2"]
    environment = environment_of(place, {"DAGSTER_HOME": str(place)})
    subprocess.run(command, cwd=place, env=environment, check=True, capture_output=True)
    bucket.reset()
    names = [f"dagster/asset_partition_range_{name}" for name in ("start", "end")]
    launched = [
        running.materialize(
            "many/object_listing",
            tags={name: f"{day}|{key}" for name, key in zip(names, part, strict=True)},
        )
        for part in PARTS
    ]
    under_way, waited = 0, False

    def look() -> list[str] | None:
        nonlocal under_way, waited
        found = [str(running.ask(_STATUS, id=each)["status"]) for each in launched]
        under_way = max(under_way, sum(each in {"STARTING", "STARTED"} for each in found))
        waited = waited or (under_way == 2 and "QUEUED" in found)
        return found if {*found} <= {"SUCCESS", "FAILURE", "CANCELED"} else None

    statuses = running.wait("three runs to end", look)
    assert statuses == ["SUCCESS"] * 3
    assert (under_way, waited) == (2, True)
    assert bucket.most <= LIMIT


def test_a_run_in_a_process_with_another_configuration_is_refused(
    running: RunningDagster, bucket: CountingBucket, place: Path, day: str
) -> None:
    """The code server planned the run, and the process of the run reads a file that has changed."""
    text = _CONFIGURATION.format(url=bucket.url, limit=LIMIT + 1)
    (place / "inventory.toml").write_text(text)
    sent = len(bucket.seen)
    run_id = running.materialize("many/object_listing", tags={"dagster/partition": f"{day}|b/"})
    assert running.ended_run(run_id) == "FAILURE"
    told = running.failures(run_id)
    assert "this run was planned with inventory-assets 0.1.0+" in told
    assert "give all machines the same version and configuration" in told
    assert len(bucket.seen) == sent
