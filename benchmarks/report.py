"""Measure the page of a report: `python -m benchmarks.report`.

The prefixes form a tree of three levels; each date of a year has totals. The time is that of
rendering values that are in memory, without reading tables.
"""

import argparse
import resource
from datetime import UTC, date, datetime, time, timedelta
from statistics import median

from inventory_assets.inventory.report.page import render
from inventory_assets.inventory.report.report_data import (
    ClassRow,
    DateTotal,
    PrefixRow,
    ReportData,
    Total,
)

DAY = date(2026, 11, 29)
DATES = 365
ROUNDS = 3
OBJECT_BYTES = 1_000_000


def report(prefixes: int) -> ReportData:
    """A report of about so many prefixes."""
    width = round(prefixes ** (1 / 3))
    objects = width**3
    whole = Total(objects, objects * OBJECT_BYTES, objects * 0.02)
    return ReportData(
        source="logs",
        bucket="acme-logs",
        prefix="",
        day=DAY,
        listed_at=datetime.combine(DAY, time(1), UTC),
        identity="0" * 32,
        history=[DateTotal(DAY - timedelta(DATES - 1 - at), whole) for at in range(DATES)],
        compared_with=DAY - timedelta(1),
        prefixes=[PrefixRow("", whole, "STANDARD", 0, 0), *rows_beneath("", width, 3)],
        classes=[ClassRow("STANDARD", whole)],
    )


def rows_beneath(above: str, width: int, levels: int) -> list[PrefixRow]:
    """The rows of some levels of prefixes, `width` in each prefix."""
    rows = []
    for number in range(width if levels else 0):
        prefix, objects = f"{above}team-{number:03}/", width ** (levels - 1)
        total = Total(objects, objects * OBJECT_BYTES, objects * 0.02)
        rows.append(PrefixRow(prefix, total, "STANDARD", number, number * OBJECT_BYTES))
        rows += rows_beneath(prefix, width, levels - 1)
    return rows


def cpu_seconds() -> float:
    """The CPU time of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Print a row for each number of prefixes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prefixes", type=int, nargs="+", default=[1_000, 100_000])
    options = parser.parse_args()
    render(report(8))  # compile the template
    print("| prefixes | page, kB | CPU-s |\n|--:|--:|--:|")
    for prefixes in options.prefixes:
        data, times = report(prefixes), []
        for _ in range(ROUNDS):
            before = cpu_seconds()
            page = render(data).encode()
            times.append(cpu_seconds() - before)
        print(f"| {len(data.prefixes):,} | {len(page) / 1000:,.0f} | {median(times):.2f} |")


if __name__ == "__main__":
    main()
