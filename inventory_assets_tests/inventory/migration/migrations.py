"""Migrations of stores to another place, which can be stopped."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from inventory_assets.inventory.migration.file_copier import MigrationProgress
from inventory_assets.inventory.migration.file_table import FileTable
from inventory_assets.inventory.migration.store_migration import MigrationPlan, StoreMigration
from inventory_assets.inventory.storage.destination import Destination
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets.inventory.storage.store import Store


class Stopped(Exception):
    """The process was killed."""


class OtherPlace(LocalStore):
    """A store of another place, with other ETags, that can be stopped.

    Args:
        root: Its folder.
        writes: How many files may be written.
    """

    def __init__(self, root: Path, writes: int = 10**9) -> None:
        super().__init__(root)
        self.left = writes
        self.written: list[str] = []

    @property
    def destination(self) -> Destination:
        return Destination("arn:aws:s3:::results", "daily")

    def uri(self, key: str) -> str:
        return f"s3://results/daily/{key}"

    def etag(self, key: str) -> str:
        found = super().etag(key)
        return found and f"other-{found}"

    def put_if_match(self, key: str, data: bytes, etag: str) -> str:
        self._count(key)
        return f"other-{super().put_if_match(key, data, etag.removeprefix('other-'))}"

    def publish_file(self, key: str, file: Path, digest: str | None = None) -> None:
        self._count(key)
        super().publish_file(key, file, digest)

    def _count(self, key: str) -> None:
        if not self.left:
            raise Stopped
        self.left -= 1
        self.written.append(key)


@contextmanager
def migration(source: Store, destination: Store, **options: Any) -> Iterator[StoreMigration]:
    folder = Path(str(destination.where("x"))).parents[1]
    path = folder / f"files-{len([*folder.iterdir()])}"
    with FileTable(path) as files:
        yield StoreMigration(source, destination, files, **options)


def migrate(source: Store, destination: Store, **options: Any) -> MigrationProgress:
    with migration(source, destination, **options) as opened:
        opened.plan()
        opened.run()
        return opened.progress


def planned(source: Store, destination: Store, **options: Any) -> MigrationPlan:
    with migration(source, destination, **options) as opened:
        return opened.plan()


def content(store: Store) -> dict[str, bytes]:
    keys = (file.key for file in store.files(""))
    return {key: store.read(key) or b"" for key in keys if not key.startswith(".")}
