"""Compare the diff of two days with full outer joins: `python -m benchmarks.comparing`.

Each contender is a separate process that reads the same files and writes the changes. Contenders
take turns in each round, so that other load on the machine affects all of them alike. Counts of
every kind of change must agree.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from benchmarks.differ import CONTENDERS
from benchmarks.processes import run
from benchmarks.two_days import TwoDays, files_of
from inventory_assets.inventory.storage.local_store import LocalStore

OURS = "this project"
MEGABYTE = 1_000_000


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of one comparison."""

    wall_seconds: float
    cpu_seconds: float
    peak_megabytes: float
    read_megabytes: float
    changes: int


def publish_days(days: TwoDays, folder: Path) -> None:
    """Write two days into a folder, with lists of their files for contenders that need them."""
    days.write(LocalStore(folder))
    for name, files in zip(("old", "new"), files_of(folder), strict=True):
        (folder / f"{name}.txt").write_text("\n".join(files))


def compare(contender: str, folder: Path, counts: dict[str, int]) -> Cost:
    """Let a contender compare the days in a folder once.

    Args:
        contender: Its name.
        folder: Where the days are.
        counts: How many changes of each kind there are; filled by the first, checked afterwards.
    """
    command = [sys.executable, "-m", "benchmarks.differ", contender, str(folder)]
    usage = run(command, dict(os.environ), Path(__file__).parent.parent, watch_seconds=0.02)
    told = json.loads(usage.tail)
    found = {kind: count for kind, count in told["counts"].items() if count}
    if found != (counts or found):
        raise AssertionError(f"{contender} found {found}, the first found {counts}")
    counts.update(found)
    return Cost(
        usage.wall_seconds,
        usage.cpu_seconds,
        usage.peak_bytes / MEGABYTE,
        told["bytes_read"] / MEGABYTE,
        sum(found.values()),
    )


def spread(values: Sequence[float]) -> str:
    """Median, least and most."""
    digits = 1 if max(values) < 100 else 0
    return (
        f"{statistics.median(values):.{digits}f} "
        f"({min(values):.{digits}f} to {max(values):.{digits}f})"
    )


def ratios(costs: Sequence[Cost], ours: Sequence[Cost], field: str) -> str:
    """The cost relative to this project's in the same round."""
    pairs = zip(costs, ours, strict=True)
    return f"{statistics.median(getattr(c, field) / getattr(o, field) for c, o in pairs):.2f}"


def measure(days: TwoDays, contenders: Sequence[str], rounds: int, folder: Path) -> None:
    """Print a table for one pair of days."""
    publish_days(days, folder)
    costs: dict[str, list[Cost]] = {name: [] for name in contenders}
    counts: dict[str, int] = {}
    for _ in range(rounds):
        for name in contenders:
            costs[name].append(compare(name, folder, counts))
    parts = "shared where nothing changed" if days.is_shared else "none shared"
    print(
        f"\n{days.count:,} keys, {days.changed:.0%} changed ({sum(counts.values()):,}), "
        f"parts: {parts}; {rounds} rounds, median (least to most)\n"
    )
    print("| | CPU s | ratio | wall s | ratio | peak RSS, MB | read, MB |")
    print("|---|--:|--:|--:|--:|--:|--:|")
    for name, runs in costs.items():
        ours = costs[OURS]
        print(
            f"| {name} | {spread([cost.cpu_seconds for cost in runs])} "
            f"| {ratios(runs, ours, 'cpu_seconds')} "
            f"| {spread([cost.wall_seconds for cost in runs])} "
            f"| {ratios(runs, ours, 'wall_seconds')} "
            f"| {max(cost.peak_megabytes for cost in runs):.0f} "
            f"| {runs[0].read_megabytes:,.0f} |",
            flush=True,
        )


def main() -> None:
    """Measure every combination asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, nargs="+", default=[1_000_000, 10_000_000])
    parser.add_argument("--changed", type=float, nargs="+", default=[0, 0.01, 0.5])
    parser.add_argument("--parts", nargs="+", choices=["unshared", "shared"])
    parser.add_argument("--only", nargs="+", choices=CONTENDERS, help="contenders beside ours")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    others = arguments.only or CONTENDERS
    contenders = [OURS, *(name for name in others if name != OURS)]
    layouts = [parts == "shared" for parts in arguments.parts or ("unshared", "shared")]
    for count, is_shared, changed in product(arguments.count, layouts, arguments.changed):
        with tempfile.TemporaryDirectory(prefix="two-days-") as folder:
            days = TwoDays(count, changed, is_shared)
            measure(days, contenders, arguments.rounds, Path(folder))


if __name__ == "__main__":
    main()
