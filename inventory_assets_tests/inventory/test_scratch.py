"""Scratch folders: gone with their block, or with the next process after a kill."""

import fcntl
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

from inventory_assets.inventory.scratch import (
    FOREIGN_SECONDS,
    ScratchFolders,
    folder_of_this_user,
    remove_left_folders,
)
from inventory_assets.inventory.store import LocalStore

HOLD = """
import sys, time
from pathlib import Path
from inventory_assets.inventory.store import LocalStore

with LocalStore(Path(sys.argv[1])).scratch() as folder:
    (folder / "part").write_bytes(b"half")
    print(folder, flush=True)
    time.sleep(600)
"""


def test_what_a_killed_process_left_is_gone_with_the_next(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout
        left = Path(holder.stdout.readline().strip())
        LocalStore(tmp_path).publish("a", b"data")
        assert (left / "part").exists()  # in use: nobody touches it
        holder.kill()
    assert left.exists()
    LocalStore(tmp_path).publish("a", b"data")
    assert list(left.parent.iterdir()) == []


def test_a_folder_in_use_is_not_taken_by_another_user_of_the_place(tmp_path: Path) -> None:
    with ScratchFolders(tmp_path).folder() as first, ScratchFolders(tmp_path).folder() as second:
        assert first != second
        assert first.exists()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_another_machine_is_kept_for_a_week(tmp_path: Path) -> None:
    new, old = tmp_path / "other~new", tmp_path / "other~old"
    for folder in (new, old):
        folder.mkdir()
    long_ago = time.time() - FOREIGN_SECONDS - 60
    os.utime(old, (long_ago, long_ago))
    remove_left_folders(tmp_path)
    assert list(tmp_path.iterdir()) == [new]


def test_where_nothing_can_be_locked_nothing_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(descriptor: int, operation: int) -> None:  # noqa: ARG001
        raise OSError(9, "Bad file descriptor")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with ScratchFolders(tmp_path).folder() as first:
        with ScratchFolders(tmp_path).folder():
            assert first.exists()
        assert list(tmp_path.iterdir()) == [first]


def test_links_and_files_are_not_followed_or_removed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").touch()
    place = tmp_path / "place"
    place.mkdir()
    name = os.uname().nodename
    (place / f"{name}~link").symlink_to(outside)
    remove_left_folders(place)
    assert (outside / "precious").exists()


def test_many_threads_each_keep_their_folder(tmp_path: Path) -> None:
    lost: list[Path] = []

    def work() -> None:
        for _ in range(50):
            with ScratchFolders(tmp_path).folder() as folder:  # each looks for left ones
                path = folder / "file"
                path.touch()
                if not path.exists():
                    lost.append(path)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert lost == []
    assert list(tmp_path.iterdir()) == []


def test_the_place_for_a_bucket_is_for_this_user_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    place = folder_of_this_user()
    assert place.parent == tmp_path
    assert place.stat().st_mode & 0o077 == 0
    assert folder_of_this_user() == place


def test_a_place_that_somebody_else_prepared_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / f"inventory-assets-{os.getuid()}").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PermissionError, match="belongs to another user"):
        folder_of_this_user()
