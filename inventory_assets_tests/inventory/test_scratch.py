"""Unpublished files of a dead process are removed."""

import fcntl
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from inventory_assets.inventory.export.exporter import atomic_file
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets.inventory.storage.scratch import ScratchSpace, is_abandoned

LEAVE_SCRATCH = """
import os, sys
from pathlib import Path
from inventory_assets.inventory.storage.scratch import ScratchSpace
space = ScratchSpace(lambda: Path(sys.argv[1]), "inventory-")
with space.folder() as folder, space.folder() as other:
    (folder / "part").write_bytes(b"half")
    os.kill(os.getpid(), 9)
"""
LEAVE_FILE = """
import os, sys
from pathlib import Path
from inventory_assets.inventory.export.exporter import atomic_file
with atomic_file(Path(sys.argv[1]) / "out.csv") as file:
    file.write(b"half")
    file.flush()
    os.kill(os.getpid(), 9)
"""


def left_by(program: str, folder: Path) -> list[Path]:
    """The files of a process that was killed an hour ago, according to their times."""
    before = {*folder.iterdir()}
    assert subprocess.run([sys.executable, "-c", program, str(folder)], check=False).returncode < 0
    left = sorted({*folder.iterdir()} - before)
    for path in left:
        os.utime(path, (time.time() - 3600,) * 2)
    return left


def open_scratch(folder: Path) -> None:
    with ScratchSpace(lambda: folder, "inventory-").folder() as scratch:
        (scratch / "file").touch()


def write_file(folder: Path) -> None:
    with atomic_file(folder / "out.csv") as file:
        file.write(b"whole")


KINDS = pytest.mark.parametrize(
    ("program", "use", "kept"),
    [(LEAVE_SCRATCH, open_scratch, []), (LEAVE_FILE, write_file, ["out.csv"])],
)


@KINDS
def test_the_next_process_removes_the_files_of_a_killed_one(
    program: str, use: Callable[[Path], None], kept: list[str], tmp_path: Path
) -> None:
    assert left_by(program, tmp_path)
    use(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == kept


@KINDS
def test_locked_recent_and_foreign_folders_are_kept(
    program: str, use: Callable[[Path], None], kept: list[str], tmp_path: Path
) -> None:
    mine = [tmp_path / ".out.csv.partial", tmp_path / "inventory-mine.csv"]
    for path in mine:
        path.touch()
    locked = left_by(program, tmp_path)
    with next(path for path in locked if path.is_file()).open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        young = left_by(program, tmp_path)
        os.utime(next(path for path in young if path.is_file()))
        use(tmp_path)
    assert {*tmp_path.iterdir()} == {*mine, *locked, *young, *(tmp_path / name for name in kept)}


def test_without_locks_only_files_older_than_a_week_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flock(_descriptor: int, _how: int) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    path = tmp_path / "file"
    path.touch()
    for days, expected in ((6, False), (8, True)):
        os.utime(path, (time.time() - days * 86_400,) * 2)
        assert is_abandoned(path) == expected
    open_scratch(tmp_path)


def test_a_link_is_neither_followed_nor_removed(tmp_path: Path) -> None:
    folder = tmp_path / "tmp"
    folder.mkdir()
    (tmp_path / "mine").touch()
    link = folder / "inventory-0.owner"
    link.symlink_to(tmp_path / "mine")
    open_scratch(folder)
    assert [*folder.iterdir()] == [link]


def test_threads_share_it_and_the_last_leaves_nothing(tmp_path: Path) -> None:
    space = ScratchSpace(lambda: tmp_path)
    together = threading.Barrier(8)
    seen: list[Path] = []

    def use() -> None:
        for _ in range(10):
            with space.folder() as folder:
                together.wait(30)
                seen.append(folder)
                assert len([*tmp_path.glob("*.owner")]) == 1

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({*seen}) == 80
    assert [*tmp_path.iterdir()] == []


def test_a_store_removes_the_files_of_a_killed_run(tmp_path: Path) -> None:
    (tmp_path / ".scratch").mkdir()
    program = LEAVE_SCRATCH.replace('"inventory-"', '""')
    assert len(left_by(program, tmp_path / ".scratch")) == 3
    LocalStore(tmp_path).publish("x", b"1")
    assert [*(tmp_path / ".scratch").iterdir()] == []
