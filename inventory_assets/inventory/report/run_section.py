"""What the report shows of the run that listed a date."""

from collections.abc import Sequence

from inventory_assets.inventory.report.report_data import RunSection, Table
from inventory_assets.inventory.report.run_charts import heat_map, in_flight_chart
from inventory_assets.inventory.runs import rows
from inventory_assets.inventory.runs.date_run import DateRun
from inventory_assets.inventory.runs.regressions import Regression

SHOWN_BUCKETS = 60
"""The rows of the table of what was in flight: all that a timeline has."""


def run_section(run: DateRun, regressions: Sequence[Regression]) -> RunSection:
    """The pictures of a run, and the tables behind them."""
    figures = run.figures
    tables = {
        "Pages by depth of the prefix and latency": rows.heat_rows(figures),
        "Over time": rows.timeline_rows(figures)[:SHOWN_BUCKETS],
        "Where the time went": rows.time_rows(figures),
        "The slowest ranges": rows.slowest_rows(figures),
        "The shards that took longest": rows.shard_rows(run.shards),
    }
    return RunSection(
        sentence=run.cause.sentence,
        worse=[each.sentence for each in regressions],
        heat=heat_map(figures.cells),
        chart=in_flight_chart(figures.timeline),
        tables={caption: _table(found) for caption, found in tables.items() if found},
    )


def _table(found: list[rows.Row]) -> Table:
    return Table(list(found[0]), [list(row.values()) for row in found])
