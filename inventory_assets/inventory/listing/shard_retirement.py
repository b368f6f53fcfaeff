"""Shards whose prefixes have held nothing for long: which they are, and the record of each.

A shard that is retired loses its partition, and from its next listing on the shard around it covers
its keys. Only the record of a retirement is written; the inventories of its dates stay as they are.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from inventory_assets.inventory.errors import CorruptRecord
from inventory_assets.inventory.listing.listable_dates import OBSERVABLE_DAYS
from inventory_assets.inventory.manifest.manifest import Manifest
from inventory_assets.inventory.manifest.manifest_merge import newest_manifest, read_manifest
from inventory_assets.inventory.manifest.snapshot import read_snapshot
from inventory_assets.inventory.storage.commit import publish
from inventory_assets.inventory.storage.layout import FileKind, Layout, day_of_folder, folder_of
from inventory_assets.inventory.storage.prefix_encoding import encode_prefix
from inventory_assets.inventory.storage.record_type import RecordType
from inventory_assets.inventory.storage.store import Store


@dataclass(frozen=True, slots=True)
class Retirement:
    """The record of a retired shard.

    Attributes:
        prefix: The prefix of the shard.
        retired_on: The date on which it was retired.
        empty_since: A date since which every inventory says that the shard is empty.
    """

    prefix: str
    retired_on: date
    empty_since: date


_RETIREMENT = RecordType(
    kind=FileKind.RETIREMENT,
    title="record of a retired shard",
    remedy="remove it",
    model=Retirement,
)


def empty_shards(
    store: Store, layout: Layout, prefixes: Collection[str], today: date, days: int
) -> Mapping[str, date]:
    """Those of some shards that were empty in every inventory of the last `days` days.

    A shard counts only if all these inventories have it, and one before them, too: the newest that
    is at least `days` days old. If there is none so old, no shard counts. A shard also does not
    count if its listing of today or yesterday, which may be in no inventory yet, found a record.

    Without empty shards, one manifest is read.

    Args:
        store: The store with the manifests.
        layout: The layout of the source.
        prefixes: The prefixes of the shards.
        today: The date of today.
        days: The number of days.

    Returns:
        By prefix, the date of the oldest inventory that was considered.

    Raises:
        CorruptRecord: The snapshot of a shard is damaged.
    """
    empty = set(prefixes)
    if not empty:
        return {}
    oldest = newest_manifest(store, layout, before=today - timedelta(days=days - 1))
    if oldest is None:
        return {}
    empty &= _empty_in(oldest)
    for day in sorted(filter(None, map(day_of_folder, store.list_names(layout.base)))):
        if not empty:
            return {}
        if day > oldest.day and (manifest := read_manifest(store, layout, day)):
            empty &= _empty_in(manifest)
    for age in range(OBSERVABLE_DAYS + 1):
        day = today - timedelta(days=age)
        empty = {prefix for prefix in empty if not _was_found(store, layout, day, prefix)}
    return dict.fromkeys(sorted(empty), oldest.day)


def record_retirement(store: Store, layout: Layout, retirement: Retirement) -> None:
    """Record that a shard is retired."""
    key = layout.retirement(encode_prefix(retirement.prefix))
    publish(store, _RETIREMENT.file(key, retirement))


def read_retirement(store: Store, layout: Layout, partition_key: str) -> Retirement | None:
    """The record of a retired shard, by its partition key; None if the shard is not retired."""
    try:
        return _RETIREMENT.read(store, layout.retirement(partition_key))
    except CorruptRecord:
        return None


def remove_retirements(store: Store, layout: Layout, partition_keys: Collection[str]) -> None:
    """Remove the records of shards that are shards again.

    Raises:
        OtherFormat: A record has a format that this version does not read.
    """
    records = {layout.retirement(key) for key in partition_keys}
    folder = folder_of(layout.retirement(""))
    for name in store.list_names(folder):
        if (key := f"{folder}/{name}") in records:
            _RETIREMENT.require_known_format(store, key, store.read(key) or b"")
            store.remove_key(key)


def _empty_in(manifest: Manifest) -> set[str]:
    """The shards of a manifest without any record, also without one that cannot be decoded."""
    return {
        entry.shard.prefix for entry in manifest.shards if not entry.parts and not entry.unreadable
    }


def _was_found(store: Store, layout: Layout, day: date, prefix: str) -> bool:
    """Whether the listing of a shard on a date found a record."""
    snapshot = read_snapshot(store, layout, day, prefix)
    return snapshot is not None and bool(snapshot.parts or snapshot.unreadable.count)
