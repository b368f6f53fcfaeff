"""Measure memory against the size of the bucket: `python -m benchmarks.memory stages`, or `curve`.

`stages` lists buckets of several sizes in three ways: all objects in a list first; rows streamed as
dicts; this project's columns. A straight line through the peaks of each way estimates the memory
for 240 million objects. `curve` lists one large bucket with this project, samples its memory twice
a second, and draws it against the objects listed.
"""

import argparse
import contextlib
import csv
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.contenders import PEERS, Contender, environment, this_project
from benchmarks.load_source import BUCKET, BUILD, HERE, SHAPES, LoadSource, NoCompiler
from benchmarks.parquet_files import check
from benchmarks.processes import ProcessFailed, Usage, resident_bytes, run

TARGET = 240_000_000
EVERY_KEY_BELOW = 50_000_000
"""Up to so many objects every key written is looked at; beyond, the bounds of every row group."""
WATCH_SECONDS = 0.5
MB = 1_000_000


@dataclass(frozen=True, slots=True)
class Stage:
    """A way of listing, and the sizes it is measured at; slow ones have small buckets."""

    contender: Contender
    sizes: tuple[int, ...]


def stages() -> list[Stage]:
    """The three ways, the oldest first."""
    few, many = (50_000, 100_000, 200_000), (1_000_000, 5_000_000, 20_000_000)
    return [
        Stage(_earlier("collect", "boto3, all objects in a list, then a data frame"), few),
        Stage(_earlier("stream", "boto3, rows streamed as dicts"), few),
        Stage(this_project(HERE.parent), many),
    ]


def _earlier(name: str, label: str) -> Contender:
    def command(source: LoadSource, out: Path) -> list[str]:
        script = [sys.executable, str(HERE / "memory_stages.py"), name]
        return [*script, source.url, BUCKET, str(out / "listing.parquet")]

    return Contender(name, label, 0, command, writes_parquet=True, prints_count=True)


def list_and_check(
    contender: Contender,
    source: LoadSource,
    objects: int,
    watch: Callable[[Sequence[int]], None] | None = None,
) -> Usage:
    """Let a contender list a bucket, check what it wrote, and remove that.

    Raises:
        ProcessFailed: It failed, or wrote anything but every object in order.
    """
    with _empty_folder(contender.name) as out:
        command = contender.command(source, out)
        usage = run(command, environment(source), contender.folder, watch, WATCH_SECONDS)
        try:
            rows, size = check(out, every_key=objects <= EVERY_KEY_BELOW)
        except ValueError as error:
            raise ProcessFailed(f"{contender.name} wrote no sorted listing: {error}") from None
        if rows != objects or contender.counted(usage) != objects:
            raise ProcessFailed(f"{contender.name} wrote {rows:,} of {objects:,} objects")
    print(
        f"{contender.name}, {objects:,} objects: {usage.peak_bytes / MB:.0f} MB at most, "
        f"{usage.wall_seconds:.1f} s, {usage.cpu_seconds / objects * 1e6:.2f} CPU-s per million, "
        f"{size / objects:.1f} bytes an object; all there, in order",
        file=sys.stderr,
    )
    return usage


@contextlib.contextmanager
def _empty_folder(name: str) -> Iterator[Path]:
    parent = BUILD / "out"
    parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def compare_stages(shape: str, scale: float, only: Sequence[str]) -> None:
    """Measure each stage at its sizes, and print a table."""
    lines = [
        "| way | peak RSS MB at objects | bytes more per object | at 240 million, GB |",
        "|---|---|--:|--:|",
    ]
    for stage in stages():
        if only and stage.contender.name not in only:
            continue
        peaks: dict[int, int] = {}
        for full in stage.sizes:
            objects = round(full * scale)
            with LoadSource(shape, objects) as source:
                peaks[objects] = list_and_check(stage.contender, source, objects).peak_bytes
        line = statistics.linear_regression(list(peaks), list(peaks.values()))
        measured = ", ".join(f"{peak / MB:.0f} at {size:,}" for size, peak in peaks.items())
        expected = (line.intercept + line.slope * TARGET) / 1e9
        cells = [stage.contender.label, measured, f"{line.slope:.1f}", f"{expected:.1f}"]
        lines.append(f"| {' | '.join(cells)} |")
    print("\n".join(lines))


def draw_curves(shape: str, counts: Sequence[int], latency: float, image: Path | None) -> None:
    """List buckets with this project, and keep and draw its memory on the way."""
    files = []
    for count in counts:
        file = BUILD / "results" / f"memory-{shape}-{count}.csv"
        file.parent.mkdir(parents=True, exist_ok=True)
        with LoadSource(shape, count, latency=latency) as source, file.open("w") as out:
            rows = csv.writer(out, lineterminator="\n")
            rows.writerow(["seconds", "objects", "rss_bytes"])
            started = time.monotonic()

            def watch(
                pids: Sequence[int],
                source: LoadSource = source,
                started: float = started,
                write: Callable[[Sequence[object]], object] = rows.writerow,
            ) -> None:
                seconds = f"{time.monotonic() - started:.2f}"
                write([seconds, source.stats()[1], resident_bytes(pids)])

            list_and_check(this_project(HERE.parent), source, count, watch)
        files.append(file)
        print(file)
    if image:
        if not PEERS.exists():
            raise ProcessFailed("nothing to draw with is installed: `make bench` does it")
        plot = [str(PEERS / "bin" / "python"), str(HERE / "memory_plot.py"), str(image)]
        subprocess.run([*plot, *map(str, files)], check=True)
        print(image)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one of the two."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", choices=SHAPES, default="flat")
    commands = parser.add_subparsers(dest="command", required=True)
    of_stages = commands.add_parser("stages", help="three ways of listing, at several sizes")
    of_stages.add_argument("--scale", type=float, default=1.0, help="of the sizes")
    of_stages.add_argument("--only", nargs="+", default=[], metavar="NAME")
    curve = commands.add_parser("curve", help="this project's memory while it lists")
    curve.add_argument("--count", type=int, nargs="+", default=[1_000_000, 20_000_000])
    curve.add_argument("--latency", type=float, default=0.0, metavar="MS")
    curve.add_argument("--image", type=Path, help="an SVG file to draw")
    options = parser.parse_args(arguments)
    try:
        if options.command == "stages":
            compare_stages(options.shape, options.scale, options.only)
        else:
            draw_curves(options.shape, options.count, options.latency, options.image)
    except (ProcessFailed, NoCompiler) as error:
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main()
