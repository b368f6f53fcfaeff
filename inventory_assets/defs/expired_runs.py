"""Runs in Dagster's history whose dates are gone: found by their tags, and deleted.

Deleting a run deletes its events: materializations, failures and planned partitions. Dagster's own
storages cannot delete the events of single partitions, so a run stays while one of its dates does.
What Dagster has no way to delete also stays: the evaluations of asset checks, the records of
backfills and automation, and the captured output of runs.
"""

from collections.abc import Iterator, Mapping
from datetime import date

import dagster as dg

from inventory_assets.defs.source.context import SourceAssets
from inventory_assets.defs.source.partitioned_asset import DATES_TAG, SHARDS_TAG
from inventory_assets.defs.source.partitions import first_date, first_listed_date

RUNS_PER_COLLECTION = 1_000
"""Maximum runs that a collection deletes; the next one deletes further runs."""

_PAGE = 500


def expired_runs(
    assets: SourceAssets, instance: dg.DagsterInstance, today: date, first_kept: date | None
) -> list[str]:
    """The finished runs of which every date is gone, oldest first.

    Args:
        assets: The source.
        instance: Dagster's instance.
        today: Runs expire when their dates have left the windows of this date: runs by shard that
            of listings, runs by date the history.
        first_kept: Runs by date also expire if their dates are before it; None if no date is
            removed.
    """
    first_listed = first_listed_date(assets.source, today)
    found = list(_runs_before(assets, instance, SHARDS_TAG, first_listed))
    first = max(first_date(assets.source, today), first_kept or date.min)
    found += _runs_before(assets, instance, DATES_TAG, first)
    return found[:RUNS_PER_COLLECTION]


def delete_runs(assets: SourceAssets, instance: dg.DagsterInstance, run_ids: list[str]) -> None:
    """Delete runs with their events, and let Dagster count the partitions of the assets again."""
    for run_id in run_ids:
        instance.delete_run(run_id)
    if run_ids:
        instance.wipe_asset_cached_status(_keys(assets))


def _keys(assets: SourceAssets) -> list[dg.AssetKey]:
    """The keys of the partitioned assets that a source may have."""
    names = (
        "object_listing",
        "object_changes",
        "inventory_manifest",
        "change_log",
        "inventory_exports",
        "iceberg_tables",
    )
    return [assets.key(name) for name in names]


def _runs_before(
    assets: SourceAssets, instance: dg.DagsterInstance, tag: str, first: date
) -> Iterator[str]:
    """The runs with a tag of the source whose last date is before `first`."""
    own = set(_keys(assets))
    finished = [
        dg.DagsterRunStatus.SUCCESS,
        dg.DagsterRunStatus.FAILURE,
        dg.DagsterRunStatus.CANCELED,
    ]
    runs_filter = dg.RunsFilter(tags={tag: assets.source.name}, statuses=finished)
    cursor: str | None = None
    while page := instance.get_run_records(runs_filter, _PAGE, cursor=cursor, ascending=True):
        for record in page:
            run = record.dagster_run
            # A job of the host may also materialize its own assets.
            is_own = own.issuperset(run.asset_selection or ()) and (
                bool(run.asset_selection) or run.job_name == assets.listing_job
            )
            day = _last_date(run.tags)
            if is_own and day is not None and day < first:
                yield run.run_id
        cursor = page[-1].dagster_run.run_id


def _last_date(tags: Mapping[str, str]) -> date | None:
    """The last date of a run's partitions; None if its tags do not say."""
    key = tags.get("dagster/partition") or tags.get("dagster/asset_partition_range_end")
    try:
        return date.fromisoformat((key or "").partition("|")[0])
    except ValueError:
        return None
