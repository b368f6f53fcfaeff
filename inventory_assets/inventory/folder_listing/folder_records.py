"""What a folder says of the listing into it: what was asked for, and what is whole.

Both records lie in the work folder, which is gone once the files have their names. They name the
listing they belong to, so that nobody takes it for another.
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

_GONE = ".inventory-finished"
UNREADABLE = "unreadable.jsonl"
"""Beside the files: the records that could not be decoded."""

_FINISHED, _ASKED_FOR = "finished.json", "asked-for.json"

_Record = TypeVar("_Record")


@dataclass(frozen=True, slots=True)
class ListingRequest:
    """Which listing it is.

    Attributes:
        identity: From `listing_fingerprint`; the same for the same bucket, keys, versions and code.
        described: The same for people.
    """

    identity: str
    described: str


def request_of(work: Work) -> ListingRequest:
    """Which listing `work` is, in whatever order the store turns out to list."""
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
class AskedFor:
    """The record of a listing that has begun.

    Attributes:
        arguments: Of the command.
        listing: Which listing.
        began_at: When the command was given first.
    """

    arguments: tuple[str, ...]
    listing: ListingRequest
    began_at: datetime


@dataclass(frozen=True, slots=True)
class Listing:
    """What was listed, its parts still under the names of their content."""

    parts: tuple[Part, ...]
    requests: int
    faults: dict[str, int]
    unreadable: UnreadableRecords = NOTHING_UNREADABLE


@dataclass(frozen=True, slots=True)
class Finished:
    """The record of a listing that is whole, while its files get their names.

    Attributes:
        listing: Which listing.
        finished_at: When it was whole.
        found: What was listed.
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
    def resume(self) -> str:
        """The command that goes on with what is in the folder."""
        return f"`inventory resume {quote(str(self._folder))}`"

    def asked_for(self) -> AskedFor | None:
        """What was asked for last.

        Raises:
            CorruptRecord: The record is damaged.
        """
        return self._read(_ASKED_FOR, _asked_for())

    def finished(self) -> Finished | None:
        """The listing that is whole, if there is one.

        Raises:
            CorruptRecord: The record is damaged.
        """
        return self._read(_FINISHED, _finished())

    @property
    def is_finished(self) -> bool:
        return self._store.size(_FINISHED) is not None

    def begin(self, asked_for: AskedFor) -> None:
        self._store.publish(_ASKED_FOR, _asked_for().dump_json(asked_for))

    def finish(self, finished: Finished) -> None:
        """From here on, a listing that is killed is whole, and only moves the rest of its files.

        Raises:
            CorruptRecord: A part is missing.
        """
        for part in finished.found.parts:
            if not part_exists(self._store, part):
                raise self._missing(self._store.where(part.key))
        self._store.publish(_FINISHED, _finished().dump_json(finished))

    def require_same(self, finished: Finished, wanted: ListingRequest, now: datetime) -> None:
        """Make sure that a listing found whole may be handed out for the one asked for now.

        Raises:
            OtherListing: It is another, or too old.
        """
        found = finished.listing
        is_same = found.identity == wanted.identity
        if is_same and now - finished.finished_at < MAX_AGE:
            return
        raise OtherListing(
            f"{self._folder} holds a finished listing of {_describe(found, wanted)}, of "
            f"{finished.finished_at.isoformat(timespec='seconds')}, whose files have not all got "
            f"their names{'' if is_same else f', not of {wanted.described}'}; give them their "
            f"names with {self.resume}, or list into another folder"
            + (": it is too old to be taken for the bucket as it is now" if is_same else "")
        )

    def require_no_other(self, wanted: ListingRequest) -> None:
        """Make sure that nothing of another listing is kept in the folder.

        Raises:
            OtherListing: Something is, and it would be lost.
            CorruptRecord: Something is kept, and nobody can tell of which listing.
        """
        if not any(self._store.list_names(CHECKPOINTS)):
            return
        asked_for = self.asked_for()
        if asked_for is None:
            raise self._damaged(_ASKED_FOR)
        if asked_for.listing.identity != wanted.identity:
            raise OtherListing(
                f"{self._folder} holds an unfinished listing of "
                f"{_describe(asked_for.listing, wanted)}, begun at "
                f"{asked_for.began_at.isoformat(timespec='seconds')}, not of {wanted.described}; "
                f"finish it with {self.resume}, list into another folder, or remove "
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
            f"{self._store.where(name)} is damaged or missing, so nobody can tell which listing "
            f"{self._folder} holds; remove {self._store.root} and list the bucket again"
        )

    def _missing(self, file: object) -> CorruptRecord:
        return CorruptRecord(
            f"{file} is missing or has another size, though the listing wrote it; list the bucket "
            "again, into another folder, to which nobody else writes"
        )

    def move(self, lock: FolderLock, found: Listing) -> tuple[Path, ...]:
        """Give all parts their final names, those that have them already passed over.

        Raises:
            CorruptRecord: A part is missing.
            StoreError: A file that is not of this listing is in the way, the folder is no longer
                the one that was locked, or it cannot be written.
        """
        lock.check()
        files = [lock.folder / f"part-{number:05}.parquet" for number in range(len(found.parts))]
        left = [
            (self._store.path(part.key), file)
            for part, file in zip(found.parts, files, strict=True)
            if not self._has_its_name(part, file)
        ]
        if strangers := sorted({*lock.folder.glob("*.parquet")} - {*files}):
            raise self._in_the_way(strangers[0])
        try:
            for path, file in left:
                self._give_name(path, file)
            unreadable = lock.folder / UNREADABLE
            unreadable.unlink(missing_ok=True)  # that of a listing before, whose files are gone
            if found.unreadable.count:
                unreadable.write_text(found.unreadable.lines, "utf-8")
            _flush(lock.folder)
            lock.check()
            # Renamed first: what says that all is listed must not be gone while the rest is there.
            self._store.root.rename(lock.folder / _GONE)
        except OSError as error:
            raise StoreError(
                f"cannot give the files in {self._folder} their names: {error.strerror}; "
                f"{self.resume} goes on with it"
            ) from error
        remove_gone(lock.folder)
        return tuple(self._folder / file.name for file in files)

    def _has_its_name(self, part: Part, file: Path) -> bool:
        """Whether a part was moved already; if not, it can be moved."""
        path = self._store.path(part.key)
        if part_exists(self._store, part):
            if not os.path.lexists(file):
                return False
            if not _is_same(path, file):
                raise self._in_the_way(file)
            # It was killed after it made the new name, and before it removed the old one.
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
            f"its files; move it elsewhere, then {self.resume}"
        )


def remove_gone(folder: Path) -> None:
    """Remove what a listing left that was killed when all its files had their names."""
    shutil.rmtree(folder / _GONE, ignore_errors=True)


def interrupted_listing(folder: Path) -> Sequence[str]:
    """The arguments that the unfinished listing in a folder was asked for with.

    Raises:
        StoreError: There is none, or its record is damaged.
    """
    records = FolderRecords(folder, LocalStore(folder / WORK_FOLDER))
    asked_for = records.asked_for()
    if asked_for is None:
        raise StoreError(f"{folder} holds no unfinished listing; begin one with `inventory list`")
    return asked_for.arguments


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
def _asked_for() -> TypeAdapter[AskedFor]:
    return TypeAdapter(AskedFor)


@cache
def _finished() -> TypeAdapter[Finished]:
    return TypeAdapter(Finished)
