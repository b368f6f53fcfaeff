"""Measure Dagster's overhead per shard of a range run: `python benchmarks/dagster_overhead.py`.

A run lists many shards of one object each from memory, on a new SQLite instance; the time that the
listings take on their own is measured beside it and taken off. The bytes are those by which the
files of the instance grow: events in the database of the run, and in that of all assets.
"""

import argparse
import tempfile
import time
import warnings
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg

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


def bytes_of(folder: Path) -> int:
    """The size of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def main() -> None:
    """Measure three runs on one instance."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shards", type=int, default=100)
    shards = parser.parse_args().shards
    warnings.simplefilter("ignore")
    today = datetime.now(UTC).date()
    prefixes = prefixes_of(shards)
    with tempfile.TemporaryDirectory() as name, dg.DagsterInstance.local_temp(name) as instance:
        root = Path(name)
        source = Source(name="stub", bucket="stub")
        assets = SourceAssets(source)
        definitions = build_definitions(Config(store=root / "inventory", sources={"stub": source}))
        resources = {
            **(definitions.resources or {}),
            "stub_bucket": StubBucket(bucket="stub", shards=shards),
        }
        definitions = dg.Definitions(
            assets=definitions.assets, resources=resources, executor=dg.in_process_executor
        )
        instance.add_dynamic_partitions(assets.partitions.shards_name, prefixes)
        stub = one_object_each(shards)
        shard_lister = ShardLister(stub, LocalStore(root / "alone"), Layout("stub", "stub"))
        started = time.perf_counter()
        for prefix in prefixes:
            shard_lister.list_shard(today, Shard(prefix))
        alone = time.perf_counter() - started
        history = root / "history"
        for _ in range(3):
            before = bytes_of(history)
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
            print(
                f"{shards} shards: {1000 * wall / shards:.0f} ms wall and "
                f"{1000 * cpu / shards:.0f} ms CPU a shard, {1000 * alone / shards:.0f} ms of it "
                f"the listing itself; {(bytes_of(history) - before) / shards:,.0f} bytes of history"
            )


if __name__ == "__main__":
    main()
