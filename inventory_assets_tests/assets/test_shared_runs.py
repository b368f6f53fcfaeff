"""Runs in processes of their own list one shard together; one is killed, one paused too long."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import dagster as dg
import pytest

from benchmarks.load_source import LoadSource
from inventory_assets.config import Config, load_config
from inventory_assets.defs.source.context import SourceAssets
from inventory_assets.inventory.manifest.snapshot import Snapshot, read_snapshot
from inventory_assets.inventory.manifest.snapshot_validation import validate_files
from inventory_assets.inventory.parts.part import read_records
from inventory_assets.inventory.runs.shard_run import read_shard_run
from inventory_assets.inventory.shared_listing.listing_record import decode_listing
from inventory_assets.inventory.shared_listing.range_claim import decode_record
from inventory_assets.inventory.shared_listing.range_record import RangeRecord, RangeState
from inventory_assets.inventory.storage.bucket_store import BucketStore
from inventory_assets.inventory.storage.layout import Layout, parse_path
from inventory_assets_tests.assets.world import REMAINDER
from inventory_assets_tests.benchmarks.keys import keys_of
from inventory_assets_tests.external_servers import Account
from inventory_assets_tests.fakes.results_server import (
    BUCKET,
    Condition,
    Habits,
    ResultsServer,
    ignored,
    new_only,
)

KEYS = 300_000
PREFIX = "daily/inventories"
ACCOUNT = Account("any", "any")
LEASE_SECONDS = 4
PATIENCE_SECONDS = 400

CONFIGURATION = """
store = "s3://{results}/{prefix}"

[store_bucket]
endpoint_url = "{results_url}"
region = "us-east-1"
addressing_style = "path"

[sources.big]
bucket = "{bucket}"
endpoint_url = "{bucket_url}"
region = "us-east-1"
addressing_style = "path"
concurrency = 4

[sources.big.shards]
depth = 0
shared = true

[sources.big.schedule]
runs = 3
"""

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")


@pytest.fixture(scope="module")
def bucket() -> Iterator[LoadSource]:
    with LoadSource("flat", KEYS, latency=400) as opened:
        yield opened


@pytest.fixture
def place(bucket: LoadSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator["Place"]:
    with ResultsServer(Habits()) as results:
        found = Place(tmp_path, bucket, results, monkeypatch)
        try:
            yield found
        finally:
            found.close()


class Place:
    """An instance of Dagster, a configuration and a store, which several processes use."""

    def __init__(
        self,
        folder: Path,
        bucket: LoadSource,
        results: ResultsServer,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        self.results = results
        self.processes: list[subprocess.Popen[str]] = []
        (folder / "home").mkdir()
        (folder / "home/dagster.yaml").write_text("telemetry:\n  enabled: false\n")
        configuration = folder / "inventory.toml"
        configuration.write_text(
            CONFIGURATION.format(
                results=BUCKET,
                prefix=PREFIX,
                results_url=results.bucket_config.endpoint_url,
                bucket=bucket.bucket,
                bucket_url=bucket.url,
            )
        )
        for name, value in {
            "DAGSTER_HOME": str(folder / "home"),
            "INVENTORY_CONFIG": str(configuration),
            **ACCOUNT.environment,
        }.items():
            monkeypatch.setenv(name, value)
        self.config: Config = load_config()
        self.assets = SourceAssets(self.config.sources["big"])
        self.day: date = datetime.now(UTC).date()
        self.store = BucketStore(results.bucket_config, PREFIX)
        self.instance = dg.DagsterInstance.get()
        self.instance.add_dynamic_partitions(self.assets.partitions.shards_name, [REMAINDER])

    @property
    def layout(self) -> Layout:
        return self.assets.layout

    def close(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()
        self.instance.dispose()

    def start(self) -> subprocess.Popen[str]:
        """Start a run of the remainder."""
        tags = self.assets.partitions.range_tags(self.day, [REMAINDER])
        command = [sys.executable, "-m", "inventory_assets_tests.assets.shared_run"]
        process = subprocess.Popen(
            [*command, str(LEASE_SECONDS), json.dumps(tags)],
            cwd=Path(__file__).parents[2],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.processes.append(process)
        return process

    def records(self) -> dict[str, RangeRecord]:
        objects = dict(self.results.objects)
        return {key: decode_record(each.body) for key, each in objects.items() if "/ranges/" in key}

    def held_by(self, process: subprocess.Popen[str]) -> set[str]:
        """The keys of the records that a process holds."""
        return {
            key
            for key, record in self.records().items()
            if record.state is RangeState.CLAIMED and f":{process.pid}:" in record.holder
        }

    def snapshot(self) -> Snapshot:
        found = read_snapshot(self.store, self.layout, self.day, "")
        assert found is not None
        return found

    def work(self) -> list[str]:
        """The records of shared listings that are left."""
        return [key for key in self.results.objects if "/work/" in key]

    def begun_at(self) -> datetime:
        """When the listing that is going on began."""
        key = self.layout.shared_listing(self.day, "")
        data = self.store.read(key)
        assert data is not None
        return decode_listing(self.store, data, key).begun_at

    def log(self, run_id: str) -> str:
        """All that is in the log of a run, errors included."""
        lines: list[str] = []
        for entry in self.instance.all_logs(run_id):
            lines.append(entry.user_message)
            event = entry.dagster_event
            if event and event.is_step_failure:
                failure = event.step_failure_data
                lines.append(str(failure.error))
                if failure.user_failure_data:
                    lines.append(failure.user_failure_data.description or "")
        return "\n".join(lines)

    def materialized(self, run_id: str) -> bool:
        logs = self.instance.all_logs(run_id)
        return any(
            entry.dagster_event and entry.dagster_event.is_step_materialization for entry in logs
        )

    def check(self, *ended: "Ended") -> Snapshot:
        """All succeeded and materialized the one snapshot, which is the truth."""
        for each in ended:
            assert each.code == 0, each.error
            assert self.materialized(each.run_id)
        snapshot = self.snapshot()
        assert snapshot.rows == KEYS
        batches = read_records(self.store, snapshot.parts, snapshot.shard.ranges, ["key"])
        found = [key for batch in batches for key in batch.column("key").to_pylist()]
        assert found == keys_of("flat", KEYS)
        assert [each.violation for each in validate_files(self.store, snapshot)] == [None] * 3
        assert self.work() == []
        return snapshot


class Ended:
    """A process that has ended."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        output, self.error = process.communicate(timeout=PATIENCE_SECONDS)
        self.code = process.returncode
        self.run_id = output.strip()


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.02)


