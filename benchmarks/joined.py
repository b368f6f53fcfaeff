"""List one bucket with several participants: `python -m benchmarks.joined --markdown`.

Each participant is a process, as on a machine of its own, but all of them share this machine's
cores and a store in a folder. The records are those of `inventory list --join`. Every result is
checked: it has as many records as the bucket has keys, and its ranges tile the key space.
"""

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.in_flight import InFlight, ObservedLimiter
from benchmarks.load_source import BUCKET, SHAPES, LoadSource, NoCompiler
from benchmarks.processes import ProcessFailed
from inventory_assets.inventory.shared_listing.shared_listing import join_listing
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets.s3.bucket_config import BucketConfig
from inventory_assets.s3.list_client import ListClient
from inventory_assets.scan.engine.events import Event, ObjectsListed
from inventory_assets.scan.engine.progress import Elsewhere

COUNT = 3_000_000
LATENCY = 50.0
"""Milliseconds."""
PARTICIPANTS = (1, 2, 4)
IN_FLIGHT = 32
"""Requests in flight at most, of each participant."""

HEADS = (
    *("participants", "wall s", "objects/s", "CPU s per million", "in flight, mean"),
    *("requests per 1,000 keys", "listed twice", "skew", "files"),
)


@dataclass(frozen=True, slots=True)
class Share:
    """What one participant did.

    Attributes:
        begun: When it began, in seconds of the machine's monotonic clock.
        ended: When it ended.
        cpu_seconds: Its CPU time since it began.
        in_flight_seconds: The integral of its requests in flight.
        objects: The objects that it listed.
        rows: The records of the whole result.
        files: The files of the whole result.
    """

    begun: float
    ended: float
    cpu_seconds: float
    in_flight_seconds: float
    objects: int
    rows: int
    files: int


@dataclass(frozen=True, slots=True)
class Figures:
    """The measurements of one shared listing.

    Attributes:
        shares: Those of the participants.
        keys: The keys of the bucket.
        requests: The requests that the bucket answered.
        sent: The objects in its responses.
    """

    shares: tuple[Share, ...]
    keys: int
    requests: int
    sent: int

    @property
    def wall(self) -> float:
        """Seconds from the beginning of the first participant to the end of the last."""
        return max(each.ended for each in self.shares) - min(each.begun for each in self.shares)

    @property
    def skew(self) -> float:
        """The objects of the busiest participant by those of the average one."""
        objects = [each.objects for each in self.shares]
        return max(objects) * len(objects) / sum(objects)

    def cells(self) -> list[str]:
        """The figures as `HEADS` names them."""
        return [
            str(len(self.shares)),
            f"{self.wall:.1f}",
            f"{self.keys / self.wall:,.0f}",
            f"{sum(each.cpu_seconds for each in self.shares) / self.keys * 1e6:.2f}",
            f"{sum(each.in_flight_seconds for each in self.shares) / self.wall:.1f}",
            f"{self.requests / self.keys * 1000:.3f}",
            f"{max(self.sent - self.keys, 0) / self.keys:.2%}",
            f"{self.skew:.2f}",
            str(self.shares[0].files),
        ]


def measured(shape: str, keys: int, latency: float, participants: int, allowed: int) -> Figures:
    """List a bucket with some participants, and check the result.

    Raises:
        ProcessFailed: A participant failed, or the result is not complete.
        NoCompiler: The load source cannot be built here.
    """
    with (
        LoadSource(shape, keys, latency=latency) as source,
        tempfile.TemporaryDirectory() as folder,
    ):
        command = [sys.executable, "-m", "benchmarks.joined", "--in-flight", str(allowed)]
        command += ["--participate", source.url, folder]
        processes = [
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            for _ in range(participants)
        ]
        try:
            told = [process.communicate() for process in processes]
        finally:
            for process in processes:
                process.kill()
        for process, (_, error) in zip(processes, told, strict=True):
            if process.returncode:
                raise ProcessFailed(f"a participant failed: {error}")
        shares = tuple(Share(**json.loads(output)) for output, _ in told)
        if any(each.rows != keys for each in shares):
            raise ProcessFailed(f"the result has {shares[0].rows:,} records of {keys:,}")
        requests, sent = source.stats()
    return Figures(shares, keys, requests, sent)


def participate(url: str, folder: Path, allowed: int) -> Share:
    """Take part in a shared listing in a folder; the body of a participant's process."""
    bucket_config = BucketConfig(
        BUCKET,
        url,
        region="us-east-1",
        access_key="any",
        secret_key="any",  # noqa: S106 - the load source checks no signature
        addressing_style="path",
        max_in_flight=allowed,
    )
    objects = 0

    def count(event: Event | Elsewhere) -> None:
        nonlocal objects
        if isinstance(event, ObjectsListed):
            objects += event.objects.num_rows

    observed = ObservedLimiter(bucket_config)
    with contextlib.closing(ListClient(bucket_config, limiter=observed)) as lister:
        cpu, begun = time.process_time(), time.monotonic()
        result = join_listing(lister, "", LocalStore(folder), count)
        ended, cpu = time.monotonic(), time.process_time() - cpu
    in_flight = InFlight(begun, ended, observed.changes)
    rows = sum(part.rows for part in result.parts)
    share = in_flight.mean * in_flight.seconds
    return Share(begun, ended, cpu, share, objects, rows, len(result.parts))


def table(shape: str, figures: Sequence[Figures]) -> str:
    """The figures in Markdown, a row for each number of participants."""
    lines = [f"{shape} keys:", "", f"| {' | '.join(HEADS)} |", f"|{'--:|' * len(HEADS)}"]
    return "\n".join([*lines, *(f"| {' | '.join(each.cells())} |" for each in figures)])


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the listings; print a line for each as it ends, and a table for each shape."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=COUNT, metavar="N", help="keys of the bucket")
    parser.add_argument("--latency", type=float, default=LATENCY, metavar="MS")
    parser.add_argument("--shapes", nargs="+", default=["flat"], choices=SHAPES)
    parser.add_argument("--participants", type=int, nargs="+", default=PARTICIPANTS, metavar="N")
    parser.add_argument("--in-flight", type=int, default=IN_FLIGHT, metavar="N", help="of each")
    parser.add_argument("--markdown", action="store_true", help="print tables in the end")
    parser.add_argument("--participate", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.participate:
        url, folder = options.participate
        share = participate(url, Path(folder), options.in_flight)
        print(json.dumps({name: getattr(share, name) for name in Share.__slots__}))
        return
    progress = sys.stderr if options.markdown else sys.stdout
    tables: list[str] = []
    try:
        for shape in options.shapes:
            figures: list[Figures] = []
            for number in options.participants:
                found = measured(shape, options.count, options.latency, number, options.in_flight)
                figures.append(found)
                cells = zip(HEADS, found.cells(), strict=True)
                told = ", ".join(f"{head} {cell}" for head, cell in cells)
                print(f"{shape}: {told}", file=progress, flush=True)
            tables.append(table(shape, figures))
    except (NoCompiler, ProcessFailed) as error:
        sys.exit(str(error))
    if options.markdown:
        print("\n\n".join(tables))


if __name__ == "__main__":
    main()
