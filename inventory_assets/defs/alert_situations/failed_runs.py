"""Runs of a source that failed, until a later run makes up for them."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from functools import cache
from itertools import islice
from typing import Any

import dagster as dg

from inventory_assets.alerts.situation import Kind, Situation, bounded
from inventory_assets.defs.alert_situations.seen import FOLLOWED, FailedRun, Look, Seen
from inventory_assets.defs.source.context import SourceAssets, SourceContext
from inventory_assets.defs.source.manifest_checks import HELD_TAG
from inventory_assets.defs.source.partitioned_asset import DATES_TAG, SHARDS_TAG
from inventory_assets.defs.source.partitions import PARTITION_TAGS
from inventory_assets.errors import InventoryError
from inventory_assets.inventory.manifest.manifest_merge import manifest_etag

OVERLAP_SECONDS = 120.0
"""Runs are looked at again for so long, as machines' clocks differ, and commits take a moment."""

MAX_FAILED = 200
"""The failed runs that are followed, the newest, so that a cursor is bounded."""

_PAGE, _PAGES_PER_TICK = 500, 10
"""The runs of each kind that a tick asks for."""

RUNS_PER_TICK = 500
"""The runs that a tick looks at, the oldest first; further ones come in the next tick. A failed
one costs a look at its log."""

_LISTING_STEPS = frozenset({"shards", "object_listing", "object_changes", "inventory_manifest"})
"""What has succeeded in the end when a date is published."""


def look_at_runs(work: SourceContext, instance: dg.DagsterInstance, seen: Seen, now: float) -> Look:
    """Look at the runs that ended since the look before.

    Args:
        work: The source.
        instance: Dagster's instance.
        seen: What the look before kept.
        now: The Unix time by the clock of Dagster's runs.
    """
    ended: dict[str, str] = {}
    seen = _with_runs(work, instance, seen, now, ended)
    return Look(tuple(_failed(seen)), ended, seen)


def _with_runs(
    work: SourceContext,
    instance: dg.DagsterInstance,
    seen: Seen,
    now: float,
    ended: dict[str, str],
) -> Seen:
    failed, handled = dict(seen.failed), dict(seen.handled)
    etag_of = cache(lambda day: _manifest_etag(work, day))
    finished = (
        (record.dagster_run, record.update_timestamp.timestamp())
        for record in _finished_runs(work.assets, instance, seen)
    )
    new = ((run, at) for run, at in finished if run.run_id not in handled and at >= seen.first_run)
    for run, at in [*islice(new, RUNS_PER_TICK)]:
        handled[run.run_id] = at
        key = _key_of(run)
        if run.status is dg.DagsterRunStatus.SUCCESS:
            if failed.pop(key, None) is not None:
                ended[key] = "a later run of the same work succeeded"
        elif HELD_TAG not in run.tags and run.tags.get("dagster/will_retry") != "true":
            failed[key] = _failed_run(instance, run, at, etag_of)
    for key, each in list(failed.items()):
        if now - each.failed_at > FOLLOWED.total_seconds():
            del failed[key]
        elif each.is_of_listing and (etag := etag_of(each.day)) is not None:
            if each.manifest_etag is None:
                failed[key] = replace(each, manifest_etag=etag)
            elif each.manifest_etag != etag:
                del failed[key]
                ended[key] = f"{each.day} is published now"
    until = max(handled.values(), default=seen.runs_until)
    recent = {run_id: at for run_id, at in handled.items() if at >= until - OVERLAP_SECONDS}
    newest = sorted(failed.items(), key=lambda item: item[1].failed_at)[-MAX_FAILED:]
    return replace(seen, failed=dict(newest), runs_until=until, handled=recent)


def _finished_runs(
    assets: SourceAssets, instance: dg.DagsterInstance, seen: Seen
) -> list[dg.RunRecord]:
    """The runs of a source that ended since the look before, the oldest first."""
    name = assets.source.name
    selectors: Sequence[Mapping[str, Any]] = [
        {"tags": {DATES_TAG: name}},
        {"tags": {SHARDS_TAG: name}},
        {"job_name": assets.listing_job},
        {"job_name": assets.collection_job},
    ]
    found = {
        record.dagster_run.run_id: record
        for selector in selectors
        for record in _ended_after(instance, selector, seen.runs_until - OVERLAP_SECONDS)
    }
    return sorted(found.values(), key=lambda record: record.update_timestamp)


def _ended_after(
    instance: dg.DagsterInstance, selector: Mapping[str, Any], after: float
) -> Iterator[dg.RunRecord]:
    statuses = [dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.SUCCESS]
    start = datetime.fromtimestamp(after, UTC)
    for _ in range(_PAGES_PER_TICK):
        page = instance.get_run_records(
            dg.RunsFilter(statuses=statuses, updated_after=start, **selector),
            limit=_PAGE,
            order_by="update_timestamp",
            ascending=True,
        )
        yield from page
        if len(page) < _PAGE:
            return
        start = page[-1].update_timestamp


def _key_of(run: dg.DagsterRun) -> str:
    """The key of the work of a run: the same assets or job, for the same partitions."""
    assets = sorted(key.to_user_string() for key in run.asset_selection or ())
    partitions = [run.tags.get(tag, "") for tag in PARTITION_TAGS]
    work = "\n".join([*(assets or [run.job_name]), *partitions])
    return f"{Kind.FAILED_RUN}|{hashlib.sha256(work.encode()).hexdigest()[:16]}"


def _failed_run(
    instance: dg.DagsterInstance,
    run: dg.DagsterRun,
    at: float,
    etag_of: Callable[[str], str | None],
) -> FailedRun:
    names = sorted({key.path[-1] for key in run.asset_selection or ()}) or [run.job_name]
    partitions = [run.tags[tag] for tag in PARTITION_TAGS if run.tags.get(tag)]
    day = partitions[0][:10] if partitions else ""
    where = f" for {' to '.join(dict.fromkeys(partitions))}" if partitions else ""
    what = f"a run of {', '.join(names)}{where} failed"
    is_of_listing = bool(run.asset_selection) and _LISTING_STEPS.issuperset(names)
    why = _why_failed(instance, run.run_id)
    text = bounded(f"{what}: {why}" if why else what)
    return FailedRun(run.run_id, at, day, is_of_listing, etag_of(day), text)


def _why_failed(instance: dg.DagsterInstance, run_id: str) -> str:
    kinds = {dg.DagsterEventType.STEP_FAILURE, dg.DagsterEventType.RUN_FAILURE}
    for entry in instance.all_logs(run_id, of_type=kinds):
        event = entry.dagster_event
        if event is not None and event.is_step_failure:
            failure = event.step_failure_data
            if failure.user_failure_data and failure.user_failure_data.description:
                return failure.user_failure_data.description
            return failure.error_display_string.partition("\n")[0]
        if event is not None and event.message:
            return event.message
    return ""


def _manifest_etag(work: SourceContext, day: str) -> str | None:
    """The ETag of the manifest of a date; None where the store does not tell, or for no date."""
    try:
        return manifest_etag(work.store, work.layout, date.fromisoformat(day))
    except (ValueError, InventoryError, OSError):
        return None


def _failed(seen: Seen) -> Iterator[Situation]:
    for key, each in seen.failed.items():
        # The same failure again is no news, but the run is.
        yield Situation(
            key, Kind.FAILED_RUN, each.text, fingerprint=each.text, day=each.day, run_id=each.run_id
        )
