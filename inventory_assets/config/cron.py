"""Cron expressions of five fields, as crontab(5) describes them."""

import re
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

_MONTHS = {
    name: number
    for number, name in enumerate(
        ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"], 1
    )
}
_WEEKDAYS = {
    name: number for number, name in enumerate(["sun", "mon", "tue", "wed", "thu", "fri", "sat"])
}
_LAST_DAYS = dict.fromkeys(range(1, 13), 31) | {2: 29, 4: 30, 6: 30, 9: 30, 11: 30}

_ITEM = re.compile(r"(?:\*|([0-9a-z]+)(?:-([0-9a-z]+))?)(?:/([0-9]+))?")
"""`*`, a number or a name, or a range; each may have a step."""


def is_cron(expression: str) -> bool:
    """Whether a text is a cron expression that Dagster can run.

    The fields are minute, hour, day of month, month and day of week. Dagster also accepts syntax
    that other implementations of cron do not know, such as `L` for the last day of a month; this
    function does not. It accepts no expression whose days are in none of its months, such as the
    30th of February.
    """
    try:
        minute, hour, day, month, weekday = expression.lower().split()
        _values(minute, range(60), {})
        _values(hour, range(24), {})
        days = _values(day, range(1, 32), {})
        months = _values(month, range(1, 13), _MONTHS)
        _values(weekday, range(8), _WEEKDAYS)
    except ValueError:
        return False
    return min(days) <= max(_LAST_DAYS[month] for month in months)


def last_tick(expression: str, timezone: str, until: datetime) -> datetime | None:
    """The last time at or before another that an expression names.

    None if there was none within five years. Where clocks are put forward, a time that does not
    exist is told an hour later.

    Args:
        expression: A valid expression.
        timezone: The IANA time zone of its fields.
        until: The time.
    """
    zone = ZoneInfo(timezone)
    minute, hour, day, month, weekday = expression.lower().split()
    minutes = sorted(_values(minute, range(60), {}), reverse=True)
    hours = sorted(_values(hour, range(24), {}), reverse=True)
    days, months = _values(day, range(1, 32), {}), _values(month, range(1, 13), _MONTHS)
    weekdays = {each % 7 for each in _values(weekday, range(8), _WEEKDAYS)}
    # If both fields are given, either is enough. As Dagster reads them, a field that names all days
    # is not given if the other one has a `*`.
    any_day = day in _EVERY or (len(days) == 31 and "*" in weekday)
    any_weekday = weekday in _EVERY or (len(weekdays) == 7 and "*" in day)
    is_either = not (any_day or any_weekday)

    def is_named(found: date) -> bool:
        on_day, on_weekday = found.day in days, found.isoweekday() % 7 in weekdays
        matches = on_day or on_weekday if is_either else on_day and on_weekday
        return found.month in months and matches

    last = until.astimezone(zone).date()
    for back in range(_DAYS_SEARCHED):
        found = last - timedelta(days=back)
        if is_named(found):
            for each in hours:
                for minute_of_hour in minutes:
                    tick = datetime.combine(found, time(each, minute_of_hour), zone)
                    if tick <= until:
                        return tick
    return None


_EVERY = frozenset({"*", "*/1"})
_DAYS_SEARCHED = 5 * 366


def _values(field: str, allowed: range, names: dict[str, int]) -> set[int]:
    """The numbers that a field selects.

    Raises:
        ValueError: The field is not valid, or selects a number that is not allowed.
    """
    values: set[int] = set()
    for item in field.split(","):
        match = _ITEM.fullmatch(item)
        if match is None:
            raise ValueError(f"{item!r} is no part of a cron expression")
        first, last, step = match.groups()
        low = allowed[0] if first is None else int(names.get(first, first))
        if last is not None:
            high = int(names.get(last, last))
        else:
            high = low if first is not None and step is None else allowed[-1]
        if not allowed[0] <= low <= high <= allowed[-1]:
            raise ValueError(f"{item!r} selects a number that is not allowed")
        values.update(range(low, high + 1, int(step or 1)))
    return values
