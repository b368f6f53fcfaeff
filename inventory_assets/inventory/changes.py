"""The changes of a shard since the baseline: the newest complete manifest older than the date."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache

import pyarrow.parquet as pq
from pydantic import TypeAdapter, ValidationError

from inventory_assets.inventory.comparing import (
    CHANGE_SCHEMA,
    COMPARED_COLUMNS,
    Change,
    compare,
)
from inventory_assets.inventory.errors import CorruptRecord
from inventory_assets.inventory.facts import Manifest
from inventory_assets.inventory.layout import Layout
from inventory_assets.inventory.parts import ROW_GROUP_ROWS, Part, count_records, read_records
from inventory_assets.inventory.snapshots import FORMAT, Snapshot
from inventory_assets.inventory.store import Store
from inventory_assets.scan import Shard

_COLUMNS = ["key", *COMPARED_COLUMNS]


@dataclass(frozen=True, slots=True)
class Changes:
    """How one shard differs from the baseline.

    Attributes:
        day: The date.
        shard: The keys compared.
        baseline_day: The baseline's date; None for a first inventory, which has no changes.
        baseline_identity: The baseline's identity when it was compared; None without one.
        baseline_rows: Records that the baseline held in the shard's key ranges.
        snapshot_fingerprint: The fingerprint of the snapshot compared.
        snapshot_rows: Records in it.
        counts: Changed records by kind; every kind is named.
        created_at: When the comparison was made.
        format: The version of this record.
    """

    day: date
    shard: Shard
    baseline_day: date | None
    baseline_identity: str | None
    baseline_rows: int
    snapshot_fingerprint: str
    snapshot_rows: int
    counts: Mapping[Change, int]
    created_at: datetime
    format: int = FORMAT

    @property
    def total(self) -> int:
        """All changed records."""
        return sum(self.counts.values())

    @property
    def balance_fault(self) -> str | None:
        """Why baseline + created - deleted is not the snapshot; None where it is, as always."""
        if self.baseline_day is None:
            return None
        created, deleted = self.counts[Change.CREATED], self.counts[Change.DELETED]
        balance = self.baseline_rows + created - deleted
        if balance == self.snapshot_rows:
            return None
        return (
            f"{self.baseline_rows:,} + {created:,} created - {deleted:,} deleted = {balance:,}, "
            f"but the snapshot holds {self.snapshot_rows:,}"
        )


def publish_changes(
    store: Store,
    layout: Layout,
    snapshot: Snapshot,
    baseline: Manifest | None,
    now: datetime,
) -> Changes:
    """Compare a snapshot with its baseline and publish what changed.

    The baseline is restricted to the snapshot's key ranges, whatever shards it was listed in. The
    Parquet file (`CHANGE_SCHEMA`, keys ascending) is published first, the record after it.
    """
    counts: Counter[Change] = Counter()
    old, new = _differing(baseline, snapshot)
    ranges = snapshot.shard.ranges
    with store.scratch() as folder:
        path = folder / "changes.parquet"
        with pq.ParquetWriter(path, CHANGE_SCHEMA, compression="zstd") as writer:
            for table in compare(
                read_records(store, old, ranges, _COLUMNS),
                read_records(store, new, ranges, _COLUMNS),
                layout.bucket,
            ):
                for row in table.group_by("change").aggregate([([], "count_all")]).to_pylist():
                    counts[Change(row["change"])] += row["count_all"]
                writer.write_table(table, row_group_size=ROW_GROUP_ROWS)
        store.publish_file(layout.change_log(snapshot.day, snapshot.shard.prefix), path)
    changes = Changes(
        day=snapshot.day,
        shard=snapshot.shard,
        baseline_day=baseline.day if baseline else None,
        baseline_identity=baseline.identity if baseline else None,
        baseline_rows=_rows(store, baseline, snapshot.shard),
        snapshot_fingerprint=snapshot.fingerprint,
        snapshot_rows=snapshot.rows,
        counts={change: counts[change] for change in Change},
        created_at=now,
    )
    key = layout.changes(snapshot.day, snapshot.shard.prefix)
    store.publish(key, _adapter().dump_json(changes, indent=1))
    return changes


def read_changes(store: Store, layout: Layout, day: date, prefix: str) -> Changes | None:
    """What was published of a shard's changes on a date, or None.

    Raises:
        CorruptRecord: The file is damaged or of another format.
    """
    key = layout.changes(day, prefix)
    data = store.read(key)
    if data is None:
        return None
    try:
        changes = _adapter().validate_json(data, strict=False)
    except ValidationError:
        changes = None
    if changes is None or changes.format != FORMAT:
        raise CorruptRecord(
            f"{store.where(key)} is no record of changes that this version can read; materialize "
            f"object_changes for {day} and this shard again"
        )
    return changes


def change_log_key(layout: Layout, changes: Changes) -> str:
    """Where in the store the changed records of a shard lie."""
    return layout.change_log(changes.day, changes.shard.prefix)


def _differing(
    baseline: Manifest | None, snapshot: Snapshot
) -> tuple[Sequence[Part], Sequence[Part]]:
    """The parts to compare: none without a baseline, and none that both sides share whole."""
    if baseline is None:
        return (), ()
    shared = {part.key for part in baseline.parts} & {part.key for part in snapshot.parts}
    return (
        [part for part in baseline.parts if part.key not in shared],
        [part for part in snapshot.parts if part.key not in shared],
    )


def _rows(store: Store, baseline: Manifest | None, shard: Shard) -> int:
    if baseline is None:
        return 0
    parts = baseline.parts
    return sum(count_records(store, parts, key_range) for key_range in shard.ranges)


@cache
def _adapter() -> TypeAdapter[Changes]:
    return TypeAdapter(Changes)
