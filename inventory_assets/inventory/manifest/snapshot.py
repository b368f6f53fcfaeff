"""A snapshot: what one shard held when it was listed, with the evidence that nothing is missing."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from typing import Any

from pydantic import TypeAdapter, ValidationError, computed_field

from inventory_assets.inventory.errors import CorruptRecord
from inventory_assets.inventory.manifest.unreadable_records import (
    NOTHING_UNREADABLE,
    UnreadableRecords,
)
from inventory_assets.inventory.parts.part import ClassTotal, Part, class_totals, part_exists
from inventory_assets.inventory.storage.layout import Layout
from inventory_assets.inventory.storage.store import Store
from inventory_assets.inventory.storage.tombstones import clear_tombstones
from inventory_assets.s3.store_profile import AWS, StoreProfile
from inventory_assets.scan.keyspace.key_order import KeyOrder
from inventory_assets.scan.keyspace.key_range import prefix_of_upper_bound, prefix_upper_bound
from inventory_assets.scan.keyspace.shard import Shard
from inventory_assets.scan.validation.object_versions import Versions
from inventory_assets.scan.validation.range_evidence import RangeEvidence

FORMAT = 3
"""Of records of current objects. Raised when older code could misread what newer code wrote."""

FORMAT_OF_VERSIONS = 4
"""Of records that hold versions: code that does not know them would take them for objects."""


@dataclass(frozen=True, slots=True)
class Reuse:
    """What a snapshot has in common with the baseline, and did not write again.

    Attributes:
        unchanged: Whether the baseline held the very same records of the same shard.
        parts: Parts that both hold.
        bytes: Bytes of their files.
    """

    unchanged: bool = False
    parts: int = 0
    bytes: int = 0


NO_REUSE = Reuse()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What one shard held.

    Attributes:
        bucket: The bucket listed.
        source: The source's name.
        day: The date it stands for.
        shard: Which keys it covers, and which prefixes within them it left out.
        started_at: When listing began; objects changed later may or may not be in it.
        finished_at: When listing ended.
        key_order: How the store lists.
        parts: The records, in key order; none spans a prefix that was left out.
        evidence: What each of the shard's ranges was found to hold, in order.
        fingerprint: Hash of the records, whatever parts they are cut into.
        requests: Requests sent, failed attempts included.
        response_bytes: Bytes of the bodies received.
        faults: Passing trouble met, by kind.
        reuse: What it has in common with the baseline.
        versions: Which versions it holds; None for current objects.
        profile: How the store lists besides.
        unreadable: Records of the listing that could not be decoded, and are in no part.
    """

    bucket: str
    source: str
    day: date
    shard: Shard
    started_at: datetime
    finished_at: datetime
    key_order: KeyOrder
    parts: tuple[Part, ...]
    evidence: tuple[RangeEvidence, ...]
    fingerprint: str
    requests: int
    response_bytes: int
    faults: Mapping[str, int]
    reuse: Reuse = NO_REUSE
    versions: Versions | None = None
    profile: StoreProfile = AWS
    unreadable: UnreadableRecords = NOTHING_UNREADABLE

    @computed_field  # type: ignore[prop-decorator]
    @property
    def format(self) -> int:
        """The version of this record."""
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
        """The sum of their sizes."""
        return sum(part.object_bytes for part in self.parts)

    @property
    def file_bytes(self) -> int:
        """Bytes of the Parquet files."""
        return sum(part.file_bytes for part in self.parts)

    @property
    def seams(self) -> dict[str, int]:
        """How many ranges were found to agree with what lies to their right, by how."""
        return dict(sorted(Counter(row.seam.value for row in self.evidence).items()))

    @property
    def seconds(self) -> float:
        """How long the listing took."""
        return (self.finished_at - self.started_at).total_seconds()

    @property
    def classes(self) -> tuple[ClassTotal, ...]:
        """Totals by storage class."""
        return class_totals(self.parts)


