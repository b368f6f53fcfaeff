"""Tombstones: small objects for data files that no record names, long before these are removed.

A run publishes a file, or reads the name of one in a record, some time before it publishes its own
record that names the file. Meanwhile no record may name it, though it is needed. So a collection
does not remove an unnamed file at once, but writes a tombstone for it. Runs follow two rules
(docs/retention.md):

- A file is not published under a key that has a tombstone, but under another one (`unmarked_key`).
- Before a record is published, the tombstones of all files that it names are removed. `commit.py`
  does it for every record.

A tombstone that is still there after a day or two proves that no run has used the file since.
"""

from collections.abc import Iterable
from itertools import count

from inventory_assets.inventory.storage.layout import folder_of
from inventory_assets.inventory.storage.store import Store

_TOMBSTONES = "tombstones"


def tombstone_key(key: str) -> str:
    """The key of the tombstone of a file, in the folder of the file's source."""
    bucket, source, path = key.split("/", 2)
    return f"{bucket}/{source}/{_TOMBSTONES}/{path}"


def marked_key(key: str) -> str | None:
    """The key of the file that a tombstone is for; None where `key` is not of a tombstone."""
    bucket, source, path = key.split("/", 2)
    folder, _, marked = path.partition("/")
    return f"{bucket}/{source}/{marked}" if folder == _TOMBSTONES else None


def unmarked_key(store: Store, key: str, suffix: str) -> str:
    """Choose a key without a tombstone to publish a file under.

    Args:
        store: Where the file will be published.
        key: The key that the file's content gives.
        suffix: The end of the key. Where `key` has a tombstone, a number is put before it.

    Returns:
        `key`, or the first numbered key that has no tombstone.
    """
    stem = key.removesuffix(suffix)
    names = (key if number == 1 else f"{stem}.{number}{suffix}" for number in count(1))
    return next(name for name in names if store.size(tombstone_key(name)) is None)


def clear_tombstones(store: Store, keys: Iterable[str]) -> None:
    """Remove the tombstones of files that a record is about to name."""
    wanted = set(keys)
    for folder in sorted({folder_of(key) for key in wanted}):
        for name in store.list_names(tombstone_key(folder)):
            if f"{folder}/{name}" in wanted:
                store.remove_key(tombstone_key(f"{folder}/{name}"))
