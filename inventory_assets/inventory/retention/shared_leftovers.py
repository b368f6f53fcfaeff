"""What shared listings of shards have left behind (`inventory/shared_shards`)."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

from inventory_assets.inventory.listing.shared_work import listing_id_of, present_listings
from inventory_assets.inventory.storage.store import Store, StoredFile


def shared_leftovers(
    store: Store,
    folder: str,
    files: Sequence[StoredFile],
    is_recent: Callable[[StoredFile], bool],
) -> Iterator[StoredFile]:
    """The files of shared listings that are over, or that wrote no checkpoint recently.

    The record of a listing stays: the next listing of the shard replaces it.

    Args:
        store: The store.
        folder: The folder of the shared listings of a date.
        files: The files that were found in it before.
        is_recent: Whether a file was written recently.

    Raises:
        CorruptRecord: A record of a listing is damaged.
        StoreError: The store cannot be read.
    """
    found: dict[str, list[StoredFile]] = defaultdict(list)
    records: dict[str, StoredFile] = {}
    for file in files:
        identity = listing_id_of(file.key)
        if identity is None:
            records[file.key] = file
        else:
            found[identity].append(file)
    # The record of a listing is written before its files, and is read here after them: a listing
    # without a record is over.
    present = present_listings(store, folder) if found else {}
    for identity, of_listing in found.items():
        record = records.get(present.get(identity, ""))
        has_just_begun = identity in present and record is None
        is_in_use = record is not None and any(map(is_recent, [record, *of_listing]))
        if not has_just_begun and not is_in_use:
            yield from of_listing
