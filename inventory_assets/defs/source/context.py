"""The names and resources that the assets of one source share."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from zoneinfo import ZoneInfo

import dagster as dg

from inventory_assets.config import Source
from inventory_assets.defs.source.partitions import SourcePartitions
from inventory_assets.defs.source.resources import Clock, InventoryStore, SourceBucket
from inventory_assets.defs.source.run_guard import RunContext, run_guard
from inventory_assets.errors import InventoryError
from inventory_assets.inventory.gate.verdict import GateBounds
from inventory_assets.inventory.growth.bounds import GrowthBounds
from inventory_assets.inventory.listing.shard_registry import (
    known_key_order,
    known_profile,
    prefix_of,
    shard_key,
)
from inventory_assets.inventory.listing.shard_retirement import read_retirement
from inventory_assets.inventory.listing.source_record import SourceRecord
from inventory_assets.inventory.pricing.price_table import Prices
from inventory_assets.inventory.retention.policy import Retention
from inventory_assets.inventory.storage.encodings import Encodings
from inventory_assets.inventory.storage.layout import Layout
from inventory_assets.inventory.storage.store import Permission, Store, always_permitted
from inventory_assets.s3.errors import S3Error
from inventory_assets.s3.page_source import PageSource
from inventory_assets.s3.request_stats import RequestStats
from inventory_assets.s3.store_profile import AWS, StoreProfile
from inventory_assets.scan.keyspace.key_order import KeyOrder
from inventory_assets.scan.keyspace.shard import Shard, make_shard
from inventory_assets.scan.store_probe import profile_store
from inventory_assets.wiring.prices import prices_of


@dataclass(frozen=True)
class AssetOptions:
    """How the assets of a source appear in Dagster.

    Attributes:
        key_prefix: The names that precede the source's name in asset keys.
        group_name: The group; by default the source's name.
        owners: The owners: e-mail addresses, or `team:` with a name.
        tags: Further tags.
        kinds: Further kinds; Dagster allows three for each asset, and the assets have up to two.
        automation: Whether the assets downstream of listings are materialized by themselves.
    """

    key_prefix: tuple[str, ...] = ()
    group_name: str | None = None
    owners: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    kinds: frozenset[str] = frozenset()
    automation: bool = True


@dataclass(frozen=True)
class SourceAssets:
    """The source of a group of assets.

    Everything that it adds to a code location carries the source's name, so that the definitions of
    other sources, and of the host's own assets, can be merged with these.

    Attributes:
        source: The configuration of the source.
        options: How its assets appear.
        loaded_at: When the definitions are loaded; dates of partitions follow from it.
        fingerprint: The code and configuration that a run must be executed with; None for any.
    """

    source: Source
    options: AssetOptions = AssetOptions()
    loaded_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    fingerprint: str | None = None

    @cached_property
    def partitions(self) -> SourcePartitions:
        """The partitions definitions."""
        return SourcePartitions.of(self.source, self.day_of(self.loaded_at))

    def day_of(self, moment: datetime) -> date:
        """The date of a time in the source's time zone."""
        return moment.astimezone(ZoneInfo(self.source.schedule.timezone)).date()

    def key(self, name: str) -> dg.AssetKey:
        """The asset key of an asset of the source."""
        return dg.AssetKey([*self.options.key_prefix, self.source.name, name])

    @property
    def group_name(self) -> str:
        """The group of its assets."""
        return self.options.group_name or self.source.name

    @property
    def bucket_resource(self) -> str:
        """The resource key of the bucket."""
        return f"{self.source.name}_bucket"

    @property
    def store_resource(self) -> str:
        """The resource key of the store of results."""
        return f"{self.source.name}_store"

    @property
    def clock_resource(self) -> str:
        """The resource key of the clock."""
        return f"{self.source.name}_clock"

    @property
    def catalog_resource(self) -> str:
        """The resource key of the catalogue of its Iceberg tables."""
        return f"{self.source.name}_iceberg_catalog"

    @property
    def listing_job(self) -> str:
        """The name of the job that lists shards."""
        return f"{self.source.name}_listing"

    @property
    def collection_job(self) -> str:
        """The name of the job that removes expired dates."""
        return f"{self.source.name}_collect_garbage"

    @property
    def release_job(self) -> str:
        """The name of the job that releases a held date."""
        return f"{self.source.name}_release_date"

    @property
    def freshness(self) -> dg.FreshnessPolicy:
        """The freshness policy of its assets."""
        return dg.FreshnessPolicy.time_window(
            fail_window=timedelta(hours=36), warn_window=timedelta(hours=26)
        )

    @property
    def resource_keys(self) -> set[str]:
        """The keys of the resources that its assets need."""
        return {self.bucket_resource, self.store_resource, self.clock_resource}

    @property
    def layout(self) -> Layout:
        """The layout of its files in the store."""
        source = self.source
        return Layout(source.bucket, source.folder_name, Encodings(source.encodings))

    @property
    def retention(self) -> Retention:
        """The retention of its inventories."""
        return Retention(**self.source.retention.model_dump())

    @property
    def growth_bounds(self) -> GrowthBounds:
        """The bounds of changes between dates."""
        return GrowthBounds(**self.source.growth.model_dump(exclude={"severity"}))

    @property
    def gate_bounds(self) -> GateBounds:
        """The bounds beyond which a date is held."""
        gate = self.source.gate
        return GateBounds(
            gate.failed_percent,
            gate.slower_ms,
            self.growth_bounds if self.source.growth_holds else None,
            gate.enabled,
        )

    @cached_property
    def prices(self) -> Prices:
        """The price table of the source.

        Raises:
            ConfigError: The table cannot be read or is invalid.
        """
        return prices_of(self.source)

    def bind_run(self, context: RunContext) -> "SourceContext":
        """Bind the source to a run, which publishes records only until it has ended."""
        guard = run_guard(context.instance, context.run.run_id)
        return self.bind(context.resources, context.instance, guard.require_unfinished)

    def bind(
        self,
        resources: object,
        instance: dg.DagsterInstance,
        permission: Permission = always_permitted,
    ) -> "SourceContext":
        """Bind the source to the resources and shards of a run or tick.

        Args:
            resources: The resources.
            instance: Dagster's instance, which has the shards.
            permission: Asked before a record is written.
        """
        bucket: SourceBucket = getattr(resources, self.bucket_resource)
        store: InventoryStore = getattr(resources, self.store_resource)
        clock: Clock = getattr(resources, self.clock_resource)
        shard_keys = instance.get_dynamic_partitions(self.partitions.shards_name)
        return SourceContext(self, bucket, store.open(permission), clock, tuple(shard_keys))


