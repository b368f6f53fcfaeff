"""Partitioned asset checks.

This module imports a private module of Dagster: the type of an evaluation's target has no public
name, and without a target Dagster shows a passed check as outdated. A slow test runs the checks
with the oldest and with the newest version of Dagster that `pyproject.toml` accepts.
"""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg
from dagster import AssetCheckEvaluation
from dagster._core.definitions.asset_checks.asset_check_evaluation import (
    AssetCheckEvaluationTargetMaterializationData,
)

_EVALUATIONS_READ = 200
"""The evaluations among which the last of a partition is searched for: those of some weeks."""

LogContext = dg.AssetExecutionContext | dg.OpExecutionContext
"""The context of a run of an asset, or of a job that logs events of assets."""


def partitioned_check(
    name: str,
    asset: dg.AssetKey,
    partitions: dg.PartitionsDefinition[Any],
    description: str,
    *,
    blocking: bool = True,
) -> dg.AssetCheckSpec:
    """The spec of a check that is evaluated for each partition of its asset."""
    with warnings.catch_warnings():
        # A preview; `pyproject.toml` accepts only those minor versions of Dagster that are tested.
        warnings.simplefilter("ignore", dg.PreviewWarning)
        return dg.AssetCheckSpec(
            name,
            asset=asset,
            blocking=blocking,
            partitions_def=partitions,
            description=description,
        )


def log_check(
    context: LogContext,
    check: dg.AssetCheckSpec,
    partition_key: str,
    violations: Sequence[str],
    metadata: Mapping[str, Any] | None = None,
    severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.ERROR,
    note: str | None = None,
) -> None:
    """Log the evaluation of a check for one partition; it passed if there are no violations.

    Returning an `AssetCheckResult` would require a run of a single partition.

    Args:
        context: The context of the run.
        check: The check.
        partition_key: The partition.
        violations: Sentences about what is wrong.
        metadata: What else the UI shows.
        severity: How bad violations are.
        note: What to say if there are none.
    """
    # An op may log it, too, although the annotations of its context leave it out.
    event: Any = AssetCheckEvaluation(
        asset_key=check.asset_key,
        check_name=check.name,
        passed=not violations,
        description="; ".join(violations) or note,
        metadata=dict(metadata or {}),
        severity=severity,
        blocking=check.blocking,
        partition=partition_key,
        target_materialization_data=_target(context, check.asset_key, partition_key),
    )
    context.log_event(event)


def last_passed(context: LogContext, check: dg.AssetCheckSpec, partition_key: str) -> bool:
    """Whether the check passed when it was last evaluated for a partition, or never was."""
    history = context.instance.event_log_storage.get_asset_check_execution_history(
        check.key, _EVALUATIONS_READ
    )
    for record in history:
        evaluation = record.event.dagster_event if record.event else None
        data = evaluation.event_specific_data if evaluation else None
        if record.partition == partition_key and isinstance(data, AssetCheckEvaluation):
            return data.passed
    return True


def _target(
    context: LogContext, asset: dg.AssetKey, partition_key: str
) -> AssetCheckEvaluationTargetMaterializationData | None:
    """The checked materialization; without it, Dagster shows the check as outdated."""
    partition = dg.AssetRecordsFilter(asset_key=asset, asset_partitions=[partition_key])
    records = context.instance.fetch_materializations(partition, limit=1).records
    return (
        AssetCheckEvaluationTargetMaterializationData(
            storage_id=records[0].storage_id,
            run_id=records[0].run_id,
            timestamp=records[0].timestamp,
        )
        if records
        else None
    )
