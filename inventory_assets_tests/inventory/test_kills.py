"""A real process, killed at random times and started again until it completes."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.load_source import LoadSource

KEYS = 150_000
LATENCY_MS = 200
ROUNDS = 25
KILLS = 200

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")


@pytest.fixture(scope="module")
def source() -> Iterator[LoadSource]:
    with LoadSource("skewed", KEYS, latency=LATENCY_MS) as opened:
        yield opened


def start(source: LoadSource, out: Path) -> subprocess.Popen[str]:
    module = "inventory_assets_tests.inventory.listing_to_be_killed"
    address = ["list", f"s3://{source.bucket}", "--endpoint-url", source.url]
    return subprocess.Popen(
        [sys.executable, "-m", module, *address, "--out", str(out), "--concurrency", "16"],
        env={**os.environ, "AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def rows(folder: Path) -> pa.Table:
    files = sorted(folder.glob("*.parquet"))
    return pa.concat_tables([pq.read_table(file) for file in files]).combine_chunks()


def is_done(folder: Path) -> bool:
    """Whether the files exist and nothing is left to do."""
    return any(folder.glob("*.parquet")) and not (folder / ".inventory-unfinished").exists()


def listed(source: LoadSource, out: Path) -> tuple[float, str]:
    """List undisturbed: the seconds it takes, and what it says on the way."""
    began = time.monotonic()
    process = start(source, out)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    return time.monotonic() - began, said


def killed(source: LoadSource, out: Path, after: float) -> bool:
    """Kill a listing after so many seconds; whether it was still at work."""
    process = start(source, out)
    try:
        _, said = process.communicate(timeout=after)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.communicate()
        return True
    assert process.returncode == 0, said
    return False


def kill_often(source: LoadSource, tmp_path: Path, kills: int, seed: int) -> None:
    """Kill listings until there were so many kills; compare each result with an undisturbed one."""
    chances = random.Random(seed)  # noqa: S311 - a repeatable test
    seconds, _ = listed(source, tmp_path / "undisturbed")
    expected = rows(tmp_path / "undisturbed")
    assert expected.num_rows == KEYS
    done = resumed = 0
    while done < kills:
        out = tmp_path / f"killed-{done}"
        for _ in range(min(chances.randint(1, 2 * KILLS // ROUNDS), kills - done)):
            if not killed(source, out, chances.uniform(0.4, 1.0) * seconds):
                break
            done += 1
            if is_done(out):
                break
        if not is_done(out):
            _, said = listed(source, out)
            resumed += "objects of it are kept" in said
        assert rows(out).equals(expected)
        shutil.rmtree(out)
    assert resumed, "no kill ever came late enough for anything to be kept"
    print(f"{done} kills, {resumed} results of runs that went on with another's")


def test_a_process_killed_once_something_is_safe_is_resumed(
    source: LoadSource, tmp_path: Path
) -> None:
    listed(source, tmp_path / "undisturbed")
    out = tmp_path / "killed"
    for safe in (1, 2):
        process = start(source, out)
        end = time.monotonic() + 60
        while len(list(out.glob(".inventory-unfinished/checkpoints/*.json"))) < safe:
            assert time.monotonic() < end
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert not list(out.glob("*.parquet"))
    _, said = listed(source, out)
    assert "objects of it are kept" in said
    assert rows(out).equals(rows(tmp_path / "undisturbed"))


@pytest.mark.slow
def test_a_process_killed_two_hundred_times_ends_as_an_undisturbed_one(
    source: LoadSource, tmp_path: Path
) -> None:
    kill_often(source, tmp_path, KILLS, seed=1)
