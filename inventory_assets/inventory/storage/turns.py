"""How runs that share a folder take turns, on any file system, without locks of the file system.

Locks (flock, fcntl) are missing on some network file systems, fail on others (EBADF, ENOLCK,
EOPNOTSUPP), and with NFS mounted `nolock` or `local_lock=…` they hold on one machine only, without
a word. Renaming a folder is atomic everywhere, and fails if a folder that is not empty has the name
already. So a run puts its record into a folder of its own and renames that to the name of the turn;
publishing is to rename the record from there into its place, which leaves the folder empty, and an
empty folder is nobody's turn.

The turn of a run that was killed ends when another removes its record. That needs no certainty: a
run that is only slow finds its record gone, so that it cannot publish, and asks for its turn again.
Thus a record that is published was in its turn without a break from when it got there, and whatever
it looked at since was not changed by anyone who takes turns.
"""

import errno
import os
import random
import re
import socket
import time
from contextlib import suppress
from functools import cache
from pathlib import Path
from uuid import uuid4

LEASE_SECONDS = 30.0
"""How long a run may do nothing in its turn, as another sees it, before that ends its turn; a turn
takes milliseconds."""

DEAD_SECONDS = 1.0
"""The same for a run of this machine whose process is no more."""

_NOT_EMPTY = (errno.EEXIST, errno.ENOTEMPTY)
_TAKEN = (*_NOT_EMPTY, errno.EACCES, errno.EPERM, errno.EBUSY)
"""With which file systems say that a folder cannot be renamed over another."""

_TRIES_IN_VAIN = 50
"""Renamings that fail although nobody has the turn, before it is an error."""


class Turn:
    """A run's turn at something that others want to change, too.

    Args:
        place: The folder whose name is the turn; it is there while somebody has it.
        folder: A new folder on the same file system, for this run alone. It holds the record, and
            is moved.
    """

    def __init__(self, place: Path, folder: Path) -> None:
        self._place = place
        self._folder = folder
        self._name = f"{_processes()}:{os.getpid()}:{uuid4().hex}"
        self._watched: list[str] = []
        self._since = 0.0
        self._vain = 0

    @property
    def record(self) -> Path:
        """Where to write the record, before the turn is taken."""
        return self._folder / self._name

    def take(self) -> bool:
        """Take the turn, unless another has it.

        Raises:
            OSError: The folder cannot be moved.
        """
        try:
            self._folder.rename(self._place)
        except OSError as error:
            # A file server may say no although it has moved it, where an answer was lost.
            if self.is_mine:
                return True
            holders = self._holders()
            self._vain = 0 if holders or error.errno in _NOT_EMPTY else self._vain + 1
            if error.errno not in _TAKEN or self._vain > _TRIES_IN_VAIN:
                raise
            self._end_turns_of_the_dead(holders)
            return False
        return True

    @property
    def is_mine(self) -> bool:
        """Whether this run has the turn."""
        return (self._place / self._name).exists()

    def publish(self, target: Path) -> bool:
        """Move the record to its place, if this run still has the turn; that ends it."""
        try:
            (self._place / self._name).rename(target)
        except FileNotFoundError:
            return False
        return True

    def leave(self) -> None:
        """End the turn, if this run has it."""
        with suppress(OSError):
            (self._place / self._name).unlink()
        with suppress(OSError):  # it is another's already, or gone
            self._place.rmdir()

    def _holders(self) -> list[str]:
        try:
            return sorted(path.name for path in self._place.iterdir())
        except FileNotFoundError:
            return []

    def _end_turns_of_the_dead(self, holders: list[str]) -> None:
        now = time.monotonic()
        if holders != self._watched:
            self._watched, self._since = holders, now
        waited = now - self._since
        for name in holders:
            if waited > LEASE_SECONDS or (waited > DEAD_SECONDS and _is_dead(name)):
                with suppress(OSError):
                    (self._place / name).unlink()
        if not holders:
            # Some file systems rename no folder over an empty one either.
            with suppress(OSError):
                self._place.rmdir()


def wait(attempt: int) -> None:
    """Wait a moment for another's turn to end."""
    time.sleep(random.uniform(0.2, 1) * min(0.2, 0.002 * 2**attempt))  # noqa: S311 - no secret


@cache
def _processes() -> str:
    """Among whose processes a number means the same: the machine, or the container on it."""
    namespace = ""
    with suppress(OSError):
        namespace = str(Path("/proc/self/ns/pid").readlink())
    return re.sub(r"[^A-Za-z0-9.-]", "-", f"{socket.gethostname()}-{namespace}")[:150]


def _is_dead(name: str) -> bool:
    """Whether a record is of a process of this machine that is no more."""
    machine, _, rest = name.partition(":")
    process = rest.partition(":")[0]
    if machine != _processes() or not process.isdigit():
        return False
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False
    return False
