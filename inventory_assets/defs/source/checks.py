"""Asset checks by partition, and how their findings are logged."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg
from dagster import AssetCheckEvaluation
from dagster._core.definitions.asset_checks.asset_check_evaluation import (
    AssetCheckEvaluationTargetMaterializationData,
)


def partitioned_check(
    name: str,
    asset: dg.AssetKey,
    partitions: dg.PartitionsDefinition[Any],
    description: str,
    *,
    blocking: bool = True,
) -> dg.AssetCheckSpec:
    """A check that is evaluated, and shown, for each partition of its asset."""
    with warnings.catch_warnings():
        # A preview in Dagster 1.13; the version is held by the lock file.
        warnings.simplefilter("ignore", dg.PreviewWarning)
        return dg.AssetCheckSpec(
            name,
            asset=asset,
            blocking=blocking,
            partitions_def=partitions,
            description=description,
        )


def log_check(
    context: dg.AssetExecutionContext,
    check: dg.AssetCheckSpec,
    partition_key: str,
    faults: Sequence[str],
    metadata: Mapping[str, Any] | None = None,
    severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.ERROR,
) -> None:
    """Record what a check found of one partition; it passed where there is no fault.

    A returned `AssetCheckResult` would need the run to be of a single partition.
    """
    context.log_event(
        AssetCheckEvaluation(
            asset_key=check.asset_key,
            check_name=check.name,
            passed=not faults,
            description="; ".join(faults) or None,
            metadata=dict(metadata or {}),
            severity=severity,
            blocking=check.blocking,
            partition=partition_key,
            target_materialization_data=_target(context, check.asset_key, partition_key),
        )
    )


def _target(
    context: dg.AssetExecutionContext, asset: dg.AssetKey, partition_key: str
) -> AssetCheckEvaluationTargetMaterializationData | None:
    """The materialization that is checked; without it Dagster takes a check for out of date."""
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
