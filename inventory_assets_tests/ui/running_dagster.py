"""A real `dagster dev` (webserver, daemon, code server) in a folder of its own, asked by GraphQL."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import psutil

LOCATION = "inventory_assets"
REPOSITORY = {"repositoryLocationName": LOCATION, "repositoryName": "__repository__"}
PATIENCE_SECONDS = 180.0
"""For anything to happen: the daemon looks every 30 s, and other workers may hold the cores."""

_ASK_AGAIN_SECONDS = 0.25
_STOP_SECONDS = 20.0
_LOG_TAIL = 6000

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
      events { ... on ExecutionStepFailureEvent { error { message } failureMetadata { description } } }
    }
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
    """`dagster dev` in `folder`, as its own process group.

    Attributes:
        folder: Its DAGSTER_HOME and working directory.
        url: Where its UI is.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.folder = folder
        self._port = _free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self._log = folder / "dagster-dev.log"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [tool("dagster"), "dev", "--host", "127.0.0.1", "--port", str(self._port)],
                cwd=folder,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait_until_it_answers(self) -> None:
        self.wait("the webserver to answer", self._answers)

    def stop(self) -> None:
        """Interrupt all processes of the group, kill what does not end, and see that none is left."""
        started = [self.process.pid, *(child.pid for child in self._children())]
        for signum in (signal.SIGINT, signal.SIGKILL):
            if self._signal(signum) and self._ended_within(_STOP_SECONDS):
                break
        self.process.wait(_STOP_SECONDS)
        left = [pid for pid in started if psutil.pid_exists(pid) and _is_alive(pid)]
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

    def wait[T](self, what: str, look: Callable[[], T | None]) -> T:
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
