"""Servers of several processes that tests start by hand, without systemd, and end with the test."""

import os
import shutil
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

from inventory_assets_tests.external_servers import Endpoint

INSTALL = Path(__file__).with_name("install_servers.sh")

_START_SECONDS = 90


def missing(programs: Iterable[str]) -> list[str]:
    """The programs that are not installed."""
    return [name for name in programs if shutil.which(name) is None]


class Daemons(ABC):
    """A server of several processes; used as a context, in which it runs.

    Args:
        folder: Where its files lie.

    Attributes:
        endpoint: Where it listens, and who may do everything there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._processes: list[subprocess.Popen[bytes]] = []

    @property
    @abstractmethod
    def endpoint(self) -> Endpoint: ...

    @abstractmethod
    def start(self) -> None:
        """Start, and wait until requests are answered."""

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()

    def _stop(self) -> None:
        for process in reversed(self._processes):
            process.send_signal(signal.SIGKILL)
            process.wait(30)
        self._processes.clear()

    def run(self, *command: str) -> str:
        """Run a command to its end; what it prints."""
        run = subprocess.run(
            command, check=False, capture_output=True, text=True, timeout=_START_SECONDS
        )
        assert run.returncode == 0, f"{command}: {run.stderr[-2000:]}"
        return run.stdout

    def daemon(self, *command: str) -> None:
        """Start a process that runs until the end."""
        name = Path(command[0]).name
        with (self.folder / f"{name}.out").open("wb") as out:
            process = subprocess.Popen(
                command,
                env={**os.environ, "HOME": str(self.folder)},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        self._processes.append(process)

    def wait_for(self, what: str, is_ready: Callable[[], bool]) -> None:
        """Wait until something is ready."""
        end = time.monotonic() + _START_SECONDS
        while time.monotonic() < end:
            try:
                if is_ready():
                    return
            except OSError:
                pass
            time.sleep(0.2)
        logs = {file.name: file.read_text(errors="replace")[-500:] for file in self._logs()}
        raise AssertionError(f"{what} does not start: {logs}")

    def _logs(self) -> list[Path]:
        return sorted(self.folder.glob("*.out"))
