"""Take a snapshot: list a shard, write its parts, prove it complete, publish it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime

import pyarrow as pa

from inventory_assets.inventory.errors import EvidenceBroken
from inventory_assets.inventory.evidence import broken_rules
from inventory_assets.inventory.fingerprint import Fingerprint
from inventory_assets.inventory.layout import Layout
from inventory_assets.inventory.parts import PartWriter
from inventory_assets.inventory.records import to_records
from inventory_assets.inventory.snapshots import Snapshot, publish_snapshot
from inventory_assets.inventory.store import LocalStore
from inventory_assets.s3 import BucketLister, Tally
from inventory_assets.scan import (
    DirectoryOrderWalk,
    EvidenceLog,
    KeyOrder,
    KeyOrderWalk,
    KeysOutOfOrder,
    Shard,
)


def utc_now() -> datetime:
    """The time; the one clock that production code reads."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Taker:
    """Takes snapshots of one source's shards.

    Attributes:
        lister: The bucket.
        store: Where parts and snapshots are published.
        layout: Under which keys.
        key_order: How the store lists; None where that is still to be found out.
        now: The clock.
    """

    lister: BucketLister
    store: LocalStore
    layout: Layout
    key_order: KeyOrder | None = None
    now: Callable[[], datetime] = utc_now

    def take(self, day: date, shard: Shard) -> Snapshot:
        """List `shard` and publish what it holds as its snapshot of `day`.

        Nothing is published unless the evidence holds. A store that turns out not to list in byte
        order is listed again in the way that is right for it, unless `key_order` forbids.

        Raises:
            KeysOutOfOrder: `key_order` says bytes and the store does not keep to it, or the store
                keeps to no order at all.
            EvidenceBroken: The snapshot does not prove what it must.
            S3Error: A request failed for good.
            StoreError: The result could not be written.
        """
        tally = Tally()
        try:
            snapshot = self._list(day, shard, tally, self.key_order or KeyOrder.BYTES)
        except KeysOutOfOrder as error:
            if self.key_order is not None:
                raise KeysOutOfOrder(
                    f'{error}; the source says key_order = "{self.key_order}": remove that line, '
                    "and the order is found out"
                ) from None
            snapshot = self._list(day, shard, tally, KeyOrder.DIRECTORY)
        broken = broken_rules(snapshot)
        if broken:
            raise EvidenceBroken(
                f"{self.lister.connection.where}: the listing of {shard.prefix!r} does not prove "
                f"that it is complete and was not published: {'; '.join(broken)}; list it again"
            )
        publish_snapshot(self.store, self.layout, snapshot)
        return snapshot

    def _list(self, day: date, shard: Shard, tally: Tally, key_order: KeyOrder) -> Snapshot:
        started_at = self.now()
        log = EvidenceLog(shard.ranges)
        fingerprint = Fingerprint()
        with PartWriter(self.store, self.layout) as writer:
            closed = 0
            for objects in self._walk(shard, tally, log, key_order):
                if len(log.closed) != closed:
                    # A part never spans a prefix that the shard leaves out.
                    writer.cut()
                    closed = len(log.closed)
                records = to_records(objects, self.layout.bucket)
                fingerprint.update(records)
                writer.write(records)
            writer.cut()
        return Snapshot(
            bucket=self.layout.bucket,
            source=self.layout.source,
            day=day,
            shard=shard,
            started_at=started_at,
            finished_at=self.now(),
            key_order=key_order,
            parts=tuple(writer.parts),
            evidence=tuple(log.closed),
            fingerprint=fingerprint.hexdigest(),
            requests=tally.requests,
            response_bytes=tally.response_bytes,
            faults={fault.value: count for fault, count in sorted(tally.faults.items())},
        )

    def _walk(
        self, shard: Shard, tally: Tally, log: EvidenceLog, key_order: KeyOrder
    ) -> Iterable[pa.RecordBatch]:
        if key_order is KeyOrder.DIRECTORY:
            return DirectoryOrderWalk(self.lister, shard, tally, log)
        return KeyOrderWalk(self.lister, shard.prefix, shard.ranges, tally, log)
