"""Take part in a shared listing, from its beginning to its result."""

import logging
import os
import random
import socket
from contextlib import suppress
from typing import Generic, TypeVar
from uuid import uuid4

from inventory_assets.errors import InventoryError
from inventory_assets.inventory.errors import (
    ClaimLost,
    ConflictError,
    CorruptRecord,
    IncompleteListing,
    RecordsUnreadable,
    StoreError,
)
from inventory_assets.inventory.folder_listing.range_listing import Work
from inventory_assets.inventory.listing.listing_observer import UNOBSERVED, ListingObserver
from inventory_assets.inventory.shared_listing.claim_keeper import ClaimKeeper
from inventory_assets.inventory.shared_listing.listing_goal import ListingGoal
from inventory_assets.inventory.shared_listing.listing_lifecycle import (
    ListingLifecycle,
    SharingOptions,
)
from inventory_assets.inventory.shared_listing.listing_record import SharedListing, SharedResult
from inventory_assets.inventory.shared_listing.range_board import (
    CLOSING,
    BoardState,
    RangeBoard,
)
from inventory_assets.inventory.shared_listing.range_claim import RangeClaim
from inventory_assets.inventory.shared_listing.range_worker import RangeWorker
from inventory_assets.inventory.shared_listing.url_goal import UrlGoal
from inventory_assets.inventory.storage.encodings import Encodings
from inventory_assets.inventory.storage.store import Store
from inventory_assets.s3.page_source import PageSource
from inventory_assets.scan.engine.progress import Report, ignore_events
from inventory_assets.scan.errors import KeysOutOfOrder, NamesMisread
from inventory_assets.scan.keyspace.key_order import KeyOrder
from inventory_assets.scan.validation.object_versions import Versions

LOG = logging.getLogger(__name__)

Result = TypeVar("Result")

POLL_SECONDS = 0.5
"""How often a participant without ranges looks for some."""

_WRONG = (CorruptRecord, IncompleteListing, KeysOutOfOrder, NamesMisread, RecordsUnreadable)
"""Errors after which nothing that was listed can be used."""


def join_listing(
    lister: PageSource,
    prefix: str,
    store: Store,
    report: Report = ignore_events,
    versions: Versions | None = None,
    *,
    encodings: Encodings = Encodings.COMPACT,
    key_order: KeyOrder | None = None,
    observer: ListingObserver = UNOBSERVED,
    options: SharingOptions | None = None,
) -> SharedResult:
    """List all keys under `prefix` together with other processes that do the same.

    The first one begins the listing. Each returns when the whole listing is published.

    Args:
        lister: The bucket.
        prefix: The prefix of the keys.
        store: The store of the records and of the result, which belongs to this listing alone.
        report: Receives the events of this process.
        versions: The versions to list; None for the current objects.
        encodings: The encodings of the files.
        key_order: The order in which the store of the bucket lists; None to detect it.
        observer: Is told what this process does.
        options: How to take part; None for the defaults.

    Raises:
        JoinRefused: The listing cannot be shared, or another one is in the store.
        IncompleteListing: The listing failed, here or at another participant.
        RecordsUnreadable: Most records, or all of them, cannot be decoded.
        CorruptRecord: A record is damaged, or of another version of this program.
        S3Error: A request failed for good.
        ScanError: The store of the bucket keeps to no order.
        StoreError: The store cannot be used.
    """
    work = Work(lister, prefix, 1, store, report, versions, None, encodings, key_order, observer)
    options = options or SharingOptions()
    return Participant(work, options, UrlGoal(work, options.now)).take_part()


class Participant(Generic[Result]):
    """One process, from its first look at the store to the result.

    Args:
        work: The bucket and the store.
        options: How it takes part.
        goal: What is made of the listing.
    """

    def __init__(self, work: Work, options: SharingOptions, goal: ListingGoal[Result]) -> None:
        self._work = work
        self._goal = goal
        self._options = options
        self._name = f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:12]}"
        self._lifecycle = ListingLifecycle(work, options, self._name, goal)

    def take_part(self) -> Result:
        """Work until the result is published.

        Raises:
            InventoryError: See `join_listing`.
        """
        result: Result | None = None
        while result is None:
            listing = self._lifecycle.join()
            if listing is not None:
                result = self._work_until_result(listing)
            if result is None:
                result = self._goal.found()
        return result

    def _work_until_result(self, listing: SharedListing) -> Result | None:
        """Work at a listing until it is finished; None if its record is gone."""
        board = self._lifecycle.board(listing)
        self._goal.take_part(listing)
        try:
            while True:
                before = listing
                present, etag = self._lifecycle.present(listing)
                if present is None:
                    self._goal.tidy(before)
                    return None
                listing = present
                if (result := self._goal.result_of(listing)) is not None:
                    self._goal.tidy(listing)
                    return result
                if listing.id != before.id:  # it began anew
                    board = self._lifecycle.board(listing)
                    self._goal.take_part(listing)
                self._work.lister.profile = listing.profile
                self._take_turn(listing, etag, board)
        finally:
            with suppress(StoreError):
                board.withdraw()

    def _take_turn(self, listing: SharedListing, etag: str, board: RangeBoard) -> None:
        """Claim ranges and list them, publish the result, or wait a moment."""
        try:
            state = board.read()
        except CorruptRecord as error:
            self._lifecycle.fail(listing, error)
            raise
        if not state.records and not state.results:
            board.begin(listing.ranges)
            return
        for name in state.claimable:
            before = state.records[name]
            claim = board.claim(name)
            if claim is not None:
                board.withdraw()
                if before.holder and before.holder != self._name:
                    LOG.info("taking over the ranges of %s", before.holder)
                self._work_on(listing, etag, board, state, claim)
                return
        if state.records.keys() - {CLOSING}:
            board.ask(state)
        elif CLOSING not in state.records:
            violation = state.violation(listing.ranges)
            if violation is None:
                board.begin_closing()
                return
            if board.is_lasting(violation):
                lost = IncompleteListing(
                    f"{self._work.lister.bucket_config.display_name}: records of the shared "
                    f"listing were removed while it was in use: {violation}; list it again"
                )
                self._lifecycle.fail(listing, lost)
                raise lost
        self._options.sleep(random.uniform(0.5, 1) * self._options.poll_seconds)  # noqa: S311

    def _work_on(
        self,
        listing: SharedListing,
        etag: str,
        board: RangeBoard,
        state: BoardState,
        claim: RangeClaim,
    ) -> None:
        """List the ranges of a claim, or publish the result."""
        keeper = ClaimKeeper(
            claim,
            board,
            listing.lease_seconds,
            self._options.clock,
            lambda: self._lifecycle.is_over(listing),
        )
        try:
            with keeper:
                if claim.name == CLOSING:
                    self._goal.publish(listing, etag, state, claim)
                else:
                    RangeWorker(self._goal, listing, board, claim, keeper).list_ranges()
        except (ClaimLost, ConflictError) as error:
            LOG.info("%s", error)
        except _WRONG as error:
            if self._lifecycle.is_over(listing):
                # The others have ended it, and removed its records, while this one was paused.
                LOG.info("%s; but the listing is over", error)
            elif not self._lifecycle.correct(listing, error):
                if isinstance(error, KeysOutOfOrder):
                    error = KeysOutOfOrder(f"{error}; {self._goal.remedy}")
                self._lifecycle.fail(listing, error)
                raise error from None
        except BaseException as error:
            with suppress(InventoryError):
                claim.release()
                error.add_note(
                    "the other participants list the rest; start this one again to take part"
                )
            raise
