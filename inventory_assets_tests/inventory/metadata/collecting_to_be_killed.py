"""Collect the metadata of a snapshot, for tests that kill this process.

Arguments: the URL of the server, the folder of the results, the snapshot's file.
"""

import sys
from datetime import UTC, datetime
from pathlib import Path

from inventory_assets.inventory.manifest.snapshot import SNAPSHOT
from inventory_assets.inventory.metadata import fetch_log
from inventory_assets.inventory.metadata.asking import RequestBudget
from inventory_assets.inventory.metadata.shard_collector import ShardCollector
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets.s3.bucket_config import BucketConfig
from inventory_assets.s3.head_client import HeadClient
from inventory_assets_tests.fakes.object_server import BUCKET
from inventory_assets_tests.inventory.samples import LAYOUT

fetch_log.INTERVAL_SECONDS = 0.1

if __name__ == "__main__":
    url, folder, file = sys.argv[1:]
    config = BucketConfig(
        BUCKET,
        url,
        region="us-east-1",
        access_key="any",
        secret_key="any",
        addressing_style="path",
        max_in_flight=4,
    )
    snapshot = SNAPSHOT.decode(Path(file).read_bytes())
    collector = ShardCollector(
        HeadClient(config), LocalStore(Path(folder)), LAYOUT, lambda: datetime.now(UTC)
    )
    collector.collect(collector.plan(snapshot), RequestBudget(None, 1))
