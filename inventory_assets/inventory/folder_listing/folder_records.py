"""The records of a listing into a folder: that it has begun, and that it is finished.

Both are in the work folder, which is removed once the files have their final names. They name their
listing, so that the work of another listing is not taken for it.
"""

import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from shlex import quote
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

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

_FINISHED_FOLDER = ".inventory-finished"
UNREADABLE = "unreadable.jsonl"
"""The file beside the Parquet files with the records that could not be decoded."""

_FINISHED, _BEGUN = "finished.json", "asked-for.json"

_Record = TypeVar("_Record")


@dataclass(frozen=True, slots=True)
class ListingRequest:
    """What a listing lists.

    Attributes:
        identity: From `listing_fingerprint`; equal for the same bucket, keys, versions and code.
        described: A description for messages.
    """

    identity: str
    described: str


def request_of(work: Work) -> ListingRequest:
    """The request that `work` carries out; it does not depend on the order of the store."""
    connection, versions = work.lister.connection, work.versions
    described = connection.display_name
    if work.prefix:
        described += f", keys that start with {work.prefix!r}"
    if versions:
        as_of = f"the versions as of {versions.as_of.isoformat()}" if versions.as_of else ""
        described += f", {as_of or 'all versions'}"
    return ListingRequest(
        listing_fingerprint(connection, work.prefix, versions=versions), described
    )


@dataclass(frozen=True, slots=True)
class BegunListing:
    """The record of a listing that has begun.

    Attributes:
        arguments: The arguments of the command.
        listing: What is listed.
        began_at: When the first run began.
    """

    arguments: tuple[str, ...]
    listing: ListingRequest
    began_at: datetime


@dataclass(frozen=True, slots=True)
class Listing:
    """The result of a listing, whose parts still have the names of the store."""

    parts: tuple[Part, ...]
    requests: int
    faults: dict[str, int]
    unreadable: UnreadableRecords = NOTHING_UNREADABLE


@dataclass(frozen=True, slots=True)
class FinishedListing:
    """The record of a listing that is complete, while its files get their names.

    Attributes:
        listing: What was listed.
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
        return self._read(_BEGUN, _begun_adapter())

    def finished(self) -> FinishedListing | None:
        """The finished listing, if there is one.

        Raises:
            CorruptRecord: The record is damaged.
        """
        return self._read(_FINISHED, _finished_adapter())

    @property
    def is_finished(self) -> bool:
        return self._store.size(_FINISHED) is not None

    def begin(self, begun: BegunListing) -> None:
        self._store.publish(_BEGUN, _begun_adapter().dump_json(begun))

    def finish(self, finished: FinishedListing) -> None:
        """Record that the listing is complete: after a kill, its files only need to be moved.

        Raises:
            CorruptRecord: A part is missing.
        """
        for part in finished.found.parts:
            if not part_exists(self._store, part):
                raise self._missing(self._store.where(part.key))
        self._store.publish(_FINISHED, _finished_adapter().dump_json(finished))

    def require_same(
        self, finished: FinishedListing, wanted: ListingRequest, now: datetime
    ) -> None:
        """Make sure that a finished listing is the requested one, and is recent.

        Raises:
            OtherListing: It is not.
        """
        found = finished.listing
        is_same = found.identity == wanted.identity
        if is_same and now - finished.finished_at < MAX_AGE:
            return
        raise OtherListing(
            f"{self._folder} holds a finished listing of {_describe(found, wanted)}, of "
            f"{finished.finished_at.isoformat(timespec='seconds')}, whose files have not all got "
            f"their names{'' if is_same else f', not of {wanted.described}'}; give them their "
            f"names with {self.resume_command}, or list into another folder"
            + (": it is too old to be taken for the bucket as it is now" if is_same else "")
        )

    def require_no_other(self, wanted: ListingRequest) -> None:
        """Make sure that the folder holds no work of another listing.

        Raises:
            OtherListing: It does, and the work would be lost.
            CorruptRecord: It holds work, but not the record that names its listing.
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
                f"{self._store.root} to give up what it has"
            )

    def _read(self, name: str, adapter: TypeAdapter[_Record]) -> _Record | None:
        data = self._store.read(name)
        if data is None:
            return None
        try:
            return adapter.validate_json(data)
        except ValidationError:
            raise self._damaged(name) from None

    def _damaged(self, name: str) -> CorruptRecord:
        return CorruptRecord(
            f"{self._store.where(name)} is damaged or missing, so it is unknown which listing "
            f"{self._folder} holds; remove {self._store.root} and list the bucket again"
        )

    def _missing(self, file: object) -> CorruptRecord:
        return CorruptRecord(
            f"{file} is missing or has another size, though the listing wrote it; list the bucket "
            "again, into another folder, to which no other program writes"
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
            raise self._in_the_way(foreign[0])
        try:
            for path, file in left:
                self._give_name(path, file)
            unreadable = lock.folder / UNREADABLE
            unreadable.unlink(missing_ok=True)  # of an earlier listing
            if found.unreadable.count:
                unreadable.write_text(found.unreadable.lines, "utf-8")
            _flush(lock.folder)
            lock.check()
            # Renamed before it is removed, so that it disappears at once, with the finished record.
            self._store.root.rename(lock.folder / _FINISHED_FOLDER)
        except OSError as error:
            raise StoreError(
                f"cannot give the files in {self._folder} their names: {error.strerror}; "
                f"{self.resume_command} continues"
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
                raise self._in_the_way(file)
            # A run was killed between creating the new name and removing the old one.
            path.unlink()
            return True
        with suppress(OSError):
            if file.lstat().st_size == part.file_bytes:
                return True
        raise self._missing(path if not os.path.lexists(file) else file)

    def _give_name(self, path: Path, file: Path) -> None:
        try:
            file.hardlink_to(path)  # unlike a rename, it replaces nothing
        except FileExistsError:
            raise self._in_the_way(file) from None
        except OSError:
            # This file system has no hard links.
            if os.path.lexists(file):
                raise self._in_the_way(file) from None
            path.replace(file)
        else:
            path.unlink()

    def _in_the_way(self, file: Path) -> StoreError:
        return StoreError(
            f"{file} is not of the listing of this folder, which is finished but for the names of "
            f"its files; move it elsewhere, then {self.resume_command}"
        )


def remove_finished_folder(folder: Path) -> None:
    """Remove the work folder of a finished listing that was killed while removing it."""
    shutil.rmtree(folder / _FINISHED_FOLDER, ignore_errors=True)


def interrupted_listing(folder: Path) -> Sequence[str]:
    """The command-line arguments of the unfinished listing in a folder.

    Raises:
        StoreError: There is none, or its record is damaged.
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


@cache
def _begun_adapter() -> TypeAdapter[BegunListing]:
    return TypeAdapter(BegunListing)


@cache
def _finished_adapter() -> TypeAdapter[FinishedListing]:
    return TypeAdapter(FinishedListing)
