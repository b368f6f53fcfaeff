"""The dates for which a bucket can be listed now.

A listing shows the present content of a bucket. It may stand for today, or for yesterday if a run
began late, crossed midnight or retries a failed shard. Earlier content cannot be observed. A bucket
that keeps versions also shows its content at the end of earlier days, except for versions that were
permanently deleted since.
"""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from inventory_assets.inventory.errors import DateNotObservable
from inventory_assets.scan.validation.object_versions import Versions

OBSERVABLE_DAYS = 1
"""The number of days before today that a listing may still stand for."""


def require_observable(day: date, now: datetime, timezone: str) -> None:
    """Check that a listing made now may stand for `day`.

    Raises:
        DateNotObservable: `day` is too long ago, or in the future.
    """
    today = now.astimezone(ZoneInfo(timezone)).date()
    if day > today:
        raise DateNotObservable(
            f"{day} is in the future: it is {today} in {timezone}; choose {today}"
        )
    if day < today - timedelta(days=OBSERVABLE_DAYS):
        raise DateNotObservable(
            f"{day} cannot be listed any more: a listing shows the bucket as it is now, {today} "
            f"in {timezone}, and may stand for that day or the day before; choose one of these, or "
            "set versions = true where the bucket keeps versions"
        )


def versions_of(day: date, now: datetime, timezone: str) -> Versions:
    """The versions to list for `day`: those at its end, or all of them before it has ended.

    Raises:
        DateNotObservable: `day` is in the future.
    """
    today = now.astimezone(ZoneInfo(timezone)).date()
    if day >= today:
        require_observable(day, now, timezone)
        return Versions()
    return Versions(end_of(day, timezone))


def stand_for(listed: Versions | None, wanted: Versions | None, began_at: datetime) -> bool:
    """Whether a listing of a date has what is wanted for the date, which may end meanwhile.

    Args:
        listed: The versions that it lists; None for current objects.
        wanted: Those that are wanted.
        began_at: When it began: all versions of a time before its end stand for the date.
    """
    if listed is None or wanted is None or listed == wanted:
        return listed == wanted
    return wanted.as_of is None or (listed.as_of is None and began_at <= wanted.as_of)


def end_of(day: date, timezone: str) -> datetime:
    """The last millisecond of a day, in UTC; S3 reports times in milliseconds."""
    next_day = datetime.combine(day + timedelta(days=1), time(), ZoneInfo(timezone))
    return next_day.astimezone(UTC) - timedelta(milliseconds=1)
