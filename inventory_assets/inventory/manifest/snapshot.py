"""A snapshot: the content of one shard, with the evidence that nothing is missing."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from pydantic import computed_field

from inventory_assets.inventory.manifest.range_bounds import Ranges
from inventory_assets.inventory.manifest.unreadable_records import (
    NOTHING_UNREADABLE,
    UnreadableRecords,
)
from inventory_assets.inventory.parts.part import ClassTotal, Part, class_totals, part_exists
from inventory_assets.inventory.storage.commit import commit
from inventory_assets.inventory.storage.layout import FileKind, Layout, folder_of
from inventory_assets.inventory.storage.parallel_reads import read_each
from inventory_assets.inventory.storage.record_type import RecordType
from inventory_assets.inventory.storage.store import Store
from inventory_assets.s3.latency_histogram import NO_LATENCIES, LatencyHistogram
from inventory_assets.s3.store_profile import AWS, StoreProfile
from inventory_assets.scan.keyspace.key_order import KeyOrder
from inventory_assets.scan.keyspace.shard import Shard
from inventory_assets.scan.validation.object_versions import Versions
from inventory_assets.scan.validation.range_evidence import RangeEvidence

FORMAT = 3
"""The format of snapshots of current objects; it rises when older code could misread a record."""

FORMAT_OF_VERSIONS = 4
"""The format of snapshots of versions, which code without support for versions rejects."""


@dataclass(frozen=True, slots=True)
class Reuse:
    """The parts of the baseline that a snapshot reuses.

    Attributes:
        unchanged: Whether the baseline held the same records of the same shard.
        parts: The number of parts in both.
        bytes: The size of their files in bytes.
    """

    unchanged: bool = False
    parts: int = 0
    bytes: int = 0


NO_REUSE = Reuse()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The content of one shard.

    Attributes:
        bucket: The bucket listed.
        source: The source's name.
        day: The date of the snapshot.
        shard: The keys that it covers, and the prefixes among them that it excludes.
        started_at: When the listing began; objects changed later may or may not be in it.
        finished_at: When the listing ended.
        key_order: The key order of the store.
        parts: The parts, in key order; none spans an excluded prefix.
        evidence: What was found in each range of the shard, in order.
        fingerprint: A hash of the records that does not depend on their division into parts.
        requests: Requests sent, including failed attempts.
        response_bytes: Bytes of the response bodies.
        faults: Transient errors, by kind.
        reuse: The parts that it reuses from the baseline.
        versions: Which versions it holds; None for current objects.
        profile: How the store differs from AWS in listings.
        unreadable: Records of the listing that could not be decoded, and are in no part.
        latency: The latencies of the requests of the run that finished the listing.
    """

    bucket: str
    source: str
    day: date
    shard: Shard
    started_at: datetime
    finished_at: datetime
    key_order: KeyOrder
    parts: tuple[Part, ...]
    evidence: Ranges[RangeEvidence]
    fingerprint: str
    requests: int
    response_bytes: int
    faults: Mapping[str, int]
    reuse: Reuse = NO_REUSE
    versions: Versions | None = None
    profile: StoreProfile = AWS
    unreadable: UnreadableRecords = NOTHING_UNREADABLE
    latency: LatencyHistogram = NO_LATENCIES

    @computed_field  # type: ignore[prop-decorator]
    @property
    def format(self) -> int:
        """The number of the format of this record."""
        return FORMAT_OF_VERSIONS if self.versions else FORMAT

    @property
    def rows(self) -> int:
        """Records of the shard: its objects, or all their versions and delete markers."""
        return sum(part.rows for part in self.parts)

    @property
    def objects(self) -> int:
        """Current objects in the shard."""
        return sum(part.objects for part in self.parts)

    @property
    def object_bytes(self) -> int:
        """The sum of the sizes of the objects or versions, in bytes."""
        return sum(part.object_bytes for part in self.parts)

    @property
    def file_bytes(self) -> int:
        """The size of the Parquet files in bytes."""
        return sum(part.file_bytes for part in self.parts)

    @property
    def seams(self) -> dict[str, int]:
        """The number of seams of its ranges, by kind."""
        return dict(sorted(Counter(row.seam.value for row in self.evidence).items()))

    @property
    def seconds(self) -> float:
        """The duration of the listing in seconds."""
        return (self.finished_at - self.started_at).total_seconds()

    @property
    def classes(self) -> tuple[ClassTotal, ...]:
        """Totals by storage class."""
        return class_totals(self.parts)


