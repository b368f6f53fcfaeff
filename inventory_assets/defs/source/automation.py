"""Automation conditions of the assets downstream of listings, and their partition mapping."""

import warnings
from datetime import timedelta
from typing import Any

import dagster as dg

from inventory_assets.defs.source.partitions import DATE

FOLLOWED_WINDOW = timedelta(days=2)
"""The dates that automation considers: those that can still be listed."""


def shards_of_the_date() -> dg.MultiToSingleDimensionPartitionMapping:
    """The mapping from partitions by date to partitions by date and shard."""
    with warnings.catch_warnings():
        # In beta; `pyproject.toml` accepts only those minor versions of Dagster that are tested.
        warnings.simplefilter("ignore", dg.BetaWarning)
        return dg.MultiToSingleDimensionPartitionMapping(DATE)


def on_listing_change() -> dg.AutomationCondition[Any]:
    """Run when a dependency's data version changes and its blocking checks have passed."""
    return (
        dg.AutomationCondition.in_latest_time_window(FOLLOWED_WINDOW)
        & changed_since_last_request()
        & dg.AutomationCondition.all_deps_blocking_checks_passed()
        & ~dg.AutomationCondition.any_deps_missing()
        & ~dg.AutomationCondition.any_deps_in_progress()
        & ~dg.AutomationCondition.in_progress()
    ).with_label("on_listing_change")


def on_shard_change(manifest: dg.AssetKey) -> dg.AutomationCondition[Any]:
    """Run when the data version of a shard's listing changes.

    It waits while a blocking check of the date's manifest fails, such as that of the listings. It
    does not wait for the manifest, which it does not need.
    """
    is_broken = dg.AutomationCondition.asset_matches(
        manifest,
        dg.AutomationCondition.any_checks_match(
            dg.AutomationCondition.check_failed(), blocking_only=True
        ),
    ).with_label("manifest_broken")
    return (
        dg.AutomationCondition.in_latest_time_window(FOLLOWED_WINDOW)
        & changed_since_last_request()
        & ~is_broken
        & ~dg.AutomationCondition.any_deps_missing()
        & ~dg.AutomationCondition.any_deps_in_progress()
        & ~dg.AutomationCondition.in_progress()
    ).with_label("on_shard_change")


def on_all_listing_changes() -> dg.AutomationCondition[Any]:
    """Like `on_listing_change`, for an asset that shows others which change in the same tick.

    Without the addition, it would run together with a dependency, and once more after it.
    """
    is_early = dg.AutomationCondition.any_deps_match(dg.AutomationCondition.will_be_requested())
    return (on_listing_change() & ~is_early).with_label("on_all_listing_changes")


def changed_since_last_request() -> dg.AutomationCondition[Any]:
    """Whether a dependency's data version changed since the last request.

    Dagster's `since_last_handled` loses a change in the tick after a request, or while the
    requested run is in progress.
    """
    changed = dg.AutomationCondition.any_deps_match(
        dg.AutomationCondition.data_version_changed()
    ).with_label("dependency_changed")
    return changed.since(dg.AutomationCondition.newly_requested() & ~changed)


def on_any_shard_change() -> dg.AutomationCondition[Any]:
    """Run when any shard of the date changed and no dependency is in progress.

    It does not wait for all shards to be materialized, as a shard added today is missing on all
    past dates. The asset itself checks whether a date is complete.
    """
    return (
        dg.AutomationCondition.in_latest_time_window(FOLLOWED_WINDOW)
        & changed_since_last_request()
        & ~dg.AutomationCondition.any_deps_in_progress()
        & ~dg.AutomationCondition.in_progress()
    ).with_label("on_any_shard_change")


def on_any_shard_change_of(
    manifest: dg.AssetKey, *needed: dg.AssetKey
) -> dg.AutomationCondition[Any]:
    """Run when any shard of the date changed, but not before the date has a manifest of them.

    Dagster's `any_deps_missing` is false as soon as the manifest is requested, and the request may
    fail because shards of the date are missing. Nor while a newer manifest of the date is held.

    Args:
        manifest: The manifest.
        needed: Other assets that the date must have.
    """
    without = dg.AutomationCondition.any_deps_match(dg.AutomationCondition.missing()).allow(
        dg.AssetSelection.assets(manifest, *needed)
    )
    failed = dg.AutomationCondition.any_checks_match(
        dg.AutomationCondition.check_failed(), blocking_only=True
    )
    held = dg.AutomationCondition.any_deps_match(failed).allow(dg.AssetSelection.assets(manifest))
    return (on_any_shard_change() & ~without & ~held).with_label(
        "on_any_shard_change_of_a_manifest"
    )
