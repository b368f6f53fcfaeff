"""Generate two days of a bucket as the parts, snapshots and manifests of listings.

Keys are hashes in one folder, ETags are random, and a tenth of the objects has another storage
class. Of the changed objects, a fifth each is created and deleted, two fifths are modified, and a
tenth each is touched and moved to another class.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from math import ceil
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from inventory_assets.inventory.manifest.manifest import Manifest
from inventory_assets.inventory.manifest.manifest_merge import (
    merge,
    publish_manifest,
    read_manifest,
)
from inventory_assets.inventory.manifest.snapshot import Snapshot, publish_snapshot, read_snapshot
from inventory_assets.inventory.parts.fingerprint import Fingerprint
from inventory_assets.inventory.parts.part_writer import PartWriter
from inventory_assets.inventory.parts.schema import RECORD_SCHEMA
from inventory_assets.inventory.storage.layout import Layout
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets.scan.keyspace.key_order import KeyOrder
from inventory_assets.scan.keyspace.shard import Shard

LAYOUT = Layout("bucket", "source")
YESTERDAY, TODAY = date(2026, 1, 1), date(2026, 1, 2)
NOW = datetime(2026, 1, 2, 1, tzinfo=UTC)
PARTS = 16
CHUNK_ROWS = 4_000
"""Records written at once, as pages of a listing are: row groups come out as a listing's do."""
_LATER = timedelta(days=365) // timedelta(milliseconds=1)
_DIGITS = np.frombuffer(b"0123456789abcdef", np.uint8)

