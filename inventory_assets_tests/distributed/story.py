"""A date of 200 shards on two machines, of which one is killed and the other cut off."""

import random
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from types import MappingProxyType

import dagster as dg

from benchmarks.load_source import BUCKET, LoadSource
from inventory_assets.config import Source
from inventory_assets.defs.source.partitions import SourcePartitions
from inventory_assets.inventory.storage.bucket_store import BucketStore
from inventory_assets.inventory.storage.layout import Layout
from inventory_assets_tests.databases import PostgreSQL, Redis
from inventory_assets_tests.distributed.cluster import SLOTS, Cluster
from inventory_assets_tests.distributed.machines import Machine, Network
from inventory_assets_tests.external_servers import REGION, Endpoint, Ministack

SOURCE = "big"
TASK_TAG = "dagster-celery/task_id"
SHARDS = 200
OBJECTS = 2_000_000
RUNS = 8
"""Half of them are requested once the first machine is lost, so that the second has work, too."""

CUT_OFF_SECONDS = 60.0

SILENCE_SECONDS, POLL_SECONDS = 20, 5
"""Settings of the profile, lowered so that a machine that is cut off is given up before it is
back."""

_LATENCY_MS = 900.0
"""The bucket's, which lets a date take minutes."""

_MAX_IN_FLIGHT = 4
_RESULTS, _LOGS = "results", "logs"
_SETTINGS = {
    "worker_silence_seconds: 60": f"worker_silence_seconds: {SILENCE_SECONDS}",
    "poll_interval_seconds: 15": f"poll_interval_seconds: {POLL_SECONDS}",
}
_CONFIGURATION = """
store = "s3://{results}/inventories"

[store_bucket]
endpoint_url = "{results_url}"
region = "{region}"
addressing_style = "path"

[sources.{source}]
bucket = "{bucket}"
endpoint_url = "{bucket_url}"
concurrency = {concurrency}
"""
_PATIENCE_SECONDS = 900.0
_MOST = 20
"""Shards of a run that is lost; of more, too little is left to do for a machine that comes back."""

_BEGUN = (dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.SUCCESS)


@dataclass(frozen=True)
class Lost:
    """What became of a machine that was lost.

    Attributes:
        machine: Its name.
        at: When it was lost, in seconds since the epoch.
        run_ids: The runs that it executed.
        back_at: When it was there again.
    """

    machine: str
    at: float
    run_ids: tuple[str, ...]
    back_at: float


@dataclass(frozen=True, repr=False)
class Story:
    """All that is known at the end.

    Attributes:
        instance: Dagster's instance, to read from.
        store: The results.
        layout: Where they are.
        day: The date.
        shard_keys: All shards.
        range_runs: The runs that were requested first.
        killed: The machine that was killed.
        cut_off: The machine that came back.
        requests: The requests for the listings.
        objects: The objects in their responses.
        seconds: From the first request of a run to the end of all of them.
        ended: The statuses of the runs that completed the date afterwards, by their ids.
        names: The names of the objects of a shard.
        kind: What the machines are.
        folder: The logs.
        secrets: What no log may hold.
    """

    instance: dg.DagsterInstance
    store: BucketStore
    layout: Layout
    day: date
    shard_keys: Sequence[str]
    range_runs: Sequence[str]
    killed: Lost
    cut_off: Lost
    requests: int
    objects: int
    seconds: float
    ended: Mapping[str, str]
    names: Sequence[str]
    kind: str
    folder: Path
    secrets: Sequence[str]

    def group(self, run_id: str) -> list[dg.DagsterRun]:
        """A run with all repetitions, in order."""
        return group_of(self.instance, run_id)

    def machine_of(self, run: dg.DagsterRun) -> str:
        """The machine that executed a run, as its worker's log says."""
        task = run.tags[TASK_TAG]
        logs = {path.name.split("-")[0]: path for path in self.folder.glob("*-worker.log")}
        found = [name for name, path in logs.items() if f"[{task}] received" in path.read_text()]
        assert len(found) == 1, f"run {run.run_id} was received by {found}"
        return found[0]


