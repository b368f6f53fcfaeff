"""Run `inventory list` as a process, and read the files in its folder."""

import os
import resource
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq

from inventory_assets_tests.external_servers import Account, Endpoint
from inventory_assets_tests.fakes.listings import Listed, render
from inventory_assets_tests.fakes.scripted_server import Answer

TIMEOUT_SECONDS = 60
SOON_SECONDS = 5
"""Far below the 30 seconds for which the slow server holds its answer back."""


def start(
    arguments: Sequence[object], account: Account | None = None, file_bytes: int | None = None
) -> subprocess.Popen[str]:
    """Start the command with nothing of this machine's AWS configuration.

    Args:
        arguments: The command line.
        account: Whose keys are in the environment.
        file_bytes: The largest file that may be written, as a disk that is full would have it.
    """

    def limit() -> None:
        if file_bytes is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))

    environment = {name: text for name, text in os.environ.items() if not name.startswith("AWS_")}
    environment |= {
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": "*",
    }
    return subprocess.Popen(
        [sys.executable, "-m", "inventory_assets.cli", *map(str, arguments)],
        env=environment | (account.environment if account else {}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=limit,  # noqa: PLW1509 - it only calls the kernel
    )


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of the command."""

    code: int
    output: str
    error: str


def finish(process: subprocess.Popen[str]) -> Outcome:
    try:
        output, error = process.communicate(timeout=TIMEOUT_SECONDS)
    finally:
        process.kill()
    return Outcome(process.returncode, output, error)


def list_bucket(
    endpoint: Endpoint, url: str, out: Path, *options: str, file_bytes: int | None = None
) -> Outcome:
    arguments = ["list", url, "--out", out, "--endpoint-url", endpoint.url, *options]
    return finish(start(arguments, endpoint.account, file_bytes))


def files_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def assert_refused(outcome: Outcome, words: str) -> None:
    assert outcome.code == 1
    assert outcome.output == ""
    (line,) = outcome.error.splitlines()
    assert line.startswith("inventory: ")
    assert words in line


def has_delta_encodings(folder: Path) -> bool:
    """Whether a file's keys have an encoding that not all readers support."""
    return any(
        "DELTA_BYTE_ARRAY" in pq.ParquetFile(file).metadata.row_group(0).column(1).encodings
        for file in folder.glob("*.parquet")
    )


def keys_in(folder: Path) -> list[str]:
    """All keys, file after file in the order of their names."""
    files = sorted(folder.glob("*.parquet"))
    return [key for file in files for key in pl.read_parquet(file)["key"]]


# Interruptions

STUCK = Answer(delay=30)
LEVEL = Answer(body=render([Listed("root")], [f"{name}/" for name in "abcdefghij"]))
