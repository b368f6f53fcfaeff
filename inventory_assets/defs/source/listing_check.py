"""The check of a date's listings, which belongs to the date's manifest.

A check for each date and shard would cost more than the listings themselves: Dagster plans each of
them with a row that repeats the keys of the whole run, and its UI and daemon read all of them, one
by one, whenever they show or follow the asset (docs/decisions/0020-range-runs-in-dagster.md).
"""

from collections.abc import Mapping
from datetime import date

import dagster as dg

from inventory_assets.defs.source.checks import (
    LogContext,
    last_passed,
    log_check,
    partitioned_check,
)
from inventory_assets.defs.source.context import SourceAssets, SourceContext
from inventory_assets.defs.source.metadata_tables import SHARDS_SHOWN, limited_table
from inventory_assets.errors import printable
from inventory_assets.inventory.errors import ManifestIncomplete
from inventory_assets.inventory.manifest.snapshot import Snapshot, read_snapshots
from inventory_assets.inventory.manifest.snapshot_validation import (
    RuleResult,
    failed_rules,
    validate,
    validate_files,
)

_REMEDY = "remove the altered files, so that no date shares them, and list these shards again"


def listing_check(assets: SourceAssets, manifest: dg.AssetKey) -> dg.AssetCheckSpec:
    """The check of the listings of a date's shards."""
    order = (
        "keys ascend, none is in two parts"
        if assets.source.versions
        else "keys ascend strictly over all parts"
    )
    return partitioned_check(
        "listing_complete",
        manifest,
        assets.partitions.dates,
        f"In each shard, ranges cover the shard without overlap, counts add up, {order}, and no "
        "key is outside the shard. Seams agree: the first key that one range has shown beyond its "
        "end is the first key of the next. Run on its own, the check reads every key of the "
        "Parquet files of the date. While it fails, automation compares no shard of the date.",
    )


def log_listing_check(
    context: LogContext,
    check: dg.AssetCheckSpec,
    work: SourceContext,
    day: date,
    *,
    is_on_its_own: bool,
    is_released: bool = False,
) -> list[str]:
    """Log the check of a date's listings; return what is wrong.

    The Parquet files are read if the check runs on its own. If it failed before, they are read
    with every manifest, so that a damaged file is not forgotten when the date is merged again. If
    a person has released the date, the check passes, and says what is wrong, since a failed check
    would stop what is downstream.

    Raises:
        ManifestIncomplete: Nothing was listed.
    """
    snapshots = read_snapshots(work.store, work.layout, day)
    if not snapshots:
        raise ManifestIncomplete("nothing was listed yet; materialize object_listing for it first")
    with_files = is_on_its_own or not last_passed(context, check, str(day))
    results = {prefix: _results(work, snapshots[prefix], with_files) for prefix in snapshots}
    violations = [
        f"{prefix!r}: {violation}"
        for prefix, found in results.items()
        for violation in failed_rules(found)
    ]
    if violations:
        others = len(violations) - SHARDS_SHOWN
        more = [f"and {others:,} more violations"] if others > 0 else []
        violations = [*violations[:SHARDS_SHOWN], *more, _REMEDY]
    metadata = {"rules": rules_table(results)} if with_files or violations else {}
    note = f"{len(snapshots):,} shard(s)"
    if is_released and violations:
        note, violations = f"released, although {'; '.join(violations)}", []
    log_check(context, check, str(day), violations, metadata, note=note)
    return violations


def _results(work: SourceContext, snapshot: Snapshot, with_files: bool) -> tuple[RuleResult, ...]:
    of_files = validate_files(work.store, snapshot) if with_files else ()
    return (*validate(snapshot), *of_files)


def rules_table(results: Mapping[str, tuple[RuleResult, ...]]) -> dg.TableMetadataValue:
    """Where each rule is violated, or that it holds in all shards; violated rules come first."""
    rules = dict.fromkeys(result.rule for found in results.values() for result in found)
    violated = [
        {"rule": result.rule, "shard": printable(prefix), "violation": printable(result.violation)}
        for prefix, found in results.items()
        for result in found
        if result.violation
    ]
    for row in violated:
        rules.pop(row["rule"], None)
    held = [{"rule": rule, "shard": "(all)", "violation": "none"} for rule in rules]
    return limited_table([*violated, *held], "violation")
