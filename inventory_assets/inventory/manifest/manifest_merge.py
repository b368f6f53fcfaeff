"""Merge the snapshots of one date into a manifest, and publish it as S3 Inventory does.

The merge moves no data: it lists the parts of the shards in key order. If a prefix became a shard
after the shard around it was listed, the few parts concerned are written again without its keys. A
key belongs to the longest prefix that has a snapshot for the date.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from functools import cache, partial
from itertools import pairwise

from pydantic import JsonValue

from inventory_assets.inventory.errors import CorruptRecord, ManifestIncomplete, StoreError
from inventory_assets.inventory.manifest.manifest import (
    MANIFEST,
    SUPERSEDED,
    Baseline,
    EvidenceSummary,
    Manifest,
    ShardEntry,
)
from inventory_assets.inventory.manifest.s3_inventory_format import (
    DataFile,
    manifest_checksum,
    manifest_document,
    symlinks,
)
from inventory_assets.inventory.manifest.snapshot import Snapshot, files_that_differ
from inventory_assets.inventory.parts.part import Part, read_records
from inventory_assets.inventory.parts.part_writer import PartWriter
from inventory_assets.inventory.storage.commit import commit, publish
from inventory_assets.inventory.storage.layout import Layout, day_of_folder
from inventory_assets.inventory.storage.store import Store
from inventory_assets.scan.keyspace.key_range import KeyRange, tiling_violation
from inventory_assets.scan.keyspace.shard import Shard, make_shard


def merge(
    store: Store,
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
        store: The store that holds the parts.
        layout: The layout of the source.
        prefix: The prefix of the source, whose snapshot is the remainder.
        snapshots: The snapshots of the date (`read_snapshots`), by prefix.
        now: The time of the merge.
        baseline: The manifest with which the date is compared; None for a first inventory.
        configuration: The configuration of the source, which the manifest states.

    Raises:
        ManifestIncomplete: A shard that another one excludes has no snapshot, or the remainder has
            none.
    """
    missing = missing_prefixes(prefix, snapshots)
    if missing:
        raise ManifestIncomplete(_describe_missing(prefix, missing, has_any=bool(snapshots)))
    entries = []
    for snapshot in snapshots.values():
        shard = make_shard(snapshot.shard.prefix, snapshots)
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
                    snapshot.seams,
                    snapshot.profile.habits,
                ),
                snapshot.reuse,
                snapshot.versions,
                snapshot.unreadable.count,
                snapshot.latency,
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
    """The shards without a snapshot: the remainder, and all that other snapshots exclude."""
    needed = {prefix}
    for snapshot in snapshots.values():
        needed.update(snapshot.shard.excluded)
    return sorted(needed - snapshots.keys())


def violations_of(manifest: Manifest) -> list[str]:
    """Describe the rules that the manifest violates, each with the place; normally none."""
    violations = []
    ranges = sorted(key_range for entry in manifest.shards for key_range in entry.shard.ranges)
    gap = tiling_violation(ranges, [KeyRange.of_prefix(manifest.prefix)])
    if gap:
        violations.append(f"the shards do not tile the source: {gap}")
    if len({entry.versions is None for entry in manifest.shards}) > 1:
        violations.append("some shards hold versions and others current objects; list these again")
    violations += [
        f"{right.first_key!r} comes after {left.last_key!r}: two parts overlap"
        for left, right in pairwise(manifest.parts)
        if left.last_key >= right.first_key
    ]
    return violations


def manifest_etag(store: Store, layout: Layout, day: date) -> str:
    """The ETag of the manifest of a date; it changes when another run publishes one."""
    return store.etag(layout.manifest(day))


def publish_manifest(
    store: Store, layout: Layout, manifest: Manifest, expected_etag: str | None = None
) -> None:
    """Publish the inventory of a date. `manifest.checksum` is written last and makes it complete.

    An earlier inventory of the date with other content stays readable (`read_manifest_as_of`), so
    that what was made of it can be compared with the new one.

    Args:
        store: The store to publish to.
        layout: The layout of the source.
        manifest: The manifest.
        expected_etag: The `manifest_etag` when this run began to read the snapshots of the date;
            None for the present one.

    Raises:
        ConflictError: Another run published the inventory of the date in the meantime.
        StoreError: A part is missing or altered, or a file could not be written.
    """
    if expected_etag is None:
        expected_etag = manifest_etag(store, layout, manifest.day)
    earlier = read_manifest(store, layout, manifest.day)
    if earlier is not None and earlier.identity != manifest.identity:
        publish(
            store,
            SUPERSEDED.file(layout.superseded(earlier.day, earlier.identity), earlier),
        )
    document = _document(manifest)
    commit(
        store,
        MANIFEST.file(layout.manifest(manifest.day), manifest),
        expected_etag,
        verify=lambda: require_parts(store, manifest),
        dependents=[
            (layout.symlink(manifest.day), symlinks([store.uri(p.key) for p in manifest.parts])),
            (layout.s3_manifest(manifest.day), document),
            (layout.checksum(manifest.day), manifest_checksum(document)),
        ],
    )


