"""Compare asking for the metadata of objects with boto3's threads and aiobotocore.

`python -m benchmarks.metadata --objects 100000`: the server answers HeadObject as S3 does, with two
headers of user metadata. This project lists the bucket first, which does not count; then it asks
for each object and writes sorted Parquet. The peers read the answers of as many objects and write
nothing. CPU-seconds are of the whole process, user and system, without the start of the process and
the listing: as many as a run of few objects takes less. Contenders take turns.

`python -m benchmarks.metadata --days --objects 1000000` collects three days in this process: the
first, one on which every hundredth object was written again, and one without changes.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa

from benchmarks.contenders import CONCURRENCY, PEERS, environment
from benchmarks.load_source import BUCKET, HERE, LoadSource
from benchmarks.processes import ProcessFailed, Usage, run
from inventory_assets.inventory.listing.shard_lister import ShardLister
from inventory_assets.inventory.manifest.snapshot import Snapshot
from inventory_assets.inventory.metadata.asking import RequestBudget
from inventory_assets.inventory.metadata.shard_collector import ShardCollector
from inventory_assets.inventory.parts.part import read_records
from inventory_assets.inventory.parts.part_writer import PartWriter
from inventory_assets.inventory.storage.layout import Layout
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets.s3.bucket_config import BucketConfig
from inventory_assets.s3.concurrency.policies import PolicyName
from inventory_assets.s3.head_client import HeadClient
from inventory_assets.s3.list_client import ListClient
from inventory_assets.scan.keyspace.key_range import KeyRange
from inventory_assets.scan.keyspace.shard import Shard

FEW_OBJECTS = 1_000
"""What a run of so many objects takes is what a process takes to start."""


@dataclass(frozen=True, slots=True)
class Asker:
    """One way to ask.

    Attributes:
        label: What the table calls it.
        share: The share of the objects that it asks for: slow ones ask for fewer.
        command: What is run, given the URL and the number of objects.
    """

    label: str
    share: float
    command: Callable[[str, int], list[str]]


def this_project() -> Asker:
    """`object_metadata`, without Dagster."""
    module = [sys.executable, "-m", "benchmarks.metadata", "--collect"]
    return Asker("this project, sorted Parquet", 1.0, lambda url, count: [*module, url, str(count)])


def peer(name: str, label: str, share: float) -> Asker:
    """A library, run by the peers' Python."""
    script = [str(PEERS / "bin" / "python"), str(HERE / "python_peers.py"), name]
    return Asker(label, share, lambda url, count: [*script, url, BUCKET, str(count)])


def collect(url: str, count: int) -> int:
    """List the bucket, ask for each object, and publish; the number of objects answered."""
    config = BucketConfig(BUCKET, url, max_in_flight=CONCURRENCY, policy=PolicyName.FIXED)
    with (
        tempfile.TemporaryDirectory() as folder,
        closing(ListClient(config)) as lister,
        closing(HeadClient(config)) as client,
    ):
        store, layout = LocalStore(Path(folder)), Layout(BUCKET, "source")
        snapshot = ShardLister(lister, store, layout).list_shard(
            datetime.now(UTC).date(), Shard("")
        )
        collector = ShardCollector(client, store, layout, lambda: datetime.now(UTC))
        record = collector.collect(collector.plan(snapshot), RequestBudget(count, 1))
        return record.rows - record.unknown - sum(record.errors.values())


