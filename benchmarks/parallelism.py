"""Compare ways to list one bucket with many requests at once: `python -m benchmarks.parallelism`.

Each strategy lists the same key spaces with the same latencies and the same engine; they differ in
the initial division of the key space, and only ours splits ranges during the scan. Objects are
dropped. Every listing is checked: its ranges tile the key space and contain every key.
"""

import argparse
import contextlib
import datetime as dt
import os
import platform
import string
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from benchmarks.in_flight import InFlight, ObservedLimiter
from benchmarks.load_source import BUCKET, SHAPES, LoadSource, NoCompiler
from benchmarks.processes import ProcessFailed
from inventory_assets.s3.bucket_config import BucketConfig
from inventory_assets.s3.list_client import ListClient
from inventory_assets.s3.page_request import PageRequest
from inventory_assets.s3.page_source import PageSource
from inventory_assets.s3.request_stats import RequestStats
from inventory_assets.scan.engine.events import (
    JobFailed,
    ListingJob,
    ObjectsListed,
    RangeCompleted,
    RangeSplit,
)
from inventory_assets.scan.engine.parallel_scan import ParallelScan
from inventory_assets.scan.keyspace.key_range import DELIMITER, KeyRange, tiling_violation

COUNT = 10_000_000
"""Keys: at 64 in flight 156 pages a connection, so that what beginning and ending cost is small."""

LATENCIES = (0.0, 30.0, 100.0)
"""Milliseconds."""

IN_FLIGHT = 64
"""Requests in flight at most; so many workers there are, whether or not a strategy can use them."""

MOST, HALF = 0.9, 0.5
"""Of the requests allowed: what is to be reached soon, and what is too few."""

BUSY = 0.9
"""From this fraction of a core on, the process rather than the network sets the pace."""

CHARACTERS = string.digits + string.ascii_uppercase + string.ascii_lowercase

WHOLE = KeyRange.of_prefix("")

Plan = Callable[[PageSource], list[ListingJob]]


class UnsplitScan(ParallelScan):
    """A scan that never splits a range."""

    def __init__(self, lister: PageSource, jobs: Sequence[ListingJob]) -> None:
        super().__init__(lister, jobs, can_split=False)


@dataclass(frozen=True, slots=True)
class Strategy:
    """A way to divide a key space.

    Attributes:
        name: Its name on the command line.
        label: Its name in the table.
        divisor: Lists so many times fewer keys than ours: what is slow has a smaller bucket.
        plan: Makes the initial jobs from a look at the bucket.
        scan: The scan to list them with.
    """

    name: str
    label: str
    divisor: int
    plan: Plan
    scan: type[ParallelScan] = UnsplitScan


HEADS = (
    *("strategy", "keys", "wall s", "requests/s", "in flight, mean"),
    *(f"s to {MOST:.0%}", f"s below {HALF:.0%}", "requests per 1,000 keys", "skew"),
    *("slowest request, ms", "CPU of a core"),
)


@dataclass(frozen=True, slots=True)
class Figures:
    """The measurements of one listing.

    Attributes:
        shape: The shape of the key space.
        latency: Milliseconds before a response begins.
        label: The strategy's.
        keys: How many keys were listed.
        allowed: Requests in flight at most.
        requests: Requests sent, those for splitting as well.
        in_flight: Those in flight over time.
        skew: Requests of the busiest worker by those of the average one.
        longest: Seconds that the slowest request took.
        cpu: Of a core, the fraction that the listing process used.
    """

    shape: str
    latency: float
    label: str
    keys: int
    allowed: int
    requests: int
    in_flight: InFlight
    skew: float
    longest: float
    cpu: float

    @property
    def per_second(self) -> float:
        """Requests a second."""
        return self.requests / self.in_flight.seconds

    @property
    def per_thousand(self) -> float:
        """Requests per 1,000 keys; 1 would be perfect."""
        return self.requests / self.keys * 1000

    def cells(self) -> list[str]:
        """The figures as `HEADS` names them."""
        until_most = self.in_flight.seconds_until(MOST * self.allowed)
        return [
            self.label,
            f"{self.keys:,}",
            f"{self.in_flight.seconds:.1f}",
            f"{self.per_second:,.0f}",
            f"{self.in_flight.mean:.1f}",
            "never" if until_most is None else f"{until_most:.2f}",
            f"{self.in_flight.seconds_below(HALF * self.allowed):.2f}",
            f"{self.per_thousand:.3f}",
            f"{self.skew:.1f}",
            f"{self.longest * 1000:.0f}",
            f"{self.cpu:.0%}{'*' if self.cpu >= BUSY else ''}",
        ]


