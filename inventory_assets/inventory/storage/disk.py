"""Say of a disk that is full where it is, and how much was needed."""

import errno
import shutil
from pathlib import Path

from inventory_assets.errors import FULL
from inventory_assets.inventory.errors import DiskFull


def full_disk(error: OSError, path: Path, needed: int) -> OSError:
    """The error to raise for one that writing met.

    Args:
        error: What writing met.
        path: Where was written.
        needed: The bytes that the file needed so far, and needs at least.

    Returns:
        A `DiskFull` where the disk is full; else `error` as it is.
    """
    if error.errno not in FULL or isinstance(error, DiskFull):
        return error
    folder = next((each for each in path.absolute().parents if each.is_dir()), Path("/"))
    what = "the quota is used up" if error.errno == errno.EDQUOT else "the disk is full"
    try:
        free = f"{shutil.disk_usage(folder).free:,} bytes are free"
    except OSError:
        free = "how much is free is not known"
    said = DiskFull(
        f"{what}: {path} needs {needed:,} bytes or more, and {free}; free some space there, or "
        "choose another folder, and try again"
    )
    said.errno = error.errno
    return said
