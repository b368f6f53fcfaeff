"""One process at a time holds the lock of a folder, and its end releases the lock."""

import errno
import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from inventory_assets.inventory.errors import FolderInUse, StoreError
from inventory_assets.inventory.folder_listing.folder_lock import LOCK_FILE, FolderLock, locked
from inventory_assets_tests.inventory.samples import NOW

HOLD = """
import sys, subprocess
from datetime import datetime, UTC
from pathlib import Path
from inventory_assets.inventory.folder_listing.folder_lock import locked
with locked(Path(sys.argv[1]), lambda: datetime.now(UTC)) as lock:
    if sys.argv[2] != "0":
        subprocess.Popen(["sleep", sys.argv[2]], pass_fds=[lock._descriptor])
    print("locked", flush=True)
    sys.stdin.read()
"""
"""Lock a folder until told otherwise, perhaps with a process that lives longer."""


def lock_now(folder: Path, orphans_seconds: float = 0) -> None:
    with locked(folder, lambda: NOW, orphans_seconds):
        pass


@contextmanager
def holding(folder: Path, orphan_seconds: float = 0) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock, killed at the end of the block."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder), str(orphan_seconds)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    try:
        assert process.stdout.readline() == "locked\n"
        yield process
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream:
                stream.close()


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_second_process_learns_the_holder_of_the_lock_and_changes_nothing(
    tmp_path: Path,
) -> None:
    with holding(tmp_path) as holder:
        before = contents(tmp_path)
        words = rf"process {holder.pid} on {socket.gethostname()}, since 20"
        with pytest.raises(FolderInUse, match=words):
            lock_now(tmp_path, orphans_seconds=60)
        assert contents(tmp_path) == before


def test_within_one_process_it_holds_as_well(tmp_path: Path) -> None:
    with locked(tmp_path, lambda: NOW):
        with pytest.raises(FolderInUse, match=f"process {os.getpid()} "):
            lock_now(tmp_path)
        assert (tmp_path / LOCK_FILE).exists()
    assert contents(tmp_path) == {}


def test_a_kill_releases_it(tmp_path: Path) -> None:
    with holding(tmp_path) as holder:
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        assert LOCK_FILE in contents(tmp_path)
        lock_now(tmp_path)
    assert contents(tmp_path) == {}


def test_child_processes_of_a_killed_holder_are_waited_for(tmp_path: Path) -> None:
    with holding(tmp_path, orphan_seconds=1) as holder:
        holder.kill()
        holder.wait()
        with pytest.raises(FolderInUse):
            lock_now(tmp_path)
        lock_now(tmp_path, orphans_seconds=60)
    assert contents(tmp_path) == {}


def test_a_holder_on_another_machine_is_not_waited_for(tmp_path: Path) -> None:
    with locked(tmp_path, lambda: NOW):
        (tmp_path / LOCK_FILE).write_text(
            json.dumps({"pid": 2**22 + 1, "host": "elsewhere.invalid", "since": "then"})
        )
        began = time.monotonic()
        with pytest.raises(FolderInUse, match=r"on elsewhere\.invalid, since then"):
            lock_now(tmp_path, orphans_seconds=60)
        assert time.monotonic() - began < 30


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": null}', "\x00\xff"])
def test_a_lock_file_without_a_holder_locks_as_well(content: str, tmp_path: Path) -> None:
    with locked(tmp_path, lambda: NOW):
        (tmp_path / LOCK_FILE).write_text(content)
        with pytest.raises(FolderInUse, match="by an unknown process"):
            lock_now(tmp_path)
    (tmp_path / LOCK_FILE).write_text(content)
    lock_now(tmp_path)


def test_only_one_process_holds_it_even_if_the_file_is_removed_often(tmp_path: Path) -> None:
    holders, most, done = 0, 0, 0
    counting = threading.Lock()

    def compete() -> None:
        nonlocal holders, most, done
        for _ in range(20):
            while True:
                try:
                    with locked(tmp_path, lambda: NOW, 0):
                        with counting:
                            holders += 1
                            most = max(most, holders)
                        time.sleep(0.0001)
                        with counting:
                            holders -= 1
                            done += 1
                    break
                except FolderInUse:
                    time.sleep(0.0001)

    threads = [threading.Thread(target=compete) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (most, done) == (1, 120)
    assert contents(tmp_path) == {}


# Changes of the folder


def rename(folder: Path, _link: Path) -> None:
    folder.rename(folder.with_name("renamed"))


def remove(folder: Path, _link: Path) -> None:
    shutil.rmtree(folder)


def replace(folder: Path, link: Path) -> None:
    rename(folder, link)
    folder.mkdir()
    (folder / LOCK_FILE).touch()


def remove_lock(folder: Path, _link: Path) -> None:
    (folder / LOCK_FILE).unlink()


def replace_lock(folder: Path, link: Path) -> None:
    remove_lock(folder, link)
    (folder / LOCK_FILE).touch()


def point_elsewhere(folder: Path, link: Path) -> None:
    link.unlink()
    (folder.parent / "elsewhere").mkdir()
    link.symlink_to(folder.parent / "elsewhere")


@pytest.mark.parametrize(
    "happens", [rename, remove, replace, remove_lock, replace_lock, point_elsewhere]
)
def test_a_lock_of_a_removed_file_is_detected_and_other_locks_are_kept(
    happens: Callable[[Path, Path], None], tmp_path: Path
) -> None:
    folder, link = tmp_path / "folder", tmp_path / "link"
    folder.mkdir()
    link.symlink_to(folder)
    with locked(link, lambda: NOW) as lock:
        lock.check()
        happens(folder, link)
        assert not lock.is_held()
        with pytest.raises(StoreError, match="was renamed, removed or replaced"):
            lock.check()
        before = sorted(tmp_path.rglob("*"))
    after = sorted(tmp_path.rglob("*"))
    assert after == [path for path in before if happens is not point_elsewhere or _is_kept(path)]


def _is_kept(path: Path) -> bool:
    # The folder that was locked is still there, and so its own lock file is removed.
    return path.name != LOCK_FILE


def test_a_link_and_its_folder_have_the_same_lock(tmp_path: Path) -> None:
    folder, link = tmp_path / "folder", tmp_path / "link"
    folder.mkdir()
    link.symlink_to("folder")
    with locked(link, lambda: NOW) as lock:
        assert lock.folder == folder
        with pytest.raises(FolderInUse):
            lock_now(folder)


def test_a_lock_file_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / LOCK_FILE).symlink_to(tmp_path / "mine")
    with pytest.raises(StoreError, match="cannot write to"):
        lock_now(tmp_path)
    assert not (tmp_path / "mine").exists()


# Where it cannot be locked


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EBADF, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_rejected_by_name(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flock(_descriptor: int, _how: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(StoreError, match=f"{tmp_path} does not support locks"):
        lock_now(tmp_path)
    assert contents(tmp_path) == {}


def test_a_folder_that_cannot_be_written_is_rejected_by_name() -> None:
    with pytest.raises(StoreError, match="cannot write to /proc: "):
        lock_now(Path("/proc"))


def test_a_file_in_the_folders_place_is_rejected_by_name(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(StoreError, match=f"cannot use {folder} as a folder"):
            lock_now(folder)


def test_only_processes_that_are_given_the_lock_inherit_it(tmp_path: Path) -> None:
    with locked(tmp_path, lambda: NOW) as lock:
        assert isinstance(lock, FolderLock)
        assert not os.get_inheritable(lock._descriptor)
