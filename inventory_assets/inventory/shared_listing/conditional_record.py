"""Write a record on condition that it has not changed, though responses may be lost."""

import random
import time

from inventory_assets.inventory.errors import ConflictError, JoinRefused, StoreError
from inventory_assets.inventory.storage.bucket_store import BucketStore
from inventory_assets.inventory.storage.store import NO_ETAG, Store

_ATTEMPTS = 3
_WAIT_SECONDS = 0.2


def require_conditional_writes(store: BucketStore, remedy: str) -> None:
    """Check that participants can write records on condition; this writes a few small objects.

    Args:
        store: The store of the records.
        remedy: What else the user can do.

    Raises:
        JoinRefused: The store ignores or rejects such writes.
        StoreError: It cannot be used.
    """
    writes = store.conditional_writes
    if not writes.are_honoured:
        does = "ignores" if writes == "ignored" else "rejects"
        raise JoinRefused(
            f"{store.where('')} cannot be shared: its store {does} conditional writes (If-Match, "
            "If-None-Match), so two processes could list the same keys and replace each other's "
            f"records; name a bucket on a store that supports them, or {remedy}"
        )


def read_with_etag(store: Store, key: str) -> tuple[bytes | None, str]:
    """The content of a key, and an ETag with which a later write fails if the content changes.

    Raises:
        StoreError: It cannot be read.
    """
    etag = store.etag(key)  # if the content changes before it is read, the ETag is outdated
    return (store.read(key), etag) if etag != NO_ETAG else (None, NO_ETAG)


def write_if_unchanged(store: Store, key: str, data: bytes, etag: str) -> str:
    """Write a record if its ETag is still `etag`.

    A write whose response was lost is recognised by its content, which no other participant
    writes: each record names its writer and counts its changes.

    Returns:
        The new ETag.

    Raises:
        ConflictError: Another participant has written the record.
        StoreError: It is unknown whether the record was written.
    """
    for attempt in range(_ATTEMPTS):
        try:
            return store.put_if_match(key, data, etag)
        except ConflictError:
            written, found = read_with_etag(store, key)
            if written == data:
                return found
            raise
        except StoreError:
            if attempt + 1 == _ATTEMPTS:
                raise
        time.sleep(random.uniform(0.5, 1) * _WAIT_SECONDS * 2**attempt)  # noqa: S311 - no secret
    raise AssertionError("unreachable")
