"""Dagster's default run launcher with support for run monitoring.

After a power failure, or if Dagster is killed, runs stay STARTED in its storage without a process,
and count against `max_concurrent_runs` for ever. Dagster's run monitoring ends such runs if the
launcher can tell that a run's process does not exist. The default launcher cannot; `dagster.yaml`
therefore names this one.

Dagster has no public API for the health checks of run launchers, so this module imports private
modules of Dagster. `pyproject.toml` accepts only those minor versions of Dagster that are tested,
and a test forbids such imports elsewhere.
"""

import json
import os
import subprocess
import time
from pathlib import Path

from dagster import DagsterEventType, DagsterRun, DefaultRunLauncher, deserialize_value
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.launcher import CheckRunHealthResult, WorkerStatus
from dagster._core.storage.runs import SqliteRunStorage
from dagster._core.storage.tags import GRPC_INFO_TAG
from dagster._grpc.types import CanCancelExecutionRequest, CanCancelExecutionResult

RESPONSE_TIMEOUT_SECONDS = 10
"""Timeout of the request to a code server whether it executes a run."""

_CLOCK_SECONDS = 5.0
"""The tolerance between the start of a process and the time of its first event, both rounded."""

_PROC = Path("/proc")
_LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")


class MonitoredRunLauncher(DefaultRunLauncher):
    """Launches runs like `DefaultRunLauncher`, and reports runs whose process does not exist.

    A run is reported only if its code server does not confirm that it executes the run, the run was
    executed on this machine, and its process does not exist.
    """

    @property
    def supports_check_run_worker_health(self) -> bool:
        return True

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """Check whether a run's process exists.

        Args:
            run: A run that is STARTED in Dagster's storage.
        """
        started = self._started(run.run_id) if self._is_of_this_machine(run) else None
        if started is None or self._is_executed_by_its_server(run):
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        pid, at = started
        if is_running(pid, at):
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return CheckRunHealthResult(
            WorkerStatus.NOT_FOUND,
            f"the run's process {pid} no longer exists: it was killed, or the machine was "
            "restarted; start the run again to resume its work",
        )

    def _is_of_this_machine(self, run: DagsterRun) -> bool:
        server = json.loads(run.tags.get(GRPC_INFO_TAG, "null"))
        if server is not None:
            return bool(server.get("socket")) or server.get("host") in _LOCAL_HOSTS
        # Started by a command without a server: on this machine, if the storage is a folder.
        return isinstance(self._instance.run_storage, SqliteRunStorage)

    def _started(self, run_id: str) -> tuple[int, float] | None:
        """The process id of the run, and the time of its first event."""
        for entry in self._instance.all_logs(run_id, of_type=DagsterEventType.ENGINE_EVENT):
            event = entry.dagster_event
            pid = event.engine_event_data.metadata.get("pid") if event else None
            if pid is not None:
                return int(str(pid.value)), entry.timestamp
        return None

    def _is_executed_by_its_server(self, run: DagsterRun) -> bool:
        client = self._get_grpc_client_for_termination(run.run_id)  # type: ignore[no-untyped-call]
        if client is None:
            return False
        request = CanCancelExecutionRequest(run_id=run.run_id)
        try:
            said = client.can_cancel_execution(request, timeout=RESPONSE_TIMEOUT_SECONDS)
        except DagsterUserCodeUnreachableError:
            return False
        return deserialize_value(said, CanCancelExecutionResult).can_cancel


def is_running(pid: int, at: float) -> bool:
    """Whether the process that had an id at a time still exists.

    Args:
        pid: The process id, which another process may have by now.
        at: The time, in seconds since the epoch.
    """
    if _PROC.joinpath("stat").is_file():
        started = _start_time_from_proc(pid)
    else:
        started = _start_time_from_ps(pid)
    return started is not None and started <= at + _CLOCK_SECONDS


def _start_time_from_proc(pid: int) -> float | None:
    """The start time of a process; None if it does not exist or has ended."""
    try:
        stat = _PROC.joinpath(str(pid), "stat").read_text(errors="replace")
    except OSError:
        return None
    # The program's name, in brackets, may contain anything.
    fields = stat.rpartition(")")[2].split()
    state, ticks = fields[0], int(fields[19])
    if state in "ZX":
        return None
    lines = _PROC.joinpath("stat").read_text().splitlines()
    booted = next(float(line.split()[1]) for line in lines if line.startswith("btime "))
    return booted + ticks / os.sysconf("SC_CLK_TCK")


def _start_time_from_ps(pid: int) -> float | None:
    """The start time of a process without `/proc`, as on macOS."""
    said = subprocess.run(  # noqa: S603 - only the process id varies
        ["ps", "-p", str(pid), "-o", "stat=", "-o", "lstart="],  # noqa: S607
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "LC_ALL": "C"},
    )
    state, _, started = said.stdout.strip().partition(" ")
    if not state or state.startswith("Z"):
        return None
    return time.mktime(time.strptime(started.strip(), "%a %b %d %H:%M:%S %Y"))
