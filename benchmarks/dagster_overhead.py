"""Measure Dagster's overhead per shard of a range run: `python -m benchmarks.dagster_overhead`.

A run lists many shards of one object each from memory, on a new instance; the time that the
listings take on their own is measured beside it. The bytes are those by which the history grows.
With `--events`, the time that Dagster takes to record each kind of event is printed, too.

Dagster's storage is SQLite and, with `--postgres`, also a server, whose URL is given without a
database: `overhead` is made anew on it. `--image` draws the medians.
"""

import argparse
import json
import statistics
import subprocess
import tempfile
import time
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg

from benchmarks.contenders import PEERS
from benchmarks.dagster_instances import history_bytes, opened_instance
from inventory_assets.config import Config, Source
from inventory_assets.definitions import build_definitions
from inventory_assets.defs.source.context import SourceAssets
from inventory_assets.defs.source.resources import SourceBucket
from inventory_assets.inventory.listing.shard_lister import ShardLister
from inventory_assets.inventory.storage.layout import Layout
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets.s3.page_source import PageSource
from inventory_assets.s3.request_observer import RequestObserver
from inventory_assets.scan.keyspace.shard import Shard
from inventory_assets_tests.fakes.model_s3 import ModelS3

HERE = Path(__file__).parent
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


class StubBucket(SourceBucket):
    """The resource of a bucket in memory."""

    shards: int

    def lister(
        self,
        now: datetime,  # noqa: ARG002
        observer: RequestObserver | None = None,  # noqa: ARG002
    ) -> PageSource:
        return one_object_each(self.shards)


def one_object_each(shards: int) -> ModelS3:
    """A bucket in which each shard holds one object."""
    return ModelS3((f"{prefix}x" for prefix in prefixes_of(shards)), page_size=1_000)


def prefixes_of(shards: int) -> list[str]:
    """The prefixes of the shards."""
    return [f"{number:05}/" for number in range(shards)]


@dataclass(frozen=True, slots=True)
class Cost:
    """What a run took for each of its shards.

    Attributes:
        shards: The shards of the run.
        wall: Wall seconds.
        cpu: CPU seconds of the process.
        alone: Wall seconds of the listings without Dagster.
        grown: Bytes by which the history grew.
    """

    shards: int
    wall: float
    cpu: float
    alone: float
    grown: float


