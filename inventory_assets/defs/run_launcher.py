"""Dagster's own run launcher, which can also tell whether a run's process is still there.

After a power cut, or when all of Dagster is killed, runs stay STARTED in its storage though nothing
works at them any more, and they count against `max_concurrent_runs` for ever. Dagster's run
monitoring ends such runs, but only where the launcher can say that a run's process is gone;
Dagster's default launcher cannot (`dagster.yaml` names this one instead).
"""

import json
import os
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dagster import DagsterRun, DefaultRunLauncher
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.events import DagsterEventType
from dagster._core.launcher import CheckRunHealthResult, WorkerStatus
from dagster._core.storage.runs import SqliteRunStorage
from dagster._core.storage.tags import GRPC_INFO_TAG
from dagster._grpc.types import CanCancelExecutionRequest, CanCancelExecutionResult
from dagster._serdes import ConfigurableClassData
from dagster_shared.serdes import deserialize_value

ANSWER_SECONDS = 10
"""How long a code server may take to say whether it executes a run."""

_CLOCK_SECONDS = 5.0
"""By how much the start of a process and the times of events may differ: they are rounded."""

_PROC = Path("/proc")
_LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")


class MonitoredRunLauncher(DefaultRunLauncher):
    """Launches runs as `DefaultRunLauncher` does, and supports run monitoring.

    A run is only said to be gone where that is certain: its code server does not answer that it
    executes it, it was executed on this machine, and its process is not there any more. A run of
    another machine is never said to be gone.
    """

    @classmethod
    def from_config_value(
        cls,
        inst_data: ConfigurableClassData,
        config_value: Mapping[str, Any],  # noqa: ARG003 - there is nothing to configure
    ) -> "MonitoredRunLauncher":
        return cls(inst_data=inst_data)

    @property
    def supports_check_run_worker_health(self) -> bool:
        return True

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """Whether a run's process is there.

        Args:
            run: A run that has started, and has not ended as far as Dagster's storage knows.
        """
        started = self._started(run.run_id) if self._is_of_this_machine(run) else None
        if started is None or self._is_executed_by_its_server(run):
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        pid, at = started
        if is_running(pid, at):
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return CheckRunHealthResult(
            WorkerStatus.NOT_FOUND,
            f"the run's process {pid} is not there any more: it was killed, or the machine was "
            "restarted; start the run again, it goes on with what was done",
        )

    def _is_of_this_machine(self, run: DagsterRun) -> bool:
        server = json.loads(run.tags.get(GRPC_INFO_TAG, "null"))
        if server is not None:
            return bool(server.get("socket")) or server.get("host") in _LOCAL_HOSTS
        # It was started by a command, without a server: here, where runs are kept in a folder.
        return isinstance(self._instance.run_storage, SqliteRunStorage)

    def _started(self, run_id: str) -> tuple[int, float] | None:
        """The number of the run's process, and when it was at work for the first time."""
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
            said = client.can_cancel_execution(request, timeout=ANSWER_SECONDS)
        except DagsterUserCodeUnreachableError:
            return False
        return deserialize_value(said, CanCancelExecutionResult).can_cancel


def is_running(pid: int, at: float) -> bool:
    """Whether the process that had a number at some time is still there.

    Args:
        pid: The number, which another process may have by now.
        at: The time, in seconds since the epoch.
    """
    if _PROC.joinpath("stat").is_file():
        started = _started_as_linux_says(pid)
    else:
        started = _started_as_ps_says(pid)
    return started is not None and started <= at + _CLOCK_SECONDS


def _started_as_linux_says(pid: int) -> float | None:
    """When a process started; None where it is not there, or has ended."""
    try:
        stat = _PROC.joinpath(str(pid), "stat").read_text(errors="replace")
    except OSError:
        return None
    # The name of the program, in brackets, may hold anything.
    fields = stat.rpartition(")")[2].split()
    state, ticks = fields[0], int(fields[19])
    if state in "ZX":
        return None
    lines = _PROC.joinpath("stat").read_text().splitlines()
    booted = next(float(line.split()[1]) for line in lines if line.startswith("btime "))
    return booted + ticks / os.sysconf("SC_CLK_TCK")


def _started_as_ps_says(pid: int) -> float | None:
    """The same, where there is no `/proc`: on macOS."""
    said = subprocess.run(  # noqa: S603 - a number is all that varies
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
