"""Find the files with the metadata of an inventory's objects."""

import hashlib
import json
from dataclasses import dataclass
from datetime import date

from inventory_assets.inventory.errors import InventoryNotFound
from inventory_assets.inventory.manifest.manifest import Manifest, ShardEntry
from inventory_assets.inventory.metadata.metadata_files import MetadataPart
from inventory_assets.inventory.metadata.shard_metadata import ShardMetadata, read_metadata
from inventory_assets.inventory.storage.layout import Layout
from inventory_assets.inventory.storage.parallel_reads import read_each
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


@dataclass(frozen=True, slots=True)
class DateMetadata:
    """The metadata of a date, as far as it was collected.

    Attributes:
        files: The files, in key order.
        missing: The shards whose metadata was not collected, or not since they were listed.
        unknown: The objects of the other shards that are still to be asked for.
    """

    files: tuple[MetadataFile, ...]
    missing: int
    unknown: int

    @property
    def identity(self) -> str:
        """A hash of the files; equal metadata has an equal one."""
        names = [each.part.file for each in self.files]
        return hashlib.sha256(json.dumps(names).encode()).hexdigest()[:32]


def date_metadata(store: Store, layout: Layout, manifest: Manifest) -> DateMetadata:
    """The metadata of the shards of an inventory that was collected since they were listed.

    Raises:
        CorruptRecord: A record cannot be read.
    """

    def read(entry: ShardEntry) -> ShardMetadata | None:
        return read_metadata(store, layout, manifest.day, entry.shard.prefix)

    found: list[MetadataFile] = []
    missing = unknown = 0
    records = read_each(read, manifest.shards)
    for entry, record in zip(manifest.shards, records, strict=True):
        if record is None or record.snapshot_fingerprint != entry.fingerprint:
            missing += 1
            continue
        unknown += record.unknown
        excluded = tuple(each for each in entry.shard.excluded if each not in record.shard.excluded)
        found += [MetadataFile(part, excluded) for part in record.parts]
    found.sort(key=lambda each: each.part.first_key)
    return DateMetadata(tuple(found), missing, unknown)


def metadata_files(store: Store, layout: Layout, manifest: Manifest) -> list[MetadataFile]:
    """The files with one row for each object or version of an inventory, in key order.

    Raises:
        InventoryNotFound: The metadata of a shard was not collected, or not since it was listed.
        CorruptRecord: A record cannot be read.
    """
    found = date_metadata(store, layout, manifest)
    if found.missing:
        raise metadata_missing(layout, manifest.day, found.missing)
    return [*found.files]


def metadata_missing(layout: Layout, day: date, shards: int | None) -> InventoryNotFound:
    """The error for shards without metadata; None for those of an inventory that is gone."""
    of_shards = "" if shards is None else f" of {shards} shard(s)"
    return InventoryNotFound(
        f"the metadata{of_shards} of {layout.source} on {day} was not collected, or not "
        "since they were listed; materialize object_metadata for this date (it needs a table "
        "`metadata` in the configuration of the source)"
    )
