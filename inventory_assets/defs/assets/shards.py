"""`shards`: the prefixes by which a source's listing is partitioned."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from functools import cache
from hashlib import sha256

import dagster as dg

from inventory_assets.defs.source.context import SourceAssets, SourceContext
from inventory_assets.defs.source.expected_failure import ExpectedFailure
from inventory_assets.defs.source.listing_metadata import prefixes_table
from inventory_assets.defs.source.partitioned_asset import SHARDS_TAG
from inventory_assets.defs.source.partitions import PARTITION_TAGS, UNFINISHED
from inventory_assets.defs.source.run_log import logged_to_run
from inventory_assets.errors import InventoryError
from inventory_assets.inventory.errors import UnknownShard
from inventory_assets.inventory.listing.shard_registry import record_discovery, shard_key
from inventory_assets.inventory.listing.shard_retirement import (
    Retirement,
    empty_shards,
    record_retirement,
    remove_retirements,
)
from inventory_assets.inventory.listing.source_record import claim_source, require_source
from inventory_assets.inventory.manifest.manifest_merge import newest_manifest
from inventory_assets.inventory.parts.counting import count_records
from inventory_assets.inventory.parts.part import Part
from inventory_assets.inventory.storage.prefix_encoding import REMAINDER
from inventory_assets.scan.errors import TooManyShards
from inventory_assets.scan.keyspace.key_order import KeyOrder
from inventory_assets.scan.keyspace.key_range import KeyRange
from inventory_assets.scan.prefix_discovery import Discovery, discover
from inventory_assets.scan.prefix_search import RowsUnder, ShardBounds


@dataclass(frozen=True, slots=True)
class FoundShards:
    """What a search for shards led to.

    Attributes:
        added: The keys of the partitions added, in order.
        discovery: The result; None if there were too many prefixes.
        excess: Why no shard was added although there are prefixes without one; or None.
    """

    added: tuple[str, ...]
    discovery: Discovery | None
    excess: str | None = None


def build_shards(assets: SourceAssets) -> dg.AssetsDefinition:
    """The asset that discovers shards, adds partitions for them, and retires empty shards."""
    key = assets.key("shards")
    few = dg.AssetCheckSpec(
        "shards_within_bounds",
        asset=key,
        description=(
            f"No more than {assets.source.shards.max_shards:,} prefixes would be shards "
            "(`shards.max_shards`). If there are more, none is added, and the remainder covers "
            "those without a shard, with less parallelism."
        ),
    )

    @dg.asset(
        key=key,
        check_specs=[few],
        group_name=assets.group_name,
        owners=assets.options.owners,
        tags=assets.options.tags,
        kinds={"s3"} | assets.options.kinds,
        required_resource_keys=assets.resource_keys,
        description=(
            f"The prefixes of `{assets.source.bucket}` that are listed separately, and the "
            "remainder, which covers all other keys. Materialize it to find new prefixes, add "
            "their partitions to `object_listing`, and remove those of shards that were empty for "
            "long (`shards.retire_after_days`)."
        ),
    )
    def shards(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[None]]:
        work = assets.bind_run(context)
        try:
            with logged_to_run(context.log):
                found = find_shards(work, context.instance)
                retired = retire_shards(work, found.discovery, context.instance, context.run.run_id)
        except (InventoryError, OSError) as error:
            # The sentence comes first, and no trace of this code.
            raise ExpectedFailure(str(error)) from None
        known = dict.fromkeys([*work.shard_keys, *found.added])
        for each in retired:
            del known[each]
        newest_first = dict.fromkeys([*found.added, *known])
        prefixes = {key: _prefix_label(work, key) for key in newest_first}
        discovery = found.discovery
        yield dg.MaterializeResult(
            data_version=dg.DataVersion(sha256("\n".join(known).encode()).hexdigest()[:32]),
            metadata={
                "shards": len(known),
                "added": len(found.added),
                "retired": len(retired),
                **(
                    {
                        "requests": discovery.requests,
                        "key_order": discovery.key_order.value,
                        "store": discovery.profile.habits,
                    }
                    if discovery
                    else {}
                ),
                "prefixes": prefixes_table(prefixes),
            },
            check_results=[
                dg.AssetCheckResult(
                    check_name=few.name,
                    passed=not found.excess,
                    severity=dg.AssetCheckSeverity.WARN,
                    description=found.excess,
                )
            ],
        )

    return shards


def _prefix_label(work: SourceContext, shard_key: str) -> str:
    try:
        return work.prefix(shard_key)
    except UnknownShard:
        return "(no known prefix; delete this partition)"


def discover_shards(work: SourceContext) -> Discovery:
    """Discover shards, with the row counts of the newest manifest, if any.

    Raises:
        TooManyShards: There are more than the source's maximum.
        OtherSource: The folder of the results belongs to another source.
        S3Error: A request failed permanently.
    """
    require_source(work.store, work.layout, work.source_record)
    now = work.now()
    lister = work.bucket.lister(now)
    try:
        discovery = discover(
            lister,
            work.source.prefix,
            shard_bounds(work),
            None if work.source.key_order == "auto" else KeyOrder(work.source.key_order),
            rows_of_newest_manifest(work),
        )
    except TooManyShards:
        claim_source(work.store, work.layout, work.source_record)
        raise
    else:
        claim_source(work.store, work.layout, work.source_record)
        return discovery
    finally:
        lister.close()


def find_shards(work: SourceContext, instance: dg.DagsterInstance) -> FoundShards:
    """Discover shards and add their partitions.

    If there are too many prefixes, only the remainder is added, unless it is known: it covers all
    prefixes without a shard.

    Raises:
        S3Error: A request failed permanently.
    """
    try:
        discovery = discover_shards(work)
    except TooManyShards as error:
        return FoundShards(tuple(add_remainder(work.assets, instance)), None, str(error))
    return FoundShards(tuple(add_shards(work, discovery, instance)), discovery)


def add_remainder(assets: SourceAssets, instance: dg.DagsterInstance) -> list[str]:
    """Add the partition of the remainder if a source has none; return its key if it was added."""
    name = assets.partitions.shards_name
    if instance.has_dynamic_partition(name, REMAINDER):
        return []
    instance.add_dynamic_partitions(name, [REMAINDER])
    return [REMAINDER]


def add_shards(
    work: SourceContext, discovery: Discovery, instance: dg.DagsterInstance
) -> list[str]:
    """Store a discovery, and add partitions for new shards; return their keys.

    The remainder is one of them at first.
    """
    record_discovery(work.store, work.layout, discovery, work.now())
    prefixes = [work.source.prefix, *discovery.prefixes]
    keys = [shard_key(prefix, work.source.prefix) for prefix in prefixes]
    new = [key for key in keys if key not in work.shard_keys]
    if new:
        remove_retirements(work.store, work.layout, new)
        instance.add_dynamic_partitions(work.assets.partitions.shards_name, new)
    return new


def retire_shards(
    work: SourceContext, discovery: Discovery | None, instance: dg.DagsterInstance, run_id: str
) -> list[str]:
    """Remove the partitions of shards that were empty for long; return their keys.

    A shard that is among the partitions of another unfinished run stays for now. If it is the first
    or last of them, Dagster could not tell the partitions of that run any more, and it would fail.
    If it lies between, that run might not list it, nor the shard around it, which left it out.

    Args:
        work: The source.
        discovery: The latest discovery, whose shards stay; without one, all shards stay.
        instance: Dagster's instance.
        run_id: The present run, which needs no partition of such a shard any more.

    Raises:
        StoreError: A record cannot be read or written.
    """
    assets, days = work.assets, work.source.shards.retire_after_days
    if discovery is None or not days:
        return []
    name = assets.partitions.shards_name
    found = {work.source.prefix, *discovery.prefixes}
    candidates = {
        prefix: shard_key(prefix, work.source.prefix)
        for prefix in work.known_prefixes()
        if prefix not in found
    }
    today = assets.day_of(work.now())
    empty = empty_shards(work.store, work.layout, candidates, today, days)
    needed = _shards_of_other_runs(work, instance, run_id) if empty else set()
    retired = []
    for prefix, since in empty.items():
        key = candidates[prefix]
        if key not in needed:
            record_retirement(work.store, work.layout, Retirement(prefix, today, since))
            instance.delete_dynamic_partition(name, key)
            retired.append(key)
    if retired:  # so that Dagster counts the partitions again
        instance.wipe_asset_cached_status(
            [assets.key("object_listing"), assets.key("object_changes")]
        )
    return retired


def _shards_of_other_runs(
    work: SourceContext, instance: dg.DagsterInstance, run_id: str
) -> set[str]:
    """The shards of all other runs that are queued or in progress, and may be of this source."""
    keys = list(instance.get_dynamic_partitions(work.assets.partitions.shards_name))
    places = {key: place for place, key in enumerate(keys)}
    needed: set[str] = set()
    for run in instance.get_runs(dg.RunsFilter(statuses=UNFINISHED)):
        source = run.tags.get(SHARDS_TAG, work.source.name)
        if run.run_id == run_id or source != work.source.name:
            continue
        named = {run.tags[tag].partition("|")[2] for tag in PARTITION_TAGS if tag in run.tags}
        needed |= named
        bounds = [places[key] for key in named if key in places]
        if bounds:
            needed |= {*keys[min(bounds) : max(bounds) + 1]}
    return needed


def shard_bounds(work: SourceContext) -> ShardBounds:
    """The limits of sharding the source."""
    return ShardBounds(**work.source.shards.model_dump(exclude={"retire_after_days", "shared"}))


def rows_of_newest_manifest(work: SourceContext) -> RowsUnder:
    """A function that counts rows in the newest manifest, which it reads when first called."""

    @cache
    def all_parts() -> tuple[Part, ...]:
        manifest = newest_manifest(work.store, work.layout, before=date.max)
        return manifest.parts if manifest else ()

    def rows_under(prefix: str) -> int | None:
        key_range = KeyRange.of_prefix(prefix)
        parts = [part for part in all_parts() if part.meets(key_range)]
        return count_records(work.store, parts, key_range) if parts else None

    return rows_under
