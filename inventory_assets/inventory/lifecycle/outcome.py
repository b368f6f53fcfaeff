"""What happens to one object, version or delete marker, and all that decides it, as values.

Days are counted from the first day of the simulation, which is 0; what is overdue happens on it.
"""

from dataclasses import dataclass
from enum import Enum, auto

from inventory_assets.inventory.lifecycle.effects import Action, ActionKind

_ENDS = frozenset({ActionKind.DELETE, ActionKind.NONCURRENT_DELETE, ActionKind.REMOVE_MARKER})


class State(Enum):
    """What a record is."""

    CURRENT = auto()
    NONCURRENT = auto()
    MARKER = auto()
    NONCURRENT_MARKER = auto()


@dataclass(frozen=True, slots=True)
class Subject:
    """All that decides what happens to a record.

    Attributes:
        state: What it is.
        rules: The indices of the rules whose filter it passes, ascending.
        storage_class: Its class.
        is_small: Whether it has less than `DEFAULT_MINIMUM_BYTES`.
        age: Days since the day of its creation; None if unknown.
        noncurrent_age: Days since the day on which it became noncurrent; None if unknown.
        newer: The number of newer noncurrent versions of its key, without delete markers.
        joined_on: The day on which the current version of its key becomes noncurrent; or None.
        alone_from: For a current delete marker, the first day on which it hides nothing, or None.
    """

    state: State
    rules: tuple[int, ...]
    storage_class: str = ""
    is_small: bool = False
    age: int | None = None
    noncurrent_age: int | None = None
    newer: int = 0
    joined_on: int | None = None
    alone_from: int | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """An action on a day."""

    day: int
    action: Action


@dataclass(frozen=True, slots=True)
class EarlyEnd:
    """A stay in a class that ends before its minimum duration.

    Attributes:
        day: The day on which it ends.
        storage_class: The class.
        missing_days: The days that are billed nevertheless.
    """

    day: int
    storage_class: str
    missing_days: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What happens to a record.

    Attributes:
        events: The actions, in order.
        early_ends: The stays that end early.
        disputes: Pairs of actions: one that happens, and one that does not because of it.
    """

    events: tuple[Event, ...]
    early_ends: tuple[EarlyEnd, ...]
    disputes: tuple[tuple[Action, Action], ...]

    @property
    def hidden_on(self) -> int | None:
        """The day on which a current object becomes noncurrent."""
        return next((e.day for e in self.events if e.action.kind is ActionKind.HIDE), None)

    @property
    def ended_on(self) -> int | None:
        """The day on which it is deleted."""
        return next((e.day for e in self.events if e.action.kind in _ENDS), None)

    def class_after(self, days: int | None, storage_class: str) -> str | None:
        """Its class after some days, or at rest; None if it is deleted by then.

        Args:
            days: The number of days; None for all.
            storage_class: Its class at first.
        """
        for event in self.events:
            if days is not None and event.day >= days:
                break
            if event.action.kind in _ENDS:
                return None
            storage_class = event.action.target or storage_class
        return storage_class
