"""Listings into a folder that are killed after some of their work."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from inventory_assets.inventory.folder_listing import folder_listing
from inventory_assets.inventory.folder_listing.folder_listing import FolderListing, list_into_folder
from inventory_assets.inventory.folder_listing.folder_lock import WORK_FOLDER
from inventory_assets.s3.bucket_config import BucketConfig
from inventory_assets.scan.engine.parallel_scan import utc_now
from inventory_assets_tests.fakes.simulated_bucket import Killed, Life, MortalStore
from inventory_assets_tests.inventory.killed_listings import KEYS, Bucket, small_files

KEYS_OF = {"one": KEYS[:90], "two": KEYS[90:150]}
DAY = timedelta(days=1)


def bucket(name: str = "one") -> Bucket:
    opened = Bucket(KEYS_OF[name])
    opened.bucket_config = BucketConfig(name, max_in_flight=4)
    return opened


def fill(
    folder: Path,
    name: str = "one",
    prefix: str = "",
    *,
    resume: bool = False,
    now: Callable[[], datetime] = utc_now,
) -> FolderListing:
    return list_into_folder(bucket(name), prefix, folder, arguments=[name], resume=resume, now=now)


def keys_in(folder: Path) -> list[str]:
    tables = [pq.read_table(file) for file in sorted(folder.glob("*.parquet"))]
    return [key for table in tables for key in table.column("key").to_pylist()]


def tree(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


class DeadStore(MortalStore):
    """Does not even clean up once its process is killed."""

    def remove(self) -> None:
        self._life.spend()
        super().remove()

    def remove_scratch(self) -> None:
        self._life.spend()
        super().remove_scratch()


@contextmanager
def living(life: Life) -> Iterator[None]:
    """A listing is killed when it has done so much, the names of its files included."""

    def mortal(name: str) -> Callable[..., object]:
        do = getattr(Path, name)

        def step(self: Path, *arguments: object, **options: object) -> object:
            if self.suffix == ".parquet" or self.name == WORK_FOLDER:
                life.spend()
            return do(self, *arguments, **options)

        return step

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(folder_listing, "LocalStore", lambda root: DeadStore(root, life))
        for name in ("hardlink_to", "unlink", "rename"):
            patch.setattr(Path, name, mortal(name))
        yield


def kill(folder: Path, left: int, name: str = "one", prefix: str = "") -> None:
    with small_files(), living(Life(left)), pytest.raises(Killed):
        fill(folder, name, prefix)


def kill_finished(folder: Path, name: str = "one", moved: int = 0) -> None:
    """Kill a listing that is whole, when some files have their names."""
    with small_files(), pytest.MonkeyPatch.context() as patch:
        link, life = Path.hardlink_to, Life(moved)

        def linked(self: Path, target: Path) -> None:
            if self.parent == folder:
                life.spend()
            link(self, target)

        patch.setattr(Path, "hardlink_to", linked)
        patch.setattr(folder_listing, "_describe_resumable", lambda *_arguments: None)
        with pytest.raises(Killed):
            fill(folder, name)
    assert (folder / WORK_FOLDER / "finished.json").exists()
    assert len(list(folder.glob("*.parquet"))) == moved
