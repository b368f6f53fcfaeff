"""Metadata of a date's report for the UI: the first numbers of the page, and a picture."""

import base64
from collections.abc import Sequence
from datetime import date
from typing import Any

import dagster as dg

from inventory_assets.inventory.report.line_chart import HEIGHT, WIDTH, line_chart
from inventory_assets.inventory.report.report_data import ReportData
from inventory_assets.inventory.storage.layout import Layout
from inventory_assets.inventory.storage.store import Store
from inventory_assets.units import human_bytes, human_change, human_share, human_usd

PICTURE_POINTS = 200
"""The dates of a picture, which is stored with every date: fewer than 10 kB."""

_GREY, _LINE = "#808080", "#5b6ee1"  # readable on the light and the dark theme of the UI
_LEFT, _RIGHT, _TOP, _BELOW = 80, 10, 12, 26


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
        share = human_share(now.waste.bytes, now.total.bytes)
        headlines["waste"] = f"{human_bytes(now.waste.bytes)}, {share} of all bytes"
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
    drawn = [history[last * at // max(count - 1, 1)] for at in range(count - 1)] + [history[-1]]
    svg = base64.b64encode(_svg(drawn).encode()).decode()
    (first_day, first), (day, size) = drawn[0], drawn[-1]
    text = f"{human_bytes(first)} on {first_day}, {human_bytes(size)} on {day}"
    alternative = f"bytes over {len(history)} date{'s' * (last > 0)}: {text}"
    return dg.MetadataValue.md(f"![{alternative}](data:image/svg+xml;base64,{svg})")


def _svg(drawn: Sequence[tuple[date, int]]) -> str:
    chart = line_chart(drawn)
    width, height = _LEFT + WIDTH + _RIGHT, _TOP + HEIGHT + _BELOW
    lines = "".join(f"M0 {tick.at:.1f}H{WIDTH}" for tick in chart.ticks)
    sizes = "".join(
        f'<text x="-6" y="{tick.at + 4:.1f}" text-anchor="end">{human_bytes(tick.value)}</text>'
        for tick in chart.ticks
    )
    days = "".join(
        f'<text x="{mark.at:.1f}" y="{HEIGHT + 18}" text-anchor="{_anchor(mark.at)}">'
        f"{mark.day}</text>"
        for mark in chart.days
    )
    end, level = chart.dots[-1], chart.heights[-1]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="{-_LEFT} {-_TOP} {width} {height}" font-family="sans-serif" font-size="12" '
        f'fill="{_GREY}"><path d="{lines}" stroke="{_GREY}" stroke-opacity=".3"/>{sizes}{days}'
        f'<polyline points="{chart.points}" fill="none" stroke="{_LINE}" stroke-width="2"/>'
        f'<circle cx="{end.at:.1f}" cy="{level:.1f}" r="3" fill="{_LINE}"/></svg>'
    )


def _anchor(at: float) -> str:
    """How a label is placed, so that none is cut off at the ends."""
    return "start" if at <= 0 else "end" if at >= WIDTH else "middle"
