"""An exclusive lock on a folder, so that one process at a time lists into it.

The kernel holds the lock (`flock` on a file in the folder). It releases the lock when the last
process that has the file open has ended, also after a kill. Processes that a listing starts inherit
the open file: after a kill, the folder stays locked until all of them are gone.

The content of the file names the process that holds the lock. It is used for messages only.
"""

import errno
import fcntl
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from multiprocessing import reduction
from pathlib import Path
from typing import NamedTuple, Protocol

from inventory_assets.inventory.errors import FolderInUse, StoreError

LOCK_FILE = ".inventory-lock"

WORK_FOLDER = ".inventory-unfinished"
"""The subfolder that holds the files of a listing until it is finished."""

ORPHANS_SECONDS = 5.0
"""How long to wait until the other processes of a killed listing have ended."""

_POLL_SECONDS = 0.05
_NO_LOCKS = {errno.EBADF, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}
"""Errors of `flock` on a file system without locks, such as some NFS servers."""


class Holder(NamedTuple):
    """The process that locked a folder.

    Attributes:
        pid: Its process ID on its machine or in its container.
        host: The name of the machine or container.
        since: When it locked the folder, in ISO 8601.
    """

    pid: int
    host: str
    since: str

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, since {self.since}"

    @property
    def has_ended(self) -> bool:
        """Whether it was a process of this machine that has ended."""
        if self.host != socket.gethostname():
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except OSError:
            return False
        return False


class FolderLock:
    """A lock that this process holds: from `locked`, or inherited from the parent process.

    Args:
        named: The folder, as the user named it.
        folder: The folder with symbolic links resolved.
        descriptor: The file descriptor of the open lock file.

    Attributes:
        folder: The folder with symbolic links resolved.
    """

    def __init__(self, named: Path, folder: Path, descriptor: int) -> None:
        self.folder = folder
        self._named = named
        self._descriptor = descriptor

    def __reduce__(self) -> tuple[Callable[..., "FolderLock"], tuple[object, ...]]:
        """Pickle for a child process, which inherits the open file, and with it the lock."""
        handle = reduction.DupFd(self._descriptor)
        return _inherit, (self._named, self.folder, handle)

    def is_held(self) -> bool:
        """Whether the folder and the lock file are still those that were locked."""
        with suppress(OSError):
            is_same_folder = self._named.samefile(self.folder)
            return is_same_folder and _is_at(self._descriptor, self.folder / LOCK_FILE)
        return False

    def check(self) -> None:
        """Check that the lock still protects the folder.

        Raises:
            StoreError: The folder was renamed, removed or replaced, or the lock file was removed.
        """
        if not self.is_held():
            raise StoreError(
                f"{self._named} or {LOCK_FILE} in it was renamed, removed or replaced while the "
                "bucket was being listed into it, so no files were published there; list the "
                "bucket again, into a folder that no other program changes"
            )

    def release(self) -> None:
        path = self.folder / LOCK_FILE
        if _is_at(self._descriptor, path):
            with suppress(OSError):
                path.unlink()
        os.close(self._descriptor)


@contextmanager
def locked(
    folder: Path,
    now: Callable[[], datetime],
    orphans_seconds: float = ORPHANS_SECONDS,
) -> Iterator[FolderLock]:
    """Hold the lock of a folder, which is created if it does not exist.

    Args:
        folder: The folder.
        now: The clock, for messages of other processes about this one.
        orphans_seconds: If the process that locked the folder was killed, how long to wait until
            its child processes have ended.

    Raises:
        FolderInUse: Another process holds it.
        StoreError: The folder cannot be written, or its file system has no locks.
    """
    lock = _acquire(folder, now, orphans_seconds)
    try:
        yield lock
    finally:
        lock.release()


def is_interrupted(folder: Path) -> bool:
    """Whether a listing into a folder is in progress, or was stopped or killed."""
    return (folder / WORK_FOLDER).is_dir()


def _acquire(named: Path, now: Callable[[], datetime], orphans_seconds: float) -> FolderLock:
    folder = _create(named)
    path = folder / LOCK_FILE
    deadline = time.monotonic() + orphans_seconds
    while True:
        descriptor = _open_lock_file(named, path)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The last holder may have removed the file after this process opened it.
            if _is_at(descriptor, path):
                _write_holder(descriptor, Holder(os.getpid(), socket.gethostname(), _iso(now())))
                return FolderLock(named, folder, descriptor)
        except BlockingIOError:
            holder = _read_holder(descriptor)
            # Without content, the other process has locked the file and not written it yet.
            if (holder is None or holder.has_ended) and time.monotonic() < deadline:
                time.sleep(_POLL_SECONDS)
            else:
                os.close(descriptor)
                raise _in_use(named, holder) from None
        except OSError as error:
            _discard_new(descriptor, path)
            os.close(descriptor)
            raise _no_lock(named, error) from error
        os.close(descriptor)


def _create(named: Path) -> Path:
    try:
        named.mkdir(parents=True, exist_ok=True)
        return named.resolve(strict=True)
    except OSError as error:
        raise StoreError(f"cannot use {named} as a folder: {error.strerror}") from error


def _open_lock_file(named: Path, path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    except OSError as error:
        raise StoreError(
            f"cannot write to {named}: {error.strerror} ({path.name}); choose another folder"
        ) from error


class _Handle(Protocol):
    """A descriptor that `reduction.DupFd` duplicated for another process."""

    def detach(self) -> int: ...


def _inherit(named: Path, folder: Path, handle: _Handle) -> FolderLock:
    return FolderLock(named, folder, handle.detach())


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except OSError:
        return False


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")


def _write_holder(descriptor: int, holder: Holder) -> None:
    data = json.dumps(holder._asdict()).encode()
    # Truncated last, so that a reader finds the old or the new holder, or invalid JSON.
    os.pwrite(descriptor, data, 0)
    os.ftruncate(descriptor, len(data))


def _read_holder(descriptor: int) -> Holder | None:
    try:
        document = json.loads(os.pread(descriptor, 4096, 0))
        return Holder(int(document["pid"]), str(document["host"]), str(document["since"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _discard_new(descriptor: int, path: Path) -> None:
    """Remove a lock file that this process has just created and could not lock."""
    with suppress(OSError):
        if os.fstat(descriptor).st_size == 0:
            path.unlink()


def _in_use(named: Path, holder: Holder | None) -> FolderInUse:
    return FolderInUse(
        f"{named} is in use: another listing into it is under way "
        f"({holder or 'by an unknown process'}); wait until it ends, or choose another "
        "folder"
    )


def _no_lock(named: Path, error: OSError) -> StoreError:
    if error.errno in _NO_LOCKS:
        return StoreError(
            f"the file system of {named} does not support locks ({error.strerror}), so two "
            "listings into it could mix; list into a folder on a local disk and move it, or mount "
            "the file system with locks"
        )
    return StoreError(f"cannot lock {named}: {error.strerror}")
