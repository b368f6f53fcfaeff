"""The partitions of a run, one by one: each is processed and logged, and may fail, by itself."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from typing import Any

import dagster as dg

from inventory_assets.defs.source.expected_failure import ExpectedFailure
from inventory_assets.defs.source.run_guard import run_guard
from inventory_assets.defs.source.run_log import logged_to_run
from inventory_assets.errors import InventoryError
from inventory_assets.inventory.errors import RunEnded

DATA_VERSION_TAG = "dagster/data_version"

StepResult = dg.MaterializeResult[None] | dg.Output[None]
"""What an asset's step yields at its end."""

_NO_FURTHER_EVENTS = {"__source_asset_observation__": True}
"""With this metadata, Dagster 1.13 logs no materialization for an output. It is not public API; a
test checks that each partition is materialized once."""


def log_partition(
    context: dg.AssetExecutionContext | dg.OpExecutionContext,
    key: dg.AssetKey,
    partition_key: str,
    data_version: str,
    metadata: Mapping[str, Any],
) -> None:
    """Log the materialization of one partition, with its own data version and metadata.

    In a run over a range of partitions, a returned result would apply to all of them, including
    failed ones. The step still ends with `step_results`.

    Raises:
        RunEnded: The run has ended, and another run may have logged the partition.
    """
    run_guard(context.instance, context.run.run_id).require_unfinished()
    context.log_event(
        dg.AssetMaterialization(
            asset_key=key,
            partition=partition_key,
            metadata=dict(metadata),
            tags={DATA_VERSION_TAG: data_version},
        )
    )


def partitions_of(context: dg.AssetExecutionContext) -> Sequence[str]:
    """The partition keys of a run.

    Raises:
        dagster.Failure: The run's partition is a date, and the asset is partitioned by shard too.
    """
    tags = context.run.tags
    given = tags.get("dagster/partition") or tags.get("dagster/asset_partition_range_start") or ""
    is_by_shard = isinstance(context.assets_def.partitions_def, dg.MultiPartitionsDefinition)
    if is_by_shard and given and "|" not in given:
        raise ExpectedFailure(
            f"the run's partition {given!r} is a date, and {context.assets_def.key.path[-1]} is "
            "partitioned by date and shard: one run cannot materialize assets of both kinds; start "
            "a backfill of them, as *Materialize* in the UI does, or a run for each kind",
        )
    return tuple(context.partition_keys)


def step_results(context: dg.AssetExecutionContext) -> Iterator[StepResult]:
    """Yield the outputs of a step whose partitions were logged one by one.

    Without an output, Dagster skips all dependent steps of the run and reports success.
    """
    for key in context.selected_asset_keys:
        yield dg.MaterializeResult(asset_key=key, metadata=_NO_FURTHER_EVENTS)
    for check in context.assets_def.check_specs:
        if check.key in context.selected_asset_check_keys:
            yield dg.Output(None, output_name=check.get_python_identifier())


def for_each_partition(
    context: dg.AssetExecutionContext, what: str, process: Callable[[str], Sequence[str]]
) -> Iterator[StepResult]:
    """Process each partition of a run; a failed partition does not stop the others.

    Args:
        context: The context of the run.
        what: The noun for partitions in messages.
        process: Processes a partition key and returns the violations of blocking checks.

    Yields:
        The outputs of `step_results`.

    Raises:
        dagster.Failure: At the end, if a partition or a blocking check failed.
    """
    partition_keys = partitions_of(context)
    failures: dict[str, Exception] = {}
    # In order of dates, as a manifest may be the baseline of the next date.
    for partition_key in sorted(partition_keys):
        try:
            with logged_to_run(context.log):
                violations = process(partition_key)
        except RunEnded as error:
            raise ExpectedFailure(str(error)) from None
        except (InventoryError, OSError) as error:
            context.log.error(f"{partition_key}: {error}")
            failures[partition_key] = error
        else:
            if violations:
                failures[partition_key] = blocking_checks_failed(violations)
    if failures:
        done = len(partition_keys) - len(failures)
        raise partition_failure(what, failures, done, "the others are kept")
    yield from step_results(context)


def publish_each_date(
    context: dg.AssetExecutionContext,
    key: dg.AssetKey,
    what: str,
    publish: Callable[[date], tuple[str, Mapping[str, Any]]],
) -> Iterator[StepResult]:
    """Publish each date of a run, as `for_each_partition`, and log it; there are no checks.

    Args:
        context: The context of the run.
        key: The asset.
        what: The noun for dates in messages.
        publish: Publishes a date; returns its data version and metadata.
    """

    def process(partition_key: str) -> Sequence[str]:
        version, metadata = publish(date.fromisoformat(partition_key))
        log_partition(context, key, partition_key, version, metadata)
        return ()

    yield from for_each_partition(context, what, process)


def blocking_checks_failed(violations: Sequence[str]) -> InventoryError:
    """The error that keeps dependent steps of the same run from using unchecked results."""
    return InventoryError(f"a blocking check failed: {'; '.join(violations)}")


def partition_failure(
    what: str, failures: Mapping[str, Exception], done: int, advice: str
) -> dg.Failure:
    """The failure of a run in which some partitions failed."""
    lines = [f"{partition_key}: {error}" for partition_key, error in failures.items()]
    total = len(failures) + done
    if total > 1:
        lines.insert(0, f"{len(failures)} of {total} {what} failed; {advice}")
    return ExpectedFailure(
        description="\n".join(lines),
        metadata={"failed": dg.MetadataValue.json(sorted(failures)), "done": done},
    )