def group_of(instance: dg.DagsterInstance, run_id: str) -> list[dg.DagsterRun]:
    """A run with all repetitions, in order."""
    found = instance.get_run_group(run_id)
    runs = list(found[1]) if found else [instance.get_run_by_id(run_id)]
    records = {run.run_id: instance.get_run_record_by_id(run.run_id) for run in runs if run}
    return sorted(
        (run for run in runs if run),
        key=lambda run: records[run.run_id].create_timestamp,  # type: ignore[union-attr]
    )


class Stage:
    """The servers and machines, and what is done to them.

    Args:
        network: Two machines.
        cluster: Dagster.
        instance: Dagster's instance, to look at.
        seed: Determines the machines that are lost, and when.
    """

    def __init__(
        self, network: Network, cluster: Cluster, instance: dg.DagsterInstance, seed: int
    ) -> None:
        self.network = network
        self.cluster = cluster
        self.instance = instance
        self._chosen = random.Random(seed)  # noqa: S311 - a repeatable test
        self._began = time.monotonic()

    def tell(self, what: str) -> None:
        """Print what happens, with the seconds since the beginning."""
        print(f"{time.monotonic() - self._began:6.0f} s: {what}", flush=True)

    def wait(self, what: str, look: Callable[[], object]) -> float:
        """Wait until something is the case; when it was."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < deadline:
            if look():
                return time.time()
            time.sleep(0.5)
        raise AssertionError(
            f"waited in vain for {what}; the daemon said:\n{self.cluster.daemon_log()[-6000:]}"
        )

    def machines(self) -> list[Machine]:
        """The machines, in the order in which they are lost."""
        names = sorted(self.network.machines)
        return [self.network.machines[name] for name in self._chosen.sample(names, len(names))]

    def runs_of(self, machine: Machine) -> list[dg.DagsterRun]:
        """The runs that a machine executes now."""
        log = machine.log("worker").read_text(errors="replace")
        started = self.instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED]))
        return [run for run in started if f"[{run.tags.get(TASK_TAG)}] received" in log]

    def wait_until_its_processes_ended(self, machine: Machine, run_ids: Sequence[str]) -> None:
        """Wait until nothing works at some runs any more, whatever has become of them."""
        runs = [self.instance.get_run_by_id(run_id) for run_id in run_ids]
        tasks = [run.tags[TASK_TAG] for run in runs if run]

        def look() -> bool:
            log = machine.log("worker").read_text(errors="replace")
            # What it tells Celery's result backend may fail, as the connection broke.
            return all(re.search(rf"\[{task}\] (succeeded|raised)", log) for task in tasks)

        self.wait(f"the processes of {machine.name} to end", look)

    def logged(self, run_id: str) -> int:
        """The partitions that a run has materialized."""
        kind = dg.DagsterEventType.ASSET_MATERIALIZATION
        return len(self.instance.all_logs(run_id, of_type=kind))

    def wait_until_in_the_middle(self, machine: Machine) -> tuple[str, ...]:
        """Wait until all slots of a machine list, and some shards of each run are complete."""
        fewest = self._chosen.randint(1, 6)
        found: list[str] = []

        def look() -> bool:
            found[:] = [run.run_id for run in self.runs_of(machine)]
            logged = [self.logged(run_id) for run_id in found]
            return len(found) == SLOTS and min(logged) > 0 and fewest <= max(logged) <= _MOST

        self.wait(f"{machine.name} to have listed {fewest} shards in a run", look)
        return tuple(found)

    def wait_for_failures(self, run_ids: Sequence[str]) -> None:
        def look() -> bool:
            runs = [self.instance.get_run_by_id(run_id) for run_id in run_ids]
            return all(run and run.status is dg.DagsterRunStatus.FAILURE for run in runs)

        self.wait(f"the runs {run_ids} to be given up", look)

    def wait_for_repetitions(self, run_ids: Sequence[str]) -> None:
        def look() -> bool:
            newest = [group_of(self.instance, run_id)[-1] for run_id in run_ids]
            return all(run.run_id not in run_ids and run.status in _BEGUN for run in newest)

        self.wait(f"the runs {run_ids} to be repeated", look)

    def wait_for_success(self, run_ids: Sequence[str]) -> float:
        def look() -> bool:
            newest = [group_of(self.instance, run_id)[-1] for run_id in run_ids]
            return all(run.status is dg.DagsterRunStatus.SUCCESS for run in newest)

        return self.wait(f"the runs {run_ids} to succeed, or a repetition of each", look)

    def kill(self, machine: Machine) -> Lost:
        """Kill a machine in the middle of its runs, and start it again once they are given up."""
        run_ids = self.wait_until_in_the_middle(machine)
        at = time.time()
        machine.kill()
        self.tell(f"killed {machine.name} with {len(run_ids)} runs")
        self.wait_for_failures(run_ids)
        self.cluster.start_worker(machine)
        return Lost(machine.name, at, run_ids, time.time())

    def cut_off(self, machine: Machine) -> Lost:
        """Cut a machine off for a minute, or longer until its runs are repeated elsewhere."""
        run_ids = self.wait_until_in_the_middle(machine)
        at = time.time()
        machine.cut_off()
        self.tell(f"cut off {machine.name} with {len(run_ids)} runs")
        self.wait_for_failures(run_ids)
        self.wait_for_repetitions(run_ids)
        time.sleep(max(0.0, at + CUT_OFF_SECONDS - time.time()))
        machine.reconnect()
        self.tell(f"reconnected {machine.name}")
        return Lost(machine.name, at, run_ids, time.time())


def range_runs(
    cluster: Cluster, asset: str, day: date, shard_keys: Sequence[str], runs: int
) -> list[str]:
    """Request runs of an asset over contiguous shards."""
    size = -(-len(shard_keys) // runs)
    return [
        cluster.materialize(
            f"{SOURCE}/{asset}",
            tags=_partitions(day).range_tags(day, shard_keys[start : start + size]),
        )
        for start in range(0, len(shard_keys), size)
    ]


@dataclass(frozen=True, repr=False)
class Servers:
    """What runs on the host.

    Attributes:
        postgres: Dagster's storage.
        redis: Celery's broker.
        results: The bucket of the results.
        source: The bucket that is listed.
        cluster: Dagster.
    """

    postgres: PostgreSQL
    redis: Redis
    results: Endpoint
    source: LoadSource
    cluster: Cluster


@contextmanager
def servers(
    network: Network,
    folder: Path,
    names: Sequence[str],
    shards: int,
    settings: Mapping[str, str] = MappingProxyType({}),
    latency: float = 0.0,
) -> Iterator[Servers]:
    """Start all servers, without workers.

    Args:
        network: The machines that reach them.
        folder: Where their files lie.
        names: The names of the objects in each shard.
        shards: The shards of the bucket that is listed.
        settings: Texts of the profile's `dagster.yaml`, and what stands there instead.
        latency: The milliseconds before that bucket responds.
    """
    host = network.host
    listed_names = folder / "names"
    listed_names.write_text("".join(f"{name}\n" for name in names))
    count = len(names) * shards
    with ExitStack() as stack:
        postgres = stack.enter_context(PostgreSQL(folder / "postgres", host))
        redis = stack.enter_context(Redis(folder / "redis", host))
        results = stack.enter_context(Ministack(folder / "results", host=host)).endpoint
        source = stack.enter_context(
            LoadSource("real", count, names=listed_names, latency=latency, host=host)
        )
        for bucket in (_RESULTS, _LOGS):
            results.make_bucket(bucket)
        environment = {
            "DAGSTER_POSTGRES_URL": postgres.url,
            "CELERY_BROKER_URL": f"{redis.url}/0",
            "CELERY_RESULT_BACKEND": f"{redis.url}/1",
            "DAGSTER_LOGS_BUCKET": _LOGS,
            "AWS_ENDPOINT_URL_S3": results.url,
            "AWS_REGION": REGION,
            "INVENTORY_DISTRIBUTED": "1",
            **results.account.environment,
        }
        home = folder / "home"
        home.mkdir()
        cluster = Cluster(home, environment, settings, _configuration(results, source))
        stack.callback(cluster.stop)
        cluster.wait_until_it_answers()
        yield Servers(postgres, redis, results, source, cluster)


@contextmanager
def played(network: Network, folder: Path, names: Sequence[str], seed: int) -> Iterator[Story]:
    """Play the story; within the context, the servers run on."""
    with (
        servers(network, folder, names, SHARDS, _SETTINGS, _LATENCY_MS) as running,
        _instance(running.postgres, folder) as instance,
    ):
        stage = Stage(network, running.cluster, instance, seed)
        yield _play(stage, running, names, folder)


def _play(stage: Stage, running: Servers, names: Sequence[str], folder: Path) -> Story:
    cluster, source = running.cluster, running.source
    for machine in stage.network.machines.values():
        cluster.start_worker(machine)
    # Its runs would be among those that are lost.
    cluster.stop_sensor(f"{SOURCE}_automation")
    assert cluster.ended_run(cluster.materialize(f"{SOURCE}/shards")) == "SUCCESS"
    shard_keys = cluster.shard_keys(f"{SOURCE}/object_listing")
    before = source.stats()
    day, started = datetime.now(UTC).date(), time.time()
    half = len(shard_keys) // 2
    first, second = stage.machines()
    run_ids = range_runs(cluster, "object_listing", day, shard_keys[:half], RUNS // 2)
    killed = stage.kill(first)
    cluster.restart_servers()
    run_ids += range_runs(cluster, "object_listing", day, shard_keys[half:], RUNS // 2)
    cut_off = stage.cut_off(second)
    ended_at = stage.wait_for_success(run_ids)
    requests, objects = source.stats()
    stage.tell("all is listed")
    stage.wait_until_its_processes_ended(second, cut_off.run_ids)
    # Celery's worker may wait for ever at a dead connection to Redis: docs/distributed.md.
    second.kill()
    cluster.start_worker(second)
    ended = _complete(cluster, day, shard_keys)
    stage.tell("the date is complete")
    return Story(
        stage.instance,
        BucketStore(running.results.bucket_config(_RESULTS), "inventories"),
        Layout(BUCKET, SOURCE),
        day,
        shard_keys,
        run_ids,
        killed,
        cut_off,
        requests - before[0],
        objects - before[1],
        ended_at - started,
        ended,
        names,
        stage.network.kind,
        folder,
        [running.postgres.password, running.redis.password],
    )


def _complete(cluster: Cluster, day: date, shard_keys: Sequence[str]) -> dict[str, str]:
    """Run what makes an inventory of the listings, in all slots of both machines.

    Returns:
        The statuses of the runs, by their ids.
    """
    ended = range_runs(cluster, "object_changes", day, shard_keys, 2 * SLOTS)
    statuses = {run_id: cluster.ended_run(run_id) for run_id in ended}
    for asset in ("inventory_manifest", "change_log"):
        run_id = cluster.materialize(f"{SOURCE}/{asset}", tags={"dagster/partition": str(day)})
        statuses[run_id] = cluster.ended_run(run_id)
    return statuses


def _partitions(day: date) -> SourcePartitions:
    return SourcePartitions.of(Source(name=SOURCE, bucket=BUCKET), day)


def _configuration(results: Endpoint, source: LoadSource) -> str:
    return _CONFIGURATION.format(
        results=_RESULTS,
        results_url=results.url,
        region=REGION,
        source=SOURCE,
        bucket=BUCKET,
        bucket_url=source.url,
        concurrency=_MAX_IN_FLIGHT,
    )


@contextmanager
def _instance(postgres: PostgreSQL, folder: Path) -> Iterator[dg.DagsterInstance]:
    """The instance with its storage alone: this process starts no run."""
    home = folder / "observer"
    home.mkdir()
    (home / "dagster.yaml").write_text(f"storage:\n  postgres:\n    postgres_url: {postgres.url}\n")
    with dg.DagsterInstance.from_config(str(home)) as instance:
        yield instance
