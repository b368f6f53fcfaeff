"""No process outlives its parent, and its files are removed later."""

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.load_source import LoadSource
from inventory_assets.cli import INTERRUPTED
from inventory_assets.inventory.folder_listing.orphans import end_with_parent

KEYS = 40_000
SOON_SECONDS = 10
TIMEOUT_SECONDS = 120

NEEDS_COMPILER = pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")


@pytest.fixture(scope="module")
def source() -> Iterator[LoadSource]:
    with LoadSource("skewed", KEYS, latency=100) as opened:
        yield opened


class Command:
    """`inventory`, run as a process that leads others."""

    def __init__(self, *arguments: object) -> None:
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "inventory_assets_tests.inventory.listing_to_be_killed",
                *map(str, arguments),
            ],
            env={**os.environ, "AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def started(self) -> list[psutil.Process]:
        """All processes that it started, itself left out."""
        return psutil.Process(self._process.pid).children(recursive=True)

    def workers(self) -> list[psutil.Process]:
        return [each for each in self.started() if "spawn_main" in " ".join(each.cmdline())]

    def end(self) -> tuple[int, str]:
        """Its exit code, and what it says."""
        try:
            _, said = self._process.communicate(timeout=TIMEOUT_SECONDS)
        finally:
            self._process.kill()
        return self._process.returncode, said


def begin(source: LoadSource, out: Path, kept: int, processes: int = 2) -> Command:
    """List until so many records more say what is safe."""
    records = out / ".inventory-unfinished" / "checkpoints"
    before = len(list(records.glob("*.json")))
    command = Command(
        "list",
        f"s3://{source.bucket}",
        f"--endpoint-url={source.url}",
        f"--out={out}",
        "--concurrency=4",
        f"--processes={processes}",
    )
    end = time.monotonic() + TIMEOUT_SECONDS
    while len(list(records.glob("*.json"))) < before + kept:
        assert time.monotonic() < end
        time.sleep(0.01)
    return command


def running_worker(command: Command) -> psutil.Process:
    """A worker process that has begun to list."""
    end = time.monotonic() + TIMEOUT_SECONDS
    while True:
        for worker in command.workers():
            if worker.net_connections("tcp"):
                return worker
        assert time.monotonic() < end
        time.sleep(0.01)


def is_whole(out: Path) -> bool:
    files = sorted(out.iterdir())
    assert all(file.name.startswith("part-") for file in files), files
    keys = pa.concat_tables([pq.read_table(file, columns=["key"]) for file in files])
    found = keys.column("key").to_pylist()
    return found == sorted(set(found)) and len(found) == KEYS


def all_end(processes: list[psutil.Process]) -> bool:
    _, alive = psutil.wait_procs(processes, timeout=SOON_SECONDS)
    return not alive


@NEEDS_COMPILER
def test_after_any_kill_all_processes_end_and_completed_ranges_are_kept(
    source: LoadSource, tmp_path: Path
) -> None:
    # The first process, without which the others get no message.
    command = begin(source, tmp_path, kept=1)
    processes = command.started()
    assert len(command.workers()) == 2
    command.send(signal.SIGKILL)
    command.end()
    assert all_end(processes)

    # One of the others, as by a machine that has no more memory.
    command = begin(source, tmp_path, kept=1)
    processes = command.started()
    command.workers()[0].kill()
    code, said = command.end()
    assert code == 1
    assert "a process of the listing ended unexpectedly" in said
    assert f"objects are kept; run `inventory resume {tmp_path}` to continue" in said
    assert "Traceback" not in said
    assert all_end(processes)

    # Told to stop, it says what is kept.
    command = begin(source, tmp_path, kept=1)
    processes = command.started()
    command.send(signal.SIGTERM)
    code, said = command.end()
    assert code == INTERRUPTED
    assert "inventory: stopped; " in said
    assert f"objects are kept; run `inventory resume {tmp_path}` to continue" in said
    assert "Traceback" not in said
    assert all_end(processes)

    code, said = Command("resume", tmp_path).end()
    assert code == 0, said
    assert "objects of it are kept" in said
    assert is_whole(tmp_path)


@pytest.mark.slow
@NEEDS_COMPILER
def test_a_process_that_is_stopped_does_not_outlive_the_first_either(
    source: LoadSource, tmp_path: Path
) -> None:
    command = begin(source, tmp_path, kept=1)
    processes = command.started()
    stopped = running_worker(command)
    stopped.suspend()
    command.send(signal.SIGKILL)
    command.end()
    assert all_end(processes)


@NEEDS_COMPILER
def test_of_two_listings_into_one_folder_the_second_fails_at_once(
    source: LoadSource, tmp_path: Path
) -> None:
    first = begin(source, tmp_path, kept=1)
    first.send(signal.SIGSTOP)
    arguments = ["list", f"s3://{source.bucket}/x", f"--endpoint-url={source.url}"]
    seconds = [  # all at once, as they take longest to start
        Command("resume", tmp_path),
        Command(*arguments, f"--out={tmp_path}"),
        Command(*arguments, f"--out={tmp_path}", "--processes=2"),
    ]
    for second in seconds:
        code, said = second.end()
        assert code == 1
        assert said.count("\n") == 1
        assert f"{tmp_path} is in use: another listing into it is under way (process " in said
    first.send(signal.SIGCONT)
    code, said = first.end()
    assert code == 0, said
    assert is_whole(tmp_path)


@pytest.mark.slow
@NEEDS_COMPILER
def test_a_listing_right_after_a_kill_waits_for_child_processes_and_resumes(
    source: LoadSource, tmp_path: Path
) -> None:
    for processes in (2, 1):
        begin(source, tmp_path, 1, processes).send(signal.SIGKILL)
    code, said = Command("resume", tmp_path).end()
    assert code == 0, said
    assert is_whole(tmp_path)


# How they hear of it


def lead(told_by: str) -> None:
    """Start a process, and wait to be killed."""
    process = get_context("spawn").Process(target=follow, args=(os.getpid(), told_by))
    process.start()
    process.join()


def follow(parent: int, told_by: str) -> None:
    if told_by == "pipe":

        def no_kernel(_name: object) -> None:
            raise OSError

        vars(ctypes)["CDLL"] = no_kernel
    end_with_parent(parent + (told_by == "late"))
    print("following", os.getpid(), flush=True)
    time.sleep(TIMEOUT_SECONDS)


def leading(told_by: str) -> subprocess.Popen[str]:
    program = f"from {__name__} import lead; lead({told_by!r})"
    return subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("told_by", ["kernel", "pipe"])
def test_a_process_ends_with_the_one_that_started_it(told_by: str) -> None:
    with leading(told_by) as first:
        assert first.stdout
        follower = psutil.Process(int(first.stdout.readline().split()[1]))
        first.kill()
        assert all_end([follower])


def test_a_process_whose_parent_has_ended_does_not_begin() -> None:
    with leading("late") as first:
        said, _ = first.communicate(timeout=TIMEOUT_SECONDS)
    assert said == ""
