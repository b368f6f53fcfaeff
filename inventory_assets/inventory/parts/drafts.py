"""Files of a listing that are not published yet, and outlive the process that writes them.

What is written lies in the memory of the operating system, where a kill of the process leaves it.
A record of the listing (`checkpoints.py`) says how much of which file is whole; what a power cut
took of it does not have the digest that the record names, and is not believed.
"""

import fcntl
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from inventory_assets.inventory.parts.part import ClassTotal

_LOCK, _RESERVE = "lock", "reserve"
_RESERVED_BYTES = 2**18
"""Let go of when the disk is full, so that there is room to say what was done."""

_BUFFERED_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class Draft:
    """What of a file is whole: row groups, and their footers in a file beside it.

    Attributes:
        name: The file's name.
        bytes: Up to where it is whole.
        sha256: Of these bytes.
        groups: Of each row group the size of its footer, and where it begins.
        footers_sha256: Of these footers.
        first_key: The least key in it.
        last_key: The greatest.
        classes: Totals by storage class.
        current: Current objects among versions; None where every record is one.
    """

    name: str
    bytes: int
    sha256: str
    groups: tuple[tuple[int, int], ...]
    footers_sha256: str
    first_key: str
    last_key: str
    classes: tuple[ClassTotal, ...]
    current: int | None = None


class Drafts:
    """The drafts of one process of a listing.

    Args:
        folder: Where they lie; nobody else's. It is made when the first of them is.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.is_urgent = False
        """Whether what was published is only safe once it is noted."""
        self._lock: int | None = None
        self._begun = 0
        self._spool: Path | None = None
        self._dropped: list[Path] = []

    def new(self) -> Path:
        """Where the next draft goes.

        Raises:
            OSError: The folder cannot be made.
        """
        if self._lock is None:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = os.open(self.folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
            with suppress(OSError):  # some network file systems have no locks
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            (self.folder / _RESERVE).write_bytes(bytes(_RESERVED_BYTES))
        self._begun += 1
        return self.folder / f"{self._begun:06}"

    def copy_to_publish(self, path: Path) -> Path:
        """Another name of a draft that is ended, for a store that moves what it publishes.

        The draft stays until it is noted that it is published.
        """
        copy = path.with_suffix(".whole")
        try:
            copy.hardlink_to(path)
        except OSError:  # the file system knows no second names
            self.is_urgent = True
            return path
        return copy

    def drop(self, *paths: Path) -> None:
        """Remove drafts as soon as no record names them any more."""
        self._dropped += paths

    def spool(self, batches: Sequence[pa.RecordBatch]) -> str:
        """Write what waits to be written; the name of the file, "" where nothing waits.

        Raises:
            OSError: There is no room for it.
        """
        if not batches:
            return ""
        path = self.new()
        try:
            # Each column of each page is written alone: without a buffer, thousands of calls.
            with (
                pa.OSFile(str(path), "wb") as file,
                pa.BufferedOutputStream(file, _BUFFERED_BYTES) as buffered,
                pa.ipc.new_file(buffered, batches[0].schema) as to,
            ):
                for batch in batches:
                    to.write_batch(batch)
        except (OSError, pa.ArrowException):
            path.unlink(missing_ok=True)
            raise
        self.drop(path)
        self._spool = path
        return path.name

    def take_recorded(self) -> None:
        """A record was written that names no draft that was dropped, but the last spool."""
        self.is_urgent = False
        for path in self._dropped:
            if path != self._spool:
                path.unlink(missing_ok=True)
        self._dropped = [path for path in self._dropped if path == self._spool]
        self._spool = None

    def free_reserved_space(self) -> None:
        """The disk is full: give back what was reserved."""
        with suppress(OSError):
            (self.folder / _RESERVE).unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove them all, and the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.keep()

    def keep(self) -> None:
        """Leave them to whoever goes on with the listing."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def read_spool(path: Path) -> Iterator[pa.RecordBatch]:
    """What was spooled into a file.

    Raises:
        OSError, pa.ArrowException: It is not there, or damaged.
    """
    with pa.OSFile(str(path), "rb") as file, pa.ipc.open_file(file) as reader:
        for number in range(reader.num_record_batches):
            yield reader.get_batch(number)


def remove_old(roots: Path, seconds: float) -> None:
    """Remove the drafts of listings that nobody has gone on with.

    Args:
        roots: A folder for each listing, with one for each process of it.
        seconds: How long they are kept.
    """
    with suppress(OSError):
        for root in [*roots.iterdir()]:
            folders = [*root.iterdir()]
            newest = max((each.stat().st_mtime for each in [root, *folders]), default=0.0)
            if time.time() - newest > seconds and not any(map(is_in_use, folders)):
                shutil.rmtree(root, ignore_errors=True)


def is_in_use(folder: Path) -> bool:
    """Whether the process whose drafts they are is alive."""
    try:
        descriptor = os.open(folder / _LOCK, os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return False
