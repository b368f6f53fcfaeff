"""Whether a run is executed with the code and the configuration with which it was planned.

The process that plans a run (the code server, for a schedule, a backfill or the UI) and the one
that executes it may be on different machines. A tag of the op has a fingerprint of both. Dagster
keeps the op's tags of the planning process with the plan of the run, where the executing process
reads them.
"""

import json
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

import dagster as dg

from inventory_assets.config import Source, StoreBucket
from inventory_assets.defs.source.expected_failure import ExpectedFailure

FINGERPRINT_TAG = "inventory_assets/fingerprint"
"""The tag of an op with the fingerprint of the process that loaded its definition."""

_LEFT_OUT = {"external_id", "demo", "alerts", "prices", "lifecycle"}
"""What says nothing of a listing, may be a secret, or is the path of a file on one machine."""

_DIGITS = 10


def code_fingerprint(source: Source, store: Path | StoreBucket) -> str:
    """The version of this package, and a hash of the configuration of a source and of its store."""
    fields = source.model_dump(mode="json", exclude=_LEFT_OUT)
    place = None if isinstance(store, Path) else [store.bucket, store.prefix, store.endpoint_url]
    text = json.dumps([fields, place], sort_keys=True)
    return f"{version('inventory-assets')}+{sha256(text.encode()).hexdigest()[:_DIGITS]}"


def require_planned_code(
    context: dg.AssetExecutionContext, source_name: str, present: str | None
) -> None:
    """Check that this process has the code and configuration of the one that planned the run.

    Args:
        context: The context of the run.
        source_name: The name of the source.
        present: The fingerprint of this process; None to compare nothing.

    Raises:
        dagster.Failure: It has others.
    """
    planned = _planned_fingerprint(context)
    if present is None or planned is None or planned == present:
        return
    raise ExpectedFailure(
        f"this run was planned with inventory-assets {planned}, and this process has {present} "
        f"(the version, and a hash of the configuration of the source {source_name}); give all "
        "machines the same version and configuration, reload the code location, and execute the "
        "run again"
    )


def _planned_fingerprint(context: dg.AssetExecutionContext) -> str | None:
    snapshot_id = context.run.execution_plan_snapshot_id
    if snapshot_id is None:
        return None
    plan = context.instance.get_execution_plan_snapshot(snapshot_id)
    step_key = str(context.op_execution_context.op_handle)
    for step in plan.steps:
        if step.key == step_key:
            return (step.tags or {}).get(FINGERPRINT_TAG)
    return None
