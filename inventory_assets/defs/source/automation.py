"""When automation asks for what is made of listings, and which shards belong to a date."""

import warnings
from datetime import timedelta
from typing import Any

import dagster as dg

from inventory_assets.defs.source.partitions import DATE

FOLLOWED_WINDOW = timedelta(days=2)
"""How far back automation follows listings: the dates that a listing may stand for."""


def shards_of_the_date() -> dg.MultiToSingleDimensionPartitionMapping:
    """How the partitions by date depend on those by date and shard."""
    with warnings.catch_warnings():
        # In beta in Dagster 1.13, since years; the version is held by the lock file.
        warnings.simplefilter("ignore", dg.BetaWarning)
        return dg.MultiToSingleDimensionPartitionMapping(DATE)


def on_listing_change() -> dg.AutomationCondition[Any]:
    """Run when a listing's data version changes, and its blocking checks passed."""
    return (
        dg.AutomationCondition.in_latest_time_window(FOLLOWED_WINDOW)
        & changed_since_last_request()
        & dg.AutomationCondition.all_deps_blocking_checks_passed()
        & ~dg.AutomationCondition.any_deps_missing()
        & ~dg.AutomationCondition.any_deps_in_progress()
        & ~dg.AutomationCondition.in_progress()
    ).with_label("follow_changed_listings")


def changed_since_last_request() -> dg.AutomationCondition[Any]:
    """Whether a dependency's data version changed, until a later tick has seen it requested.

    Dagster's `since_last_handled` forgets a change that arrives in the tick after a request, or
    while the run that was requested before it is still under way.
    """
    changed = dg.AutomationCondition.any_deps_match(
        dg.AutomationCondition.data_version_changed()
    ).with_label("dependency_changed")
    return changed.since(dg.AutomationCondition.newly_requested() & ~changed)


def on_any_shard_change() -> dg.AutomationCondition[Any]:
    """Run when any shard of the date changed and none is being listed or compared.

    It must not wait for all shards to be materialized: a shard added today is missing on every
    past date, for ever. Whether a date is complete, the asset itself knows.
    """
    return (
        dg.AutomationCondition.in_latest_time_window(FOLLOWED_WINDOW)
        & changed_since_last_request()
        & ~dg.AutomationCondition.any_deps_in_progress()
        & ~dg.AutomationCondition.in_progress()
    ).with_label("follow_any_shard")