def main() -> None:
    """Measure some runs of each size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shards", type=int, nargs="+", default=[100])
    parser.add_argument("--runs", type=int, default=3, help="runs of each size")
    parser.add_argument("--postgres", metavar="URL", help="of a server, without a database")
    parser.add_argument("--events", action="store_true", help="print the time of each event, too")
    parser.add_argument("--image", type=Path, help="an SVG file, drawn by the peers' Python")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    databases: dict[str, str | None] = {"SQLite": None}
    if arguments.postgres:
        databases["PostgreSQL"] = f"{arguments.postgres}/overhead"
    found: dict[str, list[Cost]] = {name: [] for name in databases}
    print("| storage | shards | wall, ms a shard | CPU | the listing itself | bytes a shard |")
    print("|---|--:|--:|--:|--:|--:|")
    for shards in arguments.shards:
        for storage, database in databases.items():
            with tempfile.TemporaryDirectory() as name:
                costs = measure(
                    Path(name), database, shards, arguments.runs, events=arguments.events
                )
            found[storage].append(median(costs))
            for cost in costs:
                print(row(storage, cost), flush=True)
    if arguments.image:
        draw(arguments.image, found)


def median(costs: Sequence[Cost]) -> Cost:
    """The median of each figure, over runs of one size."""
    figures = (
        statistics.median(getattr(cost, name) for cost in costs)
        for name in ("wall", "cpu", "alone", "grown")
    )
    return Cost(costs[0].shards, *figures)


def row(storage: str, cost: Cost) -> str:
    """A row of the table."""
    seconds = (f"{1000 * each:.1f}" for each in (cost.wall, cost.cpu, cost.alone))
    return f"| {storage} | {cost.shards:,} | {' | '.join(seconds)} | {cost.grown:,.0f} |"


def draw(image: Path, found: Mapping[str, Sequence[Cost]]) -> None:
    """The milliseconds a shard, by the shards of the run."""
    lines = {
        f"{storage}, {kind}": [(each.shards, 1000 * getattr(each, name)) for each in costs]
        for storage, costs in found.items()
        for kind, name in (("wall", "wall"), ("CPU of the run", "cpu"))
    }
    plot = [str(PEERS / "bin" / "python"), str(HERE / "dagster_plot.py"), str(image)]
    subprocess.run(plot, input=json.dumps(lines), text=True, check=True)


def measure(
    folder: Path, database: str | None, shards: int, runs: int, *, events: bool
) -> list[Cost]:
    """Measure runs over so many shards on a new instance."""
    today = datetime.now(UTC).date()
    prefixes = prefixes_of(shards)
    source = Source(name="stub", bucket="stub")
    assets = SourceAssets(source)
    definitions = build_definitions(Config(store=folder / "inventory", sources={"stub": source}))
    resources = {
        **(definitions.resources or {}),
        "stub_bucket": StubBucket(bucket="stub", shards=shards),
    }
    definitions = dg.Definitions(
        assets=definitions.assets, resources=resources, executor=dg.in_process_executor
    )
    alone = seconds_without_dagster(folder / "alone", prefixes) / shards
    costs = []
    with opened_instance(folder, database) as instance:
        instance.add_dynamic_partitions(assets.partitions.shards_name, prefixes)
        for _ in range(runs):
            recorded = RecordedEvents(instance)
            before = history_bytes(folder, database)
            started, busy = time.perf_counter(), time.process_time()
            result = definitions.resolve_implicit_global_asset_job_def().execute_in_process(
                instance=instance,
                asset_selection=[assets.key("object_listing")],
                tags=assets.partitions.range_tags(today, prefixes),
                run_config=QUIET,
            )
            wall, cpu = time.perf_counter() - started, time.process_time() - busy
            if len(result.get_asset_materialization_events()) != shards:
                raise SystemExit("not every shard was materialized")
            grown = (history_bytes(folder, database) - before) / shards
            costs.append(Cost(shards, wall / shards, cpu / shards, alone, grown))
            if events:
                recorded.print(shards)
    return costs


def seconds_without_dagster(folder: Path, prefixes: list[str]) -> float:
    """How long the listings take on their own."""
    stub = one_object_each(len(prefixes))
    shard_lister = ShardLister(stub, LocalStore(folder), Layout("stub", "stub"))
    today = datetime.now(UTC).date()
    started = time.perf_counter()
    for prefix in prefixes:
        shard_lister.list_shard(today, Shard(prefix))
    return time.perf_counter() - started


class RecordedEvents:
    """The time that an instance takes to record events, by their kind.

    Args:
        instance: The instance, whose storage tells of its calls from now on.
    """

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self._seconds: dict[str, float] = defaultdict(float)
        self._counts: Counter[str] = Counter()
        self._storage: Any = instance.event_log_storage
        for name in ("store_event", "store_event_batch"):
            setattr(self._storage, name, self._timed(getattr(type(self._storage), name)))

    def _timed(self, store: Callable[..., None]) -> Callable[..., None]:
        def timed(events: Any) -> None:
            entries = events if isinstance(events, list) else [events]
            started = time.perf_counter()
            store(self._storage, events)
            kind = entries[0].dagster_event_type
            name = kind.value if kind else "log message"
            self._seconds[name] += time.perf_counter() - started
            self._counts[name] += len(entries)

        return timed

    def print(self, shards: int) -> None:
        """Print the kinds that took longest."""
        for name, seconds in sorted(self._seconds.items(), key=lambda each: -each[1])[:6]:
            print(
                f"  {name}: {self._counts[name]:,} events, {1000 * seconds / shards:.2f} ms a shard"
            )


if __name__ == "__main__":
    main()
