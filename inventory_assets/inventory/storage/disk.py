"""The error for a full disk, with the path and the bytes that were needed."""

import errno
import shutil
from pathlib import Path

from inventory_assets.errors import FULL
from inventory_assets.inventory.errors import DiskFull


def full_disk(error: OSError, path: Path, needed: int) -> OSError:
    """The error to raise for an error of a write.

    Args:
        error: The error of the write.
        path: The file that was written.
        needed: The least number of bytes that the file needs.

    Returns:
        A `DiskFull` where the disk is full; otherwise `error`.
    """
    if error.errno not in FULL or isinstance(error, DiskFull):
        return error
    folder = next((each for each in path.absolute().parents if each.is_dir()), Path("/"))
    what = "the quota is used up" if error.errno == errno.EDQUOT else "the disk is full"
    try:
        free = f"{shutil.disk_usage(folder).free:,} bytes are free"
    except OSError:
        free = "the free space is not known"
    full = DiskFull(
        f"{what}: {path} needs {needed:,} bytes or more, and {free}; free some space there, or "
        "choose another folder, and try again"
    )
    full.errno = error.errno
    return full
