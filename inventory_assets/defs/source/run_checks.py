"""What a date's listings were limited by: metadata, and the check that they were as fast as before.

The check says something of the bucket and the network, not of the inventory, so it only warns.
"""

import logging
from collections.abc import Sequence
from typing import Any

import dagster as dg

from inventory_assets.defs.source.checks import LogContext, log_check, partitioned_check
from inventory_assets.defs.source.context import SourceAssets, SourceContext
from inventory_assets.defs.source.metadata_tables import limited_table
from inventory_assets.errors import InventoryError, printable
from inventory_assets.inventory.manifest.manifest import Manifest
from inventory_assets.inventory.runs.cause import limiting_cause
from inventory_assets.inventory.runs.date_run import (
    DateRun,
    publish_date_run,
    regressions_of,
    run_of_manifest,
)
from inventory_assets.inventory.runs.regressions import (
    COMPARED_RUNS,
    LEAST_RUNS,
    MORE_ERRORS,
    MORE_LATENCY,
    SLOWER_RATIO,
    Regression,
)
from inventory_assets.inventory.runs.shard_run import ShardRun

LOG = logging.getLogger(__name__)

SPEED_STEADY = "listing_speed_steady"

SENTENCES = 3
"""The shards that the message of the check names; its table has more."""


def speed_check(assets: SourceAssets) -> dg.AssetCheckSpec:
    """The check of the manifest asset."""
    return partitioned_check(
        SPEED_STEADY,
        assets.key("inventory_manifest"),
        assets.partitions.dates,
        f"No shard took {SLOWER_RATIO} times as long for an object as in the median of its last "
        f"{COMPARED_RUNS} runs, had a P95 latency of {MORE_LATENCY * 1000:.0f} ms more, or "
        f"transient errors in {MORE_ERRORS:.1%} more of its requests.",
        blocking=False,
    )


def published_run(work: SourceContext, manifest: Manifest) -> DateRun | None:
    """Publish the run record of a manifest; an error is only a warning."""
    try:
        return publish_date_run(work.store, work.layout, manifest, work.now())
    except (InventoryError, OSError) as error:
        LOG.warning("%s: the run record was not written: %s", manifest.day, error)
        return None


def shard_run_metadata(run: ShardRun | None) -> dict[str, Any]:
    """The metadata of a shard's run: one sentence, as there is one a shard and day."""
    return {"limited_by": printable(limiting_cause(run.figures).sentence)} if run else {}


def date_run_metadata(run: DateRun | None) -> dict[str, Any]:
    """The metadata of the listings of a date."""
    if run is None:
        return {}
    figures = run.figures
    metadata: dict[str, Any] = {
        "limited_by": printable(run.cause.sentence),
        "listing_seconds": round(figures.seconds, 3),
        "transient_errors": figures.errors,
    }
    if figures.p95 is not None:
        metadata["p95_latency_ms"] = round(figures.p95 * 1000)
    return metadata


def log_speed(
    context: LogContext,
    check: dg.AssetCheckSpec,
    work: SourceContext,
    manifest: Manifest,
) -> None:
    """Log the check of a date."""
    day = str(manifest.day)
    run = run_of_manifest(work.store, work.layout, manifest)
    if run is None:
        log_check(context, check, day, [], note="the listings have no run record")
        return
    found = regressions_of(work.store, work.layout, run)
    metadata = {"shards": _regressions_table(found)} if found else {}
    note = f"as fast as before, or fewer than {LEAST_RUNS} earlier runs to compare with"
    severity = dg.AssetCheckSeverity.WARN
    log_check(context, check, day, _sentences(found), metadata, severity, note)


def _sentences(found: Sequence[Regression]) -> list[str]:
    others = len(found) - SENTENCES
    more = [f"and {others:,} more shard{'' if others == 1 else 's'}"] if others > 0 else []
    return [each.sentence for each in found[:SENTENCES]] + more


def _regressions_table(found: Sequence[Regression]) -> dg.TableMetadataValue:
    return limited_table(
        [
            {
                "prefix": printable(each.prefix) or "(all other keys)",
                "root_cause": each.root_cause.value,
                "what": each.sentence,
            }
            for each in found
        ],
        "prefix",
    )
