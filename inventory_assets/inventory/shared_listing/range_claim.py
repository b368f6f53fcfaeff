"""The claim of this participant to a range record."""

import logging
from threading import RLock
from uuid import uuid4

from inventory_assets.inventory.errors import ClaimLost, ConflictError, StoreError
from inventory_assets.inventory.shared_listing.conditional_record import (
    read_with_etag,
    write_if_unchanged,
)
from inventory_assets.inventory.shared_listing.range_record import (
    GivenRanges,
    RangeRecord,
    RangeResult,
    RangeState,
)
from inventory_assets.inventory.storage.record_type import decode_json, encode_json
from inventory_assets.inventory.storage.store import NO_ETAG, Store
from inventory_assets.scan.keyspace.key_range import KeyRange

LOG = logging.getLogger(__name__)


class RangeClaim:
    """A claim, which two threads use: one lists, the other renews.

    Every write names the state that it replaces by its ETag. If another participant has taken the
    record over, the write fails and the claim is lost. If it is unknown whether a write arrived,
    the next one contains the same change.

    Args:
        store: The store of the listing.
        folder: The folder of the range records.
        name: The name of the record.
        record: The record, claimed by this participant.
        etag: The ETag of the claimed record.

    Attributes:
        name: The name of the record.
        record: The record, as it is or as it will be when a failed write is repeated.
        is_lost: Whether another participant has taken the record over.
    """

    def __init__(
        self, store: Store, folder: str, name: str, record: RangeRecord, etag: str
    ) -> None:
        self.name = name
        self.record = record
        self.is_lost = False
        self._store = store
        self._folder = folder
        self._etag = etag
        self._unconfirmed: list[bytes] = []
        self._recorded: set[str] = set()
        """The names of ranges given away whose records exist."""
        self._lock = RLock()

    @classmethod
    def take(
        cls, store: Store, folder: str, name: str, seen: bytes, holder: str
    ) -> "RangeClaim | None":
        """Claim a record; None if it is not in the state `seen` any more.

        Raises:
            StoreError: It is unknown whether the record was claimed.
        """
        key = record_key(folder, name)
        data, etag = read_with_etag(store, key)
        if data != seen:
            return None
        record = decode_record(seen).claimed_by(holder)
        try:
            etag = write_if_unchanged(store, key, encode_json(record), etag)
        except ConflictError:
            return None
        return cls(store, folder, name, record, etag)

    def renew(self, pages_left: int | None) -> None:
        """Renew the claim, and record what was given away.

        Raises:
            ClaimLost: Another participant has taken the record over.
            StoreError: The store cannot be used.
        """
        with self._lock:
            self._write(self.record.renewed(pages_left, [*self._recorded]))
            self._record_given()

    def give(self, ranges: list[KeyRange]) -> None:
        """Give ranges away, so that another participant can claim them.

        Raises:
            ClaimLost: Another participant has taken the record over.
            StoreError: The store cannot be used; the next renewal gives them away.
        """
        with self._lock:
            given = GivenRanges(uuid4().hex[:12], tuple(ranges))
            self._write(self.record.without(given))
            self._record_given()

    def complete(self, result: RangeResult) -> None:
        """Record the result.

        Raises:
            ClaimLost: Another participant has taken the record over.
            StoreError: The store cannot be used.
        """
        with self._lock:
            self._write(self.record.completed(result))
            self._record_given()

    def release(self) -> None:
        """Give the record up, so that others need not wait until the lease expires.

        Raises:
            ClaimLost: Another participant has taken the record over.
            StoreError: The store cannot be used.
        """
        with self._lock:
            is_done = self.record.state is RangeState.DONE  # and perhaps written
            self._write(self.record if is_done else self.record.released())
            self._record_given()

    def lose(self) -> None:
        """Note that the claim is of no use any more."""
        self.is_lost = True

    def require_held(self) -> None:
        """Require that no other participant has taken the record over, as far as is known.

        Raises:
            ClaimLost: One has.
        """
        if self.is_lost:
            raise ClaimLost(
                f"another participant has taken over the ranges {self.name} of "
                f"{self._store.where(self._folder)}, as this one did not renew its claim in time"
            )

    def _write(self, record: RangeRecord) -> None:
        self.require_held()
        self.record, key, data = record, record_key(self._folder, self.name), encode_json(record)
        try:
            try:
                self._etag = write_if_unchanged(self._store, key, data, self._etag)
            except ConflictError:
                present, etag = read_with_etag(self._store, key)
                if present not in self._unconfirmed:
                    raise
                self._etag = write_if_unchanged(self._store, key, data, etag)
        except ConflictError:
            self.lose()
            self.require_held()
        except StoreError:
            self._unconfirmed.append(data)
            raise
        self._unconfirmed.clear()

    def _record_given(self) -> None:
        for given in self.record.given:
            if given.name not in self._recorded:
                create_record(self._store, self._folder, given)
                self._recorded.add(given.name)


def record_key(folder: str, name: str) -> str:
    """The key of a range record."""
    return f"{folder}/{name}.json"


def decode_record(data: bytes) -> RangeRecord:
    """Decode a range record.

    Raises:
        ValueError: It is damaged.
    """
    return decode_json(RangeRecord, data)


def create_record(store: Store, folder: str, given: GivenRanges) -> None:
    """Create the record of ranges that nobody has claimed yet, unless it exists.

    Raises:
        StoreError: The store cannot be used.
    """
    try:
        key, record = record_key(folder, given.name), RangeRecord(given.ranges)
        write_if_unchanged(store, key, encode_json(record), NO_ETAG)
    except ConflictError:
        LOG.debug("the record of the ranges %s exists already", given.name)
