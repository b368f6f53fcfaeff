"""The changes of a shard since the baseline: the newest complete manifest older than the date."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

import pyarrow as pa
import pyarrow.compute as pc

from inventory_assets.inventory.changes.changed_records import publish_changed_records
from inventory_assets.inventory.changes.journal_format import to_journal
from inventory_assets.inventory.changes.sorted_diff import (
    BASELINE_COLUMNS,
    SNAPSHOT_COLUMNS,
    Change,
    diff_sorted,
)
from inventory_assets.inventory.errors import ChangesDoNotReconcile
from inventory_assets.inventory.manifest.manifest import Manifest
from inventory_assets.inventory.manifest.snapshot import Snapshot
from inventory_assets.inventory.parts.current import count_current, read_current
from inventory_assets.inventory.parts.part import Part
from inventory_assets.inventory.storage.commit import publish
from inventory_assets.inventory.storage.layout import FileKind, Layout
from inventory_assets.inventory.storage.record_type import RecordType
from inventory_assets.inventory.storage.store import Store
from inventory_assets.scan.keyspace.shard import Shard

FORMAT = 3
"""The format of the records; it rises when older code could misread a record."""

FEW_VALUES = ["storage_class", "checksum_algorithm"]
"""Columns that are compared faster as indices of a dictionary."""


@dataclass(frozen=True, slots=True)
class Changes:
    """How one shard differs from the baseline.

    Attributes:
        day: The date.
        shard: The keys compared.
        baseline_day: The baseline's date; None for a first inventory, which has no changes.
        baseline_identity: The baseline's identity when it was compared; None without one.
        baseline_rows: Current objects that the baseline held in the shard's key ranges.
        snapshot_fingerprint: The fingerprint of the snapshot compared.
        snapshot_rows: Current objects in it.
        file: The key of the Parquet file of the changed records.
        counts: Changed records by kind, including kinds without any.
        created_at: When the comparison was made.
        format: The number of the format of this record.
        unreadable: Keys of the baseline whose records could not be decoded this time. They count
            neither as deleted nor as compared.
    """

    day: date
    shard: Shard
    baseline_day: date | None
    baseline_identity: str | None
    baseline_rows: int
    snapshot_fingerprint: str
    snapshot_rows: int
    file: str
    counts: Mapping[Change, int]
    created_at: datetime
    format: int = FORMAT
    unreadable: tuple[str, ...] = ()

    @property
    def total(self) -> int:
        """All changed records."""
        return sum(self.counts.values())

    @property
    def balance_violation(self) -> str | None:
        """Why the counts do not add up to the snapshot; None if they do."""
        if self.baseline_day is None:
            return None
        return balance_violation(
            self.baseline_rows,
            self.counts,
            len(self.unreadable),
            self.snapshot_rows,
            "the snapshot",
        )


CHANGES = RecordType(
    kind=FileKind.CHANGES,
    title="record of changes",
    remedy="materialize object_changes for {day} and this shard again",
    data_files="file",
    written_at="created_at",
    formats=(FORMAT,),
    model=Changes,
)


def balance_violation(
    baseline_rows: int, counts: Mapping[Change, int], unreadable: int, rows: int, compared: str
) -> str | None:
    """Why baseline + created - deleted - unreadable is not `rows`; None where it is.

    Args:
        baseline_rows: Current objects of the baseline.
        counts: Changed records by kind.
        unreadable: Objects of the baseline whose records could not be decoded this time.
        rows: Current objects of the snapshot or inventory that was compared with the baseline.
        compared: Its name in the message.
    """
    created, deleted = counts[Change.CREATED], counts[Change.DELETED]
    balance = baseline_rows + created - deleted - unreadable
    if balance == rows:
        return None
    lost = f" - {unreadable:,} unreadable" if unreadable else ""
    return (
        f"{baseline_rows:,} + {created:,} created - {deleted:,} deleted{lost} = {balance:,}, "
        f"but {compared} holds {rows:,}"
    )


def publish_changes(
    store: Store,
    layout: Layout,
    snapshot: Snapshot,
    baseline: Manifest | None,
    now: datetime,
) -> Changes:
    """Compare a snapshot with its baseline and publish the changes.

    The baseline is restricted to the key ranges of the snapshot, whatever its shards are. If
    versions are listed, the current objects of both days are compared. The Parquet file is
    published before the record.

    Raises:
        CorruptRecord: A part is missing or damaged.
        ChangesDoNotReconcile: The changes do not lead from the baseline to the snapshot.
    """
    old, new = _differing(baseline, snapshot)
    ranges = snapshot.shard.ranges
    differences = diff_sorted(
        read_current(store, old, ranges, BASELINE_COLUMNS, FEW_VALUES),
        read_current(store, new, ranges, SNAPSHOT_COLUMNS, FEW_VALUES),
    )
    unread = _UnreadableKeys(snapshot)
    file, counts = publish_changed_records(
        store,
        layout,
        (
            to_journal(table, layout.bucket, snapshot.day, snapshot.finished_at)
            for table in unread.exclude(differences)
        ),
    )
    changes = Changes(
        day=snapshot.day,
        shard=snapshot.shard,
        baseline_day=baseline.day if baseline else None,
        baseline_identity=baseline.identity if baseline else None,
        baseline_rows=_rows(store, baseline, snapshot.shard),
        snapshot_fingerprint=snapshot.fingerprint,
        snapshot_rows=snapshot.objects,
        file=file,
        counts=counts,
        created_at=now,
        unreadable=tuple(unread.found),
    )
    if changes.balance_violation:
        raise ChangesDoNotReconcile(
            f"the changes of {snapshot.shard.prefix!r} on {snapshot.day} do not reconcile and were "
            f"not published: {changes.balance_violation}; list the shard again, and verify the "
            f"inventory of {changes.baseline_day} (`inventory verify`)"
        )
    key = layout.changes(snapshot.day, snapshot.shard.prefix)
    publish(store, CHANGES.file(key, changes))
    return changes


def unreconciled_shards(
    store: Store, layout: Layout, day: date, prefixes: Iterable[str]
) -> list[str]:
    """The shards whose counts do not add up; a sum over all of them could hide two.

    Raises:
        CorruptRecord: A record is damaged.
    """
    found = []
    for prefix in prefixes:
        changes = read_changes(store, layout, day, prefix)
        if changes is not None and changes.balance_violation:
            found.append(f"{prefix!r}: {changes.balance_violation}")
    return found


def read_changes(store: Store, layout: Layout, day: date, prefix: str) -> Changes | None:
    """Read the changes of a shard on a date; None where none were published.

    Raises:
        CorruptRecord: The file is damaged or of another format.
    """
    return CHANGES.read(store, layout.changes(day, prefix))


class _UnreadableKeys:
    """Objects that a snapshot lacks only because their records could not be decoded.

    Attributes:
        found: Their keys in the baseline; complete when all differences were read.
    """

    def __init__(self, snapshot: Snapshot) -> None:
        keys = {record.key for record in snapshot.unreadable.first if record.key is not None}
        self._keys = pa.array(sorted(keys), pa.string())
        self.found: list[str] = []

    def exclude(self, differences: Iterable[pa.Table]) -> Iterator[pa.Table]:
        """The differences without the deletions of such objects."""
        for table in differences:
            if not len(self._keys):
                yield table
                continue
            is_deleted = pc.equal(table.column("change"), Change.DELETED.value)
            is_unread = pc.is_in(table.column("key"), value_set=self._keys)
            is_missing = pc.and_(is_deleted, is_unread)
            self.found += table.filter(is_missing).column("key").to_pylist()
            kept = table.filter(pc.invert(is_missing))
            if kept.num_rows:
                yield kept


def _differing(
    baseline: Manifest | None, snapshot: Snapshot
) -> tuple[Sequence[Part], Sequence[Part]]:
    """The parts of both sides to compare, without common parts; none without a baseline."""
    if baseline is None:
        return (), ()
    shared = baseline.part_keys & {part.key for part in snapshot.parts}
    return (
        [part for part in baseline.parts if part.key not in shared],
        [part for part in snapshot.parts if part.key not in shared],
    )


def _rows(store: Store, baseline: Manifest | None, shard: Shard) -> int:
    if baseline is None:
        return 0
    parts = baseline.parts
    return sum(count_current(store, parts, key_range) for key_range in shard.ranges)
