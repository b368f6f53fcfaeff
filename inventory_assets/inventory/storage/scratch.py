"""Folders for unpublished files, which are removed even if their process was killed.

A process that has such folders open keeps a file beside them locked. The next process that opens a
folder in the same place removes the folders whose file is not locked, as their process has ended.
"""

import fcntl
import os
import shutil
import stat
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex

_OWNER = ".owner"

_YOUNG_SECONDS = 60
"""A younger file may have been created by a process that has not locked it yet."""

_OLD_SECONDS = 7 * 86_400
"""Where the file system has no locks, a process that used no scratch for so long has ended."""


class ScratchSpace:
    """The scratch folders of one user, such as a store; threads may share it.

    Args:
        parent: Returns the parent folder; called when a folder is opened.
        prefix: The prefix of their names; all names with it belong to this program.
    """

    def __init__(self, parent: Callable[[], Path], prefix: str = "") -> None:
        self._parent = parent
        self._prefix = prefix
        self._lock = threading.Lock()
        self._open = 0
        self._is_swept = False
        self._owner: tuple[Path, int] | None = None

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """A new folder, removed at the end of the block.

        Raises:
            OSError: It cannot be created.
        """
        with self._lock:
            folder = self._opened()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            with self._lock:
                self._open -= 1
                if not self._open:
                    self._release()

    def _opened(self) -> Path:
        parent = self._parent()
        parent.mkdir(parents=True, exist_ok=True)
        owner = self._owner or self._owned(parent)
        self._owner = owner
        try:
            folder = tempfile.mkdtemp(prefix=f"{owner[0].stem}.", dir=owner[0].parent)
        except BaseException:
            if not self._open:
                self._release()
            raise
        with suppress(OSError):
            os.utime(owner[1])
        self._open += 1
        return Path(folder)

    def _owned(self, parent: Path) -> tuple[Path, int]:
        if not self._is_swept:
            sweep(parent, self._prefix)
            self._is_swept = True
        path = parent / f"{self._prefix}{token_hex(8)}{_OWNER}"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        claim(descriptor)
        return path, descriptor

    def _release(self) -> None:
        if self._owner:
            path, descriptor = self._owner
            with suppress(OSError):
                path.unlink(missing_ok=True)
            os.close(descriptor)
            self._owner = None


def sweep(parent: Path, prefix: str) -> None:
    """Remove the folders in `parent` of processes that have ended.

    Args:
        parent: The parent folder, which may hold other files.
        prefix: The prefix of their names.
    """
    names: list[Path] = []
    with suppress(OSError):  # the folder may be writable, but not readable
        names = [path for path in parent.iterdir() if path.name.startswith(prefix)]
    for path in names:
        if path.suffix == _OWNER and is_abandoned(path):
            for folder in names:
                if folder.name.startswith(f"{path.stem}.") and folder != path:
                    shutil.rmtree(folder, ignore_errors=True)
            with suppress(OSError):
                path.unlink(missing_ok=True)


def is_abandoned(path: Path) -> bool:
    """Whether a file of this user was locked by a process that has ended."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False  # it was removed, or belongs to another user
    try:
        found = os.fstat(descriptor)
        seconds = time.time() - found.st_mtime
        is_ours = stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid()
        if not is_ours or seconds < _YOUNG_SECONDS:
            return False
        is_free = claim(descriptor)
        return seconds >= _OLD_SECONDS if is_free is None else is_free
    finally:
        os.close(descriptor)


def claim(descriptor: int) -> bool | None:
    """Lock an open file until it is closed or its process ends.

    Returns:
        Whether no other process had locked it; None if the file system has no locks.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True
