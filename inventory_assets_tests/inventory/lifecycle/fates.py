"""Lifecycle rules applied to one record, day by day, by the words of S3's user guide.

No arithmetic of days, and no memory of outcomes.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from inventory_assets.inventory.lifecycle.effects import ActionKind
from inventory_assets.inventory.lifecycle.rules import (
    TARGET_CLASSES,
    WATERFALL,
    LifecycleRules,
    NoncurrentTransition,
    Rule,
    Transition,
    can_move,
)
from inventory_assets.inventory.pricing.price_table import Prices

HORIZON = 130
"""Days; the tests' rules have done everything by then."""

Deed = tuple[int, ActionKind, str]
"""A rule, what it does, and the class that it moves to."""


@dataclass(frozen=True)
class Version:
    """A record."""

    key: str
    size: int
    created: datetime | None
    storage_class: str
    is_latest: bool = True
    is_marker: bool = False


@dataclass
class Fate:
    """What happened to a record: deeds by day, stays in classes, and what held it in its class."""

    deeds: list[tuple[int, Deed]] = field(default_factory=list)
    holds: list[tuple[int, Deed]] = field(default_factory=list)
    classes: dict[int, str | None] = field(default_factory=dict)
    missing_days: list[tuple[int, str, int]] = field(default_factory=list)
    became_noncurrent: date | None = None


