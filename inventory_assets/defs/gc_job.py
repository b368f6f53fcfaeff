"""The garbage collection job of a source; by default a dry run."""

from collections.abc import Sequence
from typing import Any

import dagster as dg
from pydantic import Field

from inventory_assets.defs.check_results import delete_results, passed_results
from inventory_assets.defs.expired_runs import delete_runs, expired_runs, partitioned_keys
from inventory_assets.defs.source.context import SourceAssets
from inventory_assets.defs.source.expected_failure import ExpectedFailure
from inventory_assets.defs.source.partitions import first_listed_date
from inventory_assets.defs.source.resources import Clock, InventoryStore
from inventory_assets.defs.source.run_log import logged_to_run
from inventory_assets.errors import InventoryError
from inventory_assets.inventory.retention.collector import Plan, execute, plan_collection
from inventory_assets.inventory.storage.store import Store, StoredFile

FILES_SHOWN = 1_000
"""Maximum files in a table of the metadata."""


class CollectionConfig(dg.Config):  # type: ignore[misc, unused-ignore]
    """The configuration of a collection."""

    dry_run: bool = Field(default=True, description="Only report what would be removed.")


def collection_op_name(assets: SourceAssets) -> str:
    """The name of the job's op, which is its key in the run configuration."""
    return f"{assets.source.name}__collect_garbage"


def build_collection_job(assets: SourceAssets) -> dg.JobDefinition:
    """The job that removes expired dates and unreferenced files."""

    @dg.op(
        name=collection_op_name(assets),
        required_resource_keys={assets.store_resource, assets.clock_resource},
        description=(
            f"Remove the dates of `{assets.source.name}` that its configuration does not keep, "
            "and files that no record needs; from Dagster's history, remove the runs of dates that "
            "are gone, and results of checks that passed for dates outside the window of listings. "
            "With dry_run, the default, only report them."
        ),
    )
    def collect_garbage(
        context: dg.OpExecutionContext, config: CollectionConfig
    ) -> dg.Output[None]:
        resource: InventoryStore = getattr(context.resources, assets.store_resource)
        clock: Clock = getattr(context.resources, assets.clock_resource)
        store = resource.open()
        now = clock.now()
        today = assets.day_of(now)
        try:
            plan = plan_collection(store, assets.layout, assets.retention, today, now)
            first_kept = min(plan.kept, default=None) if assets.retention else None
            runs = expired_runs(assets, context.instance, today, first_kept)
            first_listed = first_listed_date(assets.source, today)
            results = passed_results(partitioned_keys(assets), context.instance, first_listed)
            if not config.dry_run:
                with logged_to_run(context.log):
                    execute(store, plan, clock.now)
                    delete_runs(assets, context.instance, runs)
                    delete_results(context.instance, results)
        except InventoryError as error:
            raise ExpectedFailure(f"{error}") from None
        context.log.info(_sentence(plan, len(runs), len(results), dry_run=config.dry_run))
        if assets.source.iceberg and plan.expired and not config.dry_run:
            context.log.warning(
                "the Iceberg tables show the removed dates until iceberg_tables is materialized "
                "for any date; do that before their data files are removed, in some four days"
            )
        metadata = _metadata(store, plan, dry_run=config.dry_run)
        removed = {"runs_removed": len(runs), "check_results_removed": len(results)}
        return dg.Output(None, metadata={**metadata, **removed})

    @dg.job(
        name=assets.collection_job,
        description=(
            f"Remove expired dates and unused files of `{assets.source.name}` "
            "(docs/retention.md). By default it only reports them; with dry_run: false it removes "
            "them."
        ),
    )
    def collect() -> None:
        collect_garbage()

    return collect


def _sentence(plan: Plan, runs: int, results: int, *, dry_run: bool) -> str:
    days = ", ".join(str(each.day) for each in plan.expired) or "none"
    return (
        f"{'would remove' if dry_run else 'removed'} {len(plan.removed):,} files "
        f"({plan.bytes:,} bytes); dates: {days}; {len(plan.waiting):,} more files "
        f"({_bytes(plan.waiting):,} bytes) seem unused, and are kept until that is certain; "
        f"dates kept: {len(plan.kept):,}; runs of dates that are gone: {runs:,}; old "
        f"results of checks that passed: {results:,}"
    )


def _metadata(store: Store, plan: Plan, *, dry_run: bool) -> dict[str, Any]:
    return {
        "dry_run": dry_run,
        "dates_removed": len(plan.expired),
        "dates_kept": len(plan.kept),
        "files_removed": len(plan.removed),
        "bytes_removed": plan.bytes,
        "data_files_needed": plan.needed,
        "data_files_waiting": len(plan.waiting),
        "bytes_waiting": _bytes(plan.waiting),
        "removed_dates": [str(each.day) for each in plan.expired],
        "kept_dates": [str(day) for day in plan.kept],
        "removed": _table(store, plan.removed),
        "waiting": _table(store, plan.waiting),
    }


def _table(store: Store, files: Sequence[StoredFile]) -> dg.TableMetadataValue:
    records = [
        dg.TableRecord({"file": ascii(store.where(file.key))[1:-1], "bytes": file.size})
        for file in files[:FILES_SHOWN]
    ]
    columns = [dg.TableColumn("file", "string"), dg.TableColumn("bytes", "int")]
    return dg.MetadataValue.table(records, dg.TableSchema(columns))


def _bytes(files: Sequence[StoredFile]) -> int:
    return sum(file.size for file in files)
