"""The metadata of a shard on a date: the files that hold it, its cost, what is still unknown."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from inventory_assets.inventory.manifest.snapshot import Snapshot
from inventory_assets.inventory.metadata.metadata_files import MetadataPart
from inventory_assets.inventory.storage.layout import (
    FileKind,
    Layout,
    day_of_partition,
    folder_of,
)
from inventory_assets.inventory.storage.record_type import RecordType
from inventory_assets.inventory.storage.store import Store
from inventory_assets.scan.keyspace.key_range import KeyRange
from inventory_assets.scan.keyspace.shard import Shard

FORMAT = 1
"""The format of the record; it rises when older code could misread it."""


@dataclass(frozen=True, slots=True)
class ShardMetadata:
    """The metadata of a shard on a date.

    Attributes:
        bucket: The bucket.
        source: The source's name.
        day: The date.
        shard: The keys that it covers.
        snapshot_fingerprint: The fingerprint of the snapshot that it belongs to.
        with_tags: Whether tags were asked for.
        parts: The metadata of each part of the snapshot that holds objects, in key order.
        asked: Objects that were asked for.
        carried: Objects whose metadata is that of an earlier date.
        shared_parts: Files that an earlier date has, too.
        requests: Requests sent, including failed attempts.
        faults: Transient errors, by kind.
        budget: The most requests that the run was allowed; None without a limit.
        created_at: When it was published.
        format: The number of the format of this record.
    """

    bucket: str
    source: str
    day: date
    shard: Shard
    snapshot_fingerprint: str
    with_tags: bool
    parts: tuple[MetadataPart, ...]
    asked: int
    carried: int
    shared_parts: int
    requests: int
    faults: Mapping[str, int]
    budget: int | None
    created_at: datetime
    format: int = FORMAT

    @property
    def rows(self) -> int:
        """Objects, or versions, of the shard."""
        return sum(part.rows for part in self.parts)

    @property
    def unknown(self) -> int:
        """Objects that are still to be asked for."""
        return sum(part.unknown for part in self.parts)

    @property
    def errors(self) -> Mapping[str, int]:
        """Objects whose answer is not complete, by error."""
        total: Counter[str] = Counter()
        for part in self.parts:
            total.update(part.errors)
        return dict(sorted(total.items()))

    @property
    def file_bytes(self) -> int:
        """The size of the files in bytes."""
        return sum(part.file_bytes for part in self.parts)

    @property
    def identity(self) -> str:
        """A hash of the files; equal metadata has an equal one."""
        files = [part.file for part in self.parts]
        return hashlib.sha256(json.dumps(files).encode()).hexdigest()[:32]


METADATA = RecordType(
    kind=FileKind.METADATA,
    title="record of metadata",
    remedy="remove it, and materialize object_metadata for {day} and this shard again",
    data_files="parts[].file",
    written_at="created_at",
    formats=(FORMAT,),
    model=ShardMetadata,
)


def read_metadata(store: Store, layout: Layout, day: date, prefix: str) -> ShardMetadata | None:
    """Read the metadata of a shard on a date; None where there is none.

    Raises:
        CorruptRecord: The record is damaged or of another format.
    """
    return METADATA.read(store, layout.metadata(day, prefix))


def violations_of(store: Store, record: ShardMetadata, snapshot: Snapshot) -> list[str]:
    """Describe what is wrong with the metadata of a shard; normally nothing."""
    if record.snapshot_fingerprint != snapshot.fingerprint or record.shard != snapshot.shard:
        return ["the shard was listed again since; materialize object_metadata for it again"]
    violations = [
        f"{store.where(file)} is missing or was altered; remove the record of metadata, and "
        "materialize object_metadata again"
        for file in files_that_differ(store, record)
    ]
    objects = sum(total.objects for total in snapshot.classes)
    if record.rows != objects:
        violations.append(f"there are {record.rows:,} rows for {objects:,} objects or versions")
    return violations


def files_that_differ(store: Store, record: ShardMetadata) -> list[str]:
    """The keys of the files that are missing or do not have the size that was published."""
    return [part.file for part in record.parts if store.size(part.file) != part.file_bytes]


def metadata_etag(store: Store, layout: Layout, day: date, prefix: str) -> str:
    """The ETag of a shard's record of a date; it changes when another run publishes one."""
    return store.etag(layout.metadata(day, prefix))


def days_with_metadata(store: Store, layout: Layout) -> list[date]:
    """The dates that have metadata of any shard, oldest first."""
    folder = folder_of(folder_of(layout.metadata(date.min, "")))
    return sorted(filter(None, map(day_of_partition, store.list_names(folder))))


def newest_metadata(store: Store, layout: Layout, until: date, shard: Shard) -> list[ShardMetadata]:
    """The newest metadata of each key of a shard, up to and including a date.

    Shards change from date to date, so the records of several shards and dates may be needed.

    Raises:
        CorruptRecord: A record is damaged or of another format.
    """
    missing: Sequence[KeyRange] = shard.ranges
    found: list[ShardMetadata] = []
    for day in reversed(days_with_metadata(store, layout)):
        if day > until:
            continue
        for record in _records(store, layout, day, shard):
            ranges = record.shard.ranges
            left = [rest for each in missing for rest in each.difference(ranges)]
            if left != [*missing]:
                found.append(record)
                missing = left
            if not missing:
                return found
    return found


def _records(store: Store, layout: Layout, day: date, shard: Shard) -> Iterator[ShardMetadata]:
    """The records of a date, that of the shard of the same prefix first."""
    same = layout.metadata(day, shard.prefix)
    record = METADATA.read(store, same)
    if record:
        yield record
    folder = folder_of(same)
    for name in store.list_names(folder):
        if f"{folder}/{name}" != same and (other := METADATA.read(store, f"{folder}/{name}")):
            yield other