def test_one_of_three_runs_is_killed_and_one_paused_beyond_its_lease(place: Place) -> None:
    before = datetime.now(UTC)
    processes = [place.start() for _ in range(3)]
    killed, paused, alive = processes
    wait_until(lambda: all(place.held_by(process) for process in processes))
    # Collection and migration know what every record is.
    assert all(parse_path(key.split("/", 4)[-1]) for key in place.work())
    (lost, *_) = place.held_by(paused)
    epoch = place.records()[lost].epoch
    os.kill(paused.pid, signal.SIGSTOP)
    killed.send_signal(signal.SIGKILL)

    def is_taken_over() -> bool:
        record = place.records().get(lost)
        return record is None or record.epoch > epoch

    wait_until(is_taken_over)
    os.kill(paused.pid, signal.SIGCONT)
    survivors = Ended(alive), Ended(paused)
    snapshot = place.check(*survivors)
    assert snapshot.started_at >= before
    assert any("taking over the ranges of" in place.log(each.run_id) for each in survivors)
    run = read_shard_run(place.store, place.layout, place.day, "", snapshot.finished_at)
    assert run is not None
    # What the killed run sent after its last checkpoint, nobody knows.
    assert KEYS / 2 < run.figures.rows <= KEYS
    assert run.figures.requests >= run.figures.rows / 1000


def test_a_run_after_all_others_were_killed_continues_their_work(
    place: Place, bucket: LoadSource
) -> None:
    requests, _ = bucket.stats()
    processes = [place.start(), place.start()]
    wait_until(lambda: all(place.held_by(process) for process in processes))
    wait_until(lambda: any("/checkpoints/" in key for key in place.work()))
    begun_at = place.begun_at()
    for process in processes:
        process.send_signal(signal.SIGKILL)
        process.wait()
    # As run monitoring does; until then, the runs keep their shares of the requests.
    for run in place.instance.get_runs():
        place.instance.report_run_failed(run)
    snapshot = place.check(Ended(place.start()))
    assert snapshot.started_at == begun_at
    assert bucket.stats()[0] - requests < 1.6 * KEYS / 1000


@pytest.mark.parametrize(
    ("condition", "words"), [(ignored, "its store ignores"), (new_only, "its store rejects")]
)
def test_a_store_without_conditional_writes_is_refused(
    place: Place, condition: Condition, words: str
) -> None:
    place.results.habits.condition = condition
    ended = Ended(place.start())
    assert ended.code == 1
    text = place.log(ended.run_id)
    assert f"{words} conditional writes" in text
    assert "set shards.shared = false" in text