def collect_days(count: int) -> Iterator[str]:
    """Collect three days; a line of a table for each."""

    def now() -> datetime:
        return datetime.now(UTC)

    yield "| day | asked | requests | CPU-s | wall s | files MB |\n|---|--:|--:|--:|--:|--:|"
    with LoadSource("flat", count) as source, tempfile.TemporaryDirectory() as folder:
        config = BucketConfig(
            *(BUCKET, source.url, "us-east-1"),
            access_key="any",
            secret_key="any",  # noqa: S106 - the load source checks none
            max_in_flight=CONCURRENCY,
            policy=PolicyName.FIXED,
        )
        store, layout = LocalStore(Path(folder)), Layout(BUCKET, "source")
        with closing(ListClient(config)) as lister:
            first = ShardLister(lister, store, layout).list_shard(now().date(), Shard(""))
        second = _with_some_rewritten(store, layout, first)
        third = replace(second, day=second.day + timedelta(days=1))
        for name, snapshot in (("first", first), ("1 % written", second), ("same", third)):
            before = time.process_time(), time.perf_counter()
            with closing(HeadClient(config)) as client:
                collector = ShardCollector(client, store, layout, now)
                record = collector.collect(collector.plan(snapshot), RequestBudget(None, 1))
            cpu, wall = time.process_time() - before[0], time.perf_counter() - before[1]
            yield (
                f"| {name} | {record.asked:,} | {record.requests:,} | {cpu:.1f} | {wall:.1f} | "
                f"{record.file_bytes / 1e6:.0f} |"
            )


def _with_some_rewritten(store: LocalStore, layout: Layout, snapshot: Snapshot) -> Snapshot:
    """The next day's snapshot, on which every hundredth object has a newer time."""
    with PartWriter(store, layout) as writer:
        for part in snapshot.parts:
            for records in read_records(store, [part], [KeyRange.of_prefix("")]):
                at = records.schema.get_field_index("last_modified_date")
                times = records.column(at).cast(pa.int64()).to_numpy().copy()
                times[::100] += 86_400_000
                field = records.schema.field(at)
                writer.write(records.set_column(at, field, pa.array(times).cast(field.type)))
            writer.finish_part()
    return replace(snapshot, parts=tuple(writer.parts), day=snapshot.day + timedelta(days=1))


def measured(asker: Asker, source: LoadSource, count: int) -> Usage:
    """The cost of a run.

    Raises:
        ProcessFailed: It failed, or did not get an answer for each object.
    """
    usage = run(asker.command(source.url, count), environment(source), HERE.parent)
    if usage.tail.strip() != str(count):
        raise ProcessFailed(f"{asker.label} answered {usage.tail.strip()!r} of {count}")
    return usage


def row(label: str, few: list[Usage], many: list[Usage], objects: int) -> str:
    """A line of the table."""
    start = statistics.median(usage.cpu_seconds for usage in few)
    costs = [(usage.cpu_seconds - start) / (objects - FEW_OBJECTS) for usage in many]
    wall = statistics.median(usage.wall_seconds for usage in many)
    peak = max(usage.peak_bytes for usage in many) / 1e6
    micro = [cost * 1e6 for cost in (statistics.median(costs), min(costs), max(costs))]
    return (
        f"| {label} | {objects:,} | {micro[0] / 10:.1f} | {micro[0]:.0f} ({micro[1]:.0f} to "
        f"{micro[2]:.0f}) | {wall:.1f} | {objects / wall:,.0f} | {peak:.0f} |"
    )


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--latency", type=float, default=0.0, help="milliseconds")
    parser.add_argument("--days", action="store_true", help="collect three days instead")
    parser.add_argument("--collect", nargs=2, metavar=("URL", "COUNT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.collect:
        print(collect(options.collect[0], int(options.collect[1])))
        return
    if options.days:
        for line in collect_days(options.objects):
            print(line, flush=True)
        return
    askers = [
        this_project(),
        peer("boto3-heads", "boto3, a pool of threads", 0.1),
        peer("aiobotocore-heads", "aiobotocore", 0.1),
    ]
    found: dict[str, tuple[list[Usage], list[Usage]]] = {each.label: ([], []) for each in askers}
    with LoadSource("flat", options.objects, latency=options.latency) as source:
        for _ in range(options.rounds):
            for asker in askers:
                few, many = found[asker.label]
                few.append(measured(asker, source, FEW_OBJECTS))
                many.append(measured(asker, source, int(options.objects * asker.share)))
    print("| contender | objects | CPU-s per 100,000 | µs a HEAD | wall s | HEADs/s | RSS MB |")
    print("|---|--:|--:|--:|--:|--:|--:|")
    for asker in askers:
        few, many = found[asker.label]
        print(row(asker.label, few, many, int(options.objects * asker.share)))


if __name__ == "__main__":
    main()
