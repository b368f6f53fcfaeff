"""The sensors: one per source that finds new prefixes, and one that follows listings."""

import json
from datetime import date, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import dagster as dg

from inventory_assets.defs.assets.shards import discover_shards, keep_shards
from inventory_assets.defs.source.context import SourceAssets, SourceContext
from inventory_assets.inventory.listing.shard_registry import shard_key
from inventory_assets.inventory.manifest.snapshot import read_snapshot
from inventory_assets.scan.prefix_discovery import Discovery

if TYPE_CHECKING:
    from dagster._core.definitions.unresolved_asset_job_definition import (
        UnresolvedAssetJobDefinition,
    )

NEW_SHARDS_PER_TICK = 20
"""Runs that one tick may start; further prefixes wait for the next."""


def build_new_prefix_sensor(
    assets: SourceAssets, job: "UnresolvedAssetJobDefinition"
) -> dg.SensorDefinition:
    """The sensor that gives new prefixes a shard, and lists just these.

    Its cursor holds the shards that need no further attention. A tick that is repeated, or dies
    half-way, asks for the same runs under the same run keys, and Dagster starts each once.
    """

    @dg.sensor(
        name=f"{assets.source.name}_new_prefixes",
        job=job,
        minimum_interval_seconds=assets.source.schedule.sensor_interval_seconds,
        required_resource_keys=assets.resource_keys,
        description=f"Find new prefixes of `{assets.source.bucket}`, and list just these.",
    )
    def new_prefixes(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        work = assets.bind(context.resources, context.instance)
        if not work.shard_keys:
            # All prefixes would be new, each with a run of its own: that is the schedule's work.
            return dg.SkipReason(
                "no shards are known yet; materialize `shards`, or let the daily schedule begin"
            )
        settled = _known_shards(context.cursor, work)
        discovery = discover_shards(work)
        today = work.now().astimezone(ZoneInfo(work.source.schedule.timezone)).date()
        new = _new_prefixes(work, discovery, settled, today)
        chosen = dict(list(new.items())[:NEW_SHARDS_PER_TICK])
        if not chosen:
            return dg.SkipReason(f"no new prefix among {len(discovery.prefixes)}")
        added = [key for key in keep_shards(work, discovery) if key in chosen]
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
            cursor=json.dumps(sorted({*settled, *chosen})),
        )

    return new_prefixes


def build_following_sensor() -> dg.AutomationConditionSensorDefinition:
    """The sensor that runs changes and manifests after the listings they follow; on by default."""
    return dg.AutomationConditionSensorDefinition(
        "follow_listings",
        target=dg.AssetSelection.all(),
        default_status=dg.DefaultSensorStatus.RUNNING,
        # Runs at once, over ranges too; a backfill would wait for a loop of its own.
        emit_backfills=False,
        minimum_interval_seconds=30,
    )


def _known_shards(cursor: str | None, work: SourceContext) -> set[str]:
    """The shards of the cursor; without one that can be read, all that are known."""
    try:
        return set(json.loads(cursor or ""))
    except (ValueError, TypeError):
        return set(work.shard_keys)


def _new_prefixes(
    work: SourceContext, discovery: Discovery, known_shards: set[str], today: date
) -> dict[str, str]:
    """The prefixes not settled yet, by partition key, in order.

    A prefix that was listed today or yesterday became a shard in another way.
    """
    new: dict[str, str] = {}
    for prefix in discovery.prefixes:
        key = shard_key(prefix, work.source.prefix)
        if key not in known_shards and not any(
            read_snapshot(work.store, work.layout, day, prefix)
            for day in (today, today - timedelta(days=1))
        ):
            new[key] = prefix
    return new
