"""Dagster on several machines, with the files of `deploy/celery`."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any

import psutil

from inventory_assets_tests.distributed.machines import Machine
from inventory_assets_tests.external_servers import free_ports
from inventory_assets_tests.ui.dagster_client import LOCATION, REPOSITORY, DagsterClient
from inventory_assets_tests.ui.running_dagster import tool

PROJECT = Path(__file__).parents[2]
PROFILE = PROJECT / "deploy" / "celery"
SLOTS = 2
"""Runs that one worker executes at once."""

_STOP_SECONDS = 30.0
_LOG_TAIL = 3000
_START_SCHEDULE = """
mutation StartSchedule($schedule: ScheduleSelector!) {
  startSchedule(scheduleSelector: $schedule) {
    __typename
    ... on ScheduleStateResult { scheduleState { id } }
    ... on PythonError { message }
  }
}"""
_STOP_SCHEDULE = """
mutation StopSchedule($id: String!) {
  stopRunningSchedule(id: $id) { __typename ... on PythonError { message } }
}"""
_EXECUTE_AGAIN = """
mutation ExecuteAgain($params: ReexecutionParams!) {
  launchPipelineReexecution(reexecutionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
  }
}"""
_RELOAD = """
mutation Reload($name: String!) {
  reloadRepositoryLocation(repositoryLocationName: $name) { __typename }
}"""


class Cluster(DagsterClient):
    """The web server and the daemon on this machine, and workers on others.

    Args:
        folder: The folder of this machine.
        environment: The variables of `environment.example`, and credentials.
        settings: Texts of the profile's `dagster.yaml`, and what stands there instead.
        configuration: The text of `inventory.toml`.

    Attributes:
        folder: See above.
        configuration: See above.
    """

    def __init__(
        self,
        folder: Path,
        environment: Mapping[str, str],
        settings: Mapping[str, str],
        configuration: str,
    ) -> None:
        super().__init__(free_ports(1)[0])
        self.folder = folder
        self._settings = settings
        self.configuration = configuration
        self._variables = {**_clean_environment(), **environment}
        self._schedules: dict[str, str] = {}
        self._home(folder)
        self.daemon = self._start_daemon()
        self.process = self._start_web_server()

    def start_worker(
        self,
        machine: Machine,
        *,
        slots: int = SLOTS,
        variables: Mapping[str, str | None] = MappingProxyType({}),
        configuration: str | None = None,
    ) -> None:
        """Start a worker on another machine, which has its own files and shares no folder.

        Args:
            machine: The machine.
            slots: The runs that it executes at once.
            variables: What its environment has in place of the others' variables; None for nothing.
            configuration: Its `inventory.toml`, in place of the others'.
        """
        self._home(machine.folder, configuration)
        environment = {
            **self._variables,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "DAGSTER_HOME": str(machine.folder),
            "INVENTORY_CONFIG": str(machine.folder / "inventory.toml"),
            **variables,
        }
        machine.start(
            "worker",
            [str(PROFILE / "worker"), "--concurrency", str(slots), "-n", f"worker@{machine.name}"],
            {name: value for name, value in environment.items() if value is not None},
        )

    def launch(self, *keys: str, tags: Mapping[str, str] = MappingProxyType({})) -> dict[str, Any]:
        """See `DagsterClient`; a code server that ended is started again.

        It ends by itself if its machine stood still for some time.
        """

        def look() -> dict[str, Any] | None:
            launched = super(Cluster, self).launch(*keys, tags=tags)
            if launched["__typename"] != "InvalidSubsetError":
                return launched
            self.ask(_RELOAD, name=LOCATION)
            return None

        return self.wait(f"{keys} to be launched", look)

    def start_schedule(self, name: str) -> None:
        """Turn a schedule on; its next tick comes at the next time of its cron expression."""
        started = self.ask(_START_SCHEDULE, schedule={**REPOSITORY, "scheduleName": name})
        self._schedules[name] = started["scheduleState"]["id"]

    def stop_schedule(self, name: str) -> None:
        """Turn a schedule off that was turned on here."""
        stopped = self.ask(_STOP_SCHEDULE, id=self._schedules[name])
        assert stopped["__typename"] == "ScheduleStateResult", stopped

    def execute_again(self, run_id: str) -> str:
        """Execute a run again from its failure; the id of the new run."""
        params = {"parentRunId": run_id, "strategy": "FROM_FAILURE"}
        launched = self.ask(_EXECUTE_AGAIN, params=params)
        assert launched["__typename"] == "LaunchRunSuccess", launched
        return str(launched["run"]["runId"])

    def set_pool_limit(self, pool: str, limit: int) -> None:
        """Set the limit of a pool, with the command that messages name."""
        command = [tool("dagster"), "instance", "concurrency", "set", pool, str(limit)]
        environment = {**self._variables, "DAGSTER_HOME": str(self.folder)}
        subprocess.run(command, cwd=self.folder, env=environment, check=True, capture_output=True)

    def restart_servers(self) -> None:
        """Kill the daemon and the web server, and start both again."""
        self._end(self.daemon, signal.SIGKILL)
        self._end(self.process, signal.SIGKILL)
        self.daemon = self._start_daemon()
        self.process = self._start_web_server()
        self.wait_until_it_answers()

    def stop(self) -> None:
        for process in (self.daemon, self.process):
            self._end(process, signal.SIGINT)

    def is_alive(self) -> bool:
        return self.daemon.poll() is None and self.process.poll() is None

    def log_tail(self) -> str:
        server = (self.folder / "webserver.log").read_text(errors="replace")
        return f"{server[-_LOG_TAIL:]}\n{self.daemon_log()[-_LOG_TAIL:]}"

    def daemon_log(self) -> str:
        return (self.folder / "daemon.log").read_text(errors="replace")

    def _home(self, folder: Path, configuration: str | None = None) -> None:
        text = (PROFILE / "dagster.yaml").read_text()
        for old, new in self._settings.items():
            assert text.count(old) == 1, f"deploy/celery/dagster.yaml has {old!r} not once"
            text = text.replace(old, new)
        (folder / "dagster.yaml").write_text(text)
        shutil.copy(PROFILE / "workspace.yaml", folder)
        (folder / "inventory.toml").write_text(configuration or self.configuration)

    def _start_daemon(self) -> "subprocess.Popen[bytes]":
        return self._start("daemon", [tool("dagster-daemon"), "run"])

    def _start_web_server(self) -> "subprocess.Popen[bytes]":
        port = str(self._port)
        command = [tool("dagster-webserver"), "--host", "127.0.0.1", "--port", port]
        return self._start("webserver", command)

    def _start(self, name: str, command: list[str]) -> "subprocess.Popen[bytes]":
        with (self.folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                command,
                cwd=self.folder,
                env={
                    **self._variables,
                    "DAGSTER_HOME": str(self.folder),
                    "INVENTORY_CONFIG": str(self.folder / "inventory.toml"),
                    "TMPDIR": str(self.folder),
                },
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @staticmethod
    def _end(process: "subprocess.Popen[bytes]", number: int) -> None:
        """End a server and the code servers that it has started."""
        with suppress(psutil.NoSuchProcess):
            children = psutil.Process(process.pid).children(recursive=True)
            process.send_signal(number)
            with suppress(subprocess.TimeoutExpired):
                process.wait(_STOP_SECONDS)
            _, left = psutil.wait_procs(children, 5)
            for each in left:
                with suppress(psutil.NoSuchProcess):
                    each.kill()
        with suppress(ProcessLookupError):
            process.kill()
        process.wait(_STOP_SECONDS)


def _clean_environment() -> dict[str, str]:
    """What the machines have in common; nothing of this machine's AWS configuration is in it."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    return {
        **kept,
        "HOME": os.devnull,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": "*",
        "C_FORCE_ROOT": "true",
        "PYTHONPYCACHEPREFIX": str(PROJECT / "build" / "pycache"),
    }
