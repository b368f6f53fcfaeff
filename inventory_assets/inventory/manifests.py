"""A manifest: the merged snapshots of one date, as S3 Inventory publishes them.

The merge moves no data: it lists the shards' parts in key order. Only where a prefix became a shard
after the shard around it was listed are the few parts concerned cut again, without its keys; a key
belongs to the longest prefix that has a snapshot for the date.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from itertools import pairwise

from pydantic import JsonValue, TypeAdapter, ValidationError, computed_field
from pydantic.json_schema import GenerateJsonSchema

from inventory_assets.inventory.errors import ManifestIncomplete, StoreError
from inventory_assets.inventory.layout import Layout, day_of_folder
from inventory_assets.inventory.parts import (
    ClassTotal,
    Part,
    PartWriter,
    class_totals,
    read_records,
)
from inventory_assets.inventory.s3_inventory import (
    DataFile,
    Destination,
    manifest_checksum,
    manifest_document,
    symlinks,
)
from inventory_assets.inventory.snapshots import FORMAT, Snapshot, files_that_differ
from inventory_assets.inventory.store import LocalStore
from inventory_assets.scan import KeyOrder, KeyRange, Shard, cut_out
from inventory_assets.scan.ranges import tiling_fault

LIST_USD_PER_1000 = 0.005
"""What AWS asks for 1,000 LIST requests: S3 Standard, us-east-1, November 2026
(https://aws.amazon.com/s3/pricing/). Other regions and stores ask more, less or nothing."""


@dataclass(frozen=True, slots=True)
class EvidenceSummary:
    """What a shard's snapshot proves, in short; the snapshot has it range by range.

    Attributes:
        snapshot: Where in the store the snapshot lies.
        ranges: Key ranges that were listed to their end.
        rows: Objects seen in them.
        key_order: The order in which the store lists.
        response_bytes: Bytes of the bodies received.
    """

    snapshot: str
    ranges: int
    rows: int
    key_order: KeyOrder
    response_bytes: int


@dataclass(frozen=True, slots=True)
class Baseline:
    """The newest complete manifest before a date, with which the date is compared.

    Attributes:
        day: Its date.
        identity: Its identity.
    """

    day: date
    identity: str


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
        evidence: What its snapshot proves.
    """

    shard: Shard
    fingerprint: str
    started_at: datetime
    finished_at: datetime
    parts: tuple[Part, ...]
    requests: int
    faults: Mapping[str, int]
    evidence: EvidenceSummary

    @computed_field  # type: ignore[prop-decorator]
    @property
    def rows(self) -> int:
        """Objects the shard holds."""
        return sum(part.rows for part in self.parts)


@dataclass(frozen=True, slots=True)
class Manifest:
    """The inventory of one date: this project's own facts, beside S3 Inventory's `manifest.json`.

    Published as `inventory.json`, with what follows from the facts (docs/facts.schema.json).

    Attributes:
        bucket: The bucket inventoried.
        source: The source's name.
        prefix: The source's prefix.
        day: The date.
        created_at: When it was merged.
        shards: The shards, by prefix in order.
        destination: Where readers of S3 Inventory look for the data files.
        configuration: How the source is configured.
        baseline: What the date is compared with; None for a first inventory.
        format: The version of this record.
    """

    bucket: str
    source: str
    prefix: str
    day: date
    created_at: datetime
    shards: tuple[ShardEntry, ...]
    destination: Destination
    configuration: Mapping[str, JsonValue]
    baseline: Baseline | None
    format: int = FORMAT

    @property
    def parts(self) -> tuple[Part, ...]:
        """All parts, in key order: read one after the other, they are sorted as a whole."""
        return tuple(sorted((p for entry in self.shards for p in entry.parts), key=_first_key))

    @computed_field  # type: ignore[prop-decorator]
    @property
    def rows(self) -> int:
        """Objects in the inventory."""
        return sum(entry.rows for entry in self.shards)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def object_bytes(self) -> int:
        """The sum of their sizes."""
        return sum(part.object_bytes for part in self.parts)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def classes(self) -> tuple[ClassTotal, ...]:
        """Totals by storage class."""
        return class_totals(self.parts)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def requests(self) -> int:
        """Requests that the listings took, failed attempts included."""
        return sum(entry.requests for entry in self.shards)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def estimated_usd(self) -> float:
        """What AWS would ask for these requests; an estimate, at `LIST_USD_PER_1000`."""
        return round(self.requests * LIST_USD_PER_1000 / 1000, 6)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def faults(self) -> dict[str, int]:
        """Passing trouble that the listings met, by kind."""
        total: Counter[str] = Counter()
        for entry in self.shards:
            total.update(entry.faults)
        return dict(sorted(total.items()))

    @computed_field  # type: ignore[prop-decorator]
    @property
    def identity(self) -> str:
        """A hash of what the manifest says of the bucket: equal content, equal identity."""
        facts = [(entry.shard.prefix, entry.fingerprint) for entry in self.shards]
        files = [part.key for part in self.parts]
        return hashlib.sha256(json.dumps([facts, files]).encode()).hexdigest()[:32]


def merge(
    store: LocalStore,
    layout: Layout,
    prefix: str,
    snapshots: Mapping[str, Snapshot],
    now: datetime,
    *,
    baseline: Manifest | None = None,
    configuration: Mapping[str, JsonValue] | None = None,
) -> Manifest:
    """Merge the snapshots of one date. Parts may be written; nothing else is published.

    Args:
        store: Where the parts lie.
        layout: Under which keys.
        prefix: The source's prefix, whose snapshot is the remainder.
        snapshots: The date's snapshots, by prefix.
        now: The time of the merge.
        baseline: What the date is compared with; None for a first inventory.
        configuration: How the source is configured, for the record.

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
                EvidenceSummary(
                    layout.snapshot(snapshot.day, snapshot.shard.prefix),
                    len(snapshot.evidence),
                    sum(row.rows for row in snapshot.evidence),
                    snapshot.key_order,
                    snapshot.response_bytes,
                ),
            )
        )
    day = next(iter(snapshots.values())).day
    entries.sort(key=lambda entry: entry.shard.prefix)
    return Manifest(
        bucket=layout.bucket,
        source=layout.source,
        prefix=prefix,
        day=day,
        created_at=now,
        shards=tuple(entries),
        destination=store.destination,
        configuration=configuration or {},
        baseline=Baseline(baseline.day, baseline.identity) if baseline else None,
    )


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


