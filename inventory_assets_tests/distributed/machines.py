"""Machines: network namespaces with cables that can be pulled, or only trees of processes.

A machine has a folder of its own, and a process of one machine sees no file of another: there is an
empty file system over the other folders. The servers run on the host, where all machines reach
them at one address.
"""

import os
import shutil
import signal
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

_HOST = "127.0.0.1"
_STOP_SECONDS = 30.0


class Machine(ABC):
    """A machine with processes.

    Attributes:
        name: Its name.
        folder: The one folder that its processes may write to.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.folder = folder
        folder.mkdir(parents=True)
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start a process, whose output goes to a log beside the machine's folder."""
        with self.log(name).open("ab") as log:
            self._processes.append(
                subprocess.Popen(
                    [*self._prefix(), *command],
                    cwd=self.folder,
                    env={**environment, "TMPDIR": str(self.folder), "HOME": str(self.folder)},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            )

    def log(self, name: str) -> Path:
        return self.folder.with_name(f"{self.name}-{name}.log")

    def processes(self) -> list[psutil.Process]:
        """All processes that run on the machine."""
        found: list[psutil.Process] = []
        for process in self._processes:
            with suppress(psutil.NoSuchProcess):
                root = psutil.Process(process.pid)
                found += [root, *root.children(recursive=True)]
        return found

    def kill(self) -> None:
        """End all processes at once with SIGKILL, as a power failure does."""
        doomed = self.processes()
        for number in (signal.SIGSTOP, signal.SIGKILL):  # none sees another die, and reports it
            for process in {*doomed, *self.processes()}:
                with suppress(psutil.NoSuchProcess):
                    process.send_signal(number)
        for each in self._processes:
            each.wait(_STOP_SECONDS)
        _, left = psutil.wait_procs(doomed, _STOP_SECONDS)
        assert not left, f"processes of {self.name} are still running: {left}"
        self._processes.clear()

    @abstractmethod
    def _prefix(self) -> list[str]:
        """The command that runs another one on this machine."""

    @abstractmethod
    def cut_off(self) -> None:
        """Let the machine reach nobody, and nobody the machine, until `reconnect`."""

    @abstractmethod
    def reconnect(self) -> None: ...


class Network(ABC):
    """The machines; used as a context, at whose end their processes are killed.

    Attributes:
        host: The address at which the machines reach the servers.
        kind: What machines are here, for the report.
    """

    host = _HOST
    kind: str

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self.folder = folder
        self._names = names
        self.machines: dict[str, Machine] = {}

    def __enter__(self) -> Self:
        try:
            self._set_up()
        except BaseException:
            self._tear_down()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for machine in self.machines.values():
            machine.reconnect()
            machine.kill()
        self._tear_down()

    @abstractmethod
    def _set_up(self) -> None: ...

    def _tear_down(self) -> None:  # noqa: B027 - processes leave nothing behind
        """Remove what `_set_up` has made."""


class _Namespace(Machine):
    def __init__(self, name: str, folder: Path, namespace: str, cable: str, bridge: str) -> None:
        super().__init__(name, folder)
        self.hidden: list[Path] = []
        self._namespace, self._cable, self._bridge = namespace, cable, bridge

    def _prefix(self) -> list[str]:
        # `ip netns exec` makes a mount namespace, too, that ends with the command.
        mounts = "".join(f"mount -t tmpfs none {path} && " for path in self.hidden)
        script = f'{mounts}exec "$@"'
        return ["ip", "netns", "exec", self._namespace, "sh", "-c", script, "sh"]

    def cut_off(self) -> None:
        # Packets vanish in both directions, and nobody is told: no reset, no lost carrier.
        _run("ip", "link", "set", self._cable, "nomaster")

    def reconnect(self) -> None:
        _run("ip", "link", "set", self._cable, "master", self._bridge)


class Namespaces(Network):
    """Machines as network namespaces, connected by veth pairs to a bridge of the host."""

    kind = "network namespaces"

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        super().__init__(folder, names)
        self._id = f"inv{os.getpid() % 100_000}"
        self._bridge = f"{self._id}br"
        self._subnet = f"10.213.{os.getpid() % 256}"
        self.host = f"{self._subnet}.1"

    @staticmethod
    def why_not() -> str | None:
        """Why there can be no namespaces here; None if there can be."""
        if shutil.which("ip") is None:
            return "`ip` is not installed (Debian: iproute2)"
        probe = f"invprobe{os.getpid()}"
        made = subprocess.run(
            ["ip", "netns", "add", probe], capture_output=True, text=True, check=False
        )
        if made.returncode:
            return made.stderr.strip()
        _run("ip", "netns", "del", probe)
        return None

    def _set_up(self) -> None:
        _run("ip", "link", "add", self._bridge, "type", "bridge")
        _run("ip", "addr", "add", f"{self.host}/24", "dev", self._bridge)
        _run("ip", "link", "set", self._bridge, "up")
        made: list[_Namespace] = []
        for number, name in enumerate(self._names, 2):
            space, cable = f"{self._id}-{name}", f"{self._id}v{number}"
            _run("ip", "netns", "add", space)
            _run("ip", "link", "add", cable, "type", "veth", "peer", "eth0", "netns", space)
            _run("ip", "link", "set", cable, "master", self._bridge, "up")
            inside = ("ip", "-n", space)
            _run(*inside, "addr", "add", f"{self._subnet}.{number}/24", "dev", "eth0")
            _run(*inside, "link", "set", "eth0", "up")
            _run(*inside, "link", "set", "lo", "up")
            made.append(_Namespace(name, self.folder / name, space, cable, self._bridge))
        for machine in made:
            machine.hidden = [other.folder for other in made if other is not machine]
        self.machines = {machine.name: machine for machine in made}

    def _tear_down(self) -> None:
        for name in self._names:
            _run("ip", "netns", "del", f"{self._id}-{name}", check=False)
        _run("ip", "link", "del", self._bridge, check=False)


class _Tree(Machine):
    def _prefix(self) -> list[str]:
        return []

    def cut_off(self) -> None:
        for process in self.processes():
            process.suspend()

    def reconnect(self) -> None:
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):
                process.resume()


class ProcessTrees(Network):
    """Machines as trees of processes, where namespaces are not permitted.

    To be cut off means to stand still: the machine is as silent, and as late afterwards.
    """

    kind = "trees of processes"

    def _set_up(self) -> None:
        self.machines = {name: _Tree(name, self.folder / name) for name in self._names}


def _run(*command: str, check: bool = True) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert not check or done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
