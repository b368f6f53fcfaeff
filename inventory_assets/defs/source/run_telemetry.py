"""The telemetry of a Dagster run that sends requests, where the `OTEL_*` variables ask for it."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from inventory_assets.defs.source.context import SourceContext
from inventory_assets.defs.source.partition_steps import partitions_of
from inventory_assets.telemetry.conventions import DAGSTER_RUN, DATES
from inventory_assets.telemetry.listing_telemetry import ListingTelemetry
from inventory_assets.telemetry.subject import Work
from inventory_assets.wiring.source_access import source_telemetry

TRACE_TAG = "inventory_assets/trace_id"
"""The tag of a run that names its trace."""

_DATES_TOLD = 31
"""Maximum dates of a run that its trace names."""


@contextmanager
def run_telemetry(
    context: dg.AssetExecutionContext, source: SourceContext, work: Work = Work.LISTING
) -> Iterator[ListingTelemetry]:
    """The telemetry of a run; a tag of the run has the id of its trace."""
    days = sorted({source.assets.partitions.split(each)[0] for each in partitions_of(context)})
    run = {
        DATES: [day.isoformat() for day in days[:_DATES_TOLD]],
        DAGSTER_RUN: context.run.run_id,
    }
    with source_telemetry(source.source.name, source.bucket, source.now(), run, work) as telemetry:
        if telemetry.trace_id:
            context.instance.add_run_tags(context.run.run_id, {TRACE_TAG: telemetry.trace_id})
        yield telemetry
