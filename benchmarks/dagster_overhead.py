"""Measure Dagster's overhead per shard of a range run: `python benchmarks/dagster_overhead.py`.

A run lists many shards of one object each from a stub, on a new SQLite instance; the time that the
listings take on their own is measured beside it and taken off.
"""

import argparse
import tempfile
import time
import warnings
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg

from inventory_assets.config import Config, Source
from inventory_assets.definitions import build_definitions
from inventory_assets.defs.source.context import SourceAssets
from inventory_assets.defs.source.resources import SourceBucket
from inventory_assets.inventory.listing.shard_lister import ShardLister
from inventory_assets.inventory.storage.layout import Layout
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets.s3.bucket_config import BucketConfig
from inventory_assets.s3.decoding.page_peek import RawPage
from inventory_assets.s3.list_client import RequestStats
from inventory_assets.s3.page_request import PageRequest
from inventory_assets.scan.keyspace.shard import Shard

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


class OneObjectEach:
    """A bucket in which every prefix holds one object."""

    connection = BucketConfig("stub")
    server = None

    def fetch_raw_page(
        self, request: PageRequest, stats: RequestStats, _body: bytearray
    ) -> RawPage:
        stats.sent()
        key = f"{request.prefix}x"
        body = (
            "<ListBucketResult><IsTruncated>false</IsTruncated><Contents>"
            f"<Key>{key}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><Size>1</Size>"
            "</Contents></ListBucketResult>"
        )
        return RawPage(body.encode(), False, None, key)

    def cancel(self) -> None: ...

    def close(self) -> None: ...


class StubBucket(SourceBucket):
    """The resource that returns the bucket."""

    def lister(self, *_: object, **__: object) -> OneObjectEach:  # type: ignore[override]
        return OneObjectEach()


def main() -> None:
    """Measure three runs on one instance."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shards", type=int, default=100)
    shards = parser.parse_args().shards
    warnings.simplefilter("ignore")
    today = datetime.now(UTC).date()
    prefixes = [f"{number:05}/" for number in range(shards)]
    with tempfile.TemporaryDirectory() as name, dg.DagsterInstance.local_temp(name) as instance:
        root = Path(name)
        source = Source(name="stub", bucket="stub")
        assets = SourceAssets(source)
        definitions = build_definitions(Config(store=root / "inventory", sources={"stub": source}))
        resources = {**(definitions.resources or {}), "stub_bucket": StubBucket(bucket="stub")}
        definitions = dg.Definitions(
            assets=definitions.assets, resources=resources, executor=dg.in_process_executor
        )
        instance.add_dynamic_partitions(assets.partitions.shards_name, prefixes)
        stub: Any = OneObjectEach()
        shard_lister = ShardLister(stub, LocalStore(root / "alone"), Layout("stub", "stub"))
        started = time.perf_counter()
        for prefix in prefixes:
            shard_lister.list_shard(today, Shard(prefix))
        alone = time.perf_counter() - started
        for _ in range(3):
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
                "the listing itself"
            )


if __name__ == "__main__":
    main()
