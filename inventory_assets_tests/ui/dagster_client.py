"""Dagster through the GraphQL of its webserver: launch, look, wait."""

import http.client
import json
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from types import MappingProxyType
from typing import Any, TypeVar

T = TypeVar("T")

LOCATION = "inventory_assets"
REPOSITORY = {"repositoryLocationName": LOCATION, "repositoryName": "__repository__"}
PATIENCE_SECONDS = 240.0
"""For anything to happen: the daemon looks every 30 s, and other workers may hold the cores."""

_ASK_AGAIN_SECONDS = 0.25

_LAUNCH_RUN = """
mutation LaunchRun($params: ExecutionParams!) {
  launchPipelineExecution(executionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
    ... on RunConfigValidationInvalid { errors { message } }
    ... on UnauthorizedError { message }
    ... on InvalidSubsetError { message }
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
_LOCATIONS = """
query Locations {
  workspaceOrError {
    ... on Workspace {
      locationEntries { name loadStatus locationOrLoadError { ... on PythonError { message } } }
    }
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


class DagsterClient(ABC):
    """A Dagster whose webserver is on a port of this machine, queried through GraphQL.

    Attributes:
        url: Where its UI is.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self.url = f"http://127.0.0.1:{port}"

    @abstractmethod
    def is_alive(self) -> bool:
        """Whether none of its processes has ended."""

    @abstractmethod
    def log_tail(self) -> str:
        """The end of what its processes said."""

    def wait_until_it_answers(self) -> None:
        self.wait("the webserver to answer", self._answers)

    def wait_until_its_location_is_loaded(self) -> None:
        """Wait for the code location, and fail if it does not load."""

        def look() -> dict[str, Any] | None:
            entries = self.ask(_LOCATIONS)["locationEntries"]
            return next((dict(each) for each in entries if each["loadStatus"] == "LOADED"), None)

        error = self.wait("the code location to load", look)["locationOrLoadError"]
        assert not error, error

    def wait(self, what: str, look: Callable[[], T | None]) -> T:
        """Look until there is something to see."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            if not self.is_alive():
                break
            if seen := look():
                return seen
            time.sleep(_ASK_AGAIN_SECONDS)
        raise AssertionError(f"waited in vain for {what}; Dagster said:\n{self.log_tail()}")

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

    def is_under_way(self, run_id: str) -> bool:
        """Whether a run has started and not ended."""
        return str(self.ask(_RUN, runId=run_id)["status"]) == "STARTED"

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


def path_of(key: str) -> dict[str, list[str]]:
    """An asset key as GraphQL takes it."""
    return {"path": key.split("/")}