def require_parts(store: Store, manifest: Manifest) -> None:
    """Check that all parts of a manifest exist as they were published.

    Raises:
        StoreError: A part is missing or altered.
    """
    differing = files_that_differ(store, manifest.parts)
    if differing:
        raise StoreError(
            f"{store.where(differing[0])} is missing or was altered; materialize "
            f"object_listing for {manifest.day} again, then this manifest"
        )


def read_manifest(store: Store, layout: Layout, day: date) -> Manifest | None:
    """Read the manifest of a date; None where none was published completely."""
    try:
        manifest = MANIFEST.read(store, layout.manifest(day))
    except CorruptRecord:
        return None
    if manifest is None:
        return None
    # After an interrupted publication, the files do not match each other.
    document = _document(manifest)
    is_whole = store.read(layout.s3_manifest(day)) == document and store.read(
        layout.checksum(day)
    ) == manifest_checksum(document)
    return manifest if is_whole else None


def required_manifest(store: Store, layout: Layout, day: date) -> Manifest:
    """Read the manifest of a date, for work that needs one.

    Raises:
        ManifestIncomplete: None was published completely.
    """
    manifest = read_manifest(store, layout, day)
    if manifest is None:
        raise ManifestIncomplete("no manifest was published; materialize inventory_manifest first")
    return manifest


def read_manifest_as_of(store: Store, layout: Layout, day: date, identity: str) -> Manifest | None:
    """The manifest of a date that has an identity, also if the date was published again since.

    None where there is none, or none any more: retention keeps the earlier ones for some days.

    Raises:
        CorruptRecord: The earlier manifest is damaged.
    """
    manifest = read_manifest(store, layout, day)
    if manifest is None or manifest.identity != identity:
        manifest = SUPERSEDED.read(store, layout.superseded(day, identity))
    return manifest


def baselines_of(store: Store, layout: Layout, days: Iterable[date]) -> dict[date, Manifest | None]:
    """The baseline of each date; each manifest is read once.

    Raises:
        StoreError: A manifest cannot be read.
    """
    read = cache(partial(read_manifest, store, layout))
    return {day: newest_manifest(store, layout, day, read) for day in sorted({*days})}


def newest_manifest(
    store: Store,
    layout: Layout,
    before: date,
    read: Callable[[date], Manifest | None] | None = None,
) -> Manifest | None:
    """The newest complete manifest older than a date: its baseline.

    Args:
        store: The store with the manifests.
        layout: The layout of the source.
        before: The date.
        read: Replaces `read_manifest`, for a caller that caches manifests.
    """
    return next(manifests_before(store, layout, before, read), None)


def manifests_before(
    store: Store,
    layout: Layout,
    before: date,
    read: Callable[[date], Manifest | None] | None = None,
) -> Iterator[Manifest]:
    """The complete manifests older than a date, the newest first; they are read as they are asked.

    Args:
        store: The store with the manifests.
        layout: The layout of the source.
        before: The date.
        read: Replaces `read_manifest`, for a caller that caches manifests.
    """
    read = read or partial(read_manifest, store, layout)
    for name in reversed(store.list_names(layout.base)):
        day = day_of_folder(name)
        if day is not None and day < before:
            manifest = read(day)
            if manifest is not None:
                yield manifest


def _trimmed(store: Store, layout: Layout, parts: Sequence[Part], shard: Shard) -> list[Part]:
    """The parts without the keys that do not belong to the shard."""
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
                writer.finish_part()
            kept += writer.parts
    return kept


def _describe_missing(prefix: str, missing: Sequence[str], *, has_any: bool) -> str:
    if not has_any:
        return "no shard of this date has been listed yet; materialize object_listing for it first"
    names = ", ".join("the remainder" if name == prefix else repr(name) for name in missing[:10])
    more = f" and {len(missing) - 10} more" if len(missing) > 10 else ""
    return (
        f"{len(missing)} shard(s) of this date have no snapshot: {names}{more}; materialize "
        "object_listing for them, then the manifest; if the partition of a shard was deleted, "
        "materialize object_listing for the shard that contains it"
    )


def _document(manifest: Manifest) -> bytes:
    files = [DataFile(part.key, part.file_bytes, part.md5) for part in manifest.parts]
    return manifest_document(
        manifest.bucket,
        manifest.destination,
        manifest.created_at,
        "Parquet",
        files,
        manifest.schema,
    )
