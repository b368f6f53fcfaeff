"""Begin a shared listing, join one, and end one that cannot be completed.

All of it are conditional writes of the record of the listing.
"""

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Generic, TypeVar
from uuid import uuid4

from inventory_assets.errors import InventoryError
from inventory_assets.inventory.errors import (
    ConflictError,
    IncompleteListing,
    JoinRefused,
    StoreError,
)
from inventory_assets.inventory.folder_listing.range_listing import Work
from inventory_assets.inventory.listing.checkpoints import MAX_AGE
from inventory_assets.inventory.listing.listing_driver import ProfileCorrector
from inventory_assets.inventory.shared_listing.conditional_record import (
    read_with_etag,
    write_if_unchanged,
)
from inventory_assets.inventory.shared_listing.lease import LEASE_SECONDS, RENEWALS_PER_LEASE
from inventory_assets.inventory.shared_listing.listing_goal import ListingGoal
from inventory_assets.inventory.shared_listing.listing_record import (
    FORMAT,
    DamagedListing,
    SharedListing,
    SharedRequest,
    decode_listing,
    encode_listing,
)
from inventory_assets.inventory.shared_listing.range_board import RangeBoard
from inventory_assets.inventory.storage.claims import boot_clock
from inventory_assets.s3.request_stats import RequestStats
from inventory_assets.s3.store_profile import StartAfter, StoreProfile
from inventory_assets.scan.engine.parallel_scan import utc_now
from inventory_assets.scan.errors import KeysOutOfOrder, NamesMisread, ScanError
from inventory_assets.scan.keyspace.key_order import KeyOrder
from inventory_assets.scan.prefix_discovery import discover
from inventory_assets.scan.prefix_search import ShardBounds
from inventory_assets.scan.validation.object_versions import Versions

LOG = logging.getLogger(__name__)

Result = TypeVar("Result")

POLL_SECONDS = 0.5
"""How often a participant without ranges looks for some."""

_BOUNDS = ShardBounds(depth=0)
"""Discovery without prefixes, which only detects the key order of the store."""


@dataclass(frozen=True, slots=True)
class SharingOptions:
    """How a process takes part.

    Attributes:
        lease_seconds: For how long a participant may be silent; that of the participant that
            begins the listing counts.
        poll_seconds: How often to look for ranges.
        clock: A monotonic clock in seconds, which goes on while the machine sleeps.
        now: The time, for records; it is not compared with that of other machines, except to
            refuse a listing of another day.
        sleep: Waits so many seconds.
    """

    lease_seconds: float = LEASE_SECONDS
    poll_seconds: float = POLL_SECONDS
    clock: Callable[[], float] = boot_clock
    now: Callable[[], datetime] = utc_now
    sleep: Callable[[float], None] = time.sleep


DEFAULT_SHARING = SharingOptions()


