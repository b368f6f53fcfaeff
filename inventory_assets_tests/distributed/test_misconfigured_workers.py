"""Workers that differ from the others: credentials, configuration, version, clock; and no pool."""

import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import dagster as dg
import pytest

from inventory_assets.inventory.manifest.manifest_merge import read_manifest
from inventory_assets_tests.distributed.conftest import require_programs
from inventory_assets_tests.distributed.machines import Machine, Network, ProcessTrees
from inventory_assets_tests.distributed.servers import SOURCE, Servers, partitions, servers
from inventory_assets_tests.distributed.stage import CRON, Stage
from inventory_assets_tests.distributed.truth import names

pytestmark = pytest.mark.distributed

SHARDS, NAMES = 24, 2_500
RUNS = 4
LISTING = f"{SOURCE}/object_listing"

_LATENCY_MS = 500.0
_CONFIGURATION = f"""
concurrency = 4
schedule.runs = {RUNS}
schedule.cron = "{CRON}"
"""
_SETTINGS = {
    "worker_silence_seconds: 60": "worker_silence_seconds: 20",
    "poll_interval_seconds: 15": "poll_interval_seconds: 5",
    "max_retries: 3": "max_retries: 0",  # what fails stays so
    "    default_limit: 4\n": "",
}
_NO_CREDENTIALS = {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}
_OTHER_CLOCK = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)


class Deployment(Stage):
    """The servers, and two machines without a worker.

    Attributes:
        running: The servers.
        folder: A folder of this machine.
        first: A machine.
        second: The machine that differs.
        day: The date that is listed.
    """

    def __init__(self, network: Network, running: Servers, folder: Path) -> None:
        super().__init__(network, running, seed=0)
        self.running = running
        self.folder = folder
        self.first, self.second = (network.machines[name] for name in "ab")
        self.day = date.min

    def only(self, machine: Machine, **different: Any) -> None:
        """Let one machine alone have a worker, which may differ from those of the others."""
        for each in (self.first, self.second):
            each.kill()
        self.cluster.start_worker(machine, **different)

    def status_of(self, run_id: str) -> str:
        """The status of a run, once it has ended."""
        return self.cluster.ended_run(run_id)

    def run_of(self, run_id: str) -> dg.DagsterRun:
        run = self.instance.get_run_by_id(run_id)
        assert run is not None
        return run

    def rows(self) -> int:
        """The records of the published date."""
        manifest = read_manifest(self.running.store, self.running.layout, self.day)
        return manifest.rows if manifest else 0


@pytest.fixture(scope="module")
def deployment(capfd_disabled: None) -> Iterator[Deployment]:  # noqa: ARG001
    require_programs()
    with TemporaryDirectory(prefix="distributed-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with (
            ProcessTrees(folder, ["a", "b"]) as network,
            servers(
                network,
                folder,
                names(1, NAMES),
                SHARDS,
                configuration=_CONFIGURATION,
                settings=_SETTINGS,
                latency=_LATENCY_MS,
            ) as running,
        ):
            yield Deployment(network, running, folder)


def test_a_worker_without_credentials_fails_its_run_and_the_others_end(
    deployment: Deployment,
) -> None:
    """The date waits for that run alone, which is executed again once the worker is mended."""
    cluster, source = deployment.cluster, deployment.running.source
    cluster.start_worker(deployment.first, slots=RUNS - 1)
    assert deployment.status_of(cluster.materialize(f"{SOURCE}/shards")) == "SUCCESS"
    deployment.turn_off(f"{SOURCE}_automation", cluster.stop_sensor)
    cluster.start_worker(deployment.second, slots=1, variables=_NO_CREDENTIALS)
    run_ids = deployment.scheduled_runs(RUNS)
    start = deployment.run_of(run_ids[0]).tags["dagster/asset_partition_range_start"]
    deployment.day = date.fromisoformat(start.partition("|")[0])
    statuses = {run_id: deployment.status_of(run_id) for run_id in run_ids}
    deployment.second.kill()
    assert sorted(statuses.values()) == ["FAILURE", *["SUCCESS"] * (RUNS - 1)]
    failed = next(run_id for run_id, status in statuses.items() if status == "FAILURE")
    assert "no AWS credentials were found" in cluster.failures(failed)
    # The pool was not created.
    pool = f"inventory_{SOURCE}"
    for run_id in statuses.keys() - {failed}:
        (told,) = [each for each in logs_of(deployment, run_id) if "the pool" in each]
        assert f"run `dagster instance concurrency set {pool} {RUNS}`" in told
    cluster.set_pool_limit(pool, RUNS)
    # The manifest waits.
    by_date = {"dagster/partition": str(deployment.day)}
    early = cluster.materialize(f"{SOURCE}/inventory_manifest", tags=by_date)
    assert deployment.status_of(early) == "FAILURE"
    assert "shard" in cluster.failures(early)
    assert deployment.rows() == 0
    before = source.stats()[1]
    cluster.start_worker(deployment.second, slots=1)
    again = cluster.execute_again(failed)
    assert deployment.status_of(again) == "SUCCESS"
    # Ranges are split while they are listed, so some objects come twice; no other run is repeated.
    assert source.stats()[1] - before < SHARDS * NAMES / 2
    assert not [each for each in logs_of(deployment, again) if "the pool" in each]
    cluster.start_sensor(f"{SOURCE}_automation")
    cluster.wait(
        "automation to publish the date",
        lambda: cluster.materializations(f"{SOURCE}/change_log", str(deployment.day)),
    )
    assert deployment.rows() == SHARDS * NAMES
    deployment.turn_off(f"{SOURCE}_automation", cluster.stop_sensor)


