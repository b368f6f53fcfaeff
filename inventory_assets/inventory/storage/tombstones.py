"""Files that nothing names are condemned, long before they are removed (docs/retention.md).

A file is *taken* when a run publishes it, or reads a record that names it; then, perhaps much
later, a record that names it is published. In between no record tells that it is needed. So a file
that nothing names gets a mark beside it first, and whoever publishes heeds two rules:

- A file is not published under a marked name, but under another (`unmarked_key`).
- Before a record is published, the marks of all files that it names are removed
(`clear_tombstones`).

A mark that is still there after a day or two thus tells that nobody can have taken the file since.
"""

from collections.abc import Iterable
from itertools import count

from inventory_assets.inventory.storage.store import Store

TOMBSTONES = "tombstones"
"""The folder of a source that holds the marks."""


def tombstone_key(key: str) -> str:
    """Where the mark of a file lies: in the folder of its source, under the rest of its key."""
    bucket, source, rest = key.split("/", 2)
    return f"{bucket}/{source}/{TOMBSTONES}/{rest}"


def unmarked_key(store: Store, key: str, suffix: str) -> str:
    """A key to publish a file under: `key`, or one like it where that is marked.

    Args:
        store: Where the file is to be published.
        key: Named for the file's content.
        suffix: How the key ends; a number goes before it.
    """
    stem = key.removesuffix(suffix)
    names = (key if number == 1 else f"{stem}.{number}{suffix}" for number in count(1))
    return next(name for name in names if store.size(tombstone_key(name)) is None)


def clear_tombstones(store: Store, keys: Iterable[str]) -> None:
    """Remove the marks of files that a record is about to name."""
    wanted = set(keys)
    for folder in sorted({key.rpartition("/")[0] for key in wanted}):
        for name in store.list_names(tombstone_key(folder)):
            if f"{folder}/{name}" in wanted:
                store.remove_key(tombstone_key(f"{folder}/{name}"))
