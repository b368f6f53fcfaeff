"""Metadata of a date's report for the UI: the first numbers of the page, and a picture."""

from collections.abc import Sequence
from datetime import date
from typing import Any
from urllib.parse import quote

import dagster as dg

from inventory_assets.inventory.report.report_data import ReportData
from inventory_assets.inventory.storage.layout import Layout
from inventory_assets.inventory.storage.store import Store
from inventory_assets.units import human_bytes, human_bytes_of, human_change, human_usd

PICTURE_POINTS = 48
"""The dates of a picture. It must have fewer than 1,000 characters: Dagster's UI shows
longer Markdown behind a button."""

_WIDTH, _HEIGHT, _TOP = 480, 80, 18


def report_metadata(store: Store, layout: Layout, data: ReportData, page: bytes) -> dict[str, Any]:
    """The metadata of a date's report.

    Args:
        store: The store of results.
        layout: The layout of the source.
        data: What the page shows.
        page: The published page.
    """
    return {
        "report": dg.MetadataValue.path(store.where(layout.report(data.day))),
        "page": human_bytes(len(page)),
        **_headlines(data),
        "bytes_over_dates": growth_picture([(each.day, each.total.bytes) for each in data.history]),
    }


def _headlines(data: ReportData) -> dict[str, Any]:
    """The first numbers of the page: exact ones, which the UI plots, and for people."""
    now = data.now
    headlines: dict[str, Any] = {
        "objects": now.total.objects,
        "bytes": now.total.bytes,
        "size": human_bytes(now.total.bytes),
        "cost_per_month": f"{human_usd(now.total.monthly_usd)} ({data.prices})",
    }
    if now.total.monthly_usd is not None:
        headlines["monthly_usd"] = now.total.monthly_usd
    if len(data.history) > 1:
        before = data.history[-2]
        change = now.total.bytes - before.total.bytes
        headlines["growth"] = f"{human_change(change)} since {before.day}"
        headlines["bytes_change"] = change
    if now.waste:
        headlines["waste"] = human_bytes_of(now.waste.bytes, now.total.bytes)
        headlines["waste_bytes"] = now.waste.bytes
    return headlines


def growth_picture(history: Sequence[tuple[date, int]]) -> dg.MarkdownMetadataValue:
    """A line of bytes over dates, as an image that the UI shows without a request.

    Args:
        history: At least one date with its bytes, ascending. Of more than `PICTURE_POINTS` dates,
            as many are drawn, at even distances, with the first and the last.
    """
    last = len(history) - 1
    count = min(len(history), PICTURE_POINTS)
    drawn = [history[last * at // (count - 1)] for at in range(count - 1)] + [history[-1]]
    (first_day, first), (day, size) = drawn[0], drawn[-1]
    text = f"{human_bytes(first)} on {first_day}, {human_bytes(size)} on {day}"
    image = quote(_svg(drawn), safe="/:=',;-")
    return dg.MetadataValue.md(f"![bytes over dates: {text}](data:image/svg+xml,{image})")


def _svg(drawn: Sequence[tuple[date, int]]) -> str:
    """A line above its axis, with the greatest size and the first and last date."""
    (first_day, _), (last_day, _) = drawn[0], drawn[-1]
    greatest, span = max(size for _, size in drawn), max((last_day - first_day).days, 1)
    points = ",".join(
        f"{_WIDTH * (day - first_day).days // span},"
        f"{_TOP + _HEIGHT - _HEIGHT * size // max(greatest, 1)}"
        for day, size in drawn
    )
    axis = _TOP + _HEIGHT
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' width='{_WIDTH}' height='{axis + 16}' "
        f"font-size='12' font-family='sans-serif' fill='gray'>"
        f"<text y='12'>{human_bytes(greatest)}</text><text y='{axis + 14}'>{first_day}</text>"
        f"<text x='{_WIDTH}' y='{axis + 14}' text-anchor='end'>{last_day}</text>"
        f"<path d='M0,{axis}H{_WIDTH}' stroke='gray'/>"
        f"<path d='M{points}' fill='none' stroke='slateblue' stroke-width='2'/></svg>"
    )
