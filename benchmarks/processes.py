"""Run a process and measure its cost: CPU time including children, wall time, peak memory.

CPU seconds are user and system time of the process and of every descendant that was waited for, as
the kernel counts them. Peak memory is the maximum over samples, ten a second, of the sum for all
processes alive at that moment, or the kernel's own figure for the largest of them.
"""

import os
import resource
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

SAMPLE_SECONDS = 0.1
_TAIL_BYTES = 4096


class ProcessFailed(Exception):
    """A process that was to be measured failed."""


@dataclass(frozen=True, slots=True)
class Usage:
    """The cost and the output of a process.

    Attributes:
        cpu_seconds: User and system time, with its children's.
        wall_seconds: From start to end.
        peak_bytes: The most memory resident at once.
        lines: Lines of its standard output.
        tail: The end of its standard output.
    """

    cpu_seconds: float
    wall_seconds: float
    peak_bytes: int
    lines: int
    tail: str


def run(
    command: Sequence[str],
    environment: Mapping[str, str],
    folder: Path | None = None,
    watch: Callable[[Sequence[int]], None] | None = None,
    watch_seconds: float = SAMPLE_SECONDS,
) -> Usage:
    """Run a command to its end; its output is counted, not kept.

    Args:
        command: What to run.
        environment: All of its environment.
        folder: Where it runs.
        watch: Called with the ids of the processes every `watch_seconds`, in a thread.
        watch_seconds: How often memory is looked at.

    Raises:
        ProcessFailed: It could not be started, or its exit code was not 0.
    """
    with tempfile.TemporaryFile() as errors:
        started = time.perf_counter()
        try:
            process = subprocess.Popen(
                command,
                env=environment,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
            )
        except OSError as error:
            raise ProcessFailed(f"{command[0]} cannot be started: {error}") from None
        sampler = _Sampler(process.pid, watch, watch_seconds)
        try:
            lines, tail = _count(process.stdout)
            _, status, usage = os.wait4(process.pid, 0)
            wall = time.perf_counter() - started
            process.returncode = os.waitstatus_to_exitcode(status)
        finally:
            sampler.end()
            if process.returncode is None:
                process.kill()
                process.wait()
            if process.stdout:
                process.stdout.close()
        if process.returncode:
            errors.seek(max(0, errors.seek(0, os.SEEK_END) - _TAIL_BYTES))
            said = errors.read().decode(errors="replace")
            raise ProcessFailed(f"{' '.join(command)}\nexit code {process.returncode}: {said}")
    return Usage(
        cpu_seconds=usage.ru_utime + usage.ru_stime,
        wall_seconds=wall,
        peak_bytes=max(_own_peak(usage), sampler.peak_bytes),
        lines=lines,
        tail=tail.decode(errors="replace"),
    )


def resident_bytes(pids: Sequence[int]) -> int:
    """Memory resident now in processes; those that have ended hold none."""
    return sum(_status_bytes(pid, "VmRSS") for pid in pids)


def _own_peak(usage: resource.struct_rusage) -> int:
    """The kernel's figure, or 0 where it may be ours: a child begins with its parent's peak."""
    ours = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return usage.ru_maxrss * 1024 if usage.ru_maxrss > ours else 0


def _count(stream: IO[bytes] | None) -> tuple[int, bytes]:
    lines, tail = 0, b""
    while stream and (chunk := stream.read(2**16)):
        lines += chunk.count(b"\n")
        tail = (tail + chunk)[-_TAIL_BYTES:]
    return lines, tail


def _family(pid: int) -> list[int]:
    """A process and its descendants, as far as they are alive."""
    found = [pid]
    for parent in found:
        try:
            for thread in Path(f"/proc/{parent}/task").iterdir():
                found.extend(map(int, (thread / "children").read_text().split()))
        except OSError:
            continue
    return found


def _status_bytes(pid: int, field: str) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    _, found, rest = status.partition(f"{field}:")
    return int(rest.split(maxsplit=1)[0]) * 1024 if found else 0


class _Sampler:
    """Looks at the memory of a process and its children until told to end."""

    def __init__(
        self, pid: int, watch: Callable[[Sequence[int]], None] | None, seconds: float
    ) -> None:
        self.peak_bytes = 0
        self._pid = pid
        self._watch = watch
        self._seconds = seconds
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def end(self) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(self._seconds):
            pids = _family(self._pid)
            together = sum(_status_bytes(pid, "VmHWM") for pid in pids)
            self.peak_bytes = max(self.peak_bytes, together)
            if self._watch:
                self._watch(pids)
