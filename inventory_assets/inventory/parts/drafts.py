"""Unpublished files of a listing that survive a kill of the process.

Written data is in the page cache of the kernel, which survives the process. A checkpoint
(`checkpoints.py`) records how many bytes of each file are complete, and their SHA-256, so that data
lost in a power failure is detected.
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
"""Freed when the disk is full, to make room for a checkpoint."""

_BUFFERED_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class Draft:
    """The complete row groups of a file; their Parquet footers are in a second file.

    Attributes:
        name: The file's name.
        bytes: The number of complete bytes.
        sha256: The SHA-256 of these bytes.
        groups: The footer size and the start offset of each row group.
        footers_sha256: The SHA-256 of the footers.
        first_key: The first key.
        last_key: The last key.
        classes: Totals by storage class.
        current: The number of current objects among versions; None without versions.
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
        folder: An exclusive folder, created with the first draft.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.is_urgent = False
        """Whether a checkpoint must be written soon, as a draft was moved into the store."""
        self._lock: int | None = None
        self._begun = 0
        self._spool: Path | None = None
        self._dropped: list[Path] = []

    def new(self) -> Path:
        """The path of a new draft.

        Raises:
            OSError: The folder cannot be created.
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
        """Hard-link a finished draft, for a store that moves the file when publishing it.

        The draft itself remains until a checkpoint records that it is published.
        """
        copy = path.with_suffix(".whole")
        try:
            copy.hardlink_to(path)
        except OSError:  # no hard links
            self.is_urgent = True
            return path
        return copy

    def drop(self, *paths: Path) -> None:
        """Remove drafts as soon as the next checkpoint is written, which does not name them."""
        self._dropped += paths

    def spool(self, batches: Sequence[pa.RecordBatch]) -> str:
        """Write buffered batches to a file; return its name, or "" without batches.

        Raises:
            OSError: The file cannot be written.
        """
        if not batches:
            return ""
        path = self.new()
        try:
            # Arrow writes each column of each batch separately; a buffer saves thousands of calls.
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

    def remove_recorded(self) -> None:
        """Remove the dropped drafts after a checkpoint was written, except its spool."""
        self.is_urgent = False
        for path in self._dropped:
            if path != self._spool:
                path.unlink(missing_ok=True)
        self._dropped = [path for path in self._dropped if path == self._spool]
        self._spool = None

    def free_reserved_space(self) -> None:
        """Free the reserved space; call it when the disk is full."""
        with suppress(OSError):
            (self.folder / _RESERVE).unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove all drafts and the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.keep()

    def keep(self) -> None:
        """Unlock the drafts, for the process that resumes the listing."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def read_spool(path: Path) -> Iterator[pa.RecordBatch]:
    """Read the batches of a spool file.

    Raises:
        OSError, pa.ArrowException: The file is missing or damaged.
    """
    with pa.OSFile(str(path), "rb") as file, pa.ipc.open_file(file) as reader:
        for number in range(reader.num_record_batches):
            yield reader.get_batch(number)


def remove_old(roots: Path, seconds: float) -> None:
    """Remove the drafts of abandoned listings.

    Args:
        roots: The folder with a folder per listing, each with a folder per process.
        seconds: The age after which they are removed.
    """
    with suppress(OSError):
        for root in [*roots.iterdir()]:
            folders = [*root.iterdir()]
            newest = max((each.stat().st_mtime for each in [root, *folders]), default=0.0)
            if time.time() - newest > seconds and not any(map(is_in_use, folders)):
                shutil.rmtree(root, ignore_errors=True)


def is_in_use(folder: Path) -> bool:
    """Whether the process that writes these drafts is alive."""
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
