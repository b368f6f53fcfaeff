"""A date of 200 shards on two machines, of which one is killed and the other cut off."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import dagster as dg

from inventory_assets.inventory.storage.bucket_store import BucketStore
from inventory_assets.inventory.storage.layout import Layout
from inventory_assets_tests.distributed.cluster import SLOTS, Cluster
from inventory_assets_tests.distributed.machines import Network
from inventory_assets_tests.distributed.servers import SOURCE, Servers, partitions, servers
from inventory_assets_tests.distributed.stage import CRON, TASK_TAG, Lost, Stage, group_of

SHARDS = 200
OBJECTS = 2_000_000
RUNS = 8
"""Twice as many as are executed at once, so that both machines have work when one is lost."""

CONCURRENCY = 16
"""The requests that all runs together may have in flight."""

SILENCE_SECONDS, POLL_SECONDS = 20, 5
"""Settings of the profile, lowered so that a machine that is cut off is given up before it is
back."""

_LATENCY_MS = 900.0
"""The bucket's, which lets a date take minutes."""

_SETTINGS = {
    "worker_silence_seconds: 60": f"worker_silence_seconds: {SILENCE_SECONDS}",
    "poll_interval_seconds: 15": f"poll_interval_seconds: {POLL_SECONDS}",
    "default_limit: 4": f"default_limit: {RUNS}",
}
_CONFIGURATION = f"""
concurrency = {CONCURRENCY}
schedule.runs = {RUNS}
schedule.cron = "{CRON}"
"""


@dataclass(frozen=True, repr=False)
class Story:
    """All that is known at the end.

    Attributes:
        instance: Dagster's instance, to read from.
        store: The results.
        layout: Where they are.
        day: The date.
        shard_keys: All shards.
        range_runs: The runs that the schedule requested.
        killed: The machine that was killed.
        cut_off: The machine that came back.
        requests: The requests for the listings.
        objects: The objects in their responses.
        most_requests: The most of them in flight.
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
    most_requests: int
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


def range_runs(
    cluster: Cluster, asset: str, day: date, shard_keys: Sequence[str], runs: int
) -> list[str]:
    """Request runs of an asset over contiguous shards."""
    size = -(-len(shard_keys) // runs)
    return [
        cluster.materialize(
            f"{SOURCE}/{asset}",
            tags=partitions(day).range_tags(day, shard_keys[start : start + size]),
        )
        for start in range(0, len(shard_keys), size)
    ]


@contextmanager
def played(network: Network, folder: Path, names: Sequence[str], seed: int) -> Iterator[Story]:
    """Play the story; within the context, the servers run on."""
    with servers(
        network,
        folder,
        names,
        SHARDS,
        configuration=_CONFIGURATION,
        settings=_SETTINGS,
        latency=_LATENCY_MS,
    ) as running:
        yield _play(Stage(network, running, seed), running, names, folder)


def _play(stage: Stage, running: Servers, names: Sequence[str], folder: Path) -> Story:
    cluster, source = running.cluster, running.source
    for machine in stage.network.machines.values():
        cluster.start_worker(machine)
    # Its runs would be among those that are lost.
    stage.turn_off(f"{SOURCE}_automation", cluster.stop_sensor)
    assert cluster.ended_run(cluster.materialize(f"{SOURCE}/shards")) == "SUCCESS"
    shard_keys = cluster.shard_keys(f"{SOURCE}/object_listing")
    before = source.stats()
    first, second = stage.machines()
    run_ids = stage.scheduled_runs(RUNS)
    day, started = _day_of(stage.instance, run_ids[0]), time.time()
    stage.tell(f"the schedule has requested {RUNS} runs for {day}")
    killed = stage.kill(first)
    cluster.restart_servers()
    cut_off = stage.cut_off(second)
    ended_at = stage.wait_for_success(run_ids)
    requests, objects = source.stats()
    most_requests = source.most_waiting()
    stage.tell("all is listed")
    stage.wait_until_its_processes_ended(second, cut_off.run_ids)
    # Celery's worker may wait for ever at a dead connection to Redis: docs/distributed.md.
    second.kill()
    cluster.start_worker(second)
    ended = _complete(cluster, day, shard_keys)
    stage.tell("the date is complete")
    return Story(
        stage.instance,
        running.store,
        running.layout,
        day,
        shard_keys,
        run_ids,
        killed,
        cut_off,
        requests - before[0],
        objects - before[1],
        most_requests,
        ended_at - started,
        ended,
        names,
        stage.network.kind,
        folder,
        [running.postgres.password, running.redis.password],
    )


def _day_of(instance: dg.DagsterInstance, run_id: str) -> date:
    run = instance.get_run_by_id(run_id)
    assert run is not None
    start = run.tags["dagster/asset_partition_range_start"]
    return date.fromisoformat(start.partition("|")[0])


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