# The strategies.


def the_whole(_lister: PageSource) -> list[ListingJob]:
    """One range."""
    return [ListingJob("", [WHOLE])]


def folders_and_the_rest(lister: PageSource) -> list[ListingJob]:
    """A range for each folder of a level, and for the keys outside them.

    The level is the shallowest with several folders, or a deeper one if there is a worker for each
    folder: the division that an administrator would choose.
    """
    level = [""]
    while True:
        below = (name for folder in level for name in folders(lister, folder))
        found = list(
            below if len(level) == 1 else islice(below, lister.bucket_config.max_in_flight)
        )
        if not found or next(below, None) is not None:
            return by_prefixes(level)
        level = found


def characters_and_the_rest(lister: PageSource) -> list[ListingJob]:
    """A range for each letter and digit after the common folder of all keys, and for the rest.

    The common folder is the deepest one that contains all keys, if any.
    """
    start = ""
    while len(found := list(islice(folders(lister, start), 2))) == 1:
        start = found[0]
    return by_prefixes([start + character for character in CHARACTERS])


def by_prefixes(prefixes: Sequence[str]) -> list[ListingJob]:
    """A job for each prefix, and one for the gaps between them."""
    gaps = WHOLE.minus(prefixes)
    jobs = [ListingJob(prefix, [KeyRange.of_prefix(prefix)]) for prefix in prefixes]
    return [*jobs, ListingJob("", gaps)] if gaps else jobs


def folders(lister: PageSource, level: str) -> Iterator[str]:
    """The folders of a level, in order."""
    token: str | None = None
    while True:
        page = lister.list_page_sync(
            PageRequest(level, token=token, delimiter=DELIMITER), RequestStats()
        )
        yield from page.common_prefixes
        token = page.next_token
        if not page.is_truncated:
            return


STRATEGIES = (
    Strategy("ours", "**ours: one range, split on the way**", 1, the_whole, ParallelScan),
    Strategy("folders", "a range for each folder", 10, folders_and_the_rest),
    Strategy("characters", "62 one-character ranges", 10, characters_and_the_rest),
    Strategy("chain", "a single chain of tokens", 100, the_whole),
)


# Measuring.


def measured(
    strategy: Strategy, shape: str, latency: float, keys: int, allowed: int = IN_FLIGHT
) -> Figures:
    """List a bucket in one way, and check that every key was found.

    Raises:
        ProcessFailed: The listing failed, split what it should not, or is not complete.
        NoCompiler: The load source cannot be built here.
    """
    with LoadSource(shape, keys, latency=latency) as source:
        bucket_config = BucketConfig(
            BUCKET,
            source.url,
            region="us-east-1",
            access_key="any",
            secret_key="any",  # noqa: S106 - the load source checks no signature
            addressing_style="path",
            max_in_flight=allowed,
        )
        with contextlib.closing(ListClient(bucket_config)) as scout:
            jobs = strategy.plan(scout)
        observed = ObservedLimiter(bucket_config)
        with contextlib.closing(ListClient(bucket_config, limiter=observed)) as lister:
            cpu, begun = time.process_time(), time.monotonic()
            try:
                list_all(strategy.scan(lister, jobs), keys)
            except ValueError as error:
                raise ProcessFailed(f"{strategy.name} on {shape!r} keys: {error}") from None
            ended, cpu = time.monotonic(), time.process_time() - cpu
            return Figures(
                shape,
                latency,
                strategy.label,
                keys,
                allowed,
                requests=sum(observed.sent_by),
                in_flight=InFlight(begun, ended, observed.changes),
                skew=observed.skew,
                longest=observed.longest,
                cpu=cpu / (ended - begun),
            )


