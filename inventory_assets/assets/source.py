"""What the assets of one source share: names, resources, and the way a partition is reported."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

import dagster as dg

from inventory_assets.config import Source
from inventory_assets.errors import InventoryError
from inventory_assets.inventory.discoveries import known_key_order, prefix_of
from inventory_assets.inventory.encodings import Encodings
from inventory_assets.inventory.layout import Layout
from inventory_assets.inventory.retention import Retention
from inventory_assets.inventory.store import Store
from inventory_assets.partitions import SourcePartitions
from inventory_assets.resources import Clock, InventoryStore, SourceBucket
from inventory_assets.scan.key_order import KeyOrder
from inventory_assets.scan.shards import Shard, cut_out

DATA_VERSION_TAG = "dagster/data_version"
OWNERS = ["team:data-platform"]


@dataclass(frozen=True)
class SourceAssets:
    """One source, as its assets see it.

    Attributes:
        source: Its configuration.
    """

    source: Source

    @cached_property
    def partitions(self) -> SourcePartitions:
        """Its partitions definitions."""
        return SourcePartitions.of(self.source)

    def key(self, name: str) -> dg.AssetKey:
        """The key of one of its assets."""
        return dg.AssetKey([self.source.name, name])

    @property
    def bucket_resource(self) -> str:
        """The key of its bucket's resource."""
        return f"{self.source.name}_bucket"

    @property
    def freshness(self) -> dg.FreshnessPolicy:
        """How old its newest materialization may be."""
        return dg.FreshnessPolicy.time_window(
            fail_window=timedelta(hours=36), warn_window=timedelta(hours=26)
        )

    @property
    def resource_keys(self) -> set[str]:
        """The resources its assets need."""
        return {self.bucket_resource, "inventory_store", "clock"}

    @property
    def layout(self) -> Layout:
        """Where its files lie."""
        return Layout(self.source.bucket, self.source.name, Encodings(self.source.encodings))

    @property
    def retention(self) -> Retention:
        """How long its inventories are kept."""
        return Retention(**self.source.retention.model_dump())

    def at_work(self, resources: object, instance: dg.DagsterInstance) -> "SourceAtWork":
        """The source with the resources and shards of a run or tick."""
        bucket: SourceBucket = getattr(resources, self.bucket_resource)
        store: InventoryStore = resources.inventory_store  # type: ignore[attr-defined]
        clock: Clock = resources.clock  # type: ignore[attr-defined]
        shard_keys = instance.get_dynamic_partitions(self.partitions.shards_name)
        return SourceAtWork(self, bucket, store.open(), clock, tuple(shard_keys))


@dataclass(frozen=True, slots=True)
class SourceAtWork:
    """A source with everything that a run or tick may use.

    Attributes:
        assets: The source.
        bucket: Its bucket's resource.
        store: The results.
        clock: The time.
        shard_keys: The shards known, as Dagster stores them and in that order.
    """

    assets: SourceAssets
    bucket: SourceBucket
    store: Store
    clock: Clock
    shard_keys: tuple[str, ...]

    @property
    def source(self) -> Source:
        """The source's configuration."""
        return self.assets.source

    @property
    def layout(self) -> Layout:
        """Where its files lie."""
        return self.assets.layout

    def now(self) -> datetime:
        """The time."""
        return self.clock.now()

    def prefix(self, shard_key: str) -> str:
        """The prefix of a shard.

        Raises:
            UnknownShard: The key stands for none that is known.
        """
        return prefix_of(self.store, self.layout, shard_key, self.source.prefix)

    def known_prefixes(self) -> list[str]:
        """The prefixes of all shards known; keys that stand for none are left to the remainder."""
        prefixes = []
        for shard_key in self.shard_keys:
            try:
                prefixes.append(self.prefix(shard_key))
            except InventoryError:
                continue
        return prefixes

    def shard(self, shard_key: str, known_prefixes: Sequence[str]) -> Shard:
        """The shard of a key, less the other shards within it."""
        return cut_out(self.prefix(shard_key), known_prefixes)

    def key_order(self) -> KeyOrder | None:
        """How the store lists: as configured, or in directories if discovered; else unknown."""
        if self.source.key_order != "auto":
            return KeyOrder(self.source.key_order)
        # Byte order is only what discovery assumes until it, or a listing, sees otherwise.
        known = known_key_order(self.store, self.layout)
        return known if known is KeyOrder.DIRECTORY else None


def log_partition(
    context: dg.AssetExecutionContext,
    key: dg.AssetKey,
    partition_key: str,
    data_version: str,
    metadata: Mapping[str, Any],
) -> None:
    """Record that one partition is done, with its own data version and metadata.

    In a run over a range of partitions a returned result would stamp all of them alike, those that
    failed included.
    """
    context.log_event(
        dg.AssetMaterialization(
            asset_key=key,
            partition=partition_key,
            metadata=dict(metadata),
            tags={DATA_VERSION_TAG: data_version},
        )
    )


def do_each_partition(
    context: dg.AssetExecutionContext, what: str, do: Callable[[str], None]
) -> None:
    """Do something for each partition of a run; what one fails at is kept from none of the others.

    Args:
        context: Of the run.
        what: What the partitions are called, for the message.
        do: What is done for a partition key.

    Raises:
        dagster.Failure: At the end, where some failed.
    """
    failures: dict[str, Exception] = {}
    # In order of their dates: a manifest that is published here may be the baseline of the next.
    for partition_key in sorted(context.partition_keys):
        try:
            do(partition_key)
        except (InventoryError, OSError) as error:
            context.log.error(f"{partition_key}: {error}")
            failures[partition_key] = error
    if failures:
        done = len(context.partition_keys) - len(failures)
        raise partition_failure(what, failures, done, "the others are kept")


def partition_failure(
    what: str, failures: Mapping[str, Exception], done: int, advice: str
) -> dg.Failure:
    """The one failure of a run in which some partitions failed and the others are kept."""
    lines = [f"{partition_key}: {error}" for partition_key, error in failures.items()]
    return dg.Failure(
        description=f"{len(failures)} of {len(failures) + done} {what} failed; {advice}\n"
        + "\n".join(lines),
        metadata={"failed": dg.MetadataValue.json(sorted(failures)), "done": done},
        allow_retries=False,
    )
