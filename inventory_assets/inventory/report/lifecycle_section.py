"""What the report shows of a lifecycle simulation."""

from inventory_assets.inventory.lifecycle import summary
from inventory_assets.inventory.lifecycle.effects import LifecycleSimulation
from inventory_assets.inventory.report.report_data import Section, Table

Row = list[str | int]

SHOWN = 20
"""The rows of each table."""


def lifecycle_section(simulation: LifecycleSimulation) -> Section:
    """What the rules would move and delete, what that costs and saves, and where they disagree."""
    rules: list[Row] = [
        [effect.rule.id, action.title, when, count.objects, count.bytes]
        for effect in simulation.rules
        for action in effect.actions
        for when, count in (("within 30 days", action.in_days), ("at rest", action.at_rest))
    ]
    prefixes: list[Row] = [
        [effect.rule.id, each.prefix, each.objects, each.bytes]
        for effect in simulation.rules
        for each in effect.prefixes
    ]
    prefixes.sort(key=lambda row: -int(row[3]))
    disputes: list[Row] = [
        [each.winner, each.winning, each.loser, each.losing, each.objects, each.bytes]
        for each in simulation.disputes
    ]
    tables = {
        "What the rules would do": _table(["rule", "action", "when", "objects", "bytes"], rules),
        "Where they would do it": _table(["rule", "prefix", "objects", "bytes"], prefixes),
        "Where two rules do not agree": _table(
            ["rule that S3 follows", "does", "other rule", "would", "objects", "bytes"], disputes
        ),
    }
    return Section(
        "What lifecycle rules would do",
        summary.sentences(simulation),
        {caption: table for caption, table in tables.items() if table.rows},
    )


def _table(columns: list[str], rows: list[Row]) -> Table:
    return Table(columns, rows[:SHOWN], more=max(len(rows) - SHOWN, 0))
