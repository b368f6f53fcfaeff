"""The sensors of a source: for new prefixes, and for automation conditions."""

import json
from collections.abc import Sequence
from datetime import date, timedelta

import dagster as dg

from inventory_assets.defs.assets.shards import discover_shards, store_discovery
from inventory_assets.defs.source.context import SourceAssets, SourceContext
from inventory_assets.inventory.listing.shard_registry import known_key_order, shard_key
from inventory_assets.inventory.listing.shard_retirement import read_retirement
from inventory_assets.inventory.manifest.snapshot import read_snapshot
from inventory_assets.inventory.storage.prefix_encoding import REMAINDER
from inventory_assets.scan.errors import TooManyShards
from inventory_assets.scan.prefix_discovery import Discovery

NEW_SHARDS_PER_TICK = 20
"""Maximum runs per tick; further prefixes wait for the next tick."""


def build_new_prefix_sensor(assets: SourceAssets) -> dg.SensorDefinition:
    """The sensor that adds a shard for each new prefix, and lists only these.

    Its cursor has the shards that were handled. A repeated or interrupted tick requests the same
    run keys, and Dagster starts each run once.
    """

    @dg.sensor(
        name=f"{assets.source.name}_new_prefixes",
        job_name=assets.listing_job,
        minimum_interval_seconds=assets.source.schedule.sensor_interval_seconds,
        required_resource_keys=assets.resource_keys,
        description=f"Find new prefixes of `{assets.source.bucket}`, and list only these.",
    )
    def new_prefixes(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        work = assets.bind(context.resources, context.instance)
        is_searched = known_key_order(work.store, work.layout) is not None
        if not work.shard_keys or (work.shard_keys == (REMAINDER,) and not is_searched):
            # All prefixes would be new, each with its own run; the schedule lists them in one run.
            return dg.SkipReason(
                "no shards are known yet; materialize `shards`, or wait for the daily schedule"
            )
        handled = _known_shards(context.cursor, work)
        try:
            discovery = discover_shards(work)
        except TooManyShards as error:
            return dg.SkipReason(f"the remainder covers prefixes without a shard: {error}")
        today = assets.day_of(work.now())
        new = _new_prefixes(work, discovery, handled, today)
        chosen = dict(list(new.items())[:NEW_SHARDS_PER_TICK])
        if not chosen:
            return dg.SkipReason(f"no new prefix among {len(discovery.prefixes)}")
        added = [key for key in store_discovery(work, discovery) if key in chosen]
        return dg.SensorResult(
            dynamic_partitions_requests=(
                [assets.partitions.shards.build_add_request(added)] if added else []
            ),
            run_requests=[
                dg.RunRequest(
                    run_key=f"{today}|{shard_key}",
                    partition_key=assets.partitions.key(today, shard_key),
                )
                for shard_key in chosen
            ],
            cursor=json.dumps(sorted({*handled, *chosen})),
        )

    return new_prefixes


def build_automation_sensor(
    source: SourceAssets, assets: Sequence[dg.AssetsDefinition]
) -> dg.AutomationConditionSensorDefinition:
    """The sensor that evaluates the automation conditions of the source's assets.

    It is running by default, and covers no other asset of the code location.
    """
    return dg.AutomationConditionSensorDefinition(
        f"{source.source.name}_automation",
        target=dg.AssetSelection.assets(*assets),
        default_status=dg.DefaultSensorStatus.RUNNING,
        # Runs start at once, also for ranges; a backfill would wait for the backfill daemon.
        emit_backfills=False,
        minimum_interval_seconds=30,
    )


def _known_shards(cursor: str | None, work: SourceContext) -> set[str]:
    """The shards of the cursor, or all known shards if it cannot be read."""
    try:
        return set(json.loads(cursor or ""))
    except (ValueError, TypeError):
        return set(work.shard_keys)


def _new_prefixes(
    work: SourceContext, discovery: Discovery, known_shards: set[str], today: date
) -> dict[str, str]:
    """The prefixes not handled yet, by partition key, in order.

    A prefix that was listed today or yesterday is not new: the schedule or a user added its shard.
    A prefix whose shard is retired is new again.
    """
    new: dict[str, str] = {}
    for prefix in discovery.prefixes:
        key = shard_key(prefix, work.source.prefix)
        is_handled = key in known_shards and not (
            key not in work.shard_keys and read_retirement(work.store, work.layout, key)
        )
        if not is_handled and not any(
            read_snapshot(work.store, work.layout, day, prefix)
            for day in (today, today - timedelta(days=1))
        ):
            new[key] = prefix
    return new
