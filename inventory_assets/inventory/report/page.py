"""Render a report as one HTML page that loads nothing and runs no script."""

from collections.abc import Callable
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

from inventory_assets.errors import printable
from inventory_assets.inventory.report.line_chart import HEIGHT, WIDTH, line_chart
from inventory_assets.inventory.report.report_data import (
    DateTotal,
    ReportData,
    Total,
)
from inventory_assets.inventory.report.run_charts import CELL_HEIGHT
from inventory_assets.inventory.report.treemap import panels_of
from inventory_assets.units import human_bytes, human_share, human_usd

if TYPE_CHECKING:
    import jinja2

LARGEST_PREFIXES = 50
"""The rows of the table of the largest prefixes."""

NEWEST_DATES = 120
"""The rows of the table of dates, and the most dates whose points are marked in the charts."""

MAX_CHARACTERS = 200
"""The characters of a key or prefix that the page shows; it says how many more there are."""

_GROWTH_LABELS = (
    "shrank by 25 % or more",
    "shrank by 5 %",
    "shrank by 0.5 %",
    "as before",
    "grew by 0.5 %",
    "grew by 5 %",
    "grew by 25 % or more, or is new",
)

_PERIODS = {"since a week ago": timedelta(7), "since a month ago": timedelta(30)}

CLASS_COLOURS = 8
"""The colours for storage classes; further classes share the last."""


def render(data: ReportData) -> str:
    """The page, in UTF-8 without a byte-order mark."""
    by_bytes = sorted(
        (row for row in data.prefixes if row.prefix),
        key=lambda row: (-row.total.bytes, -row.total.objects, row.prefix),
    )
    colours = {row.storage_class: min(at, CLASS_COLOURS - 1) for at, row in enumerate(data.classes)}
    days = [(each.day, each.total) for each in data.history]
    return (
        _environment()
        .get_template("report.html")
        .render(
            data=data,
            largest=by_bytes[:LARGEST_PREFIXES],
            more=max(len(by_bytes) - LARGEST_PREFIXES, 0),
            panels=panels_of(data.prefixes),
            colours=colours,
            size_chart=line_chart([(day, total.bytes) for day, total in days]),
            count_chart=line_chart([(day, total.objects) for day, total in days]),
            plot=(WIDTH, HEIGHT),
            cell_height=CELL_HEIGHT,
            newest=data.history[: -NEWEST_DATES - 1 : -1],
            has_dots=len(data.history) <= NEWEST_DATES,
            comparisons=_comparisons(data),
            growth_labels=_GROWTH_LABELS,
        )
    )


@cache
def _environment() -> "jinja2.Environment":
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("inventory_assets.inventory.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: dict[str, Callable[..., Any]] = {
        "name": shown_name,
        "usd": human_usd,
        "share": human_share,
        "decimal": human_bytes,
        "binary": lambda count: human_bytes(count, binary=True),
        "usd_change": lambda change: f"+{human_usd(change)}" if change > 0 else human_usd(change),
        "weight": _weight,
    }
    environment.filters.update(filters)
    return environment


def _comparisons(data: ReportData) -> list[tuple[str, DateTotal]]:
    """Earlier dates to compare the totals with: the one before, and those a week and a month ago.

    A date that was not listed is replaced by the newest one before it.
    """
    earlier = data.history[:-1]
    if not earlier:
        return []
    found = [(f"since {earlier[-1].day}", earlier[-1])]
    for label, period in _PERIODS.items():
        until = data.day - period
        candidates = [each for each in earlier if each.day <= until]
        if candidates:
            found.append((label, candidates[-1]))
    return found


def shown_name(text: str) -> str:
    """A key or prefix as the page shows it: escaped control characters, and not too long."""
    if len(text) <= MAX_CHARACTERS:
        return printable(text)
    return f"{printable(text[:MAX_CHARACTERS])}… ({len(text) - MAX_CHARACTERS:,} more characters)"


def _weight(total: Total, whole: Total) -> float:
    """The share of bytes as a number from 0 to 1, which is shown as the depth of a colour."""
    return total.bytes / whole.bytes if whole.bytes else 0.0
