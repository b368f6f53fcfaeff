"""Which dates of a source are kept, and which go (docs/retention.md)."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, timedelta


@dataclass(frozen=True, slots=True)
class Retention:
    """How long dates are kept; without either bound, for ever.

    Attributes:
        keep_days: Days, today among them, whose inventories are kept.
        keep_last: How many of the newest complete inventories are kept, and all dates since; one,
            where only `keep_days` is given, because it is the baseline of the next.
    """

    keep_days: int | None = None
    keep_last: int | None = None

    def __bool__(self) -> bool:
        """Whether any date is ever to go."""
        return self.keep_days is not None or self.keep_last is not None

    def first_kept(self, today: date, complete: Collection[date]) -> date:
        """From which date on all are kept.

        Args:
            today: Where the source is.
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
    """How far a date has come.

    Attributes:
        is_complete: Whether its manifest was published whole.
        is_at_work: Whether something was recorded of it so lately that a run may be under way.
    """

    is_complete: bool
    is_at_work: bool


def dates_kept(retention: Retention, today: date, states: Mapping[date, DateState]) -> set[date]:
    """The dates that stay: those to be kept, those being made, and the baselines of these."""
    complete = [day for day, state in states.items() if state.is_complete]
    first = retention.first_kept(today, complete)
    kept = {day for day, state in states.items() if day >= first or state.is_at_work}
    in_the_making = [d for d in kept if states[d].is_at_work or not states[d].is_complete]
    for day in in_the_making:
        kept.update(sorted(each for each in complete if each < day)[-1:])
    return kept
