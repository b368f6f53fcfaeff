"""Measure `inventory lifecycle-simulate` with ten rules: `python -m benchmarks.lifecycle`.

A listing of objects in ten prefixes, with ages of up to 1,200 days, sizes from bytes to gigabytes
and five storage classes, is simulated by a process of its own; a listing of a tenth beside it shows
how memory grows.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmarks.load_source import HERE
from benchmarks.processes import run
from inventory_assets.inventory.parts.part_writer import PartWriter
from inventory_assets.inventory.parts.schema import RECORD_SCHEMA
from inventory_assets.inventory.storage.layout import Layout
from inventory_assets.inventory.storage.local_store import LocalStore

CLASSES = np.array(["STANDARD", "STANDARD_IA", "GLACIER", "INTELLIGENT_TIERING", "GLACIER_IR"])
CHUNK_ROWS = 4_000
NOW_MS = 1_795_910_400_000
AT = "2026-11-29"
MAX_AGE_DAYS = 1_200


def rules() -> list[dict[str, object]]:
    """Ten rules that overlap."""
    everything = {"Prefix": ""}
    actions: list[dict[str, object]] = [
        {
            "Filter": everything,
            "Transitions": [{"Days": 0, "StorageClass": "INTELLIGENT_TIERING"}],
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
        },
        {
            "Filter": {"Prefix": "team0/"},
            "Transitions": [
                {"Days": 30, "StorageClass": "STANDARD_IA"},
                {"Days": 90, "StorageClass": "GLACIER"},
            ],
            "Expiration": {"Days": 365},
        },
        {"Filter": {"Prefix": "team1/"}, "Expiration": {"Days": 1_000}},
        {
            "Filter": {"ObjectSizeGreaterThan": 10_000_000},
            "Transitions": [{"Days": 60, "StorageClass": "GLACIER_IR"}],
        },
        {
            "Filter": {"And": {"Prefix": "team2/", "ObjectSizeLessThan": 1_000}},
            "Expiration": {"Days": 700},
        },
        {
            "Filter": {"Prefix": "team3/"},
            "Transitions": [{"Days": 180, "StorageClass": "DEEP_ARCHIVE"}],
        },
        {"Filter": {"Prefix": "team4/"}, "Expiration": {"Date": "2026-12-15T00:00:00Z"}},
        {
            "Filter": {"Prefix": "team5/"},
            "Transitions": [{"Days": 30, "StorageClass": "ONEZONE_IA"}],
        },
        {
            "Filter": {"Prefix": "team"},
            "NoncurrentVersionExpiration": {"NoncurrentDays": 30, "NewerNoncurrentVersions": 2},
        },
        {"Filter": everything, "Expiration": {"ExpiredObjectDeleteMarker": True}},
    ]
    return [
        {"ID": f"rule-{number}", "Status": "Enabled", **each} for number, each in enumerate(actions)
    ]


def chunks(rows: int) -> Iterator[pa.RecordBatch]:
    """Records in key order."""
    random = np.random.default_rng(17)
    for start in range(0, rows, CHUNK_ROWS):
        numbers = range(start, min(start + CHUNK_ROWS, rows))
        count = len(numbers)
        keys = [
            f"team{10 * number // rows}/dt={number // 1_000:06}/part-{number:010}.parquet"
            for number in numbers
        ]
        ages = random.integers(0, MAX_AGE_DAYS * 86_400_000, count)
        columns = {
            "bucket": pa.repeat(pa.scalar("bench"), count),
            "key": pa.array(keys),
            "size": pa.array(random.lognormal(12, 3, count).astype(np.int64)),
            "last_modified_date": pa.array(NOW_MS - ages, pa.timestamp("ms", tz="UTC")),
            "storage_class": pa.array(CLASSES[random.integers(0, len(CLASSES), count)]),
        }
        arrays = [
            columns[field.name] if field.name in columns else pa.nulls(count, field.type)
            for field in RECORD_SCHEMA
        ]
        yield pa.RecordBatch.from_arrays(arrays, schema=RECORD_SCHEMA)


def make_listing(folder: Path, rows: int) -> Path:
    """A folder of sorted files, as `inventory list` leaves it."""
    folder.mkdir()
    store = LocalStore(folder / "store")
    with PartWriter(store, Layout("bench", "list")) as writer:
        for number, batch in enumerate(chunks(rows)):
            writer.write(batch)
            if number % 500 == 499:
                writer.finish_part()
        writer.finish_part()
        for number, part in enumerate(writer.parts):
            store.path(part.key).replace(folder / f"part-{number:05}.parquet")
    return folder


def main() -> None:
    """Simulate both listings, and print a row of a table for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    rows = parser.parse_args().rows
    environment = {"PYTHONPATH": str(HERE.parent), "PATH": os.environ["PATH"]}
    print("| objects | wall s | CPU s | peak MB |")
    print("|--:|--:|--:|--:|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        document = folder / "rules.json"
        document.write_text(json.dumps({"Rules": rules()}))
        for count in (rows // 10, rows):
            listing = make_listing(folder / str(count), count)
            command = [sys.executable, "-m", "inventory_assets.cli", "lifecycle-simulate"]
            options = [str(listing), "--rules", str(document), "--at", AT, "--format", "json"]
            used = run([*command, *options], environment)
            print(
                f"| {count:,} | {used.wall_seconds:.1f} | {used.cpu_seconds:.1f} "
                f"| {used.peak_bytes / 1e6:.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
