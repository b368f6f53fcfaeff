"""What a date leaves behind: parts, records, and rows of Dagster's database."""

import hashlib
import math
import time
import tracemalloc
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from inventory_assets.inventory.listing.part_sizing import DEFAULT_SIZING
from inventory_assets.inventory.manifest.manifest import MANIFEST, Manifest
from inventory_assets.inventory.manifest.manifest_merge import merge, publish_manifest
from inventory_assets.inventory.manifest.snapshot import Snapshot
from inventory_assets.inventory.parts.part import ClassTotal, Part
from inventory_assets.inventory.parts.part_writer import PART_ROWS
from inventory_assets.inventory.storage.layout import Layout
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets.inventory.storage.parallel_reads import READS_AT_ONCE
from inventory_assets.s3.decoding.page import MAX_KEYS
from inventory_assets.scan.keyspace.key_order import KeyOrder
from inventory_assets.scan.keyspace.shard import make_shard
from inventory_assets.scan.validation.range_evidence import Ending, RangeEvidence, Seam

BYTES_PER_RECORD = 39.6
"""Of Parquet; hashes, 240 million of them. Dates and real names take 26."""

PAGE_BYTES = 350_000
"""Of a response with 1,000 keys; up to 400 kB in docs/decisions/0012-bounded-memory.md."""

INVENTORY_BYTES_PER_PART, INVENTORY_BYTES_PER_SHARD = 625, 740
MANIFEST_BYTES_PER_PART = 203
MEMORY_BYTES_PER_PART = 1_500
MERGE_SECONDS_PER_PART = 0.00004
"""From `python -m benchmarks.scale --only records`, 2026-11-29; a test measures the bytes again."""

MEMORY_FIXED_MB, MEMORY_MB_PER_REQUEST = 290.0, 0.4
"""Modules, queue, buffers, objects that wait, a row group and an upload; a page for each request in
flight: docs/decisions/0012-bounded-memory.md."""

HEAD_SECONDS = 0.03
"""A HEAD request to a bucket of results: an assumption."""

HEADS_PER_PART = 2
"""Each part is looked up before a date is published, and again by the check `data_files_exist`."""

EVENTS_PER_SHARD, EVENTS_PER_RUN, RUNS_A_DAY = 4, 7, 8
"""Rows of Dagster's table of events: planned and done, for a listing and for its comparison; what
each run adds besides; runs of a date besides further ones of the listing."""

SQLITE_BYTES_PER_SHARD, SQLITE_BYTES_PER_RUN = 22_800, 191_000
"""Growth of SQLite's files for a shard and day, and the file of a run: three years with 250 and
1,000 shards took 1,446 and 1,976 MB, with 6,632 runs each."""

UPLOAD_BYTES = 16 * 2**20
"""A piece of the upload of a part."""

CHECKPOINT_SECONDS = 5
"""The least time between two checkpoints."""

WINDOW_DAYS = 31
MAX_PARTITIONS = 100_000


@dataclass(frozen=True, slots=True)
class Records:
    """What a date holds.

    Attributes:
        parquet_bytes: Its Parquet files, if it shares none with other dates.
        parts: Its parts on the first day: as large as parts become, and one more for each range
            that was listed at the same time.
        parts_later: Its parts after many changes, at most.
        inventory_bytes: `inventory.json` with `parts_later`.
        manifest_bytes: `manifest.json` with as many.
        merge_seconds: Looking up these parts in a bucket of results, ten at a time.
        memory_mb: Memory of a run, with such a baseline.
    """

    parquet_bytes: float
    parts: int
    parts_later: int
    inventory_bytes: int
    manifest_bytes: int
    merge_seconds: float
    memory_mb: float


