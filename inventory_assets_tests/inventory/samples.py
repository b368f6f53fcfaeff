"""Records, parts and snapshots for tests, made without a bucket."""

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime

import pyarrow as pa

from inventory_assets.inventory.manifest.snapshot import Snapshot
from inventory_assets.inventory.parts.fingerprint import Fingerprint
from inventory_assets.inventory.parts.part import Part
from inventory_assets.inventory.parts.part_writer import PartWriter
from inventory_assets.inventory.parts.schema import to_records
from inventory_assets.inventory.storage.layout import Layout
from inventory_assets.inventory.storage.store import Store
from inventory_assets.s3.decoding.page import OBJECT_SCHEMA
from inventory_assets.scan.keyspace.key_order import KeyOrder
from inventory_assets.scan.keyspace.shard import Shard
from inventory_assets.scan.validation.range_evidence import Ending, EvidenceBuilder
from inventory_assets_tests.fakes.listings import Listed

LAYOUT = Layout("bucket", "source")
DAY = date(2026, 5, 5)
NOW = datetime(2026, 5, 5, 1, 2, 3, 456000, tzinfo=UTC)
HOSTILE_KEYS = ("\x01", " ", "../up", "a\nb", "a\u202eb", "a|b", "ß", "\uffff", "\U0010ffff")


def records_of(objects: Sequence[Listed]) -> pa.RecordBatch:
    """A batch with `RECORD_SCHEMA`."""
    rows = [listed.row() for listed in objects]
    return to_records(pa.RecordBatch.from_pylist(rows, schema=OBJECT_SCHEMA), LAYOUT.bucket)


def listed(keys: Iterable[str]) -> list[Listed]:
    """Ordinary objects, in key order."""
    return [Listed(key, size=len(key)) for key in sorted(set(keys))]


def parts_of(store: Store, *groups: Sequence[Listed]) -> tuple[Part, ...]:
    """Published parts, one for each group, in batches of two."""
    with PartWriter(store, LAYOUT) as writer:
        for group in groups:
            for start in range(0, len(group), 2):
                writer.write(records_of(group[start : start + 2]))
            writer.finish_part()
    return tuple(writer.parts)


def snapshot_of(store: Store, shard: Shard, objects: Sequence[Listed], day: date = DAY) -> Snapshot:
    """The snapshot that a listing of `shard` takes of a bucket holding `objects`, unpublished."""
    log = EvidenceBuilder(shard.ranges)
    fingerprint = Fingerprint()
    groups = []
    for key_range in shard.ranges:
        inside = [found for found in objects if found.key in key_range]
        fingerprint.update(records_of(inside))
        log.page()
        log.rows(records_of(inside).column("key"))
        log.close(Ending.LISTED_TO_END)
        groups.append(inside)
    return Snapshot(
        bucket=LAYOUT.bucket,
        source=LAYOUT.source,
        day=day,
        shard=shard,
        started_at=NOW,
        finished_at=NOW,
        key_order=KeyOrder.BYTES,
        parts=parts_of(store, *groups),
        evidence=tuple(log.closed),
        fingerprint=fingerprint.hexdigest(),
        requests=len(groups),
        response_bytes=1,
        faults={},
    )
