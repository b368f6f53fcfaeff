"""A sensor that starts a run of a job for each new Parquet file of a source."""

import dagster as dg

from inventory_assets import Layout, NewObjects, new_objects_sensor


@dg.op
def process(context: dg.OpExecutionContext, config: NewObjects) -> None:
    """What is done with a new object: its key is text that others have chosen."""
    for found in config.objects:
        context.log.info(f"{found.bucket}: {found.key!r}, {found.size:,} bytes")


@dg.job
def process_new_file() -> None:
    """Process one new file."""
    process()


new_files = new_objects_sensor(
    Layout("acme-logs", "logs"),
    target=process_new_file,
    op="process",
    per="object",
    prefix="tables/",
    pattern=r"\.parquet$",
)

defs = dg.Definitions(jobs=[process_new_file], sensors=[new_files])
