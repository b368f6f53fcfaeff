"""Find what happens to one object, version or delete marker under some rules.

An object created on day `c` is due `days` later at the next midnight UTC, which is day
`c + days + 1`
(https://docs.aws.amazon.com/AmazonS3/latest/userguide/intro-lifecycle-rules.html). Days are counted
as in `outcome`.

On one day, permanent deletion precedes a move, and a move precedes a delete marker. Of several
moves the one to the class that S3 prefers happens; within a rule, the one to the coldest class that
is due (https://docs.aws.amazon.com/AmazonS3/latest/userguide/lifecycle-conflicts.html).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from inventory_assets.inventory.lifecycle.effects import Action, ActionKind
from inventory_assets.inventory.lifecycle.outcome import EarlyEnd, Event, Outcome, State, Subject
from inventory_assets.inventory.lifecycle.rules import (
    TARGET_CLASSES,
    WATERFALL,
    LifecycleRules,
    NoncurrentExpiration,
    NoncurrentTransition,
    Rule,
    can_move,
)

_PREFERENCE = {name: place for place, name in enumerate(TARGET_CLASSES)}
_COLDNESS = {name: place for place, name in enumerate(WATERFALL)}


@dataclass(frozen=True, slots=True, order=True)
class _Due:
    """An action that is due from a day on.

    Attributes:
        day: The day, 0 or later.
        days: The days of the rule, which decide between actions of the same day.
        rule: The index of the rule.
        target: The class that it moves to, or "".
    """

    day: int
    days: int
    rule: int
    target: str = ""


@dataclass(frozen=True, slots=True)
class Forecast:
    """Finds the outcomes of records.

    Attributes:
        rules: The rules of the bucket.
        at: The first day.
        has_versions: Whether expiration hides objects instead of deleting them.
        minimum_days: The minimum duration of each class, in days.
    """

    rules: LifecycleRules
    at: date
    has_versions: bool
    minimum_days: Mapping[str, int]

    def outcome(self, subject: Subject) -> Outcome:
        """What happens to a record under all rules that it passes, and what the rules dispute."""
        rules = [index for index in subject.rules if self._acts_on(subject.state, index)]
        events, holds = self._events(subject, rules)
        disputes: dict[tuple[Action, Action], None] = {}
        if len(rules) > 1:
            happened = set(events)
            for rule in rules:
                alone, _ = self._events(subject, (rule,))
                for wanted in alone:
                    if wanted in happened:
                        continue
                    winner = _winner([*events, *holds], wanted)
                    if winner is not None:
                        disputes[winner, wanted.action] = None
        return Outcome(tuple(events), self._early_ends(subject, events), tuple(disputes))

    def _acts_on(self, state: State, index: int) -> bool:
        """Whether a rule has actions for such records, now or when they are noncurrent."""
        rule = self._rule(index)
        if state is State.MARKER:
            return rule.expiration is not None
        is_noncurrent = bool(rule.noncurrent_transitions) or rule.noncurrent_expiration is not None
        if state is State.CURRENT:
            return is_noncurrent or bool(rule.transitions) or rule.expiration is not None
        return is_noncurrent

    def _events(self, subject: Subject, rules: Sequence[int]) -> tuple[list[Event], list[Event]]:
        """The actions under some rules, and moves that keep a record in its class."""
        match subject.state:
            case State.MARKER:
                return self._marker_events(subject, rules), []
            case State.CURRENT:
                return self._current_events(subject, rules)
        since = None if subject.noncurrent_age is None else -subject.noncurrent_age
        return self._noncurrent_events(
            subject, rules, subject.storage_class, since, subject.newer, subject.joined_on
        )

    def _marker_events(self, subject: Subject, rules: Sequence[int]) -> list[Event]:
        if subject.alone_from is None:
            return []
        ends = self._expirations(subject, rules, of_markers=True)
        days = [(max(end.day, subject.alone_from), end) for end in ends]
        if not days:
            return []
        day, end = min(days)
        return [Event(day, Action(end.rule, ActionKind.REMOVE_MARKER))]

    def _current_events(
        self, subject: Subject, rules: Sequence[int]
    ) -> tuple[list[Event], list[Event]]:
        moves = [
            _Due(day, move.days or 0, index, move.storage_class)
            for index in rules
            for move in self._rule(index).transitions
            if self._may_move(subject, index, move.storage_class)
            and (day := self._due(subject.age, move.days, move.date)) is not None
        ]
        end = min(self._expirations(subject, rules), default=None)
        events: list[Event] = []
        holds: list[Event] = []
        storage_class = subject.storage_class
        days = sorted({due.day for due in moves} | ({end.day} if end else set()))
        while days:
            day = days.pop(0)
            is_over = end is not None and end.day <= day
            if end and is_over and not self.has_versions:
                events.append(Event(day, Action(end.rule, ActionKind.DELETE)))
                break
            moved = _move(day, moves, storage_class, ActionKind.TRANSITION, events, holds)
            if moved:
                storage_class = moved
                if is_over and day + 1 not in days:
                    days.insert(0, day + 1)
            elif end and is_over:
                events.append(Event(day, Action(end.rule, ActionKind.HIDE)))
                later, later_holds = self._noncurrent_events(
                    subject, rules, storage_class, day, 0, None
                )
                return events + later, holds + later_holds
        return events, holds

    def _noncurrent_events(
        self,
        subject: Subject,
        rules: Sequence[int],
        storage_class: str,
        since: int | None,
        newer: int,
        joined_on: int | None,
    ) -> tuple[list[Event], list[Event]]:
        """The actions on a version that is noncurrent since a day."""
        if since is None:
            return [], []

        def due(action: NoncurrentTransition | NoncurrentExpiration) -> int | None:
            day = max(since + action.days + 1, 0)
            if newer >= action.newer:
                return day
            is_reached = joined_on is not None and newer + 1 >= action.newer
            return max(day, joined_on) if is_reached and joined_on is not None else None

        is_marker = subject.state is State.NONCURRENT_MARKER
        moves = [
            _Due(day, move.days, index, move.storage_class)
            for index in rules
            for move in self._rule(index).noncurrent_transitions
            if not is_marker
            and self._may_move(subject, index, move.storage_class)
            and (day := due(move)) is not None
        ]
        ends = [
            _Due(day, end.days, index)
            for index in rules
            if (end := self._rule(index).noncurrent_expiration) and (day := due(end)) is not None
        ]
        first = min(ends, default=None)
        events: list[Event] = []
        holds: list[Event] = []
        for day in sorted({each.day for each in moves} | ({first.day} if first else set())):
            if first and first.day <= day:
                events.append(Event(day, Action(first.rule, ActionKind.NONCURRENT_DELETE)))
                break
            kind = ActionKind.NONCURRENT_TRANSITION
            storage_class = _move(day, moves, storage_class, kind, events, holds) or storage_class
        return events, holds

    def _expirations(
        self, subject: Subject, rules: Sequence[int], *, of_markers: bool = False
    ) -> list[_Due]:
        found = []
        for index in rules:
            end = self._rule(index).expiration
            if end is None:
                continue
            if end.markers:
                days, day = 0, self._due(subject.age, 0, None) if of_markers else None
            else:
                days, day = end.days or 0, self._due(subject.age, end.days, end.date)
            if day is not None:
                found.append(_Due(day, days, index))
        return found

    def _due(self, age: int | None, days: int | None, on: date | None) -> int | None:
        """The day from which an action is due; None if it never is."""
        if on is not None:
            return max((on - self.at).days, 0 if age is None else 1 - age, 0)
        return None if days is None or age is None else max(days + 1 - age, 0)

    def _may_move(self, subject: Subject, index: int, target: str) -> bool:
        return (
            not subject.is_small
            or self._rule(index).filters_by_size
            or not self.rules.minimum_size.applies_to(target)
        )

    def _early_ends(self, subject: Subject, events: Sequence[Event]) -> tuple[EarlyEnd, ...]:
        # A listing does not say since when an object is in its class: assumed since its creation.
        entered = None if subject.age is None else -subject.age
        storage_class = subject.storage_class
        found = []
        for event in events:
            if event.action.kind in (ActionKind.HIDE, ActionKind.REMOVE_MARKER):
                continue
            minimum = self.minimum_days.get(storage_class, 0)
            if entered is not None and event.day - entered < minimum:
                missing = minimum - (event.day - entered)
                found.append(EarlyEnd(event.day, storage_class, missing))
            entered, storage_class = event.day, event.action.target
        return tuple(found)

    def _rule(self, index: int) -> Rule:
        return self.rules.rules[index]


def _move(
    day: int,
    moves: Sequence[_Due],
    storage_class: str,
    kind: ActionKind,
    events: list[Event],
    holds: list[Event],
) -> str | None:
    """Move a record on a day, if a rule does; return its new class."""
    coldest: dict[int, _Due] = {}
    for due in moves:
        known = coldest.get(due.rule)
        if due.day <= day and (known is None or _COLDNESS[due.target] > _COLDNESS[known.target]):
            coldest[due.rule] = due
    possible = [
        due
        for due in coldest.values()
        if due.target == storage_class or can_move(storage_class, due.target)
    ]
    if not possible:
        return None
    best = min(possible, key=lambda due: (_PREFERENCE[due.target], due))
    event = Event(day, Action(best.rule, kind, best.target))
    if best.target == storage_class:
        holds.append(event)
        return None
    events.append(event)
    return best.target


def _winner(events: Sequence[Event], wanted: Event) -> Action | None:
    """The action because of which another one does not happen on its day.

    None if the rules agree: the same happens, on the same day.
    """
    before = [
        event
        for event in events
        if event.day <= wanted.day and event.action.rule != wanted.action.rule
    ]
    if not before:
        return None
    last = max(before, key=lambda event: event.day)
    is_same = (last.action.kind, last.action.target) == (wanted.action.kind, wanted.action.target)
    return None if is_same and last.day == wanted.day else last.action
