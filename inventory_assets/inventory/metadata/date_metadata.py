"""Find the files with the metadata of an inventory's objects."""

from dataclasses import dataclass
from datetime import date

from inventory_assets.inventory.errors import InventoryNotFound
from inventory_assets.inventory.manifest.manifest import Manifest
from inventory_assets.inventory.metadata.metadata_files import MetadataPart
from inventory_assets.inventory.metadata.shard_metadata import read_metadata
from inventory_assets.inventory.storage.layout import Layout
from inventory_assets.inventory.storage.store import Store


@dataclass(frozen=True, slots=True)
class MetadataFile:
    """A file with the metadata of an inventory.

    Attributes:
        part: The file.
        excluded: Prefixes of keys in it that other files of the inventory have: they became shards
            of their own after the shard around them was listed.
    """

    part: MetadataPart
    excluded: tuple[str, ...] = ()


def metadata_files(store: Store, layout: Layout, manifest: Manifest) -> list[MetadataFile]:
    """The files with one row for each object or version of an inventory, in key order.

    Raises:
        InventoryNotFound: The metadata of a shard was not collected, or not since it was listed.
        CorruptRecord: A record cannot be read.
    """
    found: list[MetadataFile] = []
    missing = 0
    for entry in manifest.shards:
        record = read_metadata(store, layout, manifest.day, entry.shard.prefix)
        if record is None or record.snapshot_fingerprint != entry.fingerprint:
            missing += 1
            continue
        excluded = tuple(each for each in entry.shard.excluded if each not in record.shard.excluded)
        found += [MetadataFile(part, excluded) for part in record.parts]
    if missing:
        raise metadata_missing(layout, manifest.day, missing)
    return sorted(found, key=lambda each: each.part.first_key)


def metadata_missing(layout: Layout, day: date, shards: int | None) -> InventoryNotFound:
    """The error for shards without metadata; None for those of an inventory that is gone."""
    of_shards = "" if shards is None else f" of {shards} shard(s)"
    return InventoryNotFound(
        f"the metadata{of_shards} of {layout.source} on {day} was not collected, or not "
        "since they were listed; materialize object_metadata for this date (it needs a table "
        "`metadata` in the configuration of the source)"
    )
