"""Prefixes that grew on every date and do not any more: an upstream feed may have died."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from inventory_assets.inventory.growth.dated_sizes import DatedSizes, Sizes
from inventory_assets.inventory.growth.wording import label

_DATED_NAME = re.compile(r"(?:^|/)(?:[^/]*=)?\d[\d._:TZ-]*/")


@dataclass(frozen=True, slots=True)
class StoppedPrefix:
    """A prefix that grew on each of some dates, and not on the next.

    Attributes:
        prefix: The prefix; the whole inventory is "".
        objects: Its objects on the date.
        bytes: Their bytes.
        dates: The number of dates on which it grew.
        first_day: The first of them.
        last_day: The last of them.
        day: The date on which it did not.
    """

    prefix: str
    objects: int
    bytes: int
    dates: int
    first_day: date
    last_day: date
    day: date

    @property
    def text(self) -> str:
        """A sentence with the prefix and the dates."""
        return (
            f"{label(self.prefix)} grew on each of {self.dates} dates from {self.first_day} to "
            f"{self.last_day}, and not on {self.day}, when it holds {self.objects:,} objects"
        )


def ends_by_design(prefix: str) -> bool:
    """Whether a name in the prefix is a number or a date, such as `2026/11/` or `dt=2026-11-22/`.

    Such a prefix stops growing when its time is over.
    """
    return _DATED_NAME.search(prefix) is not None


def stopped_prefixes(
    now: DatedSizes, earlier: Iterator[DatedSizes], dates: int
) -> list[StoppedPrefix] | None:
    """The prefixes that stopped growing on a date, in byte order.

    A prefix grows if it has more objects or more bytes than on the date before. It must have a row
    on all the dates: without one, its size is unknown.

    Args:
        now: The date.
        earlier: The dates before, the newest first; no more are taken than needed.
        dates: On how many dates a prefix must have grown.

    Returns:
        None if there are too few dates to tell.
    """
    later = next(earlier, None)
    if later is None:
        return None
    last_day = first_day = later.day
    stopped = [
        prefix
        for prefix, held in now.sizes.items()
        if prefix in later.sizes
        and not _grew(later.sizes[prefix], held)
        and not ends_by_design(prefix)
    ]
    for _ in range(dates):
        if not stopped:
            return []
        before = next(earlier, None)
        if before is None:
            return None
        stopped = [
            prefix
            for prefix in stopped
            if prefix in before.sizes and _grew(before.sizes[prefix], later.sizes[prefix])
        ]
        first_day, later = later.day, before
    return [
        StoppedPrefix(prefix, *now.sizes[prefix], dates, first_day, last_day, now.day)
        for prefix in stopped
    ]


def _grew(before: Sizes, after: Sizes) -> bool:
    return after[0] > before[0] or after[1] > before[1]
