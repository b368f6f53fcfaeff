"""Which dates a listing can speak for.

A listing sees now. It stands for today, or for yesterday where a run began late, crossed midnight,
or is a failed shard's second try; what the bucket held before that cannot be observed any more.
"""

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from inventory_assets.inventory.errors import DateNotObservable

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
            f"in {timezone}, and may stand for that day or the day before; choose one of these"
        )
