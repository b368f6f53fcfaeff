"""The checks of what changed between dates: sudden changes, mass changes, feeds that stopped.

They say something of the bucket, not of its inventory. So none of them is blocking: an inventory of
a bucket that lost its objects is as true as any other.
"""

from collections.abc import Iterator, Sequence
from itertools import chain

import dagster as dg

from inventory_assets.defs.source.checks import log_check, partitioned_check
from inventory_assets.defs.source.context import SourceAssets, SourceContext
from inventory_assets.defs.source.metadata_tables import limited_table
from inventory_assets.errors import printable
from inventory_assets.inventory.changes.change_log import ChangeLog
from inventory_assets.inventory.changes.sorted_diff import Change
from inventory_assets.inventory.growth.dated_sizes import DatedSizes, sizes_before, sizes_of
from inventory_assets.inventory.growth.mass_changes import mass_changes
from inventory_assets.inventory.growth.stopped_prefixes import StoppedPrefix, stopped_prefixes
from inventory_assets.inventory.growth.sudden_changes import (
    SuddenChange,
    changed_prefixes,
    changed_whole,
)
from inventory_assets.inventory.growth.wording import sentences
from inventory_assets.inventory.usage.date_usage import DateUsage

TOTAL_STEADY = "total_steady"
PREFIXES_STEADY = "prefixes_steady"
PREFIXES_STILL_GROW = "prefixes_still_grow"
NO_MASS_OVERWRITE = "no_mass_overwrite"
NO_MASS_DELETE = "no_mass_delete"

_NOTHING_TO_COMPARE = "there is no earlier date to compare with"
_SEVERITIES = {"warn": dg.AssetCheckSeverity.WARN, "error": dg.AssetCheckSeverity.ERROR}
_MASS_CHANGES = {NO_MASS_OVERWRITE: Change.MODIFIED, NO_MASS_DELETE: Change.DELETED}


def usage_growth_checks(assets: SourceAssets) -> list[dg.AssetCheckSpec]:
    """The checks of `prefix_usage`."""
    bounds = assets.growth_bounds
    steady = (
        f"did not fall by more than {bounds.fell_percent} % or rise by more than "
        f"{bounds.rose_percent} % since the date before."
    )
    within = f"In each prefix that held more than {bounds.prefix_percent} % of the objects or bytes"
    dates = bounds.stopped_after_dates
    stopped = (
        f"No prefix that grew on each of {dates} dates stopped growing, except prefixes of dates."
        if dates
        else "Switched off (`growth.stopped_after_dates`)."
    )
    return [
        _check(assets, "prefix_usage", name, description)
        for name, description in (
            (TOTAL_STEADY, f"Objects and bytes {steady}"),
            (PREFIXES_STEADY, f"{within}, they {steady}"),
            (PREFIXES_STILL_GROW, stopped),
        )
    ]


def change_growth_checks(assets: SourceAssets) -> list[dg.AssetCheckSpec]:
    """The checks of `change_log`."""
    bounds = assets.growth_bounds
    return [
        _check(
            assets,
            "change_log",
            name,
            f"No more than {percent} % of the objects of the date before were {what}.",
        )
        for name, percent, what in (
            (NO_MASS_OVERWRITE, bounds.modified_percent, "overwritten"),
            (NO_MASS_DELETE, bounds.deleted_percent, "deleted"),
        )
    ]


def log_usage_growth(
    context: dg.AssetExecutionContext,
    checks: Sequence[dg.AssetCheckSpec],
    work: SourceContext,
    partition_key: str,
    usage: DateUsage,
) -> None:
    """Log those of the `usage_growth_checks` of a date that are selected.

    Raises:
        CorruptRecord: The table of the date is missing or damaged.
    """
    selected = [check for check in checks if check.key in context.selected_asset_check_keys]
    if not selected:
        return
    now, earlier = sizes_of(work.store, usage), sizes_before(work.store, work.layout, usage.day)
    before = next(earlier, None)
    severity = _SEVERITIES[work.source.growth.severity]
    for check in selected:
        if before is None:
            log_check(context, check, partition_key, [], note=_NOTHING_TO_COMPARE)
        elif check.name == PREFIXES_STILL_GROW:
            _log_stopped(context, check, work, partition_key, now, chain([before], earlier))
        else:
            compare = changed_whole if check.name == TOTAL_STEADY else changed_prefixes
            found = compare(before, now, work.assets.growth_bounds)
            metadata = {
                "compared_with": str(before.day),
                **({"changes": _changes_table(found)} if found else {}),
            }
            log_check(context, check, partition_key, sentences(found), metadata, severity)


def log_change_growth(
    context: dg.AssetExecutionContext,
    checks: Sequence[dg.AssetCheckSpec],
    work: SourceContext,
    partition_key: str,
    log: ChangeLog,
) -> None:
    """Log those of the `change_growth_checks` of a date that are selected."""
    for check in checks:
        if check.key not in context.selected_asset_check_keys:
            continue
        if log.baseline_day is None:
            log_check(context, check, partition_key, [], note=_NOTHING_TO_COMPARE)
            continue
        change = _MASS_CHANGES[check.name]
        violations = mass_changes(log, change, work.assets.growth_bounds)
        metadata = {
            "compared_with": str(log.baseline_day),
            change.value: log.counts[change],
            "baseline_rows": log.baseline_rows,
        }
        severity = _SEVERITIES[work.source.growth.severity]
        log_check(context, check, partition_key, violations, metadata, severity)


def _check(assets: SourceAssets, asset: str, name: str, description: str) -> dg.AssetCheckSpec:
    dates = assets.partitions.dates
    return partitioned_check(name, assets.key(asset), dates, description, blocking=False)


def _log_stopped(
    context: dg.AssetExecutionContext,
    check: dg.AssetCheckSpec,
    work: SourceContext,
    partition_key: str,
    now: DatedSizes,
    earlier: Iterator[DatedSizes],
) -> None:
    dates = work.source.growth.stopped_after_dates
    severity = _SEVERITIES[work.source.growth.severity]
    found = stopped_prefixes(now, earlier, dates) if dates else []
    if found is None:
        note = f"there are fewer than {dates + 1} earlier dates to compare with"
        log_check(context, check, partition_key, [], note=note)
        return
    metadata = {"prefixes": _stopped_table(found)} if found else {}
    log_check(context, check, partition_key, sentences(found), metadata, severity)


def _changes_table(found: Sequence[SuddenChange]) -> dg.TableMetadataValue:
    rows: list[dict[str, str | int]] = [
        {
            "prefix": printable(each.prefix) or "(all)",
            "measure": each.measure,
            str(each.day_before): each.before,
            str(each.day): each.now if each.is_exact else f"at most {each.now}",
        }
        for each in found
    ]
    return limited_table(rows, "prefix")


def _stopped_table(found: Sequence[StoppedPrefix]) -> dg.TableMetadataValue:
    rows: list[dict[str, str | int]] = [
        {
            "prefix": printable(each.prefix) or "(all)",
            "objects": each.objects,
            "bytes": each.bytes,
            "grew_from": str(each.first_day),
            "grew_until": str(each.last_day),
        }
        for each in sorted(found, key=lambda each: (-each.bytes, each.prefix))
    ]
    return limited_table(rows, "prefix")
