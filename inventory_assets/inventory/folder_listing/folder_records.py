"""The records that a listing into a folder has begun, and that it is complete.

Both are in the work folder, which is removed when the files have their final names. Each record
identifies its listing, so that no other listing resumes its work.
"""

import os
import shutil
from collections.abc import Hashable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from shlex import quote
from typing import TypeVar

from inventory_assets.inventory.errors import CorruptRecord, OtherListing, StoreError
from inventory_assets.inventory.folder_listing.folder_lock import WORK_FOLDER, FolderLock
from inventory_assets.inventory.folder_listing.range_listing import CHECKPOINTS, Work
from inventory_assets.inventory.listing.checkpoint_record import listing_fingerprint
from inventory_assets.inventory.listing.checkpoints import MAX_AGE
from inventory_assets.inventory.manifest.unreadable_records import (
    NOTHING_UNREADABLE,
    UnreadableRecords,
)
from inventory_assets.inventory.parts.part import Part, part_exists
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets.inventory.storage.record_format import UNNUMBERED, require_known_format
from inventory_assets.inventory.storage.record_type import decode_json, encode_json

_FINISHED_FOLDER = ".inventory-finished"
UNREADABLE = "unreadable.jsonl"
"""The file beside the Parquet files with the records that could not be decoded."""

_FINISHED, _BEGUN = "finished.json", "asked-for.json"

T = TypeVar("T", bound=Hashable)


@dataclass(frozen=True, slots=True)
class ListingRequest:
    """A listing that a user requested.

    Attributes:
        identity: From `listing_fingerprint`; equal for the same bucket, keys, versions and code.
        described: A description for messages.
    """

    identity: str
    described: str


def request_of(work: Work) -> ListingRequest:
    """The request that `work` carries out; it does not depend on the order of the store."""
    bucket_config, versions = work.lister.bucket_config, work.versions
    described = bucket_config.display_name
    if work.prefix:
        described += f", keys that start with {work.prefix!r}"
    if versions:
        as_of = f"the versions as of {versions.as_of.isoformat()}" if versions.as_of else ""
        described += f", {as_of or 'all versions'}"
    return ListingRequest(
        listing_fingerprint(bucket_config, work.prefix, versions=versions), described
    )


@dataclass(frozen=True, slots=True)
class BegunListing:
    """The record of a listing that has begun.

    Attributes:
        arguments: The arguments of the command.
        listing: The request.
        began_at: When the first run began.
    """

    arguments: tuple[str, ...]
    listing: ListingRequest
    began_at: datetime


@dataclass(frozen=True, slots=True)
class Listing:
    """The result of a listing, whose parts still have the names of the store.

    Attributes:
        parts: The parts, in key order.
        requests: The number of requests sent.
        faults: Transient errors, by kind.
        unreadable: Records that could not be decoded, and are in no part.
    """

    parts: tuple[Part, ...]
    requests: int
    faults: dict[str, int]
    unreadable: UnreadableRecords = NOTHING_UNREADABLE


@dataclass(frozen=True, slots=True)
class FinishedListing:
    """The record of a complete listing, whose files get their final names.

    Attributes:
        listing: The request.
        finished_at: When it was complete.
        found: The result.
    """

    listing: ListingRequest
    finished_at: datetime
    found: Listing


