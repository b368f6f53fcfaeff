"""A manifest: the merged snapshots of one date, as S3 Inventory publishes them.

The merge moves no data: it lists the shards' parts in key order. Only where a prefix became a shard
after the shard around it was listed are the few parts concerned cut again, without its keys; a key
belongs to the longest prefix that has a snapshot for the date.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from itertools import pairwise

from pydantic import TypeAdapter, ValidationError

from inventory_assets.inventory.errors import ManifestIncomplete, StoreError
from inventory_assets.inventory.layout import Layout
from inventory_assets.inventory.parts import (
    ClassTotal,
    Part,
    PartWriter,
    class_totals,
    read_records,
)
from inventory_assets.inventory.publication import Publication
from inventory_assets.inventory.records import RECORD_SCHEMA
from inventory_assets.inventory.s3_inventory import Destination
from inventory_assets.inventory.snapshots import FORMAT, Snapshot, files_that_differ
from inventory_assets.inventory.store import Store
from inventory_assets.scan import KeyRange, Shard, cut_out
from inventory_assets.scan.ranges import tiling_fault

VERSION = "2016-11-30"
"""The version of S3 Inventory's manifest format."""


@dataclass(frozen=True, slots=True)
class ShardEntry:
    """A shard's share in a manifest.

    Attributes:
        shard: The keys it answers for in this manifest.
        fingerprint: Its snapshot's fingerprint.
        started_at: When its listing began.
        finished_at: When its listing ended.
        parts: Its parts, in key order.
        requests: Requests that its listing took.
        faults: Passing trouble it met, by kind.
    """

    shard: Shard
    fingerprint: str
    started_at: datetime
    finished_at: datetime
    parts: tuple[Part, ...]
    requests: int
    faults: Mapping[str, int]

    @property
    def rows(self) -> int:
        """Objects the shard holds."""
        return sum(part.rows for part in self.parts)


@dataclass(frozen=True, slots=True)
class Manifest:
    """The inventory of one date: this project's own facts, beside S3 Inventory's `manifest.json`.

    Attributes:
        bucket: The bucket inventoried.
        source: The source's name.
        prefix: The source's prefix.
        day: The date.
        created_at: When it was merged.
        shards: The shards, by prefix in order.
        format: The version of this record.
    """

    bucket: str
    source: str
    prefix: str
    day: date
    created_at: datetime
    shards: tuple[ShardEntry, ...]
    format: int = FORMAT

    @property
    def parts(self) -> tuple[Part, ...]:
        """All parts, in key order: read one after the other, they are sorted as a whole."""
        return tuple(sorted((p for entry in self.shards for p in entry.parts), key=_first_key))

    @property
    def rows(self) -> int:
        """Objects in the inventory."""
        return sum(entry.rows for entry in self.shards)

    @property
    def object_bytes(self) -> int:
        """The sum of their sizes."""
        return sum(part.object_bytes for part in self.parts)

    @property
    def classes(self) -> tuple[ClassTotal, ...]:
        """Totals by storage class."""
        return class_totals(self.parts)

    @property
    def identity(self) -> str:
        """A hash of what the manifest says of the bucket: equal content, equal identity."""
        facts = [(entry.shard.prefix, entry.fingerprint) for entry in self.shards]
        files = [part.key for part in self.parts]
        return hashlib.sha256(json.dumps([facts, files]).encode()).hexdigest()[:32]


def merge(
    store: Store,
    layout: Layout,
    prefix: str,
    snapshots: Mapping[str, Snapshot],
    now: datetime,
) -> Manifest:
    """Merge the snapshots of one date. Parts may be written; nothing else is published.

    Args:
        store: Where the parts lie.
        layout: Under which keys.
        prefix: The source's prefix, whose snapshot is the remainder.
        snapshots: The date's snapshots, by prefix.
        now: The time of the merge.

    Raises:
        ManifestIncomplete: A shard that another left out has no snapshot, or there is no remainder.
    """
    missing = missing_prefixes(prefix, snapshots)
    if missing:
        raise ManifestIncomplete(_say_missing(prefix, missing, has_any=bool(snapshots)))
    entries = []
    for snapshot in snapshots.values():
        shard = cut_out(snapshot.shard.prefix, snapshots)
        parts = tuple(_trimmed(store, layout, snapshot.parts, shard))
        entries.append(
            ShardEntry(
                shard,
                snapshot.fingerprint,
                snapshot.started_at,
                snapshot.finished_at,
                parts,
                snapshot.requests,
                snapshot.faults,
            )
        )
    day = next(iter(snapshots.values())).day
    entries.sort(key=lambda entry: entry.shard.prefix)
    return Manifest(layout.bucket, layout.source, prefix, day, now, tuple(entries))


def missing_prefixes(prefix: str, snapshots: Mapping[str, Snapshot]) -> list[str]:
    """The shards that the date still waits for: the remainder, and all that snapshots left out."""
    needed = {prefix}
    for snapshot in snapshots.values():
        needed.update(snapshot.shard.excluded)
    return sorted(needed - snapshots.keys())


def faults_of(manifest: Manifest) -> list[str]:
    """Where the manifest does not hold what it must; nothing, as a rule."""
    faults = []
    ranges = sorted(key_range for entry in manifest.shards for key_range in entry.shard.ranges)
    gap = tiling_fault(ranges, [KeyRange.of_prefix(manifest.prefix)])
    if gap:
        faults.append(f"the shards do not tile the source: {gap}")
    faults += [
        f"{right.first_key!r} comes after {left.last_key!r}: two parts overlap"
        for left, right in pairwise(manifest.parts)
        if left.last_key >= right.first_key
    ]
    return faults


