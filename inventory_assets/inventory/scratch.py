"""Folders for files that are on their way into a store.

A folder is gone with the block that uses it. A process that is killed leaves its folder behind; the
next process that needs one in the same place removes it. The folder's lock tells the two apart: it
is held as long as the folder is in use, and a kill releases it.
"""

import errno
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from stat import S_ISDIR

FOREIGN_SECONDS = 7 * 24 * 3600.0
"""How old a folder of another machine is before it is removed, though it seems to be in no use:
some file systems that several machines share keep each machine's locks apart."""

_SEPARATOR = "~"


class ScratchFolders:
    """Makes folders in one place, and removes those that killed processes left there.

    Args:
        place: The folder that holds them; it is made when the first is needed.
    """

    def __init__(self, place: Path) -> None:
        self._place = place
        self._is_swept = False

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """A new folder, which is gone with the block.

        Raises:
            OSError: It cannot be made.
        """
        self._place.mkdir(parents=True, exist_ok=True)
        if not self._is_swept:
            self._is_swept = True
            remove_left_folders(self._place)
        folder, descriptor = _new_folder(self._place)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            if descriptor is not None:
                os.close(descriptor)


def folder_of_this_user() -> Path:
    """A place for scratch folders where TMPDIR says, which no other user can prepare or read.

    Raises:
        OSError: It cannot be made, or it is another user's.
    """
    place = Path(tempfile.gettempdir(), f"inventory-assets-{os.getuid()}")
    place.mkdir(mode=0o700, exist_ok=True)
    found = place.lstat()
    if not S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise PermissionError(errno.EPERM, "it belongs to another user", str(place))
    return place


def remove_left_folders(place: Path) -> None:
    """Remove the folders that killed processes left; what cannot be removed stays."""
    with suppress(OSError):
        for folder in list(place.iterdir()):
            with suppress(OSError):
                _remove_if_left(folder)


def _remove_if_left(folder: Path) -> None:
    is_ours = folder.name.startswith(_prefix())
    if not is_ours and time.time() - folder.lstat().st_mtime < FOREIGN_SECONDS:
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(descriptor)


def _new_folder(place: Path) -> tuple[Path, int | None]:
    """A folder and its lock; None for the lock where the file system has none."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_prefix(), dir=place))
        try:
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:  # another process took it for a left one
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:  # it is just taking it for one
            os.close(descriptor)
            continue
        except OSError:  # nobody can lock here, so nobody removes what is in use
            os.close(descriptor)
            return folder, None
        if folder.exists():
            return folder, descriptor
        os.close(descriptor)


def _prefix() -> str:
    return f"{os.uname().nodename}{_SEPARATOR}"
