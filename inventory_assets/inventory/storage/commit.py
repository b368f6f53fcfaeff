"""Publish a record: tombstones, compare-and-swap and order in one place.

A record names data files. These are published first. Then the tombstones of the named files are
removed, then the record is written, then the files that depend on it (`tombstones.py` says why).
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Self

from inventory_assets.inventory.errors import ConflictError, superseded
from inventory_assets.inventory.storage.record_format import require_known_format
from inventory_assets.inventory.storage.store import NO_ETAG, Store
from inventory_assets.inventory.storage.tombstones import clear_tombstones


@dataclass(frozen=True, slots=True)
class RecordFile:
    """A record that is ready to be published.

    Attributes:
        key: Its key.
        data: Its bytes.
        data_files: The keys of the data files that it names.
        title: The name of such a record in messages.
        formats: The formats that this version reads, and therefore may replace; none for a file
            without a number.
    """

    key: str
    data: bytes
    data_files: Iterable[str]
    title: str = ""
    formats: tuple[int, ...] = ()


def publish(store: Store, record: RecordFile) -> None:
    """Publish a record, replacing an existing one.

    Raises:
        OtherFormat: The existing one has a format that this version does not read.
    """
    _require_replaceable(store, record)
    publish_new(store, record)


def publish_new(store: Store, record: RecordFile) -> None:
    """Publish a record whose key no other run can have chosen, so that nothing is there."""
    clear_tombstones(store, record.data_files)
    store.publish(record.key, record.data)


def commit(
    store: Store,
    record: RecordFile,
    expected_etag: str | None = None,
    *,
    verify: Callable[[], None] = lambda: None,
    dependents: Iterable[tuple[str, bytes]] = (),
) -> None:
    """Publish a record, unless another run has published it in the meantime.

    Args:
        store: Where.
        record: The record.
        expected_etag: The ETag of the record when this run began its work; None for the present
            one.
        verify: Called after the tombstones are removed, so that no collection can remove the data
            files any more, and before the record is published. It raises an error if one of them
            is missing.
        dependents: Keys and contents of the files that count only together with the record, in the
            order in which they are published.

    Raises:
        ConflictError: Another run published the record or its dependents in the meantime.
        OtherFormat: The existing record has a format that this version does not read.
    """
    if expected_etag is None:
        expected_etag = store.etag(record.key)
    if expected_etag != NO_ETAG:  # else what came meanwhile is a conflict, whatever its format
        _require_replaceable(store, record)
    clear_tombstones(store, record.data_files)
    verify()
    head = Commit.begin(store, record.key, record.data, expected_etag)
    for key, data in dependents:
        head.publish(key, data)


def _require_replaceable(store: Store, record: RecordFile) -> None:
    found = store.read(record.key) if record.formats else None
    if found is not None:
        require_known_format(found, record.formats, record.title, store.where(record.key))


@dataclass(frozen=True, slots=True)
class Commit:
    """A head record that this run has published, and the files that depend on it.

    The head is published only if its ETag has not changed since the run began. So of several runs
    that began together, one continues. A run that began later may replace the head while this one
    still publishes. Therefore `publish` takes the ETag of a dependent file, then checks that this
    run's head is still there, then writes the file only if its ETag has not changed. The run that
    wrote the head last thus writes every file last, and the other run gets an error. (Where the
    ETag is a hash of the content, a file that is replaced by equal content counts as unchanged: a
    run that pauses between check and write may then still write its older file.)

    Attributes:
        store: Where.
        head: The key of the head.
        etag: The ETag of the head that this run published.
    """

    store: Store
    head: str
    etag: str

    @classmethod
    def begin(cls, store: Store, head: str, data: bytes, etag: str) -> Self:
        """Publish the head, if its ETag is still `etag`.

        Raises:
            ConflictError: It has changed. Nothing was written.
        """
        return cls(store, head, store.put_if_match(head, data, etag))

    def publish(self, key: str, data: bytes) -> None:
        """Publish a file that depends on the head.

        Raises:
            ConflictError: Another run has replaced the head, and publishes the file itself.
        """
        while True:
            found = self.store.etag(key)
            if self.store.etag(self.head) != self.etag:
                raise superseded(self.store.where(self.head))
            try:
                self.store.put_if_match(key, data, found)
            except ConflictError:  # written by a run whose head this one replaced
                continue
            return