class Fates:
    """Finds the fates of records.

    Args:
        rules: The rules.
        at: The first day.
        prices: The prices; every class of the records has some.
        has_versions: Whether the bucket keeps versions.
    """

    def __init__(
        self, rules: LifecycleRules, at: date, prices: Prices, *, has_versions: bool
    ) -> None:
        self.rules, self.at, self.prices, self.has_versions = rules, at, prices, has_versions

    # -- one record -------------------------------------------------------------------------------

    def current(self, version: Version, rules: Sequence[int]) -> Fate:
        fate = Fate()
        storage_class, entered = version.storage_class, self._born(version)
        for day in range(HORIZON):
            today = self.at + timedelta(day)
            fate.classes[day] = storage_class
            if fate.became_noncurrent:
                storage_class, entered = self._noncurrent_day(
                    version,
                    rules,
                    day,
                    fate.became_noncurrent,
                    0,
                    None,
                    fate,
                    storage_class,
                    entered,
                )
                if self.is_gone(fate):
                    break
                continue
            over = [r for r in rules if self._expires(version, r, today)]
            if over and not self.has_versions:
                self._leave(fate, day, storage_class, entered)
                fate.deeds.append((day, (self._first(version, over), ActionKind.DELETE, "")))
                break
            moved = self._move(version, rules, day, storage_class, fate)
            if moved:
                self._leave(fate, day, storage_class, entered)
                storage_class, entered = moved, today
            elif over:
                fate.deeds.append((day, (self._first(version, over), ActionKind.HIDE, "")))
                fate.became_noncurrent = today
        fate.classes.setdefault(HORIZON, None if self.is_gone(fate) else storage_class)
        return fate

    def noncurrent(
        self,
        version: Version,
        rules: Sequence[int],
        since: date | None,
        newer: int,
        joins: date | None,
    ) -> Fate:
        fate = Fate()
        storage_class, entered = version.storage_class, self._born(version)
        for day in range(HORIZON):
            fate.classes[day] = storage_class
            if since is not None:
                storage_class, entered = self._noncurrent_day(
                    version, rules, day, since, newer, joins, fate, storage_class, entered
                )
            if self.is_gone(fate):
                break
        fate.classes.setdefault(HORIZON, None if self.is_gone(fate) else storage_class)
        return fate

    def _noncurrent_day(
        self,
        version: Version,
        rules: Sequence[int],
        day: int,
        since: date,
        newer: int,
        joins: date | None,
        fate: Fate,
        storage_class: str,
        entered: date | None,
    ) -> tuple[str, date | None]:
        today = self.at + timedelta(day)
        count = newer + (joins is not None and joins <= today)

        def is_due(days: int, kept: int) -> bool:
            return since + timedelta(days + 1) <= today and count >= kept

        over = []
        for r in rules:
            rule = self.rules.rules[r]
            end = rule.noncurrent_expiration
            if end and self.matches(version, rule) and is_due(end.days, end.newer):
                over.append((end.days, r))
        if over:
            self._leave(fate, day, storage_class, entered)
            fate.deeds.append((day, (min(over)[1], ActionKind.NONCURRENT_DELETE, "")))
            return storage_class, entered
        targets: dict[int, str] = {}
        for r in rules:
            rule = self.rules.rules[r]
            due = [
                move.storage_class
                for move in rule.noncurrent_transitions
                if is_due(move.days, move.newer) and self._is_large(version, rule, move)
            ]
            if due and self.matches(version, rule) and not version.is_marker:
                targets[r] = max(due, key=WATERFALL.index)
        days = {
            (r, m.storage_class): m.days
            for r in rules
            for m in self.rules.rules[r].noncurrent_transitions
        }
        moved = self._choose(
            targets,
            day,
            storage_class,
            ActionKind.NONCURRENT_TRANSITION,
            fate,
            lambda r, name: (self._noncurrent_since(since, newer, joins, r, name), days[r, name]),
        )
        if moved:
            self._leave(fate, day, storage_class, entered)
            return moved, today
        return storage_class, entered

    def _noncurrent_since(
        self, since: date, newer: int, joins: date | None, r: int, name: str
    ) -> date:
        """The first day of the simulation on which a move is due."""
        (move,) = (m for m in self.rules.rules[r].noncurrent_transitions if m.storage_class == name)
        due = max(since + timedelta(move.days + 1), self.at)
        if newer < move.newer and joins:
            due = max(due, joins)
        return due

    def marker(self, version: Version, rules: Sequence[int], ends: Sequence[int | None]) -> Fate:
        fate = Fate()
        for day in range(HORIZON):
            if any(end is None or end >= day for end in ends):
                continue
            today = self.at + timedelta(day)
            over = [r for r in rules if self._expires(version, r, today)]
            if over:
                # On one day, the one that was due first counts; then that with fewer days.
                fate.deeds.append((day, (self._first(version, over), ActionKind.REMOVE_MARKER, "")))
                break
        return fate

    # -- rules ------------------------------------------------------------------------------------

    def matches(self, version: Version, rule: Rule) -> bool:
        if not rule.enabled or rule.tags or not version.key.startswith(rule.prefix):
            return False
        if version.is_marker:
            return rule.greater_than is None and rule.less_than is None
        return (rule.greater_than is None or version.size > rule.greater_than) and (
            rule.less_than is None or version.size < rule.less_than
        )

    def _is_large(
        self, version: Version, rule: Rule, move: Transition | NoncurrentTransition
    ) -> bool:
        return (
            version.size >= 131_072
            or rule.greater_than is not None
            or rule.less_than is not None
            or (
                self.rules.minimum_size == "varies_by_storage_class"
                and move.storage_class in ("GLACIER", "DEEP_ARCHIVE")
            )
        )

    def _expires(self, version: Version, r: int, today: date) -> bool:
        rule = self.rules.rules[r]
        if rule.expiration is None or not self.matches(version, rule):
            return False
        if rule.expiration.markers:
            return version.is_marker and self._is_old(version, 0, None, today)
        return self._is_old(version, rule.expiration.days, rule.expiration.date, today)

    def _is_old(self, version: Version, days: int | None, on: date | None, today: date) -> bool:
        created = version.created.date() if version.created else None
        if on is not None:
            return on <= today and (created is None or created < today)
        return created is not None and days is not None and (created + timedelta(days + 1) <= today)

    def _first(self, version: Version, over: Sequence[int]) -> int:
        """Of several expirations, the one that was due first; then that with fewer days."""

        def order(r: int) -> tuple[date, int, int]:
            rule = self.rules.rules[r]
            assert rule.expiration
            days = rule.expiration.days or 0
            today = self.at
            while not self._expires(version, r, today):
                today += timedelta(1)
            return today, days, r

        return min(over, key=order)

    def _move(
        self, version: Version, rules: Sequence[int], day: int, storage_class: str, fate: Fate
    ) -> str | None:
        today = self.at + timedelta(day)
        targets: dict[int, str] = {}
        for r in rules:
            rule = self.rules.rules[r]
            if not self.matches(version, rule):
                continue
            due = [
                move.storage_class
                for move in rule.transitions
                if self._is_old(version, move.days, move.date, today)
                and self._is_large(version, rule, move)
            ]
            if due:
                targets[r] = max(due, key=WATERFALL.index)

        def since(r: int, name: str) -> tuple[date, int]:
            (move,) = (m for m in self.rules.rules[r].transitions if m.storage_class == name)
            first = self.at
            while not self._is_old(version, move.days, move.date, first):
                first += timedelta(1)
            return first, move.days or 0

        return self._choose(targets, day, storage_class, ActionKind.TRANSITION, fate, since)

    @staticmethod
    def _choose(
        targets: Mapping[int, str],
        day: int,
        storage_class: str,
        kind: ActionKind,
        fate: Fate,
        since: Callable[[int, str], tuple[date, int]],
    ) -> str | None:
        """The class to move to, if any; of what is due on a day, S3's preferred one."""
        possible = [
            (TARGET_CLASSES.index(name), since(r, name), r, name)
            for r, name in targets.items()
            if name == storage_class or can_move(storage_class, name)
        ]
        if not possible:
            return None
        _, _, r, name = min(possible)
        if name == storage_class:
            fate.holds.append((day, (r, kind, name)))
            return None
        fate.deeds.append((day, (r, kind, name)))
        return name

    # -- stays ------------------------------------------------------------------------------------

    def _born(self, version: Version) -> date | None:
        return version.created.date() if version.created else None

    def _leave(self, fate: Fate, day: int, storage_class: str, entered: date | None) -> None:
        prices = self.prices.of_class(storage_class)
        assert prices
        if entered is not None:
            missing = prices.minimum_days - (self.at + timedelta(day) - entered).days
            if missing > 0:
                fate.missing_days.append((day, storage_class, missing))

    def is_gone(self, fate: Fate) -> bool:
        ends = (ActionKind.DELETE, ActionKind.NONCURRENT_DELETE, ActionKind.REMOVE_MARKER)
        return bool(fate.deeds) and fate.deeds[-1][1][1] in ends