class FolderRecords:
    """The records of a folder.

    Args:
        folder: The folder, as the user named it.
        store: Its work folder.
    """

    def __init__(self, folder: Path, store: LocalStore) -> None:
        self._folder = folder
        self._store = store

    @property
    def resume_command(self) -> str:
        """The command that resumes the listing in the folder."""
        return f"`inventory resume {quote(str(self._folder))}`"

    def begun(self) -> BegunListing | None:
        """The unfinished listing, if there is one.

        Raises:
            CorruptRecord: The record is damaged.
        """
        return self._read(_BEGUN, BegunListing)

    def finished(self) -> FinishedListing | None:
        """The finished listing, if there is one.

        Raises:
            CorruptRecord: The record is damaged.
        """
        return self._read(_FINISHED, FinishedListing)

    @property
    def is_finished(self) -> bool:
        return self._store.size(_FINISHED) is not None

    def begin(self, begun: BegunListing) -> None:
        self._require_known_format(_BEGUN)
        self._store.publish(_BEGUN, encode_json(begun))

    def finish(self, finished: FinishedListing) -> None:
        """Record that the listing is complete, so that after a kill only its files are moved.

        Raises:
            CorruptRecord: A part is missing.
        """
        for part in finished.found.parts:
            if not part_exists(self._store, part):
                raise self._missing(self._store.where(part.key))
        self._store.publish(_FINISHED, encode_json(finished))

    def require_same(
        self, finished: FinishedListing, wanted: ListingRequest, now: datetime
    ) -> None:
        """Make sure that a finished listing is the requested one, and is recent.

        Raises:
            OtherListing: It is another listing, or is too old.
        """
        found = finished.listing
        is_same = found.identity == wanted.identity
        if is_same and now - finished.finished_at < MAX_AGE:
            return
        raise OtherListing(
            f"{self._folder} holds a finished listing of {_describe(found, wanted)}, of "
            f"{finished.finished_at.isoformat(timespec='seconds')}, not all files of which have "
            f"their final names{'' if is_same else f', not of {wanted.described}'}; finish it with "
            f"{self.resume_command}, or list into another folder"
            + (": it is too old to stand for the present bucket" if is_same else "")
        )

    def require_no_other(self, wanted: ListingRequest) -> None:
        """Make sure that the folder holds no work of another listing.

        Raises:
            OtherListing: It holds such work, which would be lost.
            CorruptRecord: It holds work, but not the record that identifies the listing.
        """
        if not any(self._store.list_names(CHECKPOINTS)):
            return
        begun = self.begun()
        if begun is None:
            raise self._damaged(_BEGUN)
        if begun.listing.identity != wanted.identity:
            raise OtherListing(
                f"{self._folder} holds an unfinished listing of "
                f"{_describe(begun.listing, wanted)}, begun at "
                f"{begun.began_at.isoformat(timespec='seconds')}, not of {wanted.described}; "
                f"finish it with {self.resume_command}, list into another folder, or remove "
                f"{self._store.root} to discard its work"
            )

    def _read(self, name: str, model: type[T]) -> T | None:
        data = self._store.read(name)
        if data is None:
            return None
        self._require_known_format(name)
        try:
            return decode_json(model, data)
        except ValueError:
            raise self._damaged(name) from None

    def _require_known_format(self, name: str) -> None:
        data = self._store.read(name) or b""
        title, where = "record of a listing", self._store.where(name)
        require_known_format(data, (UNNUMBERED,), title, where)

    def _damaged(self, name: str) -> CorruptRecord:
        return CorruptRecord(
            f"{self._store.where(name)} is damaged or missing, so it is unknown which listing "
            f"{self._folder} holds; remove {self._store.root} and list the bucket again"
        )

    def _missing(self, file: object) -> CorruptRecord:
        return CorruptRecord(
            f"{file} is missing or does not have the size that the listing wrote; list the bucket "
            "again, into another folder to which no other program writes"
        )

    def move(self, lock: FolderLock, found: Listing) -> tuple[Path, ...]:
        """Give all parts their final names, except those that have them already.

        Raises:
            CorruptRecord: A part is missing.
            StoreError: The folder has a Parquet file that is not of this listing, was replaced
                after it was locked, or cannot be written.
        """
        lock.check()
        files = [lock.folder / f"part-{number:05}.parquet" for number in range(len(found.parts))]
        left = [
            (self._store.path(part.key), file)
            for part, file in zip(found.parts, files, strict=True)
            if not self._has_its_name(part, file)
        ]
        if foreign := sorted({*lock.folder.glob("*.parquet")} - {*files}):
            raise self._foreign_file(foreign[0])
        try:
            for path, file in left:
                self._give_name(path, file)
            unreadable = lock.folder / UNREADABLE
            unreadable.unlink(missing_ok=True)  # of an earlier listing
            if found.unreadable.count:
                unreadable.write_text(found.unreadable.lines, "utf-8")
            _flush(lock.folder)
            lock.check()
            # Renamed first: the work folder and its finished record disappear atomically.
            self._store.root.rename(lock.folder / _FINISHED_FOLDER)
        except OSError as error:
            raise StoreError(
                f"cannot give the files in {self._folder} their names: {error.strerror}; run "
                f"{self.resume_command} to continue"
            ) from error
        remove_finished_folder(lock.folder)
        return tuple(self._folder / file.name for file in files)

    def _has_its_name(self, part: Part, file: Path) -> bool:
        """Whether a part has its final name already; otherwise it can be moved."""
        path = self._store.path(part.key)
        if part_exists(self._store, part):
            if not os.path.lexists(file):
                return False
            if not _is_same(path, file):
                raise self._foreign_file(file)
            # A run was killed between creating the new name and removing the old one.
            path.unlink()
            return True
        with suppress(OSError):
            if file.lstat().st_size == part.file_bytes:
                return True
        raise self._missing(path if not os.path.lexists(file) else file)

    def _give_name(self, path: Path, file: Path) -> None:
        try:
            file.hardlink_to(path)  # unlike a rename, it never replaces a file
        except FileExistsError:
            raise self._foreign_file(file) from None
        except OSError:
            # This file system has no hard links.
            if os.path.lexists(file):
                raise self._foreign_file(file) from None
            path.replace(file)
        else:
            path.unlink()

    def _foreign_file(self, file: Path) -> StoreError:
        return StoreError(
            f"{file} does not belong to the listing in this folder, which is complete except for "
            f"the names of its files; move it elsewhere, then run {self.resume_command}"
        )


def remove_finished_folder(folder: Path) -> None:
    """Remove the work folder of a finished listing that was killed while removing it."""
    shutil.rmtree(folder / _FINISHED_FOLDER, ignore_errors=True)


def interrupted_listing(folder: Path) -> Sequence[str]:
    """The command-line arguments of the unfinished listing in a folder.

    Raises:
        StoreError: There is none.
        CorruptRecord: Its record is damaged.
    """
    records = FolderRecords(folder, LocalStore(folder / WORK_FOLDER))
    begun = records.begun()
    if begun is None:
        raise StoreError(f"{folder} holds no unfinished listing; begin one with `inventory list`")
    return begun.arguments


def _describe(found: ListingRequest, wanted: ListingRequest) -> str:
    if found.identity != wanted.identity and found.described == wanted.described:
        return f"{found.described} by another version of this program"
    return found.described


def _is_same(path: Path, file: Path) -> bool:
    with suppress(OSError):
        return os.path.samestat(path.lstat(), file.lstat())
    return False


def _flush(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
