"""Several records that count together, published by one of the runs that try to at once."""

from dataclasses import dataclass
from typing import Self

from inventory_assets.inventory.errors import ConflictError, superseded
from inventory_assets.inventory.storage.store import Store


@dataclass(frozen=True, slots=True)
class Commit:
    """A head that is this run's own, and the records that depend on it.

    The head is published on the condition that it is what it was when the run began, so of runs
    that began together one goes on. A run that began after may still take the head over while this
    one is at work. Therefore each record is written on the condition that it is what it was when
    the head was last seen to be this run's: whoever has the head last writes every record last, and
    whoever lost it is told. (Where a store compares content, a run that is held up between the two
    may put an older record back over an equal one.)

    Attributes:
        store: Where.
        head: The key of the head.
        etag: What the head was when this run published it.
    """

    store: Store
    head: str
    etag: str

    @classmethod
    def begin(cls, store: Store, head: str, data: bytes, etag: str) -> Self:
        """Publish the head, if it is still at `etag`.

        Raises:
            ConflictError: It is not; nothing was written.
        """
        return cls(store, head, store.put_if_match(head, data, etag))

    def publish(self, key: str, data: bytes) -> None:
        """Publish a record that depends on the head.

        Raises:
            ConflictError: Another run has the head; what it publishes stands.
        """
        while True:
            found = self.store.etag(key)
            if self.store.etag(self.head) != self.etag:
                raise superseded(self.store.where(self.head))
            try:
                self.store.put_if_match(key, data, found)
            except ConflictError:  # by a run that had the head before
                continue
            return
