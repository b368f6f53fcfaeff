"""Compare this project with other listers, side by side: `python -m benchmarks.listing`.

In each round, every contender lists a large bucket and a tiny one. The headline is the marginal
cost: the difference in CPU time by the difference in objects. The cost of the whole process,
including its start, is shown as well. All list from the same load source, whose CPU time is
reported separately. A contender that loses or invents an object fails the run.
"""

import argparse
import contextlib
import datetime as dt
import json
import os
import platform
import shutil
import statistics
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.contenders import FEW, Contender, environment, peers, this_project, versions
from benchmarks.load_source import BUILD, DEMO_NAMES, HERE, SHAPES, LoadSource, NoCompiler
from benchmarks.parquet_files import check
from benchmarks.processes import ProcessFailed, Usage, run

MILLION = 1_000_000
TINY = 1_000
"""Objects of the tiny listing: a page."""
LEAST = 20_000
"""Objects of a large listing at least, whatever the scale."""


@dataclass(frozen=True, slots=True)
class Run:
    """One listing of one contender.

    Attributes:
        contender: Whose it was.
        round: In which round.
        objects: How many objects it listed.
        usage: What it cost.
        source_seconds: CPU that the load source spent on it.
        requests: Requests it sent.
        written_bytes: What it wrote, where it writes.
    """

    contender: str
    round: int
    objects: int
    usage: Usage
    source_seconds: float
    requests: int
    written_bytes: int | None


@dataclass(frozen=True, slots=True)
class Pair:
    """A round of one contender: the tiny listing and the large one."""

    tiny: Run
    large: Run

    @property
    def marginal(self) -> float:
        """CPU seconds that a million more objects cost."""
        more = self.large.usage.cpu_seconds - self.tiny.usage.cpu_seconds
        return more / (self.large.objects - self.tiny.objects) * MILLION

    @property
    def whole(self) -> float:
        """CPU seconds per million objects, start-up and all."""
        return self.large.usage.cpu_seconds / self.large.objects * MILLION


class Course:
    """Where contenders run: the load sources, and a folder to write into.

    Args:
        start: Starts a load source of so many keys.
        scale: The large listings have this fraction of the contenders' objects.
    """

    def __init__(self, start: Callable[[int], LoadSource], scale: float) -> None:
        self._start = start
        self._scale = scale
        self._sources: dict[int, LoadSource] = {}
        self._checked: set[tuple[str, int]] = set()

    def close(self) -> None:
        for source in self._sources.values():
            source.close()

    def pair(self, contender: Contender, number: int) -> Pair:
        """Let a contender list the tiny bucket and the large one."""
        large = max(LEAST, round(contender.objects * self._scale))
        return Pair(self.run(contender, number, TINY), self.run(contender, number, large))

    def run(self, contender: Contender, number: int, objects: int) -> Run:
        """Let a contender list a bucket of so many objects, and check what it found.

        Raises:
            ProcessFailed: It failed, or did not see exactly these objects.
        """
        if objects not in self._sources:
            self._sources[objects] = self._start(objects)
        source = self._sources[objects]
        out = BUILD / "out" / contender.name
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)
        requests, spent = source.stats()[0], source.cpu_seconds()
        try:
            command = contender.command(source, out)
            usage = run(command, environment(source), contender.folder)
            seen = contender.counted(usage)
            written = self._written(contender, objects, out) if contender.writes_parquet else None
        finally:
            shutil.rmtree(out)
        if seen != objects:
            raise ProcessFailed(f"{contender.name} saw {seen:,} of {objects:,} objects")
        return Run(
            contender=contender.name,
            round=number,
            objects=objects,
            usage=usage,
            source_seconds=source.cpu_seconds() - spent,
            requests=source.stats()[0] - requests,
            written_bytes=written,
        )

    def _written(self, contender: Contender, objects: int, out: Path) -> int:
        """The bytes written; the first time, every row is read and the order checked."""
        if (contender.name, objects) not in self._checked:
            try:
                rows, _ = check(out)
            except ValueError as error:
                raise ProcessFailed(f"{contender.name} wrote no sorted listing: {error}") from None
            if rows != objects:
                raise ProcessFailed(f"{contender.name} wrote {rows:,} of {objects:,} objects")
            self._checked.add((contender.name, objects))
        return sum(file.stat().st_size for file in out.rglob("*.parquet"))


