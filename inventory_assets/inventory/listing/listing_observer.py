"""Whom a listing tells, beside its events, what it does."""

from typing import Protocol

from inventory_assets.scan.engine.observer import ScanObserver, UnobservedScan


class ListingObserver(ScanObserver, Protocol):
    """Is told which ranges are received, and when a checkpoint is written."""

    def checkpoint_written(self) -> None:
        """Record that a checkpoint was written."""


class UnobservedListing(UnobservedScan):
    """A `ListingObserver` that does nothing."""

    def checkpoint_written(self) -> None:
        pass


UNOBSERVED = UnobservedListing()
