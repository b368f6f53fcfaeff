"""A real `dagster dev` (webserver, daemon, code server) in a folder, queried through GraphQL."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from inventory_assets_tests.ui.dagster_client import DagsterClient

_COMPILED = Path(__file__).parents[2] / "build" / "pycache"
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


class RunningDagster(DagsterClient):
    """`dagster dev` in `folder`, as its own process group; its daemon may be hurried.

    Attributes:
        folder: Its DAGSTER_HOME and working directory.
    """

    def __init__(
        self, folder: Path, environment: Mapping[str, str], *, is_hurried: bool = True
    ) -> None:
        super().__init__(free_port())
        self.folder = folder
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

    def is_alive(self) -> bool:
        return self.process.poll() is None

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


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _connections(process: psutil.Process) -> list[Any]:
    try:
        return list(process.net_connections("inet"))
    except psutil.NoSuchProcess:
        return []
