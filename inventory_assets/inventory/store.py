"""Where results are kept: a local folder, behind an interface that a bucket can take over.

A key is a relative path with `/`. What is published appears whole or not at all: it is written
beside its place, flushed to the disk, and renamed.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from inventory_assets.inventory.errors import StoreError
from inventory_assets.inventory.s3_inventory import Destination

NO_BUCKET = Destination("arn:aws:s3:::amzn-s3-demo-local-folder")
"""What a manifest in a local folder says of its bucket. Readers want an ARN of the right form; a
name that starts with `amzn-s3-demo-` can belong to nobody, so none looks into a stranger's bucket
(https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html)."""

_SCRATCH = ".scratch"


class LocalStore:
    """Results in a folder of this machine.

    Args:
        root: The folder; made when something is first published.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, key: str) -> Path:
        """Where the file of `key` lies, whether or not it is there."""
        path = self.root.joinpath(*key.split("/"))
        if ".." in path.parts[len(self.root.parts) :] or not path.is_relative_to(self.root):
            raise StoreError(f"the key {key!r} leads out of the store at {self.root}")
        return path

    def uri(self, key: str) -> str:
        """The address of `key` for readers outside; as Hadoop has it, nothing is escaped in it."""
        return f"file://{self.path(key).absolute()}"

    @property
    def destination(self) -> Destination:
        """Where readers of S3 Inventory look for what is published here."""
        return NO_BUCKET

    def read(self, key: str) -> bytes | None:
        """The bytes of `key`, or None where nothing was published."""
        try:
            return self.path(key).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreError(f"cannot read {self.path(key)}: {error.strerror}") from error

    def exists(self, key: str) -> bool:
        """Whether something was published under `key`."""
        return self.path(key).is_file()

    def names(self, folder: str) -> list[str]:
        """The names right under a folder, in order; none where the folder is not there."""
        try:
            return sorted(entry.name for entry in self.path(folder).iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return []

    def publish(self, key: str, data: bytes) -> None:
        """Make `data` the content of `key`, replacing what was there."""
        with self.scratch() as folder:
            path = folder / "record"
            path.write_bytes(data)
            self.publish_file(key, path)

    def publish_file(self, key: str, file: Path) -> None:
        """Move a file from `scratch` to `key`, replacing what was there."""
        target = self.path(key)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            _flush(file)
            file.replace(target)
            _flush(target.parent)
        except OSError as error:
            raise StoreError(f"cannot publish {target}: {error.strerror}") from error

    def remove(self) -> None:
        """Remove the store and all that is in it."""
        shutil.rmtree(self.root, ignore_errors=True)

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A new folder on the store's own file system, gone with the block."""
        parent = self.root / _SCRATCH
        try:
            parent.mkdir(parents=True, exist_ok=True)
            folder = Path(tempfile.mkdtemp(dir=parent))
        except OSError as error:
            raise StoreError(f"cannot write to the store at {self.root}: {error}") from error
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
