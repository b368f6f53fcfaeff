"""Whom a scan tells when it begins and ends to receive a range; its events tell the rest."""

from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from inventory_assets.scan.engine.events import ListingJob


class ScanObserver(Protocol):
    """Is told which range the current task or thread receives."""

    def receiving(self, job: ListingJob, index: int, /) -> AbstractContextManager[None]:
        """A context in which the pages of a range are requested.

        The task or thread that requests the pages enters it, so that a context variable set in it
        is seen by the requests of this range, and by no others. A range that is continued after an
        error or a dispute enters another one.
        """


class UnobservedScan:
    """A `ScanObserver` that does nothing."""

    def receiving(self, _job: ListingJob, _index: int, /) -> AbstractContextManager[None]:
        return _NOTHING


_NOTHING: AbstractContextManager[None] = nullcontext()

UNOBSERVED = UnobservedScan()
