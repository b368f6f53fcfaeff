"""The run record of a date: the runs of its shards, merged, and compared with earlier dates."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from itertools import islice

from inventory_assets.inventory.errors import CorruptRecord
from inventory_assets.inventory.manifest.manifest import Manifest, ShardEntry
from inventory_assets.inventory.runs.cause import (
    LimitingCause,
    limiting_cause,
    seconds_by_cause,
)
from inventory_assets.inventory.runs.figures import RunFigures
from inventory_assets.inventory.runs.merged_figures import merge_figures
from inventory_assets.inventory.runs.regressions import (
    COMPARED_RUNS,
    Regression,
    RunSummary,
    regression_of,
)
from inventory_assets.inventory.runs.shard_run import ShardRun, read_shard_run
from inventory_assets.inventory.storage.commit import publish
from inventory_assets.inventory.storage.layout import FileKind, Layout, day_of_partition, folder_of
from inventory_assets.inventory.storage.parallel_reads import read_each
from inventory_assets.inventory.storage.record_type import RecordType
from inventory_assets.inventory.storage.store import Store

FORMAT = 1
"""The format of the record; it rises when older code could misread it."""


@dataclass(frozen=True, slots=True)
class DateRun:
    """How the shards of a date were listed.

    Attributes:
        bucket: The bucket listed.
        source: The source's name.
        day: The date.
        manifest_identity: The identity of the manifest of the shards.
        started_at: When the first listing began.
        created_at: When the record was written.
        figures: The figures of all shards that have a run record.
        shards: A summary of each of them, by prefix.
        unknown: The number of shards whose listing has no run record.
        format: The number of the format of this record.
    """

    bucket: str
    source: str
    day: date
    manifest_identity: str
    started_at: datetime
    created_at: datetime
    figures: RunFigures
    shards: tuple[RunSummary, ...]
    unknown: int = 0
    format: int = FORMAT

    @property
    def cause(self) -> LimitingCause:
        """What limited the listing of the date."""
        return limiting_cause(self.figures)


DATE_RUN = RecordType(
    kind=FileKind.DATE_RUN,
    title="run record of a date",
    remedy="materialize inventory_manifest for {day} again",
    written_at="created_at",
    formats=(FORMAT,),
    model=DateRun,
    indent=None,
)


def publish_date_run(
    store: Store, layout: Layout, manifest: Manifest, now: datetime
) -> DateRun | None:
    """Publish the run record of a manifest's date; None where no shard has a run record.

    Raises:
        StoreError: It cannot be written.
    """

    def read(entry: ShardEntry) -> ShardRun | None:
        prefix, finished_at = entry.shard.prefix, entry.finished_at
        return read_shard_run(store, layout, manifest.day, prefix, finished_at)

    runs = [run for run in read_each(read, manifest.shards) if run]
    if not runs:
        return None
    record = DateRun(
        bucket=layout.bucket,
        source=layout.source,
        day=manifest.day,
        manifest_identity=manifest.identity,
        started_at=min(run.started_at for run in runs),
        created_at=now,
        figures=merge_figures(runs),
        shards=tuple(summary_of(run) for run in runs),
        unknown=len(manifest.shards) - len(runs),
    )
    publish(store, DATE_RUN.file(layout.date_run(manifest.day), record))
    return record


def summary_of(run: ShardRun) -> RunSummary:
    """What of a run is compared with later ones."""
    figures = run.figures
    return RunSummary(
        prefix=run.prefix,
        seconds=figures.seconds,
        rows=figures.rows,
        requests=figures.requests,
        errors=figures.errors,
        p95=None if figures.p95 is None else round(figures.p95, 4),
        cause=limiting_cause(figures).cause,
        by_cause=seconds_by_cause(figures),
    )


def read_date_run(store: Store, layout: Layout, day: date) -> DateRun | None:
    """The run record of a date; None where there is none that can be read."""
    try:
        run = DATE_RUN.read(store, layout.date_run(day))
    except CorruptRecord:
        return None
    return run if run and run.day == day else None


def run_of_manifest(store: Store, layout: Layout, manifest: Manifest) -> DateRun | None:
    """The run record of a manifest's listings; None where that of the date is of other ones.

    Either the date was listed again since, and is held or not merged yet, or the run record of the
    new listings could not be written.
    """
    run = read_date_run(store, layout, manifest.day)
    if run is None or run.manifest_identity != manifest.identity:
        return None
    # Equal content has an equal identity, whenever it was listed.
    finished_at = max(entry.finished_at for entry in manifest.shards)
    return run if run.created_at >= finished_at else None


def earlier_date_runs(store: Store, layout: Layout, day: date) -> Iterator[DateRun]:
    """The run records of earlier dates, the newest first."""
    folder = folder_of(folder_of(layout.date_run(day)))
    days = sorted(filter(None, map(day_of_partition, store.list_names(folder))), reverse=True)
    for each in days:
        if each < day and (run := read_date_run(store, layout, each)):
            yield run


def regressions_of(store: Store, layout: Layout, run: DateRun) -> list[Regression]:
    """The shards of a date whose runs were worse than their earlier ones, the longest first."""
    earlier: dict[str, list[RunSummary]] = {}
    for before in islice(earlier_date_runs(store, layout, run.day), COMPARED_RUNS):
        for each in before.shards:
            earlier.setdefault(each.prefix, []).append(each)
    return _regressions(run, earlier)


def _regressions(run: DateRun, earlier: Mapping[str, list[RunSummary]]) -> list[Regression]:
    longest = sorted(run.shards, key=lambda each: -each.seconds)
    found = (regression_of(each, earlier.get(each.prefix, ())) for each in longest)
    return [each for each in found if each]
