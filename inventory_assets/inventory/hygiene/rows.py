"""Findings as rows of text and numbers that people read; keys are escaped."""

from collections.abc import Iterator
from datetime import datetime

from inventory_assets.errors import printable
from inventory_assets.inventory.hygiene.findings import NONCURRENT
from inventory_assets.inventory.hygiene.prefix_counts import PrefixShare
from inventory_assets.inventory.hygiene.report import (
    DUPLICATES,
    SMALL,
    UNTOUCHED,
    UPLOADS,
    Finding,
    HygieneReport,
)
from inventory_assets.units import human_bytes, human_usd

ROWS = 20
"""Rows of a table at most."""

PLOTTED_BYTES = (NONCURRENT, UPLOADS, DUPLICATES, SMALL, UNTOUCHED)
"""The findings whose bytes are worth a plot: those that cost money."""

_WHOLE = "(all keys)"
_SHOWN_CHARACTERS = 120

Row = dict[str, str | int]


def finding_rows(report: HygieneReport) -> list[Row]:
    """A row for each finding, whether or not it was found."""
    return [
        {
            "finding": finding.title,
            "objects": finding.objects,
            "size": _size_of(finding),
            "usd_a_month": human_usd(finding.monthly_usd),
            "worst_prefix": "".join(_shown(share.prefix) for share in finding.worst[:1]),
            "example": "".join(_shown_key(key) for key in finding.examples[:1]),
        }
        for finding in report.findings
    ]


def prefix_rows(report: HygieneReport, rows: int = ROWS) -> list[Row]:
    """The worst prefixes of the findings: of each the worst first, as many as there is room."""
    found = [finding for finding in report.findings if finding.worst]
    each = max(1, rows // max(1, len(found)))
    return [
        {"finding": finding.title, **_share_row(share)}
        for finding in found
        for share in finding.worst[:each]
    ][:rows]


def crowded_rows(report: HygieneReport) -> list[Row]:
    """The most crowded prefixes."""
    return [_share_row(share) for share in report.crowded[:ROWS]]


def largest_rows(report: HygieneReport) -> list[Row]:
    """The largest objects."""
    return [
        {
            "key": _shown_key(each.key),
            "size": human_bytes(each.size),
            "storage_class": each.storage_class,
            "last_modified": _day(each.last_modified_date),
            "state": "current" if each.is_current else "noncurrent",
        }
        for each in report.largest[:ROWS]
    ]


def upload_rows(report: HygieneReport) -> list[Row]:
    """The oldest unfinished uploads."""
    return [
        {
            "key": _shown_key(each.key),
            "started": f"{each.initiated:%Y-%m-%d %H:%M}",
            "size": _size(each.bytes),
        }
        for each in (report.uploads.oldest if report.uploads else ())[:ROWS]
    ]


def note_lines(report: HygieneReport) -> Iterator[str]:
    """What else to know of a report, a line each."""
    if report.prices:
        yield f"cost: {report.prices}"
    if report.uploads:
        ages = ", ".join(
            f"{count:,} older than {days} day{'' if days == 1 else 's'}"
            for days, count in report.uploads.older_than_days
        )
        yield f"unfinished uploads: {ages}"
    if report.skew:
        yield (
            f"skew: {report.skew.crowded_share:.1%} of the objects are directly in the most "
            f"crowded prefix, {report.skew.largest_share:.1%} of the bytes in the "
            f"{len(report.largest)} largest objects; an object has "
            f"{human_bytes(round(report.skew.mean_size))} on average"
        )
    for each in report.left_out:
        yield f"left out: {printable(each)}"


def _day(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d}" if moment else ""


def _share_row(share: PrefixShare) -> Row:
    prefix, size = _shown(share.prefix), _size(share.bytes)
    return {"prefix": prefix, "objects": share.objects, "size": size}


def _size_of(finding: Finding) -> str:
    if finding.bytes is None or not finding.unsized:
        return _size(finding.bytes)
    return f"{human_bytes(finding.bytes)}, and {finding.unsized:,} of unknown size"


def _size(count: int | None) -> str:
    return "unknown" if count is None else human_bytes(count)


def _shown(prefix: str) -> str:
    return _shown_key(prefix) or _WHOLE


def _shown_key(key: str) -> str:
    text = printable(key)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"
