"""What telemetry costs a listing: CPU seconds with it on and off, in turns.

    python -m benchmarks.telemetry --count 2000000 --turns 8 --before ../checkout-without-telemetry

Each turn lists the same bucket once in each way, in another order than the turn before. The
receiver runs in this process, whose time is not counted.
"""

import argparse
import os
import statistics
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from benchmarks.load_source import LoadSource
from benchmarks.processes import run
from inventory_assets_tests.fakes.otlp_receiver import HttpReceiver

HERE = Path(__file__).parent.parent
EXPORT_MILLISECONDS = 5_000
"""Of metrics, twelve times as often as by default; the listings are short."""


def main() -> None:
    """Measure, and print a line for each way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=2_000_000, help="keys of the bucket")
    parser.add_argument("--turns", type=int, default=8, help="listings of each way")
    parser.add_argument("--latency", type=float, default=10.0, help="milliseconds")
    parser.add_argument("--before", type=Path, help="another checkout, listed in turns as well")
    options = parser.parse_args()
    folders = {"off": HERE, "on": HERE}
    if options.before:
        folders["before"] = options.before.resolve()
    spent: dict[str, list[float]] = {way: [] for way in folders}
    with (
        LoadSource(count=options.count, latency=options.latency) as source,
        HttpReceiver() as receiver,
    ):
        asked = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url,
            "OTEL_METRIC_EXPORT_INTERVAL": str(EXPORT_MILLISECONDS),
        }
        for turn in range(options.turns):
            ways = list(folders)
            for way in ways[turn % len(ways) :] + ways[: turn % len(ways)]:
                seconds = _listing(source, folders[way], asked if way == "on" else {})
                spent[way].append(seconds)
                print(f"turn {turn}: {way} {seconds:.2f} CPU-s", flush=True)
        print(f"{len(receiver.received.spans):,} spans received")
    for way, each in spent.items():
        print(f"{way}: median {statistics.median(each):.3f}, least {min(each):.3f} CPU-s")
    for one, other in [("on", "off"), *([("off", "before")] if options.before else [])]:
        pairs = zip(spent[one], spent[other], strict=True)
        shares = sorted(100 * (a - b) / b for a, b in pairs)
        print(
            f"{one} against {other}: median {statistics.median(shares):+.1f} %, "
            f"from {shares[0]:+.1f} to {shares[-1]:+.1f} %"
        )


def _listing(source: LoadSource, folder: Path, asked: Mapping[str, str]) -> float:
    """List the bucket once, by the code in a folder; return its CPU seconds."""
    environment = {name: text for name, text in os.environ.items() if not name.startswith("OTEL_")}
    with tempfile.TemporaryDirectory() as scratch:
        command = [
            *(sys.executable, "-m", "inventory_assets.cli", "list", f"s3://{source.bucket}"),
            *("--out", f"{scratch}/listing", "--anonymous", "--endpoint-url", source.url),
        ]
        code = {"PYTHONPATH": str(folder)}
        return run(command, environment | code | dict(asked), folder).cpu_seconds


if __name__ == "__main__":
    main()