class ListingLifecycle(Generic[Result]):
    """The shared listing in a store, as one participant reads and changes it.

    Args:
        work: The bucket and the store.
        options: How this process takes part.
        holder: The name of this participant.
        goal: What is made of the listing.
    """

    def __init__(
        self, work: Work, options: SharingOptions, holder: str, goal: ListingGoal[Result]
    ) -> None:
        self._work = work
        self._goal = goal
        self._key = goal.places.listing
        self._store = work.store
        self._options = options
        self._holder = holder
        self._where = work.lister.bucket_config.display_name
        self._request = SharedRequest.of(
            work.lister.bucket_config, work.prefix, work.versions, work.encodings
        )
        self._corrector = ProfileCorrector(work.lister)

    def join(self) -> SharedListing | None:
        """The listing to take part in, which this participant begins if there is none.

        Returns:
            The listing; None if the goal has a result of others to take.

        Raises:
            JoinRefused: The listing cannot be shared, or another one is in the store.
            InventoryError: The bucket or the store cannot be read.
        """
        while True:
            found, etag = self.read()
            is_over = found is not None and found.is_open and self._goal.is_over(found)
            if self._goal.found() is not None:
                if found is not None and is_over:
                    self._goal.end(found)
                return None
            if found is None:
                if not self._goal.prepare():
                    continue
            elif not is_over and self._can_join(found):
                return found
            begun = self._begin(etag)
            if begun is None:
                continue
            if found is not None:
                self._remove(found)
            # While this participant began, others may have begun another listing and ended it.
            if not self._goal.is_over(begun):
                return begun

    def board(self, listing: SharedListing) -> RangeBoard:
        """The range records of a listing."""
        return RangeBoard(
            self._store, listing, self._holder, self._options.clock, self._goal.places
        )

    def read(self) -> tuple[SharedListing | None, str]:
        """The listing whose record is there, and its ETag.

        Raises:
            CorruptRecord: The record is damaged and may not be replaced, or it is of another
                version of this program.
            StoreError: It cannot be read.
        """
        data, etag = read_with_etag(self._store, self._key)
        return self._decoded(data), etag

    def _decoded(self, data: bytes | None) -> SharedListing | None:
        """The listing of a record; None also for a damaged one that may be replaced."""
        if data is None:
            return None
        try:
            return decode_listing(self._store, data, self._key, self._goal.remedy)
        except DamagedListing:
            if not self._goal.is_replaceable:
                raise
            LOG.warning("%s is damaged: beginning anew", self._store.where(self._key))
            return None

    def _can_join(self, listing: SharedListing) -> bool:
        """Whether to take part in a listing, rather than begin it anew."""
        if (difference := self._request.difference(listing.request)) is not None:
            if self._goal.is_replaceable and not (listing.is_open and self._is_alive(listing)):
                LOG.info("nobody continues another listing here (%s): beginning anew", difference)
                return False
            if not self._accepts(listing):
                raise JoinRefused(
                    f"{self._store.where(self._key)} is another listing: {difference}; "
                    f"{self._goal.advice}"
                )
        if listing.result is not None:
            self._goal.require_recent(listing)
            return True
        if listing.failure:
            LOG.info("an earlier listing here failed (%s): beginning anew", listing.failure)
            return False
        if self._is_abandoned(listing):
            LOG.info("an unfinished listing here is more than a day old: beginning anew")
            return False
        LOG.info("joining the listing that was begun at %s", _iso(listing.begun_at))
        return True

    def _begin(self, etag: str) -> SharedListing | None:
        """Begin a listing in place of what `listing.json` holds; None if another has begun one."""
        if self._work.key_order is KeyOrder.DIRECTORY:
            raise self._cannot_be_shared("its store lists in directory order")
        found = discover(self._work.lister, self._work.prefix, _BOUNDS, self._work.key_order)
        if found.key_order is KeyOrder.DIRECTORY:
            raise self._cannot_be_shared("its store lists in directory order")
        profile = self._work.lister.profile
        if profile.start_after is StartAfter.IGNORED:
            raise self._cannot_be_shared("its store ignores where a listing starts")
        return self._write_new(profile, found.requests, etag)

    def _write_new(
        self,
        profile: StoreProfile,
        requests: int,
        etag: str,
        request: SharedRequest | None = None,
    ) -> SharedListing | None:
        listing = self._goal.new_listing(
            SharedListing(
                FORMAT,
                uuid4().hex[:12],
                request or self._request,
                self._options.now(),
                self._options.lease_seconds,
                profile,
                requests,
            )
        )
        try:
            write_if_unchanged(self._store, self._key, encode_listing(listing), etag)
        except ConflictError:
            return None
        LOG.info("began the listing in %s, which others may join", self._store.where(self._key))
        return listing

    def _accepts(self, listing: SharedListing) -> bool:
        """Whether a listing of other versions has what is wanted."""
        work = self._work
        of_all = SharedRequest.of(
            work.lister.bucket_config, work.prefix, Versions(), work.encodings
        )
        return listing.request == of_all and self._goal.accepts_all_versions(listing.begun_at)

    def _is_abandoned(self, listing: SharedListing) -> bool:
        """Whether a listing is a day old, and nobody works at it."""
        is_old = self._options.now() - listing.begun_at >= MAX_AGE
        return is_old and not self._is_alive(listing)

    def _is_alive(self, listing: SharedListing) -> bool:
        """Whether a participant works at a listing; it takes a lease to know that none does."""
        board, clock = self.board(listing), self._options.clock
        before, began = board.contents(), clock()
        LOG.info("waiting to see whether anybody works at the listing that is there")
        pause, renewal = self._options.poll_seconds, listing.lease_seconds / RENEWALS_PER_LEASE
        while clock() - began < listing.lease_seconds:
            self._options.sleep(min(pause, renewal))
            pause *= 2  # each look reads all records
            if board.contents() != before:
                return True
        return False

    def present(self, before: SharedListing) -> tuple[SharedListing | None, str]:
        """The listing as it is now, and its ETag.

        Returns:
            The listing; None if the goal has its result, or that of a later one, or if another one
            is to be joined or begun.

        Raises:
            IncompleteListing: It has failed.
            JoinRefused: It is no longer there.
        """
        listing, etag = self.read()
        is_the_same = listing is not None and listing.id == before.id
        if not is_the_same and self._goal.found() is not None:
            return None, etag
        is_another = listing is None or listing.request != before.request
        if is_another and self._goal.is_replaceable:
            return None, etag
        if listing is None or is_another:
            raise JoinRefused(
                f"{self._store.where(self._key)} was removed or replaced while it was in use; "
                f"{self._goal.advice}"
            )
        if listing.failure:
            raise IncompleteListing(
                f"{self._where}: the shared listing failed at another participant: "
                f"{listing.failure}"
            )
        return listing, etag

    def is_over(self, listing: SharedListing) -> bool:
        """Whether a listing was finished, failed, removed, or began anew."""
        present = self._decoded(self._store.read(self._key))
        return present is None or present.id != listing.id or not present.is_open

    def fail(self, listing: SharedListing, error: InventoryError) -> None:
        """Tell all participants that nothing that was listed can be used."""
        with suppress(ConflictError):
            present, etag = self.present(listing)
            if present is not None and present.id == listing.id and present.is_open:
                failed = replace(present, failure=str(error))
                write_if_unchanged(self._store, self._key, encode_listing(failed), etag)
                self._remove(listing)

    def correct(self, listing: SharedListing, error: InventoryError) -> bool:
        """Begin the listing anew if the store lists otherwise than it seemed to.

        What other participants have listed cannot be used either.

        Returns:
            Whether this, or another participant, has begun it anew.
        """
        if not isinstance(error, KeysOutOfOrder | NamesMisread):
            return False
        stats, is_corrected = RequestStats(), False
        with suppress(ScanError):
            is_corrected = self._corrector.correct({self._work.prefix: error}, stats)
        if not is_corrected:
            return False
        LOG.info("%s; listing the bucket again with other requests", error)
        with suppress(ConflictError):
            present, etag = self.present(listing)
            if present is not None and present.id == listing.id and present.is_open:
                requests = present.requests + stats.requests
                profile = self._work.lister.profile
                self._write_new(profile, requests, etag, present.request)
                self._remove(listing)
        return True

    def _remove(self, listing: SharedListing) -> None:
        with suppress(StoreError):  # what is left is in a folder that no other listing uses
            self._goal.remove(listing)

    def _cannot_be_shared(self, reason: str) -> JoinRefused:
        return JoinRefused(
            f"{self._where} cannot be listed by several processes: {reason}; {self._goal.remedy}"
        )


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")