_Flags = npt.NDArray[np.bool_]
_Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class TwoDays:
    """What is made.

    Attributes:
        count: Objects of both days together, those deleted and those created included.
        changed: Which part of them changes.
        is_shared: Whether the changes keep together, so that the days share the other parts;
            otherwise they are everywhere, and the two days are cut at different keys.
    """

    count: int
    changed: float
    is_shared: bool

    def write(self, store: LocalStore) -> None:
        """Publish both days."""
        with PartWriter(store, LAYOUT) as old, PartWriter(store, LAYOUT) as new:
            for chunk in range(ceil(self.count / CHUNK_ROWS)):
                before, after = self._chunk(chunk)
                old.write(before)
                new.write(after)
                if self._ends_a_part(chunk, 0):
                    old.finish_part()
                if self._ends_a_part(chunk, 0 if self.is_shared else 1):
                    new.finish_part()
            old.finish_part()
            new.finish_part()
        for day, writer in ((YESTERDAY, old), (TODAY, new)):
            snapshot = _snapshot(day, writer)
            publish_snapshot(store, LAYOUT, snapshot)
            publish_manifest(store, LAYOUT, merge(store, LAYOUT, "", {"": snapshot}, NOW))

    def _ends_a_part(self, chunk: int, shift: int) -> bool:
        # A part ends after each of so many equal shares; a shift of one is half a share.
        def part(rows: int) -> int:
            return (2 * PARTS * rows // self.count + shift) // 2

        return part(chunk * CHUNK_ROWS) != part((chunk + 1) * CHUNK_ROWS)

    def _chunk(self, chunk: int) -> tuple[pa.RecordBatch, pa.RecordBatch]:
        """The records of a key range on both days."""
        random = np.random.default_rng(chunk)
        rows = min(CHUNK_ROWS, self.count - chunk * CHUNK_ROWS)
        first = chunk * CHUNK_ROWS
        keys = _keys(first, rows, self.count, random)
        e_tags = hexadecimal(random.integers(0, 256, (rows, 16), np.uint8))
        sizes = random.lognormal(9, 3, rows).astype(np.int64)
        times = random.integers(1_640_995_200, 1_735_689_600, rows) * 1000
        is_cold = random.random(rows) < 0.1
        drawn = random.random(rows) / self._density(first / self.count)
        old = _records(keys, e_tags, sizes, times, is_cold, drawn >= 0.2)
        modified = (drawn >= 0.4) & (drawn < 0.8)
        others = hexadecimal(random.integers(0, 256, (rows, 16), np.uint8))
        e_tags = np.where(modified[:, None], others, e_tags)
        times = np.where((drawn >= 0.4) & (drawn < 0.9), times + _LATER, times)
        is_cold = is_cold ^ ((drawn >= 0.9) & (drawn < 1))
        is_kept = (drawn < 0.2) | (drawn >= 0.4)
        return old, _records(keys, e_tags, sizes, times, is_cold, is_kept)

    def _density(self, place: float) -> float:
        """Which part of the objects changes at a place from 0 to 1, or next to none."""
        if not self.is_shared:
            return max(self.changed, 1e-12)
        parts = ceil(self.changed * PARTS)
        return self.changed * PARTS / parts if place * PARTS < parts else 1e-12


def open_days(folder: Path) -> tuple[LocalStore, Manifest, Snapshot]:
    """The two days in a folder, to be compared."""
    store = LocalStore(folder)
    baseline = read_manifest(store, LAYOUT, YESTERDAY)
    snapshot = read_snapshot(store, LAYOUT, TODAY, "")
    if baseline is None or snapshot is None:
        raise FileNotFoundError(f"{folder} does not hold two days")
    return store, baseline, snapshot


def files_of(folder: Path) -> Iterator[list[str]]:
    """The files of either day."""
    store = LocalStore(folder)
    for day in (YESTERDAY, TODAY):
        yield store.path(LAYOUT.symlink(day)).read_text().splitlines()


def _keys(first: int, rows: int, count: int, random: np.random.Generator) -> _Bytes:
    """Ascending keys: the head of each counts up, evenly over what 63 bits hold."""
    heads = (np.arange(first, first + rows, dtype=np.uint64)) * np.uint64(2**63 // count)
    tails = random.integers(0, 256, (rows, 8), np.uint8)
    raw = np.concatenate([heads.astype(">u8").view(np.uint8).reshape(rows, 8), tails], axis=1)
    folder = np.frombuffer(b"data/", np.uint8)
    return np.concatenate([np.tile(folder, (rows, 1)), hexadecimal(raw)], axis=1)


def hexadecimal(raw: _Bytes) -> _Bytes:
    """Rows of bytes as rows of hexadecimal digits."""
    return _DIGITS[np.stack([raw >> 4, raw & 15], axis=2).reshape(len(raw), -1)]


def strings(text: _Bytes) -> pa.StringArray:
    """Rows of bytes as strings."""
    rows, width = text.shape
    offsets = np.arange(rows + 1, dtype=np.int32) * width
    return pa.StringArray.from_buffers(
        rows, pa.py_buffer(offsets.tobytes()), pa.py_buffer(text.tobytes())
    )


def _records(
    keys: _Bytes,
    e_tags: _Bytes,
    sizes: npt.NDArray[np.int64],
    times: npt.NDArray[np.int64],
    is_cold: _Flags,
    is_kept: _Flags,
) -> pa.RecordBatch:
    rows = int(is_kept.sum())
    classes = pa.array(["STANDARD", "STANDARD_IA"])
    columns = [
        pa.repeat(pa.scalar("bucket"), rows),
        strings(keys[is_kept]),
        pa.array(sizes[is_kept]),
        pa.array(times[is_kept]).cast(RECORD_SCHEMA.field("last_modified_date").type),
        strings(e_tags[is_kept]),
        classes.take(pa.array(is_cold[is_kept].astype(np.int8))),
        pa.repeat(pa.scalar(False), rows),
        pa.repeat(pa.scalar("CRC64NVME"), rows),
        pa.nulls(rows, pa.string()),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=RECORD_SCHEMA)


def _snapshot(day: date, writer: PartWriter) -> Snapshot:
    return Snapshot(
        bucket=LAYOUT.bucket,
        source=LAYOUT.source,
        day=day,
        shard=Shard(""),
        started_at=NOW,
        finished_at=NOW,
        key_order=KeyOrder.BYTES,
        parts=tuple(writer.parts),
        evidence=(),
        fingerprint=Fingerprint().hexdigest(),
        requests=0,
        response_bytes=0,
        faults={},
    )
