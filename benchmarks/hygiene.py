"""Measure hygiene reports of two days: `python -m benchmarks.hygiene --rows 10000000`.

The bucket is that of `benchmarks.usage`: 100 parts, one of which is new on the second day, and a
hundredth of the objects are copies. With `--duplicates`, they are searched for. Each day is a
process of its own, and its CPU time is also shown without start and imports. Times are seconds of
user and system.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

from benchmarks.load_source import HERE
from benchmarks.processes import run
from benchmarks.two_days import LAYOUT, NOW, TODAY, YESTERDAY
from benchmarks.usage import make_bucket
from inventory_assets.inventory.storage.local_store import LocalStore

DAYS = {"first day": YESTERDAY, "second day": TODAY}


def work(folder: Path, day: date, *, duplicates: bool) -> dict[str, float]:
    """Publish the report of a day; returns its CPU time and its findings."""
    from inventory_assets.inventory.hygiene.survey import SurveyOptions, publish_report
    from inventory_assets.inventory.manifest.manifest_merge import read_manifest

    store = LocalStore(folder)
    manifest = read_manifest(store, LAYOUT, day)
    if manifest is None:
        raise FileNotFoundError(folder)
    options = SurveyOptions(duplicates=duplicates)
    began = time.process_time()
    report = publish_report(store, LAYOUT, manifest, options, NOW)
    return {"cpu": time.process_time() - began, "findings": len(report.findings)}


def main() -> None:
    """Make the bucket, publish the report of each day, and print a row of a table for it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--folder", type=Path, help="where the bucket is made, or was made")
    parser.add_argument("--duplicates", action="store_true")
    parser.add_argument("--day", choices=list(DAYS), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.day:
        found = work(options.folder, DAYS[options.day], duplicates=options.duplicates)
        print(json.dumps(found))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = options.folder or Path(name)
        if not (folder / LAYOUT.base).exists():
            make_bucket(folder, options.rows)
        print("| | findings | CPU s | without start | wall s | peak MB |")
        print("|---|--:|--:|--:|--:|--:|", flush=True)
        environment = {"PYTHONPATH": str(HERE.parent), "PATH": os.environ["PATH"]}
        command = [sys.executable, "-m", "benchmarks.hygiene", "--folder", str(folder)]
        command += ["--duplicates"] if options.duplicates else []
        for day in DAYS:
            usage = run([*command, "--day", day], environment)
            said = json.loads(usage.tail)
            print(
                f"| {day} | {said['findings']} | {usage.cpu_seconds:.1f} | {said['cpu']:.2f} "
                f"| {usage.wall_seconds:.1f} | {usage.peak_bytes / 1e6:.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
