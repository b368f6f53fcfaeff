"""Measure the cost of `inventory export` in each format: `python -m benchmarks.exports`.

A listing of objects with date-like keys and random ETags is exported by a process of its own, in
each format in turn; a smaller listing beside it shows that memory does not grow.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

from benchmarks.load_source import HERE
from benchmarks.parquet_writing import keys_of, records
from benchmarks.processes import run
from inventory_assets.inventory.parts.part_writer import PartWriter
from inventory_assets.inventory.storage.layout import Layout
from inventory_assets.inventory.storage.local_store import LocalStore

FORMATS = [
    *("csv", "csv.gz", "csv.zst", "jsonl", "jsonl.gz", "jsonl.zst", "parquet", "parquet.zst"),
]
DIALECTS = ["spreadsheet", "batch-operations", "plain"]


def make_listing(folder: Path, rows: int) -> Path:
    """A folder of sorted files, as `inventory list` leaves it."""
    folder.mkdir()
    store = LocalStore(folder / "store")
    table = records(keys_of("tree of dates", rows))
    with PartWriter(store, Layout("bucket", "list")) as writer:
        for batch in table.to_batches(1000):
            writer.write(batch)
        writer.finish_part()
        for number, part in enumerate(writer.parts):
            store.path(part.key).replace(folder / f"part-{number:05}.parquet")
    return folder


def main() -> None:
    """Export each format, and print a row of a table for it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2_000_000)
    rows = parser.parse_args().rows
    environment = {"PYTHONPATH": str(HERE.parent), "PATH": os.environ["PATH"]}
    print(
        "| format | rows/s | CPU-s per million | bytes a row | peak MB, at a quarter and at all |"
    )
    print("|---|--:|--:|--:|--:|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        small = make_listing(folder / "small", rows // 4)
        whole = make_listing(folder / "whole", rows)
        for suffix, dialect in [
            *((suffix, "") for suffix in FORMATS),
            *(("csv", dialect) for dialect in DIALECTS),
        ]:
            out = folder / f"out.{suffix}"
            command = [sys.executable, "-m", "inventory_assets.cli", "export"]
            options = ["-o", str(out), *(["--dialect", dialect] if dialect else [])]
            few = run([*command, str(small), *options], environment)
            all_of_it = run([*command, str(whole), *options], environment)
            print(
                f"| {suffix} {dialect} | {rows / all_of_it.wall_seconds:,.0f} "
                f"| {all_of_it.cpu_seconds / rows * 1e6:.2f} | {out.stat().st_size / rows:.1f} "
                f"| {few.peak_bytes / 1e6:.0f}, {all_of_it.peak_bytes / 1e6:.0f} |",
                flush=True,
            )
            out.unlink()


if __name__ == "__main__":
    main()