def snapshot_etag(store: Store, layout: Layout, day: date, prefix: str) -> str:
    """What tells a shard's snapshot of a date from one that another run publishes later."""
    return store.etag(layout.snapshot(day, prefix))


def publish_snapshot(
    store: Store, layout: Layout, snapshot: Snapshot, expected_etag: str | None = None
) -> None:
    """Make `snapshot` the shard's snapshot of its date; its parts must be published already.

    Args:
        store: Where.
        layout: Under which keys.
        snapshot: What.
        expected_etag: Its `snapshot_etag` when its listing began; None for what it is now.

    Raises:
        ConflictError: Another run published the shard's snapshot in the meantime.
    """
    document = _adapter().dump_python(snapshot, mode="json")
    for row in document["evidence"]:
        row["key_range"] = {name: written_bound(key) for name, key in row["key_range"].items()}
    key = layout.snapshot(snapshot.day, snapshot.shard.prefix)
    if expected_etag is None:
        expected_etag = store.etag(key)
    clear_tombstones(store, [part.key for part in snapshot.parts])
    store.put_if_match(key, json.dumps(document, indent=1).encode(), expected_etag)


def read_snapshot(store: Store, layout: Layout, day: date, prefix: str) -> Snapshot | None:
    """The snapshot of a shard on a date, or None where there is none.

    Raises:
        CorruptRecord: The file is damaged, of another format, or of another shard.
    """
    key = layout.snapshot(day, prefix)
    data = store.read(key)
    if data is None:
        return None
    try:
        document = json.loads(data)
        for row in document["evidence"]:
            row["key_range"] = {
                name: key_of_bound(bound) for name, bound in row["key_range"].items()
            }
        snapshot = _adapter().validate_python(document, strict=False)
        is_known = document.get("format") in (FORMAT, FORMAT_OF_VERSIONS)
    except (ValueError, KeyError, TypeError, AttributeError, ValidationError):
        snapshot, is_known = None, False
    if not is_known or snapshot is None or (snapshot.day, snapshot.shard.prefix) != (day, prefix):
        raise CorruptRecord(
            f"{store.where(key)} is no snapshot of {prefix!r} that this version can read; "
            f"materialize object_listing for {day} and this shard again"
        )
    return snapshot


def read_snapshots(store: Store, layout: Layout, day: date) -> dict[str, Snapshot]:
    """All snapshots of a date, by prefix, in order."""
    found: list[Snapshot] = []
    folder = layout.snapshot(day, "").rpartition("/")[0]
    for name in store.list_names(folder):
        key = f"{folder}/{name}"
        data = store.read(key)
        try:
            prefix = json.loads(data or b"")["shard"]["prefix"]
        except (ValueError, KeyError, TypeError):
            raise CorruptRecord(
                f"{store.where(key)} is damaged; materialize object_listing for {day} "
                "again for the shard that its name tells"
            ) from None
        snapshot = read_snapshot(store, layout, day, prefix)
        if snapshot is not None:
            found.append(snapshot)
    return {snapshot.shard.prefix: snapshot for snapshot in sorted(found, key=_prefix)}


def files_that_differ(store: Store, parts: Sequence[Part]) -> list[str]:
    """Which parts are missing, or have not the size that was published."""
    return [part.key for part in parts if not part_exists(store, part)]


def _prefix(snapshot: Snapshot) -> str:
    return snapshot.shard.prefix


@cache
def _adapter() -> TypeAdapter[Snapshot]:
    return TypeAdapter(Snapshot)


def written_bound(key: str) -> str | dict[str, str]:
    """A range's bound as JSON; the last key of a prefix, 1,024 bytes long, is named for it."""
    prefix = prefix_of_upper_bound(key)
    return key if prefix is None else {"through": prefix}


def key_of_bound(bound: Any) -> str:
    """The bound that `written_bound` wrote."""
    return prefix_upper_bound(bound["through"]) if isinstance(bound, dict) else str(bound)
