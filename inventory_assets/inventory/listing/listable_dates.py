"""Which dates a listing can speak for.

A listing sees now. It stands for today, or for yesterday where a run began late, crossed midnight,
or is a failed shard's second try; what the bucket held before that cannot be observed any more.
A bucket that keeps versions tells what it held at the end of an earlier day, but for what has been
deleted for good since.
"""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from inventory_assets.inventory.errors import DateNotObservable
from inventory_assets.scan.validation.object_versions import Versions

OBSERVABLE_DAYS = 1
"""How many days back from today a listing may still stand for."""


def require_observable(day: date, now: datetime, timezone: str) -> None:
    """Check that a listing made now may stand for `day`.

    Raises:
        DateNotObservable: `day` is too long ago, or in the future.
    """
    today = now.astimezone(ZoneInfo(timezone)).date()
    if day > today:
        raise DateNotObservable(
            f"{day} has not come yet: it is {today} in {timezone}; choose {today}"
        )
    if day < today - timedelta(days=OBSERVABLE_DAYS):
        raise DateNotObservable(
            f"{day} cannot be observed any more: a listing sees the bucket as it is now, {today} "
            f"in {timezone}, and may stand for that day or the day before; choose one of these, or "
            "set versions = true where the bucket keeps versions"
        )


def versions_of(day: date, now: datetime, timezone: str) -> Versions:
    """Which versions to list now for `day`: those of its end, or all of them while it lasts.

    Raises:
        DateNotObservable: `day` is in the future.
    """
    today = now.astimezone(ZoneInfo(timezone)).date()
    if day >= today:
        require_observable(day, now, timezone)
        return Versions()
    return Versions(end_of(day, timezone))


def end_of(day: date, timezone: str) -> datetime:
    """The last millisecond of a day; S3 tells times no finer."""
    next_day = datetime.combine(day + timedelta(days=1), time(), ZoneInfo(timezone))
    return next_day.astimezone(UTC) - timedelta(milliseconds=1)