@dataclass(frozen=True, slots=True)
class SourceContext:
    """A source with the resources of a run or tick.

    Attributes:
        assets: The source.
        bucket: The resource of its bucket.
        store: The store of results.
        clock: The clock.
        shard_keys: The known shards, in Dagster's order.
    """

    assets: SourceAssets
    bucket: SourceBucket
    store: Store
    clock: Clock
    shard_keys: tuple[str, ...]

    @property
    def source(self) -> Source:
        """The configuration of the source."""
        return self.assets.source

    @property
    def layout(self) -> Layout:
        """The layout of its files in the store."""
        return self.assets.layout

    def now(self) -> datetime:
        """The current time."""
        return self.clock.now()

    def prefix(self, shard_key: str) -> str:
        """The prefix of a shard.

        Raises:
            UnknownShard: The key is not that of a known shard.
        """
        return prefix_of(self.store, self.layout, shard_key, self.source.prefix)

    @property
    def source_record(self) -> SourceRecord:
        """What the folder of its results must belong to."""
        source = self.source
        return SourceRecord(source.bucket, source.prefix, source.endpoint_url)

    def known_prefixes(self) -> list[str]:
        """The prefixes of all known shards, without those of unknown keys."""
        prefixes = []
        for known in self.shard_keys:
            try:
                prefixes.append(self.prefix(known))
            except InventoryError:
                continue
        return prefixes

    def without_partition(self, day: date, prefixes: Iterable[str]) -> list[str]:
        """The prefixes that have no partition on a date.

        A partition was deleted, or the date has left the window of listings.
        """
        if day < self.assets.partitions.first_listed_date:
            return list(prefixes)
        known = set(self.shard_keys)
        return [each for each in prefixes if shard_key(each, self.source.prefix) not in known]

    def why_no_shard(self, key: str) -> str:
        """A sentence that says why a key without a partition has none, and what covers its keys."""
        try:
            prefix = self.prefix(key)
        except InventoryError as error:
            return str(error)
        around = [known for known in self.known_prefixes() if prefix.startswith(known)]
        cover = shard_key(max(around, key=len, default=self.source.prefix), self.source.prefix)
        advice = (
            f"the partition {cover!r} covers its keys: materialize that one, or, if {prefix!r} "
            "has objects again, the source's asset `shards`, which makes it a shard again"
        )
        retirement = read_retirement(self.store, self.layout, key)
        if retirement is None:
            return f"the shard {key!r} has no partition any more, as it was deleted; {advice}"
        return (
            f"the shard {key!r} is retired since {retirement.retired_on}, as it was empty in every "
            f"inventory from {retirement.empty_since} on; {advice}"
        )

    def shard(self, shard_key: str, known_prefixes: Sequence[str]) -> Shard:
        """The shard of a key, without the other shards within it."""
        return make_shard(self.prefix(shard_key), known_prefixes)

    def key_order(self) -> KeyOrder | None:
        """The store's key order: as configured, or directory order if discovered; else None."""
        if self.source.key_order != "auto":
            return KeyOrder(self.source.key_order)
        # Discovery assumes byte order; a listing may still find otherwise.
        known = known_key_order(self.store, self.layout)
        return known if known is KeyOrder.DIRECTORY else None

    def profile(self, lister: PageSource) -> StoreProfile:
        """The store's profile from discovery; without one, from a probe."""
        known = known_profile(self.store, self.layout)
        if known is None and self.key_order() is not KeyOrder.DIRECTORY:
            with suppress(S3Error):  # the listings will report the error
                known = profile_store(lister, self.source.prefix, RequestStats())
        return known or AWS
