"""The job that releases a held date, and the sensor that tells Dagster of releases elsewhere."""

from collections.abc import Iterator
from datetime import date, datetime, timedelta

import dagster as dg
from pydantic import Field

from inventory_assets.defs.source.automation import FOLLOWED_WINDOW
from inventory_assets.defs.source.context import SourceAssets, SourceContext
from inventory_assets.defs.source.expected_failure import ExpectedFailure
from inventory_assets.defs.source.manifest_checks import ManifestChecks, log_manifest
from inventory_assets.defs.source.partition_steps import DATA_VERSION_TAG
from inventory_assets.defs.source.run_log import logged_to_run
from inventory_assets.errors import InventoryError
from inventory_assets.inventory.errors import CorruptRecord, NotHeld
from inventory_assets.inventory.gate.held_date import days_with_holds, read_held
from inventory_assets.inventory.gate.publication import release_date
from inventory_assets.inventory.gate.unfinished_release import unfinished_release
from inventory_assets.inventory.manifest.manifest import Manifest
from inventory_assets.inventory.manifest.manifest_merge import read_manifest

_RELEASE_TAKES = timedelta(minutes=2)
"""How old a release must be before its process is taken for killed."""

_FOLLOWED_FOR = timedelta(days=7)
"""How long after a release the sensor requests runs for it."""

_SENSOR_TAG, _PARTITION_TAG = "dagster/sensor_name", "dagster/partition"

_UNENDED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]

_USER_TAGS = ("user", "dagster/user")
"""The tags in which deployments of Dagster name the user who launched a run."""


class ReleaseConfig(dg.Config):  # type: ignore[misc, unused-ignore]
    """The configuration of a release."""

    date: str = Field(description="The held date, as 2026-11-29.")
    because: str = Field(description="Why it may be published; it is kept in the manifest.")


def release_op_name(assets: SourceAssets) -> str:
    """The name of the job's op, which is its key in the run configuration."""
    return f"{assets.source.name}__release_date"


def build_release_job(assets: SourceAssets) -> dg.JobDefinition:
    """The job that publishes a held date; automation then runs what is downstream."""
    checks = ManifestChecks.of(assets)

    @dg.op(
        name=release_op_name(assets),
        required_resource_keys=assets.resource_keys,
        description=(
            f"Publish a held date of `{assets.source.name}` exactly as it was held, and record who "
            "released it, when and why."
        ),
    )
    def release(context: dg.OpExecutionContext, config: ReleaseConfig) -> None:
        work = assets.bind_run(context)
        by = next(
            (f"{context.run.tags[tag]} (Dagster)" for tag in _USER_TAGS if tag in context.run.tags),
            f"Dagster run {context.run.run_id}",
        )
        try:
            with logged_to_run(context.log):
                manifest = release_date(
                    work.store, work.layout, _day(config.date), by, config.because, work.now
                )
                log_manifest(context, checks, work, manifest)
        except (InventoryError, OSError) as error:
            raise ExpectedFailure(f"{error}") from None
        context.log.info(f"published {manifest.day}, which was held")

    @dg.job(
        name=assets.release_job,
        description=(
            f"Publish a date of `{assets.source.name}` that the gate holds (docs/gate.md), with "
            "the reason. What is downstream of inventory_manifest is then materialized as usual."
        ),
    )
    def release_held_date() -> None:
        release()

    return release_held_date


def build_release_sensor(assets: SourceAssets) -> dg.SensorDefinition:
    """The sensor that materializes the manifest of a date that was released outside of Dagster.

    Dagster does not know of what `inventory release` publishes, so automation would not run what is
    downstream. The requested run publishes nothing: it finds the released manifest. Where the
    process of a release was killed, the run finishes the release first.

    A run that failed is requested again in the next hour, until a week after the release.
    """
    key = assets.key("inventory_manifest")

    @dg.sensor(
        name=f"{assets.source.name}_releases",
        asset_selection=dg.AssetSelection.assets(key),
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=60,
        required_resource_keys=assets.resource_keys,
        description=f"Let Dagster know of dates of {assets.source.name} released elsewhere.",
    )
    def releases(
        context: dg.SensorEvaluationContext,
    ) -> Iterator[dg.RunRequest | dg.SkipReason]:
        work = assets.bind(context.resources, context.instance)
        now = work.now()
        due = [
            each
            for each in _awaiting_a_run(work, context, now)
            if _is_followed(each, now) and not _is_in_progress(context, each.day)
        ]
        for manifest in due:
            yield dg.RunRequest(
                # Once an hour for each release, however often the sensor sees it.
                run_key=f"{manifest.day}|{manifest.identity}|{_released_at(manifest)}|"
                f"{now:%Y-%m-%dT%H}",
                partition_key=str(manifest.day),
                asset_selection=[key],
            )
        if not due:
            yield dg.SkipReason("no date was released outside of Dagster")

    return releases


def _is_in_progress(context: dg.SensorEvaluationContext, day: date) -> bool:
    """Whether a run that this sensor requested for a date has not ended."""
    tags = {_SENSOR_TAG: context.sensor_name, _PARTITION_TAG: str(day)}
    unended = dg.RunsFilter(tags=tags, statuses=_UNENDED)
    return bool(context.instance.get_run_records(unended, limit=1))


def _is_followed(manifest: Manifest, now: datetime) -> bool:
    release = manifest.release
    return release is not None and now - release.released_at < _FOLLOWED_FOR


def _awaiting_a_run(
    work: SourceContext, context: dg.SensorEvaluationContext, now: datetime
) -> Iterator[Manifest]:
    """The released manifests that nobody is publishing any more, or that Dagster knows nothing of.

    What is downstream runs by itself for the newest dates alone; a release is finished for any.
    """
    first = work.assets.day_of(now) - FOLLOWED_WINDOW
    for day in days_with_holds(work.store, work.layout):
        try:
            unfinished = unfinished_release(work.store, work.layout, day)
            is_held = read_held(work.store, work.layout, day) is not None
        except CorruptRecord as error:  # the next run of the date judges it anew
            context.log.warning(str(error))
            continue
        if unfinished is not None:
            release = unfinished.manifest.release
            if release is not None and now - release.released_at >= _RELEASE_TAKES:
                yield unfinished.manifest
        elif day >= first and not is_held:  # while a newer one is held, nothing downstream runs
            manifest = read_manifest(work.store, work.layout, day)
            if manifest and manifest.release and _is_unknown(work, context.instance, manifest):
                yield manifest


def _is_unknown(work: SourceContext, instance: dg.DagsterInstance, manifest: Manifest) -> bool:
    """Whether the newest materialization of a date is that of another manifest."""
    partition = dg.AssetRecordsFilter(
        asset_key=work.assets.key("inventory_manifest"), asset_partitions=[str(manifest.day)]
    )
    records = instance.fetch_materializations(partition, limit=1).records
    materialization = records[0].asset_materialization if records else None
    version = (materialization.tags or {}).get(DATA_VERSION_TAG) if materialization else None
    return version != manifest.identity


def _released_at(manifest: Manifest) -> str:
    return manifest.release.released_at.isoformat() if manifest.release else ""


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise NotHeld(f"{text[:40]!r} is not a date; write it as 2026-11-29") from None
