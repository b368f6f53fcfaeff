"""What rules would do, as plain values that a table, a page or JSON can show."""

from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from inventory_assets.inventory.lifecycle.rules import Rule

DAYS = 30
"""The number of days that are simulated one by one."""


class ActionKind(StrEnum):
    """What a rule does to an object, a version or a delete marker."""

    TRANSITION = "move"
    DELETE = "delete"
    HIDE = "hide by a delete marker"
    REMOVE_MARKER = "remove delete marker"
    NONCURRENT_TRANSITION = "move noncurrent"
    NONCURRENT_DELETE = "delete noncurrent"


@dataclass(frozen=True, slots=True)
class Action:
    """An action of a rule.

    Attributes:
        rule: The index of the rule in the document.
        kind: What it does.
        target: The class that it moves to, or "".
    """

    rule: int
    kind: ActionKind
    target: str = ""

    @property
    def title(self) -> str:
        """What it does, in words."""
        return f"{self.kind} to {self.target}" if self.target else str(self.kind)


@dataclass(frozen=True, slots=True)
class Tally:
    """A number of objects, and their bytes."""

    objects: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class ActionEffect:
    """What one action of a rule would do.

    Attributes:
        title: What it does, in words.
        kind: What it does.
        target: The class that it moves to, or "".
        daily: What it would do on each of the next `DAYS` days; the first has all that is overdue.
        at_rest: What it would do in all, until nothing is left to do to the objects of today.
    """

    title: str
    kind: ActionKind
    target: str
    daily: tuple[Tally, ...]
    at_rest: Tally

    @property
    def in_days(self) -> Tally:
        """What it would do within `DAYS` days."""
        return Tally(sum(t.objects for t in self.daily), sum(t.bytes for t in self.daily))


@dataclass(frozen=True, slots=True)
class PrefixEffect:
    """The objects under a prefix that a rule would act on, at rest."""

    prefix: str
    objects: int
    bytes: int


@dataclass(frozen=True, slots=True)
class RuleEffect:
    """What a rule would do.

    Attributes:
        rule: The rule.
        note: Why it is simulated in part or not at all; "" if it is simulated.
        matched: The objects, versions and delete markers that pass its filter.
        actions: What each of its actions would do, without those that do nothing.
        prefixes: The prefixes with the most bytes that it would act on.
        others: What it would act on in all other keys.
    """

    rule: Rule
    note: str
    matched: Tally
    actions: tuple[ActionEffect, ...]
    prefixes: tuple[PrefixEffect, ...]
    others: Tally


@dataclass(frozen=True, slots=True)
class Dispute:
    """Objects on which two rules do not agree.

    Attributes:
        winner: The ID of the rule that S3 follows.
        winning: What it does.
        loser: The ID of the rule whose action does not happen then.
        losing: That action.
        objects: The number of objects.
        bytes: Their bytes.
        examples: The first of their keys.
    """

    winner: str
    winning: str
    loser: str
    losing: str
    objects: int
    bytes: int
    examples: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OneTimeCost:
    """Estimated costs of carrying out the actions of a time, in USD; None where unknown.

    Attributes:
        transitions: Lifecycle transition requests, by the class moved to.
        transition_usd: Their price.
        early_deletion_usd: The rest of the minimum durations of what is moved or deleted earlier.
    """

    transitions: tuple[tuple[str, int], ...]
    transition_usd: float | None
    early_deletion_usd: float | None

    @property
    def usd(self) -> float | None:
        """The sum."""
        if self.transition_usd is None or self.early_deletion_usd is None:
            return None
        return self.transition_usd + self.early_deletion_usd


@dataclass(frozen=True, slots=True)
class Money:
    """Estimated costs; None where the prices of a class are unknown.

    Attributes:
        label: That they are estimated, and by which prices.
        before_usd: Storage for a month as it is.
        after_usd: Storage for a month after `DAYS` days.
        at_rest_usd: Storage for a month when nothing is left to do to the objects of today.
        in_days: What the actions of the next `DAYS` days cost once.
        in_all: What all actions cost once.
        unknown_classes: The classes without known prices.
    """

    label: str
    before_usd: float | None
    after_usd: float | None
    at_rest_usd: float | None
    in_days: OneTimeCost
    in_all: OneTimeCost
    unknown_classes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LifecycleSimulation:
    """What the rules of a bucket would do to the records of an inventory.

    Attributes:
        at: The first day; what is overdue happens on it.
        has_versions: Whether the records are those of all versions.
        records: The records simulated: objects, or versions and delete markers.
        undated: Records without a time, which rules in days leave as they are.
        rules: What each rule would do, in the order of the document.
        disputes: Where rules do not agree, those with the most bytes first.
        money: Estimated costs.
    """

    at: date
    has_versions: bool
    records: Tally
    undated: int
    rules: tuple[RuleEffect, ...]
    disputes: tuple[Dispute, ...]
    money: Money
