"""Which dates of a source are kept (docs/retention.md)."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, timedelta


@dataclass(frozen=True, slots=True)
class Retention:
    """How long dates are kept; without both bounds, for ever.

    Attributes:
        keep_days: The number of days, including today, whose inventories are kept.
        keep_last: The number of newest complete inventories that are kept, with all dates since.
            With `keep_days` alone, the newest one is kept, as it is the baseline of the next date.
    """

    keep_days: int | None = None
    keep_last: int | None = None

    def __bool__(self) -> bool:
        """Whether any date is ever removed."""
        return self.keep_days is not None or self.keep_last is not None

    def first_kept(self, today: date, complete: Collection[date]) -> date:
        """The date from which on all dates are kept.

        Args:
            today: The date in the time zone of the source.
            complete: The dates with a complete inventory.
        """
        newest = sorted(complete, reverse=True)[: self.keep_last or 1]
        if not self or len(newest) < (self.keep_last or 0):
            return date.min
        bounds = newest[-1:]
        if self.keep_days is not None:
            bounds.append(today - timedelta(days=self.keep_days - 1))
        return min(bounds)


@dataclass(frozen=True, slots=True)
class DateState:
    """The state of a date.

    Attributes:
        is_complete: Whether its manifest was published completely.
        is_in_progress: Whether a record is so recent that a run may still work on the date.
    """

    is_complete: bool
    is_in_progress: bool


def dates_kept(retention: Retention, today: date, states: Mapping[date, DateState]) -> set[date]:
    """The dates to keep: those within the bounds, those in progress, and the baselines of these."""
    complete = [day for day, state in states.items() if state.is_complete]
    first = retention.first_kept(today, complete)
    kept = {day for day, state in states.items() if day >= first or state.is_in_progress}
    in_progress = [d for d in kept if states[d].is_in_progress or not states[d].is_complete]
    for day in in_progress:
        kept.update(sorted(each for each in complete if each < day)[-1:])
    return kept