def publish_manifest(store: LocalStore, layout: Layout, manifest: Manifest) -> None:
    """Publish the date's inventory; `manifest.checksum` comes last and makes it count.

    Raises:
        StoreError: A part is missing or altered, or a file could not be written.
    """
    differing = files_that_differ(store, manifest.parts)
    if differing:
        raise StoreError(
            f"{store.path(differing[0])} is missing or was altered; materialize object_listing "
            f"for {manifest.day} again, then this manifest"
        )
    document = _document(manifest)
    facts = _adapter().dump_json(manifest, indent=1)
    links = symlinks([store.uri(part.key) for part in manifest.parts])
    store.publish(layout.symlink(manifest.day), links)
    store.publish(layout.dated(manifest.day, "inventory.json"), facts)
    store.publish(layout.dated(manifest.day, "manifest.json"), document)
    store.publish(layout.dated(manifest.day, "manifest.checksum"), manifest_checksum(document))


def read_manifest(store: LocalStore, layout: Layout, day: date) -> Manifest | None:
    """The published manifest of a date, or None where none was published whole."""
    facts = store.read(layout.dated(day, "inventory.json"))
    if facts is None:
        return None
    try:
        manifest = _adapter().validate_json(facts, strict=False)
    except ValidationError:
        return None
    # A publish that was cut short leaves three files that do not agree.
    document = _document(manifest)
    is_whole = (
        manifest.format == FORMAT
        and store.read(layout.dated(day, "manifest.json")) == document
        and store.read(layout.dated(day, "manifest.checksum")) == manifest_checksum(document)
    )
    return manifest if is_whole else None


def newest_manifest(store: LocalStore, layout: Layout, before: date) -> Manifest | None:
    """The newest complete manifest older than a date: its baseline."""
    for name in reversed(store.names(layout.base)):
        day = day_of_folder(name)
        if day is not None and day < before:
            manifest = read_manifest(store, layout, day)
            if manifest is not None:
                return manifest
    return None


def facts_schema() -> dict[str, object]:
    """The JSON Schema of `inventory.json`."""
    schema = _adapter().json_schema(mode="serialization")
    return {"$schema": GenerateJsonSchema.schema_dialect, **schema}


def _trimmed(store: LocalStore, layout: Layout, parts: Sequence[Part], shard: Shard) -> list[Part]:
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


def _document(manifest: Manifest) -> bytes:
    files = [DataFile(part.key, part.file_bytes, part.md5) for part in manifest.parts]
    return manifest_document(
        manifest.bucket, manifest.destination, manifest.created_at, "Parquet", files
    )


def _first_key(part: Part) -> str:
    return part.first_key


@cache
def _adapter() -> TypeAdapter[Manifest]:
    return TypeAdapter(Manifest)
