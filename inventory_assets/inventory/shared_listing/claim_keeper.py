"""Renew a claim in the background, and notice when others need a share of its ranges."""

import logging
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from inventory_assets.inventory.errors import ClaimLost, StoreError
from inventory_assets.inventory.shared_listing.lease import RENEWALS_PER_LEASE
from inventory_assets.inventory.shared_listing.range_board import RangeBoard
from inventory_assets.inventory.shared_listing.range_claim import RangeClaim

LOG = logging.getLogger(__name__)

CHECK_SECONDS = 0.5
"""How often to look whether another participant asks for a share."""


class ClaimKeeper:
    """Keeps one claim while its ranges are listed; a context manager.

    Args:
        claim: The claim.
        board: The records of the listing.
        lease_seconds: The length of a lease.
        clock: A monotonic clock in seconds.
        is_over: Returns whether the listing was finished, failed or began anew meanwhile.

    Attributes:
        clock: The clock.
        pages_left: The estimate of the pages left that the next renewal states.
        asked_at: When another participant was first seen to ask for a share; None if none asks.
    """

    def __init__(
        self,
        claim: RangeClaim,
        board: RangeBoard,
        lease_seconds: float,
        clock: Callable[[], float],
        is_over: Callable[[], bool],
    ) -> None:
        self.pages_left: int | None = None
        self.asked_at: float | None = None
        self._claim = claim
        self._board = board
        self._every = lease_seconds / RENEWALS_PER_LEASE
        self.clock = clock
        self._is_over = is_over
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="claim", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _keep(self) -> None:
        renewed_at = self.clock()
        while not self._ended.wait(min(CHECK_SECONDS, self._every)):
            try:
                if self.clock() - renewed_at >= self._every:
                    if self._is_over():
                        self._claim.lose()
                    self._claim.renew(self.pages_left)
                    renewed_at = self.clock()
                is_asked = self._board.is_asked(self._claim.name)
            except ClaimLost:
                return
            except StoreError as error:  # the next renewal may succeed before the lease expires
                LOG.warning("a claim could not be renewed, which is tried again: %s", error)
                continue
            if not is_asked:
                self.asked_at = None
            elif self.asked_at is None:
                self.asked_at = self.clock()
