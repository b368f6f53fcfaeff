"""Metadata of a lifecycle simulation for the UI: what each rule changes, and what that costs."""

from typing import Any

from inventory_assets.defs.source.metadata_tables import ROWS, table_of_rows
from inventory_assets.inventory.lifecycle import summary
from inventory_assets.inventory.lifecycle.effects import LifecycleSimulation


def lifecycle_metadata(simulation: LifecycleSimulation) -> dict[str, Any]:
    """The metadata of a lifecycle simulation."""
    money = simulation.money
    plotted = {
        "monthly_usd_now": money.before_usd,
        "monthly_usd_after_30_days": money.after_usd,
        "monthly_usd_at_rest": money.at_rest_usd,
        "once_usd_within_30_days": money.in_days.usd,
    }
    rules = summary.rule_rows(simulation)
    if len(rules) > ROWS:
        more = f"(and {len(rules) - ROWS + 1:,} more)"
        blank = dict.fromkeys(summary.RULE_COLUMNS, "")
        rules = [*rules[: ROWS - 1], {**blank, "rule": more}]
    return {
        **{name: usd for name, usd in plotted.items() if usd is not None},
        "summary": "; ".join(summary.sentences(simulation)),
        "rules": table_of_rows(rules),
        "prefixes": table_of_rows(summary.prefix_rows(simulation, ROWS)),
        "disputes": table_of_rows(summary.dispute_rows(simulation, ROWS)),
    }
