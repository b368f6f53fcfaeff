"""Turns of runs that share a folder, on any file system, without file locks.

Locks (flock, fcntl) are missing on some network file systems, fail on others (EBADF, ENOLCK,
EOPNOTSUPP), and with NFS mounted `nolock` or `local_lock=…` they silently hold on one machine only.
Renaming a folder is atomic everywhere, and fails if a folder that is not empty has the name
already. So a run writes its record into a folder of its own and renames the folder to the name of
the turn. To publish, it renames the record from there to its place. That leaves the folder empty,
and with an empty folder no run has the turn.

The turn of a killed run ends when another run removes its record. The other run need not be certain
that the first is dead: a run that is only slow finds its record removed, cannot publish, and asks
for its turn again. So a published record held the turn without a break, and no other run that takes
turns changed anything that its run read in the meantime.
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
"""How long a turn may last without progress before another run ends it. Normally a turn lasts
milliseconds."""

DEAD_SECONDS = 1.0
"""The same time for a run of this machine whose process has ended."""

_NOT_EMPTY = (errno.EEXIST, errno.ENOTEMPTY)
_TAKEN = (*_NOT_EMPTY, errno.EACCES, errno.EPERM, errno.EBUSY)
"""Errors of file systems for a folder that cannot be renamed over another one."""

_MAX_FAILED_RENAMES = 50
"""Renames that may fail although no run has the turn, before it is an error."""


class Turn:
    """The exclusive turn of a run to change something that other runs may change, too.

    Args:
        place: The folder that is the turn; it exists while a run has the turn.
        folder: A new folder on the same file system, for this run alone. It holds the record, and
            is renamed to `place`.
    """

    def __init__(self, place: Path, folder: Path) -> None:
        self._place = place
        self._folder = folder
        self._name = f"{_processes()}:{os.getpid()}:{uuid4().hex}"
        self._watched: list[str] = []
        self._since = 0.0
        self._failed_renames = 0

    @property
    def record(self) -> Path:
        """The path to write the record to, before the turn is taken."""
        return self._folder / self._name

    def acquire(self) -> bool:
        """Take the turn, unless another run has it; return whether this run has it now.

        Raises:
            OSError: The folder cannot be moved.
        """
        try:
            self._folder.rename(self._place)
        except OSError as error:
            # A file server may report an error after a successful rename, if a response was lost.
            if self.is_mine:
                return True
            holders = self._holders()
            is_owned = bool(holders) or error.errno in _NOT_EMPTY
            self._failed_renames = 0 if is_owned else self._failed_renames + 1
            if error.errno not in _TAKEN or self._failed_renames > _MAX_FAILED_RENAMES:
                raise
            self._end_turns_of_the_dead(holders)
            return False
        return True

    @property
    def is_mine(self) -> bool:
        """Whether this run has the turn."""
        return (self._place / self._name).exists()

    def publish(self, target: Path) -> bool:
        """Move the record to its place, if this run still has the turn; this ends the turn."""
        try:
            (self._place / self._name).rename(target)
        except FileNotFoundError:
            return False
        return True

    def release(self) -> None:
        """End the turn, if this run has it."""
        with suppress(OSError):
            (self._place / self._name).unlink()
        with suppress(OSError):  # another run has the turn already, or the folder is removed
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
            # Some file systems do not even rename a folder over an empty one.
            with suppress(OSError):
                self._place.rmdir()


def wait(attempt: int) -> None:
    """Wait a moment for the turn of another run to end."""
    time.sleep(random.uniform(0.2, 1) * min(0.2, 0.002 * 2**attempt))  # noqa: S311 - no secret


@cache
def _processes() -> str:
    """A name of the process namespace: the machine, or the container on it."""
    namespace = ""
    with suppress(OSError):
        namespace = str(Path("/proc/self/ns/pid").readlink())
    return re.sub(r"[^A-Za-z0-9.-]", "-", f"{socket.gethostname()}-{namespace}")[:150]


def _is_dead(name: str) -> bool:
    """Whether a record belongs to a process of this machine that has ended."""
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