def list_all(scan: ParallelScan, keys: int) -> None:
    """Drain a scan, and check that it found every key.

    The engine has checked that keys ascend within a range; so where ranges tile the key space, no
    key was found twice, and as many as there are means every one.

    Raises:
        ValueError: It did not, or failed.
    """
    found = 0
    ranges: list[KeyRange] = []
    for event in scan:
        match event:
            case ObjectsListed():
                found += event.objects.num_rows
            case RangeCompleted():
                ranges.append(event.evidence.key_range)
            case JobFailed():
                raise ValueError(str(event.error)) from event.error
            case RangeSplit() if isinstance(scan, UnsplitScan):
                raise ValueError("a range was split that should be left as it was given")
    if violation := tiling_violation(sorted(ranges), [WHOLE]):
        raise ValueError(f"its ranges do not tile the key space: {violation}")
    if found != keys:
        raise ValueError(f"it found {found:,} of {keys:,} keys")


def tables(figures: Sequence[Figures]) -> str:
    """The figures in Markdown, a table for each latency and a row for each strategy and shape."""
    lines: list[str] = []
    for latency in dict.fromkeys(each.latency for each in figures):
        lines += ["", f"At {latency:g} ms:", "", f"| shape | {' | '.join(HEADS)} |"]
        lines.append(f"|---|---{'|--:' * (len(HEADS) - 1)}|")
        lines += [
            f"| {each.shape} | {' | '.join(each.cells())} |"
            for each in figures
            if each.latency == latency
        ]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the comparison; print a line for each listing as it ends, and the tables if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--count", type=int, default=COUNT, metavar="N", help="keys for ours; others list fewer"
    )
    parser.add_argument("--latency", type=float, nargs="+", default=LATENCIES, metavar="MS")
    parser.add_argument("--shapes", nargs="+", default=SHAPES, choices=SHAPES)
    parser.add_argument(
        "--only", nargs="+", choices=[each.name for each in STRATEGIES], help="these strategies"
    )
    parser.add_argument("--markdown", action="store_true", help="print tables in the end")
    options = parser.parse_args(arguments)
    smallest = max(each.divisor for each in STRATEGIES)
    if options.count < smallest:
        parser.error(
            f"--count must be {smallest} at least, so that each strategy has a key to find"
        )
    figures: list[Figures] = []
    progress = sys.stderr if options.markdown else sys.stdout
    try:
        measured(STRATEGIES[0], "flat", 0.0, 1000)  # what is imported late
        for shape in options.shapes:
            for latency in options.latency:
                for strategy in STRATEGIES:
                    if options.only and strategy.name not in options.only:
                        continue
                    keys = options.count // strategy.divisor
                    figures.append(measured(strategy, shape, latency, keys))
                    cells = zip(HEADS[1:], figures[-1].cells()[1:], strict=True)
                    told = ", ".join(f"{head} {cell}" for head, cell in cells)
                    print(f"{shape}, {latency:g} ms, {strategy.name}: {told}", file=progress)
                    progress.flush()
    except (ProcessFailed, NoCompiler) as error:
        raise SystemExit(str(error)) from None
    if options.markdown:
        print(
            f"{dt.datetime.now(dt.UTC):%Y-%m-%d}, {os.cpu_count()} cores, Python "
            f"{platform.python_version()}, at most {IN_FLIGHT} requests in flight. With an "
            f"asterisk: CPU-bound, {BUSY:.0%} of a core or more."
        )
        print(tables(figures))


if __name__ == "__main__":
    main()
