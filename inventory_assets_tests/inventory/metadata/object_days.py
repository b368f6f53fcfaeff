"""Days of a bucket whose objects have metadata, collected as the asset collects it."""

from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from hashlib import md5
from itertools import groupby
from typing import Any

import pyarrow.parquet as pq

from inventory_assets.inventory.manifest.snapshot import Snapshot
from inventory_assets.inventory.metadata.asking import RequestBudget
from inventory_assets.inventory.metadata.metadata_files import open_metadata
from inventory_assets.inventory.metadata.shard_collector import ShardCollector
from inventory_assets.inventory.metadata.shard_metadata import ShardMetadata
from inventory_assets.inventory.storage.store import Store
from inventory_assets.s3.head_client import HeadClient
from inventory_assets.s3.retries import RetryPolicy
from inventory_assets.scan.keyspace.shard import Shard
from inventory_assets_tests.fakes.listings import Listed
from inventory_assets_tests.fakes.object_server import ObjectServer, ServedObject
from inventory_assets_tests.inventory.samples import DAY, LAYOUT, parts_of, snapshot_of

QUICK = RetryPolicy(outage_seconds=5, base_seconds=0.001, cap_seconds=0.002)
WHOLE = Shard("")


def noon(day: date) -> datetime:
    return datetime.combine(day, time(12), UTC)


@dataclass
class Bucket:
    """A bucket as a listing shows it, and the server of its objects.

    Attributes:
        server: The server.
        store: The store of the results.
        listed: What a listing shows, by key.
        day: The date.
    """

    server: ObjectServer
    store: Store
    listed: dict[str, Listed] = field(default_factory=dict)
    day: date = DAY

    def put(self, key: str, content: str, written: datetime | None = None, **served: Any) -> None:
        """Write an object, whose ETag is that of its content, with metadata of its own."""
        e_tag = md5(content.encode(), usedforsecurity=False).hexdigest()
        modified = int((written or noon(self.day)).timestamp() * 1000)
        self.listed[key] = Listed(key, e_tag=e_tag, modified=modified)
        self.server.objects[key, None] = ServedObject(e_tag, **served)

    def delete(self, key: str) -> None:
        del self.listed[key]
        del self.server.objects[key, None]

    def snapshot(self, shard: Shard = WHOLE) -> Snapshot:
        """What a listing of the day shows, with a part for each first letter."""
        objects = [found for key, found in sorted(self.listed.items()) if shard.covers(key)]
        snapshot = snapshot_of(self.store, shard, objects, self.day)
        groups = [[*group] for _, group in groupby(objects, lambda each: each.key[:1])]
        return replace(snapshot, parts=parts_of(self.store, *groups))

    def collect(
        self,
        shard: Shard = WHOLE,
        *,
        limit: int | None = None,
        with_tags: bool = False,
        client: HeadClient | None = None,
    ) -> ShardMetadata:
        """Collect the metadata of the day."""
        client = client or HeadClient(self.server.config(), QUICK, with_tags=with_tags)
        with closing(client):
            collector = ShardCollector(client, self.store, LAYOUT, lambda: noon(self.day))
            budget = RequestBudget(limit, client.requests_per_object)
            plan = collector.plan(self.snapshot(shard))
            if collector.are_mended([plan], budget):
                plan = plan.with_errors_again()
            budget.plan(collector.unanswered([plan]))
            return collector.collect(plan, budget)

    def pass_night(self) -> None:
        """Begin the next day, and count requests anew."""
        self.day += timedelta(days=1)
        self.server.heads.clear()

    def rows(self, record: ShardMetadata) -> dict[str, dict[str, Any]]:
        """The rows of a record, by key."""
        return {row["key"]: row for row in self.all_rows(record)}

    def all_rows(self, record: ShardMetadata) -> Iterator[dict[str, Any]]:
        """The rows of a record, in the order of the files."""
        for part in record.parts:
            with open_metadata(self.store, part.file) as file:
                table = pq.read_table(file)
            yield from table.to_pylist(maps_as_pydicts="strict")

    def told(self) -> dict[str, Mapping[str, str]]:
        """The user metadata of all objects that a listing shows, as the server has it."""
        return {
            key: {
                name.removeprefix("x-amz-meta-"): text
                for name, text in self.server.objects[key, None].headers.items()
            }
            for key in self.listed
        }


def user_metadata(rows: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {key: row["user_metadata"] for key, row in rows.items()}
