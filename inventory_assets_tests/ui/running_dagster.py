"""A real `dagster dev` (webserver, daemon, code server) in a folder, queried through GraphQL."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import date
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import psutil

T = TypeVar("T")

LOCATION = "inventory_assets"
REPOSITORY = {"repositoryLocationName": LOCATION, "repositoryName": "__repository__"}
PATIENCE_SECONDS = 240.0
"""For anything to happen: the daemon looks every 30 s, and other workers may hold the cores."""

_COMPILED = Path(__file__).parents[2] / "build" / "pycache"
_ASK_AGAIN_SECONDS = 0.25
_STOP_SECONDS = 10.0
_LOG_TAIL = 6000

_PACE = """
import sys

if "dagster._daemon" in sys.orig_argv:
    from dagster._daemon import controller

    controller.DEFAULT_DAEMON_INTERVAL_SECONDS = 2
"""
"""Python runs it before anything else. The daemon looks at backfills every 30 s, which no setting
changes, and three looks go by until an automatic one is done: the tests would mostly wait."""

_LAUNCH_RUN = """
mutation LaunchRun($params: ExecutionParams!) {
  launchPipelineExecution(executionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
    ... on RunConfigValidationInvalid { errors { message } }
    ... on UnauthorizedError { message }
  }
}"""
_LAUNCH_BACKFILL = """
mutation LaunchBackfill($params: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $params) {
    __typename
    ... on LaunchBackfillSuccess { backfillId }
    ... on PythonError { message }
    ... on PartitionKeysNotFoundError { message }
  }
}"""
_ADD_PARTITION = """
mutation AddPartition($repository: RepositorySelector!, $name: String!, $key: String!) {
  addDynamicPartition(
    repositorySelector: $repository, partitionsDefName: $name, partitionKey: $key
  ) {
    __typename
    ... on PythonError { message }
    ... on DuplicateDynamicPartitionError { partitionName }
  }
}"""
_START_SENSOR = """
mutation StartSensor($sensor: SensorSelector!) {
  startSensor(sensorSelector: $sensor) {
    __typename
    ... on Sensor { sensorState { status } }
    ... on PythonError { message }
  }
}"""
_SENSOR = """
query Sensor($sensor: SensorSelector!) {
  sensorOrError(sensorSelector: $sensor) { ... on Sensor { id } }
}"""
_STOP_SENSOR = """
mutation StopSensor($id: String!) {
  stopSensor(id: $id) {
    __typename
    ... on StopSensorMutationResult { instigationState { status } }
    ... on PythonError { message }
  }
}"""
_TERMINATE = """
mutation Terminate($runId: String!) {
  terminateRun(runId: $runId, terminatePolicy: SAFE_TERMINATE) {
    __typename
    ... on TerminateRunFailure { message }
    ... on PythonError { message }
  }
}"""
_RUN = """
query Run($runId: ID!) {
  runOrError(runId: $runId) {
    ... on Run { runId status tags { key value } }
  }
}"""
_RUNS = """
query Runs($filter: RunsFilter!) {
  runsOrError(filter: $filter) {
    ... on Runs { results { runId status tags { key value } assetSelection { path } } }
  }
}"""
_RUN_FAILURES = """
query Failures($runId: ID!) {
  logsForRun(runId: $runId) {
    ... on EventConnection {
      events { ... on ExecutionStepFailureEvent { error { message } } }
    }
  }
}"""
_RUN_FAILURE = """
query Failure($runId: ID!) {
  logsForRun(runId: $runId) {
    ... on EventConnection { events { ... on RunFailureEvent { message error { message } } } }
  }
}"""
_BACKFILL = """
query Backfill($id: String!) {
  partitionBackfillOrError(backfillId: $id) {
    ... on PartitionBackfill { status error { message } runs(limit: 50) { runId status } }
  }
}"""
_SHARDS = """
query Shards($key: AssetKeyInput!) {
  assetNodeOrError(assetKey: $key) {
    ... on AssetNode { partitionKeysByDimension { name partitionKeys } }
  }
}"""
_STATUSES = """
query Statuses($key: AssetKeyInput!) {
  assetNodeOrError(assetKey: $key) {
    ... on AssetNode {
      assetPartitionStatuses {
        ... on MultiPartitionStatuses {
          ranges {
            primaryDimStartKey
            primaryDimEndKey
            secondaryDim {
              ... on DefaultPartitionStatuses { materializedPartitions failedPartitions }
            }
          }
        }
        ... on TimePartitionStatuses { ranges { startKey endKey status } }
      }
    }
  }
}"""
_MATERIALIZATIONS = """
query Materializations($key: AssetKeyInput!, $partitions: [String!]) {
  assetNodeOrError(assetKey: $key) {
    ... on AssetNode {
      assetMaterializations(partitions: $partitions, limit: 10) {
        runId
        partition
        metadataEntries { label ... on IntMetadataEntry { intValue } }
      }
    }
  }
}"""


class RunningDagster:
    """`dagster dev` in `folder`, as its own process group; its daemon may be hurried.

    Attributes:
        folder: Its DAGSTER_HOME and working directory.
        url: Where its UI is.
    """

    def __init__(
        self, folder: Path, environment: Mapping[str, str], *, is_hurried: bool = True
    ) -> None:
        self.folder = folder
        self._port = _free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self._log = folder / "dagster-dev.log"
        if is_hurried:
            (folder / "pace").mkdir(exist_ok=True)
            (folder / "pace" / "sitecustomize.py").write_text(_PACE)
            environment = {**environment, "PYTHONPATH": str(folder / "pace")}
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [tool("dagster"), "dev", "--host", "127.0.0.1", "--port", str(self._port)],
                cwd=folder,
                env=environment_of(folder, environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait_until_it_answers(self) -> None:
        self.wait("the webserver to answer", self._answers)

    def stop(self) -> None:
        """Interrupt the group's processes, kill what does not end, and see that none is left."""
        started = self._children()
        for signum in (signal.SIGINT, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signum)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(_STOP_SECONDS)
            _, started = psutil.wait_procs(started, _STOP_SECONDS)
        assert not started, f"processes of dagster dev are still running: {started}"

    def kill(self) -> None:
        """Kill all its processes at once, as a power cut does."""
        doomed = [psutil.Process(self.process.pid), *self._children()]
        for process in doomed:
            with suppress(psutil.NoSuchProcess):
                process.suspend()  # none sees another die, and reports it
        for process in {*doomed, *self._children()}:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.wait(_STOP_SECONDS)
        _, left = psutil.wait_procs(doomed[1:], _STOP_SECONDS)
        assert not left, f"processes of dagster dev are still running: {left}"

    def log_tail(self) -> str:
        return self._log.read_text(errors="replace")[-_LOG_TAIL:]

    def listening(self) -> set[tuple[str, int]]:
        """The TCP addresses that any of its processes listens on."""
        return {
            (connection.laddr.ip, connection.laddr.port)
            for process in (psutil.Process(self.process.pid), *self._children())
            for connection in _connections(process)
            if connection.status == psutil.CONN_LISTEN
        }

    def wait(self, what: str, look: Callable[[], T | None]) -> T:
        """Look until there is something to see."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            if seen := look():
                return seen
            time.sleep(_ASK_AGAIN_SECONDS)
        raise AssertionError(f"waited in vain for {what}; dagster dev said:\n{self.log_tail()}")

    def ask(self, query: str, **variables: object) -> dict[str, Any]:
        """The one field of a GraphQL query's or mutation's result."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        try:
            connection.request(
                "POST",
                "/graphql",
                json.dumps({"query": query, "variables": variables}),
                {"Content-Type": "application/json"},
            )
            answer = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        assert not answer.get("errors"), answer["errors"]
        (result,) = answer["data"].values()
        return dict(result)

    def materialize(self, *keys: str, tags: Mapping[str, str] = MappingProxyType({})) -> str:
        """Launch one run of some assets; return the run's id."""
        launched = self.launch(*keys, tags=tags)
        assert launched["__typename"] == "LaunchRunSuccess", launched
        return str(launched["run"]["runId"])

    def launch(self, *keys: str, tags: Mapping[str, str] = MappingProxyType({})) -> dict[str, Any]:
        """Launch one run of some assets; return the response."""
        selection = [path_of(key) for key in keys]
        selector = {**REPOSITORY, "pipelineName": "__ASSET_JOB", "assetSelection": selection}
        execution = {"tags": [{"key": name, "value": value} for name, value in tags.items()]}
        params = {
            "selector": selector,
            "mode": "default",
            "executionMetadata": execution,
            "runConfigData": "{}",
        }
        return self.ask(_LAUNCH_RUN, params=params)

    def backfill(self, keys: str | Sequence[str], partition_keys: Sequence[str]) -> str:
        """Launch a backfill of one asset, or of several; return its id."""
        selection = [path_of(key) for key in ([keys] if isinstance(keys, str) else keys)]
        params = {"assetSelection": selection, "partitionNames": list(partition_keys)}
        launched = self.ask(_LAUNCH_BACKFILL, params=params)
        assert launched["__typename"] == "LaunchBackfillSuccess", launched
        return str(launched["backfillId"])

    def ended_backfill(self, backfill_id: str) -> dict[str, Any]:
        """A backfill once nothing more will come of it: status, error and runs."""

        def look() -> dict[str, Any] | None:
            found = self.ask(_BACKFILL, id=backfill_id)
            return None if found["status"] in {"REQUESTED", "CANCELING", "FAILING"} else found

        return self.wait(f"backfill {backfill_id} to end", look)

    def ended_run(self, run_id: str) -> str:
        """The status of a run once it ended."""

        def look() -> str | None:
            status = str(self.ask(_RUN, runId=run_id)["status"])
            return status if status in {"SUCCESS", "FAILURE", "CANCELED"} else None

        return self.wait(f"run {run_id} to end", look)

    def runs(self, **filters: object) -> list[dict[str, Any]]:
        """The runs that a filter of GraphQL's `RunsFilter` selects, newest first."""
        return list(self.ask(_RUNS, filter=filters)["results"])

    def failures(self, run_id: str) -> str:
        """The errors of the failed steps of a run."""
        events = self.ask(_RUN_FAILURES, runId=run_id)["events"]
        return "\n".join(json.dumps(event, ensure_ascii=False) for event in events if event)

    def run_failure(self, run_id: str) -> str:
        """The error of a run that failed as a whole."""
        events = self.ask(_RUN_FAILURE, runId=run_id)["events"]
        return "\n".join(json.dumps(event, ensure_ascii=False) for event in events if event)

    def add_partition(self, name: str, key: str) -> None:
        """Register a dynamic partition."""
        added = self.ask(_ADD_PARTITION, repository=REPOSITORY, name=name, key=key)
        assert added["__typename"] == "AddDynamicPartitionSuccess", added

    def start_sensor(self, name: str) -> None:
        """Turn a sensor on."""
        started = self.ask(_START_SENSOR, sensor={**REPOSITORY, "sensorName": name})
        assert started["sensorState"]["status"] == "RUNNING", started

    def stop_sensor(self, name: str) -> None:
        """Turn a sensor off."""
        sensor = self.ask(_SENSOR, sensor={**REPOSITORY, "sensorName": name})
        stopped = self.ask(_STOP_SENSOR, id=sensor["id"])
        assert stopped["instigationState"]["status"] == "STOPPED", stopped

    def terminate(self, run_id: str) -> None:
        """Ask a run to end."""
        asked = self.ask(_TERMINATE, runId=run_id)
        assert asked["__typename"] == "TerminateRunSuccess", asked

    def shard_keys(self, key: str) -> list[str]:
        """The shard dimension of an asset by date and shard."""
        dimensions = self.ask(_SHARDS, key=path_of(key))["partitionKeysByDimension"]
        return next(list(each["partitionKeys"]) for each in dimensions if each["name"] == "shard")

    def statuses(self, key: str, day: date) -> dict[str, str]:
        """The shards of a day that are materialized or failed, as the UI shows them."""
        ranges = self.ask(_STATUSES, key=path_of(key))["assetPartitionStatuses"]["ranges"]
        statuses: dict[str, str] = {}
        for found in ranges:
            if found["primaryDimStartKey"] <= str(day) <= found["primaryDimEndKey"]:
                shards = found["secondaryDim"]
                statuses |= dict.fromkeys(shards["materializedPartitions"], "materialized")
                statuses |= dict.fromkeys(shards["failedPartitions"], "failed")
        return statuses

    def materializations(self, key: str, partition_key: str) -> list[dict[str, Any]]:
        """The newest materializations of a partition, newest first."""
        found = self.ask(_MATERIALIZATIONS, key=path_of(key), partitions=[partition_key])
        return list(found["assetMaterializations"])

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
        try:
            connection.request("GET", "/server_info")
            return connection.getresponse().status == http.HTTPStatus.OK
        except OSError:
            return False
        finally:
            connection.close()

    def _children(self) -> list[psutil.Process]:
        try:
            return psutil.Process(self.process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []


def tool(name: str) -> str:
    """A command of the environment that runs the tests."""
    return str(Path(sys.executable).parent / name)


def environment_of(folder: Path, extra: Mapping[str, str]) -> dict[str, str]:
    """The environment of Dagster's commands in a folder."""
    environment = {**os.environ, "DAGSTER_HOME": str(folder), **extra}
    environment.pop("INVENTORY_CONFIG", None)
    if environment.pop("PYTHONDONTWRITEBYTECODE", None):
        # Every run is a process: let them compile all that Dagster imports once, not each anew.
        environment["PYTHONPYCACHEPREFIX"] = str(_COMPILED)
    return environment


def path_of(key: str) -> dict[str, list[str]]:
    """An asset key as GraphQL takes it."""
    return {"path": key.split("/")}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _connections(process: psutil.Process) -> list[Any]:
    try:
        return list(process.net_connections("inet"))
    except psutil.NoSuchProcess:
        return []
