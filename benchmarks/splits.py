"""Measure how well ranges are split, in virtual time: `python -m benchmarks.splits`.

The engine and its policy list a bucket in memory whose responses take 100 ms of virtual time. So
the figures are the same on any machine, and depend only on the splitting.
"""

import argparse
from collections.abc import Sequence

import pytest

from benchmarks.in_flight import InFlight
from benchmarks.load_source import SHAPES
from benchmarks.parallelism import HALF, IN_FLIGHT, MOST, WHOLE, list_all
from inventory_assets.scan.engine.events import ListingJob
from inventory_assets.scan.engine.parallel_scan import ParallelScan
from inventory_assets_tests.benchmarks.keys import keys_of
from inventory_assets_tests.fakes.distant_bucket import LATENCY, DistantBucket
from inventory_assets_tests.fakes.virtual_time import scans_run_on_virtual_time

COUNT = 5_000_000

HEADS = (
    *("shape", "keys", "seconds", "at best", "in flight, mean", f"s to {MOST:.0%}"),
    *(f"s below {HALF:.0%}", "requests per 1,000 keys", "of them probes"),
)


def row(shape: str, count: int, allowed: int) -> list[str]:
    """List a bucket; what `HEADS` names.

    Raises:
        ValueError: A key was missed, or found twice.
    """
    bucket = DistantBucket(keys_of(shape, count), allowed)
    list_all(ParallelScan(bucket, [ListingJob("", [WHOLE])]), count)
    changes = bucket.in_flight_changes
    in_flight = InFlight(0.0, changes[-1][0], changes)
    reached = in_flight.seconds_until(MOST * allowed)
    return [
        shape,
        f"{count:,}",
        f"{in_flight.seconds:.1f}",
        f"{count / 1000 * LATENCY / allowed:.1f}",
        f"{in_flight.mean:.1f}",
        "never" if reached is None else f"{reached:.2f}",
        f"{in_flight.seconds_below(HALF * allowed):.2f}",
        f"{len(bucket.requests) / count * 1000:.3f}",
        f"{sum(bool(request.delimiter) for request in bucket.requests)}",
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a table in Markdown, a row as soon as it is known."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=COUNT, metavar="N")
    parser.add_argument("--in-flight", type=int, default=IN_FLIGHT, metavar="N")
    parser.add_argument("--shapes", nargs="+", default=SHAPES, choices=SHAPES)
    options = parser.parse_args(arguments)
    print(f"| {' | '.join(HEADS)} |\n|---{'|--:' * (len(HEADS) - 1)}|")
    with pytest.MonkeyPatch.context() as patch:
        scans_run_on_virtual_time(patch)
        for shape in options.shapes:
            cells = row(shape, options.count, options.in_flight)
            print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
