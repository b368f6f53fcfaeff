"""The range records of a shared listing, as one participant reads them."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from inventory_assets.inventory.errors import CorruptRecord
from inventory_assets.inventory.shared_listing.lease import LeaseWatch
from inventory_assets.inventory.shared_listing.listing_record import (
    AT_ROOT,
    RecordPlaces,
    SharedListing,
)
from inventory_assets.inventory.shared_listing.range_claim import (
    RangeClaim,
    create_record,
    decode_record,
)
from inventory_assets.inventory.shared_listing.range_record import (
    GivenRanges,
    RangeRecord,
    RangeResult,
    RangeState,
)
from inventory_assets.inventory.storage.store import Store
from inventory_assets.scan.keyspace.key_range import KeyRange, tiling_violation

FIRST = "first"
"""The name of the first record, which begins with all keys."""

CLOSING = "closing"
"""The name of the record whose holder verifies and publishes the result. It has no ranges."""

MIN_PAGES = 32
"""A participant with fewer estimated pages left is not asked for a share."""


@dataclass(frozen=True, slots=True)
class BoardState:
    """The records at one moment.

    Attributes:
        records: The records by name, except those that are done.
        results: The ranges and results of those that are done.
        claimable: The names of the records that can be claimed, in random order.
    """

    records: Mapping[str, RangeRecord]
    results: Mapping[str, tuple[tuple[KeyRange, ...], RangeResult]]
    claimable: tuple[str, ...]

    def violation(self, whole: Sequence[KeyRange]) -> str | None:
        """Describe why the results do not cover all keys exactly once; None if they do."""
        ranges = sorted(each for ranges, _ in self.results.values() for each in ranges)
        return tiling_violation(ranges, whole)


class RangeBoard:
    """Reads and claims the range records of one listing.

    Args:
        store: The store of the listing.
        listing: The listing.
        holder: This participant.
        clock: A monotonic clock in seconds, which goes on while the machine sleeps.
        places: Where the records lie.
    """

    def __init__(
        self,
        store: Store,
        listing: SharedListing,
        holder: str,
        clock: Callable[[], float],
        places: RecordPlaces = AT_ROOT,
    ) -> None:
        self.folder = f"{places.folder(listing)}/ranges"
        self._wanted = f"{places.folder(listing)}/wanted"
        self._store = store
        self._holder = holder
        self._leases = LeaseWatch(listing.lease_seconds, clock)
        self._results: dict[str, tuple[tuple[KeyRange, ...], RangeResult]] = {}
        self._data: dict[str, bytes] = {}
        self._asked = ""

    def contents(self) -> Mapping[str, bytes | None]:
        """The bytes of all records, also of another version of this program.

        Raises:
            StoreError: The store cannot be used.
        """
        names = self._store.list_names(self.folder)
        return {name: self._store.read(f"{self.folder}/{name}") for name in names}

    def read(self) -> BoardState:
        """Read all records that were not done before, and create those that are missing.

        Raises:
            CorruptRecord: A record is damaged.
            StoreError: The store cannot be used.
        """
        names = {name.removesuffix(".json") for name in self._store.list_names(self.folder)}
        records: dict[str, RangeRecord] = {}
        claimable: list[str] = []
        for name in sorted(names - self._results.keys()):
            key = f"{self.folder}/{name}.json"
            data = self._store.read(key)
            if data is None:  # the listing has just been finished, and its records are removed
                continue
            try:
                record = decode_record(data)
            except ValueError:
                raise CorruptRecord(
                    f"{self._store.where(key)} is damaged, so what was listed cannot be joined; "
                    "list it again"
                ) from None
            self._data[name] = data
            for given in record.given:
                if given.name not in names:
                    create_record(self._store, self.folder, given)
            if record.state is RangeState.DONE and record.result is not None:
                self._results[name] = (record.ranges, record.result)
                self._leases.forget(name)
                continue
            records[name] = record
            # This participant holds no claim when it looks for one: a claim of its own is one
            # whose response was lost.
            is_free = record.state is RangeState.FREE or record.holder == self._holder
            if self._leases.look(name, data) or is_free:
                claimable.append(name)
        random.shuffle(claimable)
        return BoardState(records, dict(self._results), tuple(claimable))

    def is_lasting(self, violation: str) -> bool:
        """Whether the results have not covered all keys for a lease, though nothing is to be done.

        A record that is created or completed while the others are read is seen at the next look.
        """
        return self._leases.look("", violation.encode())

    def begin(self, whole: Sequence[KeyRange]) -> None:
        """Create the first record, unless it exists."""
        create_record(self._store, self.folder, GivenRanges(FIRST, tuple(whole)))

    def begin_closing(self) -> None:
        """Create the record whose holder publishes the result, unless it exists."""
        create_record(self._store, self.folder, GivenRanges(CLOSING, ()))

    def claim(self, name: str) -> RangeClaim | None:
        """Claim a record as it was read last; None if another participant was faster.

        Raises:
            StoreError: The store cannot be used.
        """
        return RangeClaim.take(self._store, self.folder, name, self._data[name], self._holder)

    # A participant without ranges asks a holder for a share by an object with the name of its
    # record. It needs no condition: a share that nobody claims is claimed by the next who is idle.

    def ask(self, state: BoardState) -> None:
        """Ask the holder with the most pages left for a share, unless one is asked already."""
        if self._asked in state.records and self.is_asked(self._asked):
            return
        self.withdraw()
        asked = {*self._store.list_names(self._wanted)}
        left = {
            name: float("inf") if record.pages_left is None else record.pages_left
            for name, record in state.records.items()
            if name not in asked and name != CLOSING and record.state is RangeState.CLAIMED
        }
        most = max(left, key=left.__getitem__, default="")
        if most and left[most] >= MIN_PAGES:
            self._store.publish(f"{self._wanted}/{most}", self._holder.encode())
            self._asked = most

    def withdraw(self) -> None:
        """Ask no holder any more."""
        if self._asked:
            self.answer(self._asked)
            self._asked = ""

    def is_asked(self, name: str) -> bool:
        """Whether a participant asks the holder of a record for a share."""
        return self._store.size(f"{self._wanted}/{name}") is not None

    def answer(self, name: str) -> None:
        """Note that the holder of a record gave a share away, or has none."""
        self._store.remove_key(f"{self._wanted}/{name}")
