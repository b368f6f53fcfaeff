"""What is wrong with a source at present: failed runs, and late, held and odd dates."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import chain, islice
from typing import Any

import dagster as dg

from inventory_assets.alerts.situation import Kind, Situation, bounded
from inventory_assets.config import Schedule
from inventory_assets.config.cron import last_tick
from inventory_assets.defs.source.context import SourceAssets, SourceContext
from inventory_assets.defs.source.manifest_checks import HELD_TAG
from inventory_assets.defs.source.partitioned_asset import DATES_TAG, SHARDS_TAG
from inventory_assets.defs.source.partitions import PARTITION_TAGS
from inventory_assets.errors import InventoryError
from inventory_assets.inventory.changes.change_log import read_change_log
from inventory_assets.inventory.changes.sorted_diff import Change
from inventory_assets.inventory.gate.held_date import held_dates
from inventory_assets.inventory.gate.unfinished_release import unfinished_releases
from inventory_assets.inventory.growth.dated_sizes import sizes_before, sizes_of
from inventory_assets.inventory.growth.mass_changes import mass_changes
from inventory_assets.inventory.growth.stopped_prefixes import stopped_prefixes
from inventory_assets.inventory.growth.sudden_changes import changed_prefixes, changed_whole
from inventory_assets.inventory.growth.wording import sentences
from inventory_assets.inventory.manifest.manifest_merge import (
    manifest_etag,
    newest_manifest,
    read_manifest,
)
from inventory_assets.inventory.usage.date_usage import read_usage

FOLLOWED = timedelta(days=7)
"""How long a failed run or a late date is followed; then it is forgotten without a message."""

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


@dataclass(frozen=True, slots=True)
class FailedRun:
    """The last failed run of the same work.

    Attributes:
        run_id: The run.
        failed_at: When it failed, as a Unix time.
        day: The date of its partitions; "" for none.
        is_of_listing: Whether a publication of the date ends it.
        manifest_etag: The ETag of the date's `inventory.json` when the failure was seen; None
            while the store could not be read.
        text: What happened.
    """

    run_id: str
    failed_at: float
    day: str
    is_of_listing: bool
    manifest_etag: str | None
    text: str


@dataclass(frozen=True, slots=True)
class Seen:
    """What a sensor keeps of the situations from tick to tick.

    Attributes:
        since: When the sensor looked first, by the source's clock; what was late before is not
            told.
        first_run: The same by the clock of Dagster's runs; what failed before is not told.
        runs_until: When the last run that was looked at ended.
        handled: When the runs ended that were looked at shortly before, by run.
        failed: The failed runs that no later run has made up for, by the key of their work.
        late: The late dates.
        late_until: Until when the schedule was looked at for late dates, by the source's clock.
        odd_of: The identity of the usage in which the oddities were found.
        odd: The oddities of the newest date.
    """

    since: float
    first_run: float
    runs_until: float
    handled: Mapping[str, float] = field(default_factory=dict)
    failed: Mapping[str, FailedRun] = field(default_factory=dict)
    late: tuple[str, ...] = ()
    late_until: float = 0.0
    odd_of: str = ""
    odd: tuple[Situation, ...] = ()


@dataclass(frozen=True, slots=True)
class Look:
    """A look at a source.

    Attributes:
        now: What is wrong.
        ended: Sentences about the end of situations, by key.
        seen: What to keep for the next look.
    """

    now: tuple[Situation, ...]
    ended: Mapping[str, str]
    seen: Seen


def look_at_dates(
    work: SourceContext, seen: Seen, followed: Iterable[Situation], late_after: timedelta
) -> Look:
    """Look at held, late and odd dates.

    Args:
        work: The source.
        seen: What the look before kept.
        followed: The open situations before.
        late_after: How long after its schedule a date is late.

    Raises:
        InventoryError: The store cannot be read.
    """
    held = {each.key: each for each in _held(work)}
    ended = {
        each.key: _end_of_hold(work, date.fromisoformat(each.day))
        for each in followed
        if each.kind is Kind.HELD_DATE and each.key not in held
    }
    seen = _with_late(work, seen, late_after, {each.day for each in held.values()}, ended)
    seen = _with_odd(work, seen, ended)
    return Look((*held.values(), *_late(seen), *seen.odd), ended, seen)


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


# Held dates


def _held(work: SourceContext) -> Iterator[Situation]:
    for each in held_dates(work.store, work.layout):
        command = f'inventory release {work.source.name}@{each.day} --because "..."'
        way_out = f"list it again, or release it with {work.assets.release_job} or `{command}`"
        yield Situation(
            f"{Kind.HELD_DATE}|{each.day}",
            Kind.HELD_DATE,
            f"{each.day} is held and not published; {way_out}: {'; '.join(each.sentences)}",
            fingerprint="; ".join(each.sentences),
            day=str(each.day),
        )
    for unfinished in unfinished_releases(work.store, work.layout):
        day, release = unfinished.manifest.day, unfinished.manifest.release
        by = release.released_by if release else "somebody"
        # The same situation as before, until readers have the date.
        yield Situation(
            f"{Kind.HELD_DATE}|{day}",
            Kind.HELD_DATE,
            f"{by} released {day}, and it is not published yet; the sensor "
            f"{work.source.name}_releases finishes that: {'; '.join(unfinished.crossed)}",
            fingerprint="; ".join(unfinished.crossed),
            day=str(day),
        )


def _end_of_hold(work: SourceContext, day: date) -> str:
    manifest = read_manifest(work.store, work.layout, day)
    if manifest is None:
        return f"{day} is not held any more; it is not published either"
    if manifest.release is None:
        return f"{day} was listed again, and is published"
    release = manifest.release
    return f"{day} is published: {release.released_by} released it, because: {release.because}"


# Late dates


def _with_late(
    work: SourceContext,
    seen: Seen,
    late_after: timedelta,
    held: set[str],
    ended: dict[str, str],
) -> Seen:
    now = work.now()
    until = now - late_after
    # Ticks since the look before; there are several if the sensor did not run for days.
    since = max(seen.since, seen.late_until, (until - FOLLOWED).timestamp())
    days = dict.fromkeys([*seen.late, *_days_due(work.source.schedule, since, until)])
    late = []
    for day in days:
        manifest = read_manifest(work.store, work.layout, date.fromisoformat(day))
        if manifest is not None:
            ended[f"{Kind.LATE_DATE}|{day}"] = f"{day} is published now"
        elif day in held:
            ended[f"{Kind.LATE_DATE}|{day}"] = f"{day} is held now"
        elif work.assets.day_of(now) - date.fromisoformat(day) <= FOLLOWED:
            late.append(day)
    return replace(seen, late=tuple(late), late_until=until.timestamp())


def _days_due(schedule: Schedule, since: float, until: datetime) -> list[str]:
    """The days of the schedule's ticks in a time, in order."""
    found: list[str] = []
    while (tick := last_tick(schedule.cron, schedule.timezone, until)) is not None:
        if tick.timestamp() < since:
            break
        found.append(str(tick.date()))
        # Of several ticks of a day, one tells the day.
        until = tick.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(minutes=1)
    return found[::-1]


