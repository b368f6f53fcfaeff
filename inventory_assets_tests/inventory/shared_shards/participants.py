"""Participants that list one shard of a bucket in memory together."""

import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from inventory_assets.inventory.listing.snapshot_builder import ShardRequest
from inventory_assets.inventory.manifest.snapshot import Snapshot
from inventory_assets.inventory.parts.part import read_records
from inventory_assets.inventory.parts.schema import RECORD_SCHEMA, VERSION_RECORD_SCHEMA
from inventory_assets.inventory.shared_listing.listing_lifecycle import SharingOptions
from inventory_assets.inventory.shared_shards.shared_shard_lister import SharedShardLister
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets.s3.page_source import PageSource
from inventory_assets.scan.keyspace.shard import Shard, make_shard
from inventory_assets.scan.validation.object_versions import Versions
from inventory_assets_tests.inventory.killed_listings import KEYS, MODEL, SMALL, Bucket

DAY = datetime.now(UTC).date()
REMAINDER = make_shard("", [])
GAPS = make_shard("", ["1", "30", "31", "9a", "f"])
"""A remainder with gaps, two of them side by side and one at the end."""
PATIENT = SharingOptions(60, 0.005)
IMPATIENT = SharingOptions(60, 0.005, lambda: time.monotonic() * 1000)
"""A participant whose clock runs so fast that a lease takes 60 ms."""
BRISK = SharingOptions(60, 0.005, lambda: time.monotonic() * 60)
"""One that waits a second for a lease, and is not killed in its second thread before that."""

LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass
class Participants:
    """Participants with one store.

    Attributes:
        root: The folder of the store.
        keys: The keys of the bucket.
        versions: The versions to list; None for the current objects.
        day: The date.
    """

    root: Path
    keys: list[str] = field(default_factory=lambda: [*KEYS])
    versions: Versions | None = None
    day = DAY

    @property
    def store(self) -> LocalStore:
        return LocalStore(self.root)

    def list_shard(
        self,
        shard: Shard = REMAINDER,
        *,
        lister: PageSource | None = None,
        store: LocalStore | None = None,
        options: SharingOptions | None = None,
        since: datetime | None = None,
    ) -> Snapshot:
        """Take part in the listing of a shard that was requested just now, or at a time.

        One that will be killed is patient: its second thread, which renews claims, ends as quietly
        as that of a process.
        """
        options = options or (IMPATIENT if store is None else PATIENT)
        shard_lister = SharedShardLister(
            lister or Bucket(self.keys),
            store or self.store,
            MODEL,
            since or utc_now(),
            sizing=SMALL,
            options=options,
        )
        ((_, result),) = shard_lister.list_shards([ShardRequest(self.day, shard, self.versions)])
        if isinstance(result, Exception):
            raise result
        return result

    def records(self, snapshot: Snapshot) -> pa.Table:
        batches = read_records(self.store, snapshot.parts, snapshot.shard.ranges)
        schema = VERSION_RECORD_SCHEMA if snapshot.versions else RECORD_SCHEMA
        return pa.Table.from_batches(batches, schema).combine_chunks()

    def keys_of(self, snapshot: Snapshot) -> list[str]:
        found: list[str] = self.records(snapshot).column("key").to_pylist()
        return found

    def work(self) -> list[str]:
        """What is left of shared listings."""
        return [file.key for file in self.store.files(f"{MODEL.base}/work")]


def together(count: int, take_part) -> list[Snapshot]:  # type: ignore[no-untyped-def]
    """What participants in threads end with; each is called with its number."""
    results: list[Snapshot] = []
    errors: list[BaseException] = []

    def run(number: int) -> None:
        try:
            results.append(take_part(number))
        except BaseException as error:  # noqa: BLE001 - told by the assertion
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    return results
