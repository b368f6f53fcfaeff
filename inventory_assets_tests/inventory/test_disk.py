import errno
import os
from pathlib import Path

import pytest

from inventory_assets.inventory.errors import DiskFull, StoreError
from inventory_assets.inventory.export.exporter import atomic_file
from inventory_assets.inventory.parts.hashing_file import HashingFile
from inventory_assets.inventory.storage.disk import full_disk
from inventory_assets.inventory.storage.local_store import LocalStore


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_reported_with_its_path_and_what_was_needed(
    number: int, tmp_path: Path
) -> None:
    path = tmp_path / "not" / "there" / "part.parquet"
    error = full_disk(OSError(number, os.strerror(number)), path, 12_345)
    assert isinstance(error, DiskFull)
    assert isinstance(error, StoreError)
    assert error.errno == number
    assert f"{path} needs 12,345 bytes or more" in str(error)
    assert full_disk(error, Path("/elsewhere"), 1) is error


def test_other_errors_are_not_changed(tmp_path: Path) -> None:
    error = PermissionError(errno.EACCES, "denied")
    assert full_disk(error, tmp_path, 1) is error


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this machine has no /dev/full")
def test_files_that_are_written_tell_of_a_full_disk(tmp_path: Path) -> None:
    file = HashingFile(Path("/dev/full"))
    with pytest.raises(DiskFull, match="/dev/full needs 2,000,000 bytes or more"):
        file.write(b"x" * 2_000_000)
    with pytest.raises(DiskFull, match="/dev/full"), atomic_file(Path("/dev/full")) as out:
        out.write(b"x" * 2_000_000)
    with pytest.MonkeyPatch.context() as patch:

        def full(*_: object) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(DiskFull, match="needs 3 bytes or more"):
            LocalStore(tmp_path).publish("record", b"abc")