def _late(seen: Seen) -> Iterator[Situation]:
    for day in seen.late:
        yield Situation(
            f"{Kind.LATE_DATE}|{day}",
            Kind.LATE_DATE,
            f"{day} is not published yet, long after its schedule; look at the runs of "
            "object_listing and inventory_manifest for it, and at whether the schedule is on",
            day=day,
        )


# Odd dates


def _with_odd(work: SourceContext, seen: Seen, ended: dict[str, str]) -> Seen:
    newest = newest_manifest(work.store, work.layout, before=date.max)
    usage = read_usage(work.store, work.layout, newest.day) if newest else None
    log = read_change_log(work.store, work.layout, newest.day) if newest else None
    if newest is None or usage is None or usage.manifest_identity != newest.identity:
        return seen
    identity = f"{usage.identity} {log.identity if log else ''}"
    if identity == seen.odd_of:
        return seen
    bounds, now = work.assets.growth_bounds, sizes_of(work.store, usage)
    earlier = sizes_before(work.store, work.layout, newest.day)
    before = next(earlier, None)
    found: list[str] = []
    if before is not None:
        found += sentences(changed_whole(before, now, bounds))
        found += sentences(changed_prefixes(before, now, bounds))
        if dates := bounds.stopped_after_dates:
            found += sentences(stopped_prefixes(now, chain([before], earlier), dates) or [])
    if log is not None and log.baseline_day is not None:
        for change in (Change.MODIFIED, Change.DELETED):
            found += mass_changes(log, change, bounds)
    key = f"{Kind.ODD_DATE}|{newest.day}"
    odd: tuple[Situation, ...] = ()
    if found:
        odd = (Situation(key, Kind.ODD_DATE, "; ".join(found), day=str(newest.day)),)
    elif any(each.key == key for each in seen.odd):
        ended[key] = f"{newest.day} was published again, and nothing is odd"
    return replace(seen, odd_of=identity, odd=odd)


# Failed runs


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
