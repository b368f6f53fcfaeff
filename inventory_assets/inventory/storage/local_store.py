"""Results in a folder of this machine."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from hashlib import sha256
from itertools import count
from pathlib import Path

import pyarrow as pa

from inventory_assets.inventory.errors import DiskFull, StoreError, superseded
from inventory_assets.inventory.storage.destination import Destination
from inventory_assets.inventory.storage.disk import full_disk
from inventory_assets.inventory.storage.scratch import ScratchSpace
from inventory_assets.inventory.storage.store import (
    NO_ETAG,
    Permission,
    Store,
    StoredFile,
    always_permitted,
)
from inventory_assets.inventory.storage.turns import Turn, wait

NO_BUCKET = Destination("arn:aws:s3:::amzn-s3-demo-local-folder")
"""The bucket that a manifest in a local folder states. Readers need an ARN of the right form. No
customer can own a name that starts with `amzn-s3-demo-`, so no reader opens a foreign bucket
(https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html)."""

_SCRATCH, _DRAFTS = ".scratch", ".drafts"


class LocalStore(Store):
    """Results in a folder of this machine.

    A file is written on the same file system, flushed to the disk, and renamed.

    Args:
        root: The folder; it is created when a file is first published.
        permission: Asked before a record is written.
    """

    def __init__(self, root: Path, permission: Permission = always_permitted) -> None:
        self.root = root
        self._require_permission = permission
        self._space = ScratchSpace(lambda: self.root / _SCRATCH)

    @property
    def destination(self) -> Destination:
        return NO_BUCKET

    def path(self, key: str) -> Path:
        """The path of `key`, whether or not it exists."""
        path = self.root.joinpath(*key.split("/"))
        if ".." in path.parts[len(self.root.parts) :] or not path.is_relative_to(self.root):
            raise StoreError(f"the key {key!r} leads out of the store at {self.root}")
        return path

    def where(self, key: str) -> str:
        return str(self.path(key))

    def uri(self, key: str) -> str:
        return f"file://{self.path(key).absolute()}"

    def read(self, key: str) -> bytes | None:
        path = self.path(key)
        try:
            return path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _unreadable(path, error) from error

    def open(self, key: str) -> pa.NativeFile | None:
        path = self.path(key)
        try:
            return pa.OSFile(str(path), "rb")
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _unreadable(path, error) from error

    def size(self, key: str) -> int | None:
        path = self.path(key)
        try:
            return path.stat().st_size if path.is_file() else None
        except OSError as error:
            raise _unreadable(path, error) from error

    def etag(self, key: str) -> str:
        data = self.read(key)
        return NO_ETAG if data is None else sha256(data).hexdigest()

    def list_names(self, folder: str) -> list[str]:
        try:
            return sorted(entry.name for entry in self.path(folder).iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return []

    def files(self, folder: str) -> Iterator[StoredFile]:
        for path, _, names in os.walk(self.path(folder), onerror=_raise_unless_gone):
            for name in names:
                file = Path(path, name)
                with suppress(FileNotFoundError):
                    size = file.stat().st_size
                    yield StoredFile(file.relative_to(self.root).as_posix(), size)

    def publish(self, key: str, data: bytes) -> None:
        self._require_permission()
        with self.scratch() as folder:
            path = folder / "record"
            try:
                path.write_bytes(data)
            except OSError as error:
                raise full_disk(error, path, len(data)) from error
            self.publish_file(key, path)

    def put_if_match(self, key: str, data: bytes, etag: str) -> str:
        """See `Store`. Runs that publish the same record take turns (`turns.py`)."""
        target = self.path(key)
        with self.scratch() as folder, _as_store_error(target):
            turn = Turn(folder.with_name(f"turn-{sha256(key.encode()).hexdigest()[:32]}"), folder)
            turn.record.write_bytes(data)
            _flush(turn.record)
            for attempt in count():
                if self.etag(key) != etag:
                    raise superseded(target)
                if turn.acquire():
                    break
                wait(attempt)
            try:
                self._require_permission()
                is_published = self._put_in_turn(turn, target, key, etag)
            finally:
                turn.release()
            if is_published or self.read(key) == data:
                _flush(target.parent)
                return sha256(data).hexdigest()
        # This run was so slow that another run has ended its turn.
        return self.put_if_match(key, data, etag)

    def _put_in_turn(self, turn: Turn, target: Path, key: str, version: str) -> bool:
        for _ in range(2):
            target.parent.mkdir(parents=True, exist_ok=True)
            # Opening a folder makes NFS ask the server whether its names have changed.
            os.close(os.open(target.parent, os.O_RDONLY))
            if self.etag(key) != version:
                raise superseded(target)
            if turn.publish(target):
                return True
            if not turn.is_mine:
                break
            # A collection removed the folder while it was still empty.
        return False

    def publish_file(self, key: str, file: Path, digest: str | None = None) -> None:  # noqa: ARG002 - a move costs nothing
        target = self.path(key)
        with _as_store_error(target, file):
            _flush(file)
            try:
                _move(file, target)
            except FileNotFoundError:
                # A collection removed the folder while it was still empty.
                _move(file, target)
            _flush(target.parent)

    def remove_key(self, key: str) -> None:
        path = self.path(key)
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(f"cannot remove {path}: {error.strerror}") from error

    def remove_folder(self, folder: str) -> None:
        with suppress(OSError):  # it is not empty, or does not exist
            self.path(folder).rmdir()

    def remove(self) -> None:
        """Remove the store and all its files."""
        shutil.rmtree(self.root, ignore_errors=True)

    def remove_scratch(self) -> None:
        """Remove scratch files of killed processes; no other process may use the store."""
        shutil.rmtree(self.root / _SCRATCH, ignore_errors=True)

    def drafts(self, name: str) -> Path | None:
        return self.root / _DRAFTS / name

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        with ExitStack() as stack:
            try:
                folder = stack.enter_context(self._space.folder())
            except OSError as error:
                if isinstance(full := full_disk(error, self.root / _SCRATCH, 0), DiskFull):
                    raise full from error
                raise StoreError(f"cannot write to the store at {self.root}: {error}") from error
            yield folder


def _unreadable(path: Path, error: OSError) -> StoreError:
    return StoreError(f"cannot read {path}: {error.strerror}")


def _raise_unless_gone(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise _unreadable(Path(error.filename), error) from error


@contextmanager
def _as_store_error(target: Path, file: Path | None = None) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        size = file.stat().st_size if file and file.exists() else 0
        if isinstance(full := full_disk(error, target, size), DiskFull):
            raise full from error
        raise StoreError(f"cannot publish {target}: {error.strerror}") from error


def _move(file: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    file.replace(target)


def _flush(path: Path) -> None:
    """Flush a file, or the names in a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some file systems cannot flush a folder, and need not.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS) or not path.is_dir():
            raise
    finally:
        os.close(descriptor)