def table(contenders: Sequence[Contender], pairs: dict[str, list[Pair]]) -> str:
    """The results in Markdown; ratios are medians of the rounds' own ratios to this project's."""
    bases = [each for each in contenders if each.folder] or contenders[:1]
    heads = [
        *("contender", "objects", "CPU-s per million, marginal", "whole process"),
        *("start-up CPU-s", "wall s", "objects/s", "peak RSS MB", "bytes/object", "requests"),
        *(f"ratio to {base.name}" for base in bases),
    ]
    lines = [f"| {' | '.join(heads)} |", f"|---{'|--:' * (len(heads) - 1)}|"]
    for contender in contenders:
        ran = pairs[contender.name]
        large = ran[0].large
        ratios = [
            statistics.median(
                pair.marginal / to.marginal for pair, to in zip(ran, pairs[base.name], strict=True)
            )
            for base in bases
        ]
        walls = [pair.large.usage.wall_seconds for pair in ran]
        written = large.written_bytes
        cells = [
            contender.label,
            f"{large.objects:,}",
            _spread([pair.marginal for pair in ran]),
            _spread([pair.whole for pair in ran]),
            f"{statistics.median(pair.tiny.usage.cpu_seconds for pair in ran):.2f}",
            _spread(walls),
            f"{large.objects / statistics.median(walls):,.0f}",
            f"{statistics.median(pair.large.usage.peak_bytes for pair in ran) / 1e6:.0f}",
            f"{written / large.objects:.1f}" if written else "",
            f"{large.requests:,}",
            *(f"{ratio:.1f}" for ratio in ratios),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _spread(values: Iterable[float]) -> str:
    ordered = sorted(values)
    median = statistics.median(ordered)
    digits = 2 if median < 10 else 1
    return f"{median:.{digits}f} ({ordered[0]:.{digits}f} to {ordered[-1]:.{digits}f})"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the comparison and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", choices=SHAPES, default="flat")
    parser.add_argument("--latency", type=float, default=0.0, metavar="MS")
    parser.add_argument("--tls", action="store_true", help="over HTTPS")
    parser.add_argument("--names", type=Path, default=DEMO_NAMES, help="for the shape `real`")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0, help="of the large listings")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these contenders")
    parser.add_argument(
        "--tree",
        type=Path,
        action="append",
        default=[],
        metavar="FOLDER",
        help="a source tree of another revision, which takes part as well",
    )
    options = parser.parse_args(arguments)
    try:
        contenders = [
            this_project(HERE.parent),
            this_project(HERE.parent, f"this project on {FEW} connections", FEW),
            *(this_project(tree.resolve(), tree.resolve().name) for tree in options.tree),
            *peers(),
        ]
        if options.only:
            unknown = set(options.only) - {contender.name for contender in contenders}
            if unknown:
                known = ", ".join(contender.name for contender in contenders)
                parser.error(f"no such contender: {', '.join(sorted(unknown))}; there are {known}")
            contenders = [found for found in contenders if found.name in options.only]
        _compare(contenders, options)
    except (ProcessFailed, NoCompiler) as error:
        raise SystemExit(str(error)) from None


def _compare(contenders: Sequence[Contender], options: argparse.Namespace) -> None:
    def start(count: int) -> LoadSource:
        conditions = {"latency": options.latency, "tls": options.tls}
        return LoadSource(options.shape, count, names=options.names, **conditions)

    pairs: dict[str, list[Pair]] = {contender.name: [] for contender in contenders}
    with contextlib.closing(Course(start, options.scale)) as course:
        for contender in contenders:
            course.run(contender, 0, TINY)  # bytecode, and the disk's cache
        for number in range(1, options.rounds + 1):
            for contender in contenders:
                pair = course.pair(contender, number)
                pairs[contender.name].append(pair)
                print(
                    f"round {number}, {contender.name}: {pair.marginal:.2f} CPU-s per million",
                    file=sys.stderr,
                )
    ran = [pair for each in pairs.values() for pair in each]
    _keep(options, ran)
    served = sum(pair.large.objects for pair in ran)
    spent = sum(pair.large.source_seconds for pair in ran)
    print(
        f"{dt.datetime.now(dt.UTC):%Y-%m-%d}, {os.cpu_count()} cores, {platform.system()}, Python "
        f"{platform.python_version()}; shape {options.shape}, latency {options.latency:g} ms, "
        f"{'HTTPS' if options.tls else 'HTTP'}, {options.rounds} rounds: median (least to most). "
        f"The load source spent {spent / served * MILLION:.2f} CPU-s per million objects.\n"
    )
    print(table(contenders, pairs))
    print(f"\nThe peers: {versions()}.")


def _keep(options: argparse.Namespace, pairs: Iterable[Pair]) -> None:
    """Keep the raw figures."""
    results = BUILD / "results"
    results.mkdir(exist_ok=True)
    stamp = f"{dt.datetime.now(dt.UTC):%Y%m%dT%H%M%S}"
    raw = {"options": vars(options), "pairs": [asdict(pair) for pair in pairs]}
    text = json.dumps(raw, indent=1, default=str)
    (results / f"listing-{options.shape}-{stamp}.json").write_text(text)


if __name__ == "__main__":
    main()