def logs_of(deployment: Deployment, run_id: str) -> list[str]:
    return [entry.user_message for entry in deployment.instance.all_logs(run_id)]


def test_a_worker_with_another_configuration_is_refused(deployment: Deployment) -> None:
    text = deployment.cluster.configuration.replace("concurrency = 4", "concurrency = 5")
    deployment.only(deployment.second, configuration=text)
    told = refusal(deployment)
    assert told.count("0.1.0+") == 2, "the message shows both"


def test_a_worker_with_another_version_is_refused(deployment: Deployment) -> None:
    """The version is what the metadata of the installed package say."""
    newer = deployment.folder / "newer"
    metadata = newer / "inventory_assets-9.9.9.dist-info" / "METADATA"
    metadata.parent.mkdir(parents=True)
    metadata.write_text("Metadata-Version: 2.1\nName: inventory-assets\nVersion: 9.9.9\n")
    deployment.only(deployment.second, variables={"PYTHONPATH": str(newer)})
    told = refusal(deployment)
    assert "planned with inventory-assets 0.1.0+" in told
    assert "this process has 9.9.9+" in told


def refusal(deployment: Deployment) -> str:
    """The error of a run that is refused before it sends a request."""
    cluster, source = deployment.cluster, deployment.running.source
    sent = source.stats()[0]
    tags = {"dagster/partition": f"{deployment.day}|@remainder"}
    run_id = cluster.materialize(LISTING, tags=tags)
    assert deployment.status_of(run_id) == "FAILURE"
    told = cluster.failures(run_id)
    assert "give all machines the same version and configuration" in told
    assert source.stats()[0] == sent
    return told


@pytest.mark.skipif(_OTHER_CLOCK is None, reason="libfaketime is not installed")
@pytest.mark.parametrize("minutes", [-7, 7])
def test_a_lost_worker_whose_clock_was_wrong_costs_listings_and_no_objects(
    deployment: Deployment, minutes: int
) -> None:
    """Its run is repeated by a machine whose clock is right."""
    cluster, source = deployment.cluster, deployment.running.source
    variables = {
        "LD_PRELOAD": str(_OTHER_CLOCK),
        "FAKETIME": f"{minutes:+}m",
        "DONT_FAKE_MONOTONIC": "1",
    }
    deployment.only(deployment.second, variables=variables)
    keys = cluster.shard_keys(LISTING)
    before = source.stats()[1]
    tags = partitions(deployment.day).range_tags(deployment.day, keys)
    lost = cluster.materialize(LISTING, tags=tags)
    deployment.wait("some shards to be listed", lambda: deployment.logged(lost) >= 4)
    deployment.second.kill()
    listed = deployment.logged(lost)
    assert listed < SHARDS
    first = deployment.instance.all_logs(lost, of_type=dg.DagsterEventType.STEP_START)[0]
    assert abs(first.timestamp - time.time() - 60 * minutes) < 60, "its clock is wrong"
    assert deployment.status_of(lost) == "FAILURE"
    deployment.only(deployment.first)
    again = cluster.execute_again(lost)
    assert deployment.status_of(again) == "SUCCESS"
    twice = source.stats()[1] - before - SHARDS * NAMES
    print(f"\n{minutes:+} minutes: {listed} shards were listed; {twice:,} objects twice")
    told = [
        each for each in logs_of(deployment, again) if "by the run that this one repeats" in each
    ]
    assert bool(told) == (minutes > 0), "a listing of before the request is none that counts"
    by_date = {"dagster/partition": str(deployment.day)}
    published = cluster.materialize(f"{SOURCE}/inventory_manifest", tags=by_date)
    assert deployment.status_of(published) == "SUCCESS"
    assert deployment.rows() == SHARDS * NAMES
