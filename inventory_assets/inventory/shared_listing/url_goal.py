"""The result of `inventory list --join`: files at a URL, and `listing.json`, which names them."""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from inventory_assets.inventory.errors import CorruptRecord, JoinRefused
from inventory_assets.inventory.folder_listing.range_listing import Work
from inventory_assets.inventory.listing.checkpoint_record import ResumedWork
from inventory_assets.inventory.listing.checkpoints import MAX_AGE, CheckpointLog
from inventory_assets.inventory.parts.part import Part
from inventory_assets.inventory.shared_listing.completion import join_results
from inventory_assets.inventory.shared_listing.conditional_record import write_if_unchanged
from inventory_assets.inventory.shared_listing.listing_record import (
    AT_ROOT,
    LISTING,
    SharedListing,
    SharedResult,
    encode_listing,
)
from inventory_assets.inventory.shared_listing.range_board import CLOSING, BoardState
from inventory_assets.inventory.shared_listing.range_builder import SharedRangesBuilder
from inventory_assets.inventory.shared_listing.range_claim import RangeClaim
from inventory_assets.inventory.shared_listing.range_worker import open_checkpoints
from inventory_assets.inventory.storage.store import Store
from inventory_assets.scan.engine.events import ListingJob
from inventory_assets.scan.keyspace.key_range import KeyRange

LOG = logging.getLogger(__name__)

FILES, UNREADABLE = "files.txt", "unreadable.jsonl"
"""The URIs of the files, in key order; and the records that could not be decoded."""

_OWN_NAMES = {".scratch", LISTING}
"""The names at the root of a store into which a listing may begin."""


class UrlGoal:
    """A `ListingGoal`: `listing.json` in a store that belongs to the listing alone.

    Args:
        work: The bucket and the store.
        now: The clock.
    """

    places = AT_ROOT
    remedy = "list it into a folder, without --join"
    advice = "start all participants with the same version and arguments, or name another prefix"

    is_replaceable = False

    def __init__(self, work: Work, now: Callable[[], datetime]) -> None:
        self._work = work
        self._store = work.store
        self._now = now

    def prepare(self) -> bool:
        """Require that the store has no other files; return False if a listing has just begun."""
        names = {*self._store.list_names("")}
        if LISTING in names:
            return False
        if foreign := sorted(names - _OWN_NAMES):
            raise JoinRefused(
                f"{self._store.where('')} holds other files already, such as {foreign[0]!r}; name "
                "a prefix for this listing alone"
            )
        return True

    def new_listing(self, listing: SharedListing) -> SharedListing:
        return listing

    def found(self) -> SharedResult | None:
        return None

    def accepts_all_versions(self, _began_at: datetime) -> bool:
        return False

    def is_over(self, _listing: SharedListing) -> bool:
        return False

    def result_of(self, listing: SharedListing) -> SharedResult | None:
        return listing.result

    def require_recent(self, listing: SharedListing) -> None:
        """Check that a finished listing stands for the present bucket.

        Raises:
            JoinRefused: It is too old.
        """
        if listing.result is None:
            return
        finished_at = listing.result.finished_at
        when = finished_at.isoformat(timespec="seconds")
        if self._now() - finished_at >= MAX_AGE:
            raise JoinRefused(
                f"{self._store.where(LISTING)} holds a listing that was finished at {when}, which "
                "is too old to stand for the present bucket; name another prefix"
            )
        LOG.info("the listing was finished at %s: nothing is left to do", when)

    def take_part(self, listing: SharedListing) -> None:
        """Nothing is to be noted: the record holds the result."""

    def work_on(self, listing: SharedListing) -> Work:
        return replace(self._work, folder=listing.id)

    def segments(self, _listing: SharedListing) -> None:
        return None

    def split_hints(self, _ranges: Sequence[KeyRange]) -> Sequence[str]:
        return ()

    def open_builder(
        self,
        work: Work,
        checkpoints: CheckpointLog,
        job: ListingJob,
        _listing: SharedListing,
        claim: RangeClaim,
    ) -> SharedRangesBuilder:
        return SharedRangesBuilder(work, checkpoints, job, claim)

    def summarize(
        self,
        _builder: SharedRangesBuilder,
        _resumed: ResumedWork,
        _ranges: Sequence[KeyRange],
        _listing: SharedListing,
    ) -> str:
        return ""

    def publish(
        self, listing: SharedListing, etag: str, state: BoardState, _claim: RangeClaim
    ) -> None:
        """Verify the results of all ranges, and publish them in `listing.json`.

        Raises:
            CorruptRecord: A part is missing.
            ConflictError: Another participant has written the record meanwhile.
            InventoryError: See `join_results`.
        """
        work = self.work_on(listing)
        checkpoints = open_checkpoints(work, listing, CLOSING)
        result = join_results(work, listing, state, self._now, checkpoints)
        _require_files(self._store, listing, result.parts)
        finished = replace(listing, result=result)
        write_if_unchanged(self._store, LISTING, encode_listing(finished), etag)

    def tidy(self, listing: SharedListing) -> None:
        """Write the files beside a finished listing, and remove all that it does not name.

        Every participant does it at its end: one that was paused may have left files after the
        others ended.

        Raises:
            StoreError: The store cannot be used.
        """
        result = listing.result
        if result is None:
            raise ValueError("the listing is not finished")
        named = {part.key for part in result.parts}
        files = "".join(f"{self._store.uri(part.key)}\n" for part in result.parts).encode()
        if self._store.read(FILES) != files:
            self._store.publish(FILES, files)
        if result.unreadable.count:
            self._store.publish(UNREADABLE, result.unreadable.lines.encode())
        self._remove_files(listing, named)

    def end(self, listing: SharedListing) -> None:
        """The record stays, as it holds the result."""

    def remove(self, listing: SharedListing) -> None:
        """Remove the records and parts of a listing.

        Raises:
            StoreError: The store cannot be used.
        """
        self._remove_files(listing, ())

    def _remove_files(self, listing: SharedListing, kept: Iterable[str]) -> None:
        for folder in (self.places.folder(listing), listing.layout.base):
            for key in [file.key for file in self._store.files(folder)]:
                if key not in kept:
                    self._store.remove_key(key)


def _require_files(store: Store, listing: SharedListing, parts: Sequence[Part]) -> None:
    sizes = {file.key: file.size for file in store.files(listing.layout.data_folder)}
    for part in parts:
        if sizes.get(part.key) != part.file_bytes:
            raise CorruptRecord(
                f"{store.where(part.key)} is missing or does not have the size that the listing "
                "wrote; list the bucket again, into a prefix to which no other program writes"
            )
