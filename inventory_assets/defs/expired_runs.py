"""Runs in Dagster's history whose dates are gone: found by their tags, and deleted.

Deleting a run deletes its events: materializations, failures and planned partitions. Dagster's own
storages cannot delete the events of single partitions, so a run stays while one of its dates does.
The records of backfills and automation also stay.

Dagster's deletion of a run leaves the results of its asset checks, on SQLite the file of its
events, and its captured output. They are a third of what a shard and day takes. No public call
deletes the file, so this module imports a private module of Dagster.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path

import dagster as dg
from dagster._core.storage.event_log import SqliteEventLogStorage

from inventory_assets.defs.check_results import delete_results_of_runs
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
    """Delete runs with all that was recorded of them.

    Dagster counts the partitions of the assets again when it shows them next.
    """
    for run_id in run_ids:
        instance.delete_run(run_id)
        instance.compute_log_manager.delete_logs(prefix=[run_id])
    if run_ids:
        delete_results_of_runs(instance, run_ids)
        _delete_event_files(instance, run_ids)
        instance.wipe_asset_cached_status(partitioned_keys(assets))


def _delete_event_files(instance: dg.DagsterInstance, run_ids: Sequence[str]) -> None:
    """Delete the files of SQLite in which runs had their events, and which are empty now."""
    storage = instance.event_log_storage
    if isinstance(storage, SqliteEventLogStorage):
        for run_id in run_ids:
            for suffix in ("", "-wal", "-shm"):
                Path(storage.path_for_shard(run_id) + suffix).unlink(missing_ok=True)


def partitioned_keys(assets: SourceAssets) -> list[dg.AssetKey]:
    """The keys of the partitioned assets that a source may have."""
    names = (
        "object_listing",
        "object_changes",
        "object_metadata",
        "inventory_manifest",
        "change_log",
        "prefix_usage",
        "hygiene_report",
        "lifecycle_simulation",
        "storage_report",
        "inventory_exports",
        "iceberg_tables",
    )
    return [assets.key(name) for name in names]


def _runs_before(
    assets: SourceAssets, instance: dg.DagsterInstance, tag: str, first: date
) -> Iterator[str]:
    """The runs with a tag of the source whose last date is before `first`."""
    own = set(partitioned_keys(assets))
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
