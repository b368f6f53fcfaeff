"""A simulation as rows and sentences that people read."""

from collections.abc import Mapping, Sequence

from inventory_assets.errors import printable
from inventory_assets.inventory.lifecycle.effects import DAYS, LifecycleSimulation, OneTimeCost
from inventory_assets.units import human_bytes, human_usd

Row = Mapping[str, str | int]

RULE_COLUMNS = (
    "rule",
    "action",
    "first_day",
    "first_day_size",
    "in_30_days",
    "in_30_days_size",
    "at_rest",
    "at_rest_size",
)
PREFIX_COLUMNS = ("rule", "prefix", "objects", "size")
DISPUTE_COLUMNS = ("winner", "does", "loser", "would", "objects", "size", "example")


def rule_rows(simulation: LifecycleSimulation) -> list[Row]:
    """For each action of each rule, the objects of the first day, of `DAYS` days and at rest."""
    rows: list[Row] = []
    for effect in simulation.rules:
        name = printable(effect.rule.id)
        if not effect.actions:
            rows.append(_rule_row(name, effect.note or "nothing to do", 0, 0, 0, 0, 0, 0))
        for action in effect.actions:
            first, month, rest = action.daily[0], action.in_days, action.at_rest
            numbers = (
                *(first.objects, first.bytes),
                *(month.objects, month.bytes),
                *(rest.objects, rest.bytes),
            )
            rows.append(_rule_row(name, action.title, *numbers))
    return rows


def _rule_row(rule: str, action: str, *numbers: int) -> Row:
    cells = [human_bytes(each) if place % 2 else each for place, each in enumerate(numbers)]
    return dict(zip(RULE_COLUMNS, (rule, action, *cells), strict=True))


def prefix_rows(simulation: LifecycleSimulation, shown: int) -> list[Row]:
    """The prefixes with the most bytes on which rules act."""
    found = sorted(
        ((effect.rule.id, each) for effect in simulation.rules for each in effect.prefixes),
        key=lambda pair: (-pair[1].bytes, -pair[1].objects, pair),
    )
    return [
        {
            "rule": printable(rule),
            "prefix": printable(each.prefix),
            "objects": each.objects,
            "size": human_bytes(each.bytes),
        }
        for rule, each in found[:shown]
    ]


def dispute_rows(simulation: LifecycleSimulation, shown: int) -> list[Row]:
    """The largest disputes of two rules, with the rule that S3 follows first."""
    return [
        {
            "winner": printable(each.winner),
            "does": each.winning,
            "loser": printable(each.loser),
            "would": each.losing,
            "objects": each.objects,
            "size": human_bytes(each.bytes),
            "example": printable(each.examples[0]) if each.examples else "",
        }
        for each in simulation.disputes[:shown]
    ]


def sentences(simulation: LifecycleSimulation) -> list[str]:
    """What was simulated, what it costs before and after, and what is not simulated."""
    money = simulation.money
    what = "versions and delete markers" if simulation.has_versions else "objects"
    lines = [
        (
            f"{simulation.records.objects:,} {what} ({human_bytes(simulation.records.bytes)}), "
            f"from {simulation.at} on; the first day has all that is overdue"
        ),
        (
            f"storage for a month: {human_usd(money.before_usd)} now, {human_usd(money.after_usd)} "
            f"after {DAYS} days, {human_usd(money.at_rest_usd)} at rest ({money.label})"
        ),
        f"once, within {DAYS} days: {_once(money.in_days)}; in all: {_once(money.in_all)}",
    ]
    if money.unknown_classes:
        names = ", ".join(printable(name) or "(none)" for name in money.unknown_classes)
        lines.append(f"the price table does not know the storage class {names}")
    if simulation.undated:
        lines.append(
            f"{simulation.undated:,} records have no time, so rules in days leave them as they are"
        )
    lines += [
        f"rule {printable(effect.rule.id)}: {effect.note}"
        for effect in simulation.rules
        if effect.note
    ]
    return lines


def _once(cost: OneTimeCost) -> str:
    requests = sum(count for _, count in cost.transitions)
    return (
        f"{human_usd(cost.transition_usd)} for {requests:,} transitions and "
        f"{human_usd(cost.early_deletion_usd)} for minimum durations"
    )


def plain(simulation: LifecycleSimulation) -> Mapping[str, object]:
    """The whole simulation as a document of JSON."""
    from pydantic import TypeAdapter

    document: Mapping[str, object] = TypeAdapter(LifecycleSimulation).dump_python(
        simulation, mode="json"
    )
    return document


def table_of(rows: Sequence[Row], columns: Sequence[str]) -> Mapping[str, list[str | int]]:
    """Rows as columns."""
    return {name: [row[name] for row in rows] for name in columns}