def manifest_version(store: Store, layout: Layout, day: date) -> str:
    """What tells the manifest of a date from one that another run publishes later."""
    return store.version(layout.dated(day, "inventory.json"))


def publish_manifest(
    store: Store, layout: Layout, manifest: Manifest, replacing: str | None = None
) -> None:
    """Publish the date's inventory; `manifest.checksum` comes last and makes it count.

    Args:
        store: Where.
        layout: Under which keys.
        manifest: What.
        replacing: Its `manifest_version` when this run began to read the date's snapshots; None for
            what it is now.

    Raises:
        Superseded: Another run published the date's inventory in the meantime.
        StoreError: A part is missing or altered, or a file could not be written.
    """
    if replacing is None:
        replacing = manifest_version(store, layout, manifest.day)
    differing = files_that_differ(store, manifest.parts)
    if differing:
        raise StoreError(
            f"{store.where(differing[0])} is missing or was altered; materialize object_listing "
            f"for {manifest.day} again, then this manifest"
        )
    uris = "".join(f"{store.uri(part.key)}\n" for part in manifest.parts)
    document = _document(manifest, store.destination)
    facts = _adapter().dump_json(manifest, indent=1)
    head = layout.dated(manifest.day, "inventory.json")
    publication = Publication.begin(store, head, facts, replacing)
    publication.publish(layout.symlink(manifest.day), uris.encode())
    publication.publish(layout.dated(manifest.day, "manifest.json"), document)
    publication.publish(layout.dated(manifest.day, "manifest.checksum"), _checksum(document))


def read_manifest(store: Store, layout: Layout, day: date) -> Manifest | None:
    """The published manifest of a date, or None where none was published whole."""
    facts = store.read(layout.dated(day, "inventory.json"))
    if facts is None:
        return None
    try:
        manifest = _adapter().validate_json(facts, strict=False)
    except ValidationError:
        return None
    # A publish that was cut short leaves three files that do not agree.
    document = _document(manifest, store.destination)
    is_whole = (
        manifest.format == FORMAT
        and store.read(layout.dated(day, "manifest.json")) == document
        and store.read(layout.dated(day, "manifest.checksum")) == _checksum(document)
    )
    return manifest if is_whole else None


def newest_manifest(store: Store, layout: Layout, before: date) -> Manifest | None:
    """The newest complete manifest older than a date: its baseline."""
    for name in reversed(store.names(layout.base)):
        day = _day_of(name)
        if day is not None and day < before:
            manifest = read_manifest(store, layout, day)
            if manifest is not None:
                return manifest
    return None


def s3_inventory_manifest(manifest: Manifest, destination: Destination) -> dict[str, object]:
    """The content of `manifest.json`, as S3 Inventory writes it.

    Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/storage-inventory-location.html
    """
    return {
        "sourceBucket": manifest.bucket,
        "destinationBucket": destination.bucket_arn,
        "version": VERSION,
        "creationTimestamp": str(int(manifest.created_at.timestamp() * 1000)),
        "fileFormat": "Parquet",
        "fileSchema": _file_schema(),
        "files": [
            {"key": destination.key(part.key), "size": part.file_bytes, "MD5checksum": part.md5}
            for part in manifest.parts
        ],
    }


def _trimmed(store: Store, layout: Layout, parts: Sequence[Part], shard: Shard) -> list[Part]:
    """The parts without keys that the shard does not answer for."""
    lost = [KeyRange.of_prefix(prefix) for prefix in shard.excluded]
    kept: list[Part] = []
    for part in parts:
        if not any(part.meets(key_range) for key_range in lost):
            kept.append(part)
            continue
        with PartWriter(store, layout) as writer:
            for key_range in shard.ranges:
                for records in read_records(store, [part], [key_range]):
                    writer.write(records)
                writer.cut()
            kept += writer.parts
    return kept


def _say_missing(prefix: str, missing: Sequence[str], *, has_any: bool) -> str:
    if not has_any:
        return "no shard of this date has been listed yet; materialize object_listing for it first"
    names = ", ".join("the remainder" if name == prefix else repr(name) for name in missing[:10])
    more = f" and {len(missing) - 10} more" if len(missing) > 10 else ""
    return (
        f"{len(missing)} shard(s) of this date have no snapshot: {names}{more}; materialize "
        "object_listing for them, and the manifest follows"
    )


def _file_schema() -> str:
    types = {
        "string": "binary {} (STRING)",
        "int64": "int64 {}",
        "bool": "boolean {}",
        "timestamp[ms, tz=UTC]": "int64 {} (TIMESTAMP(MILLIS,true))",
    }
    fields = " ".join(
        f" {'optional' if field.nullable else 'required'} "
        f"{types[str(field.type)].format(field.name)};"
        for field in RECORD_SCHEMA
    )
    return f"message s3.inventory {{ {fields}}}"


def _document(manifest: Manifest, destination: Destination) -> bytes:
    return json.dumps(s3_inventory_manifest(manifest, destination), indent=2).encode()


def _checksum(document: bytes) -> bytes:
    return hashlib.md5(document, usedforsecurity=False).hexdigest().encode()


def _day_of(name: str) -> date | None:
    try:
        return date.fromisoformat(name.removesuffix("T00-00Z")) if name.endswith("Z") else None
    except ValueError:
        return None


def _first_key(part: Part) -> str:
    return part.first_key


@cache
def _adapter() -> TypeAdapter[Manifest]:
    return TypeAdapter(Manifest)