SNAPSHOT = RecordType(
    kind=FileKind.SNAPSHOT,
    title="snapshot",
    remedy="materialize object_listing for {day} and this shard again",
    data_files="parts[].key",
    written_at="finished_at",
    formats=(FORMAT, FORMAT_OF_VERSIONS),
    model=Snapshot,
)


def snapshot_etag(store: Store, layout: Layout, day: date, prefix: str) -> str:
    """The ETag of a shard's snapshot of a date; it changes when another run publishes one."""
    return store.etag(layout.snapshot(day, prefix))


def publish_snapshot(
    store: Store, layout: Layout, snapshot: Snapshot, expected_etag: str | None = None
) -> None:
    """Publish the snapshot of a shard for its date; its parts must be published already.

    Args:
        store: The store to publish to.
        layout: The layout of the source.
        snapshot: The snapshot.
        expected_etag: The `snapshot_etag` when the listing began; None for the present one.

    Raises:
        ConflictError: Another run published a snapshot of the shard in the meantime.
    """
    key = layout.snapshot(snapshot.day, snapshot.shard.prefix)
    commit(store, SNAPSHOT.file(key, snapshot), expected_etag)


def read_snapshot(store: Store, layout: Layout, day: date, prefix: str) -> Snapshot | None:
    """Read the snapshot of a shard on a date; None where there is none.

    Raises:
        CorruptRecord: The file is damaged, of another format, or of another shard.
    """
    return _read_at(store, layout, layout.snapshot(day, prefix))


def read_snapshots(store: Store, layout: Layout, day: date) -> dict[str, Snapshot]:
    """Read the snapshots of a date, by prefix, in order, without outdated ones.

    Raises:
        CorruptRecord: A file is damaged, of another format, or of another shard.
    """
    folder = folder_of(layout.snapshot(day, ""))
    found = (_read_at(store, layout, f"{folder}/{name}") for name in store.list_names(folder))
    return without_outdated({each.shard.prefix: each for each in filter(None, found)})


def without_outdated(snapshots: Mapping[str, Snapshot]) -> dict[str, Snapshot]:
    """The snapshots of a date, in order, without those whose keys were listed again since.

    A shard that has lost its partition is listed no more, and its snapshot stays. Once the date is
    listed again, the shard around it has its keys.
    """
    kept: dict[str, Snapshot] = {}
    around: list[Snapshot] = []
    needed: set[str] = set()
    for prefix, snapshot in sorted(snapshots.items()):
        while around and not prefix.startswith(around[-1].shard.prefix):
            around.pop()
        is_outdated = prefix not in needed and any(
            each.started_at > snapshot.finished_at and each.shard.covers(prefix) for each in around
        )
        if not is_outdated:
            kept[prefix] = snapshot
            around.append(snapshot)
            needed.update(snapshot.shard.excluded)
    return kept


def files_that_differ(store: Store, parts: Sequence[Part]) -> list[str]:
    """The keys of the parts that are missing or do not have the size that was published."""
    found = read_each(lambda part: part_exists(store, part), parts)
    return [part.key for part, exists in zip(parts, found, strict=True) if not exists]


def _read_at(store: Store, layout: Layout, key: str) -> Snapshot | None:
    snapshot = SNAPSHOT.read(store, key)
    if snapshot and key != layout.snapshot(snapshot.day, snapshot.shard.prefix):
        raise SNAPSHOT.unreadable(store, key)
    return snapshot
