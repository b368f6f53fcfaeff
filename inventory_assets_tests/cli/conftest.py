"""An inventory of two days, published in a store that a configuration names."""

import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from inventory_assets.cli import main
from inventory_assets.inventory.manifest.manifest_merge import merge, publish_manifest
from inventory_assets.inventory.storage import local_store
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets.scan.keyspace.shard import make_shard
from inventory_assets_tests.external_servers import Endpoint
from inventory_assets_tests.inventory.samples import DAY, LAYOUT, NOW, listed, snapshot_of

KEYS = ["a/1", "a/2", "b/2 +", "b/=1", "c", "new\nline", "tab\t\x1b[31m", "é"]
LATER = sorted([*KEYS[1:], "d"])


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a command."""

    code: int
    output: bytes
    error: str


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the configuration."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "inventory.toml").write_text('store = "store"\n[sources.source]\nbucket = "bucket"\n')
    store = LocalStore(folder / "store")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(local_store, "_flush", lambda _path: None)
        for number, keys in enumerate([KEYS, LATER]):
            snapshots = {}
            for prefix in ("", "a/", "b/"):
                shard = make_shard(prefix, ["", "a/", "b/"])
                day = DAY + timedelta(days=number)
                held = listed(filter(shard.covers, keys))
                snapshots[prefix] = snapshot_of(store, shard, held, day)
            publish_manifest(store, LAYOUT, merge(store, LAYOUT, "", snapshots, NOW))
    return folder


@pytest.fixture
def run(
    published: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfdbinary: pytest.CaptureFixture[bytes],
) -> Iterator[Callable[..., Outcome]]:
    """Runs the command in that folder."""
    monkeypatch.chdir(published)
    monkeypatch.delenv("INVENTORY_CONFIG", raising=False)

    def command(*arguments: object) -> Outcome:
        code = main([str(argument) for argument in arguments])
        output, error = capfdbinary.readouterr()
        return Outcome(code, output, error.decode())

    handler = signal.getsignal(signal.SIGTERM)
    yield command
    signal.signal(signal.SIGTERM, handler)


def start(folder: Path, *arguments: object) -> subprocess.Popen[bytes]:
    """The command as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "inventory_assets.cli", *map(str, arguments)],
        cwd=folder,
        env={"PYTHONPATH": str(Path(__file__).parents[2])},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def on_a_terminal(
    folder: Path,
    *arguments: object,
    environment: Mapping[str, str] | None = None,
    typed: bytes | None = None,
) -> tuple[int, bytes]:
    """The exit code of the command, and all that a terminal was sent.

    What is `typed` is sent after the command has written something, such as a prompt.
    """
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "inventory_assets.cli", *map(str, arguments)],
        cwd=folder,
        env={"PYTHONPATH": str(Path(__file__).parents[2]), **(environment or {})},
        stdin=None if typed is None else theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    shown = b""
    try:
        while chunk := os.read(ours, 4096):
            shown += chunk
            if typed:
                os.write(ours, typed)
                typed = None
    except OSError:  # the terminal's way to say that all is read
        pass
    os.close(ours)
    return process.wait(), shown


def screen_of(sent: str, columns: int) -> list[str]:
    """The lines that a terminal shows after it was sent some text; the last has the cursor.

    It knows what a progress line needs: carriage return, line feed, erasing a line, and moving up.
    """
    lines, row, column = [""], 0, 0
    for text in re.findall(r"\x1b\[[?0-9;]*[A-Za-z]|.", sent, re.DOTALL):
        if text == "\r":
            column = 0
        elif text == "\n":
            row, column = row + 1, 0
            lines += [""] * (row + 1 - len(lines))
        elif text in {"\x1b[K", "\x1b[2K"}:
            lines[row] = "" if text == "\x1b[2K" else lines[row][:column]
        elif text.endswith("A") and text.startswith("\x1b"):
            row -= int(text[2:-1])
        elif not text.startswith("\x1b"):
            assert column < columns, "the line does not fit"
            lines[row] = f"{lines[row]:<{column}}"[:column] + text + lines[row][column + 1 :]
            column += 1
    return [line.rstrip() for line in (lines[: row + 1] if not any(lines[row + 1 :]) else lines)]


@pytest.fixture
def some_bucket(moto: Endpoint) -> str:
    if moto.send("HEAD", "/some") != 200:
        moto.make_bucket("some", {f"{number:04}": b"x" for number in range(200)})
    return "some"