def records_of(objects: int, shards: int, in_flight: int) -> Records:
    """What a date holds; `in_flight` requests of one run at the same time."""
    rows = max(1, objects // shards)
    least = DEFAULT_SIZING.of_shard(rows).min_rows
    later = shards * math.ceil(rows / least)
    return Records(
        parquet_bytes=objects * BYTES_PER_RECORD,
        parts=max(shards, math.ceil(objects / PART_ROWS)) + in_flight,
        parts_later=later,
        inventory_bytes=later * INVENTORY_BYTES_PER_PART + shards * INVENTORY_BYTES_PER_SHARD,
        manifest_bytes=later * MANIFEST_BYTES_PER_PART,
        merge_seconds=later
        * (HEADS_PER_PART * HEAD_SECONDS / READS_AT_ONCE + MERGE_SECONDS_PER_PART),
        memory_mb=MEMORY_FIXED_MB
        + MEMORY_MB_PER_REQUEST * in_flight
        + later * MEMORY_BYTES_PER_PART / 1e6,
    )


def writes_per_second(pages: float) -> float:
    """Writes of a run to a bucket of results, if it lists so many pages a second."""
    uploads = (
        PART_ROWS * BYTES_PER_RECORD / UPLOAD_BYTES + 2
    )  # the multipart upload begins and ends
    return pages * MAX_KEYS / PART_ROWS * uploads + 1 / CHECKPOINT_SECONDS


@dataclass(frozen=True, slots=True)
class History:
    """What a source adds to Dagster's database.

    Attributes:
        partitions: Partitions by date and shard in the window of listings.
        events: Rows of events a day.
        bytes_a_day: Growth of SQLite's files a day.
        bytes_in_window: What the shards of the window hold; older ones are deleted with their runs.
        bytes_a_year: What is left of a year of dates.
    """

    partitions: int
    events: int
    bytes_a_day: int
    bytes_in_window: int
    bytes_a_year: int


def history_of(shards: int, runs: int) -> History:
    """What a source with so many shards, in so many runs a day, adds."""
    all_runs = RUNS_A_DAY + runs - 1
    return History(
        partitions=WINDOW_DAYS * (shards + 1),
        events=EVENTS_PER_SHARD * shards + EVENTS_PER_RUN * all_runs,
        bytes_a_day=SQLITE_BYTES_PER_SHARD * shards + SQLITE_BYTES_PER_RUN * all_runs,
        bytes_in_window=WINDOW_DAYS
        * (SQLITE_BYTES_PER_SHARD * shards + SQLITE_BYTES_PER_RUN * all_runs),
        bytes_a_year=365 * SQLITE_BYTES_PER_RUN * (RUNS_A_DAY - 2),
    )


@dataclass(frozen=True, slots=True)
class MeasuredRecords:
    """The real records of a date, measured.

    Attributes:
        inventory_bytes: `inventory.json`.
        manifest_bytes: `manifest.json`.
        lookups: How often a part was looked up when the date was published.
        memory_bytes: The most memory that it took to read `inventory.json` again.
        seconds: CPU seconds to merge, publish and read it again, on one core.
    """

    inventory_bytes: int
    manifest_bytes: int
    lookups: int
    memory_bytes: int
    seconds: float


class _CountingStore(LocalStore):
    """Pretends that parts exist, and counts how often it is asked."""

    def __init__(self, root: Path, sizes: dict[str, int]) -> None:
        super().__init__(root)
        self.sizes = sizes
        self.lookups = 0

    def size(self, key: str) -> int | None:
        self.lookups += 1
        return self.sizes.get(key)


def measure(parts: int, shards: int) -> MeasuredRecords:
    """Merge, publish and read a date with so many parts in each shard."""
    day, now = date(2026, 11, 29), datetime(2026, 11, 29, 3, tzinfo=UTC)
    layout = Layout("acme-logs", "logs")
    prefixes = ["", *(f"events/{number:05}/" for number in range(shards - 1))]
    snapshots = {
        prefix: _snapshot(layout, day, now, prefix, prefixes, parts) for prefix in prefixes
    }
    sizes = {part.key: part.file_bytes for each in snapshots.values() for part in each.parts}
    with TemporaryDirectory() as folder:
        store = _CountingStore(Path(folder), sizes)
        started = time.process_time()
        manifest = merge(store, layout, "", snapshots, now)
        publish_manifest(store, layout, manifest)
        seconds = time.process_time() - started
        del manifest
        tracemalloc.start()
        read = MANIFEST.read(store, layout.manifest(day))
        _, memory = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        if not isinstance(read, Manifest) or len(read.shards) != shards:
            raise ValueError("the manifest was not read as it was published")
        return MeasuredRecords(
            len(store.read(layout.manifest(day)) or b""),
            len(store.read(layout.s3_manifest(day)) or b""),
            store.lookups,
            memory,
            seconds,
        )


def _snapshot(
    layout: Layout, day: date, now: datetime, prefix: str, prefixes: Sequence[str], parts: int
) -> Snapshot:
    shard = make_shard(prefix, prefixes)
    if not prefix:
        parts = 0
    found = tuple(_part(layout, prefix, number) for number in range(parts))
    evidence = tuple(
        RangeEvidence(key_range, 0, None, None, 1, Ending.LISTED_TO_END, None, Seam.END_CONFIRMED)
        for key_range in shard.ranges
    )
    return Snapshot(
        bucket=layout.bucket,
        source=layout.source,
        day=day,
        shard=shard,
        started_at=now,
        finished_at=now,
        key_order=KeyOrder.BYTES,
        parts=found,
        evidence=evidence,
        fingerprint=hashlib.sha256(prefix.encode()).hexdigest()[:32],
        requests=1_012 * parts,
        response_bytes=300_000_000 * parts,
        faults={},
    )


def _part(layout: Layout, prefix: str, number: int) -> Part:
    digest = hashlib.sha256(f"{prefix}{number}".encode()).hexdigest()
    return Part(
        key=layout.part(digest),
        rows=4_194_304 - number,
        object_bytes=123_456_789_012_345 + number,
        file_bytes=166_000_000 + number,
        md5=digest[:32],
        first_key=f"{prefix}{number:08x}-{digest[:24]}.parquet",
        last_key=f"{prefix}{number:08x}-{digest[24:48]}.parquet",
        classes=(ClassTotal("STANDARD", 4_194_304 - number, 123_456_789_012_345 + number),),
        fingerprint=digest[:32],
    )
