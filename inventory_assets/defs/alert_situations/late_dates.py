"""Dates that are not published long after their schedule."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta

from inventory_assets.alerts.situation import Kind, Situation
from inventory_assets.config import Schedule
from inventory_assets.config.cron import last_tick
from inventory_assets.defs.alert_situations.seen import FOLLOWED, Seen
from inventory_assets.defs.source.context import SourceContext
from inventory_assets.inventory.manifest.manifest_merge import read_manifest


def with_late(
    work: SourceContext,
    seen: Seen,
    late_after: timedelta,
    held: set[str],
    ended: dict[str, str],
) -> Seen:
    """What was seen, with the dates that are late now.

    Args:
        work: The source.
        seen: What the look before kept.
        late_after: How long after its schedule a date is late.
        held: The dates that are held, which are not late.
        ended: Takes a sentence for each date that is not late any more, by its situation's key.

    Raises:
        InventoryError: The store cannot be read.
    """
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


def late_situations(seen: Seen) -> Iterator[Situation]:
    """The late dates that were seen."""
    for day in seen.late:
        yield Situation(
            f"{Kind.LATE_DATE}|{day}",
            Kind.LATE_DATE,
            f"{day} is not published yet, long after its schedule; look at the runs of "
            "object_listing and inventory_manifest for it, and at whether the schedule is on",
            day=day,
        )


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
