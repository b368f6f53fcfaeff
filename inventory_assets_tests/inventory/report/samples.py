"""Reports to render: an ordinary one, and one whose names are hostile."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta

from inventory_assets.inventory.report.report_data import (
    AgeTable,
    Check,
    ClassRow,
    DateTotal,
    FindingSection,
    PrefixRow,
    ReportData,
    Section,
    Table,
    Total,
)

DAY = date(2026, 11, 28)

HOSTILE_NAMES = [
    "<script>alert(1)</script>/",
    "<img src=x onerror=alert(1)>/",
    "javascript:alert(1)/",
    "\"'><b>bold</b>/",
    "\u202eevil/",
    "line\nbreak\x00\x1b[31m/",
    "{{ 7 * 7 }}{% raw %}/",
    "</style><style>*{display:none}/",
    "x" * 1023 + "/",
]


def total(objects: int, size: int) -> Total:
    return Total(objects, size, size / 2**30 * 0.023)


def prefix_rows(prefixes: Mapping[str, tuple[int, int, int | None]]) -> list[PrefixRow]:
    """Rows of prefixes, which must name their parents; each has objects, bytes and growth."""
    return [
        PrefixRow(
            prefix,
            total(objects, size),
            "GLACIER" if "archive" in prefix else "STANDARD",
            objects_change=None if growth is None else 3,
            bytes_change=growth,
        )
        for prefix, (objects, size, growth) in sorted(prefixes.items())
    ]


def report(prefixes: Mapping[str, tuple[int, int, int | None]], dates: int = 30) -> ReportData:
    rows = prefix_rows(prefixes)
    whole = rows[0].total
    history = [
        DateTotal(
            DAY - timedelta(dates - 1 - at),
            total(whole.objects - 40 * (dates - 1 - at), whole.bytes * (100 + at) // (99 + dates)),
            total(900, whole.bytes // 8),
        )
        for at in range(dates)
    ]
    return ReportData(
        source="logs",
        bucket="acme-logs",
        prefix="",
        day=DAY,
        listed_at=datetime(2026, 11, 28, 1, 12, tzinfo=UTC),
        identity="0b5e7f0d5f0c4d0f9f3a7c1f2b6d8e90",
        history=history,
        compared_with=DAY - timedelta(1),
        prefixes=rows,
        classes=[
            ClassRow("STANDARD", total(whole.objects * 3 // 4, whole.bytes * 5 // 8)),
            ClassRow("GLACIER", Total(whole.objects // 4, whole.bytes * 3 // 8, None)),
        ],
        ages=AgeTable(
            ages=["< 1 month", "1 to 12 months", "> 1 year"],
            sizes=["< 128 KiB", "< 1 MiB", "larger"],
            totals=[
                [total(10, whole.bytes // 9), total(0, 0), total(5, whole.bytes // 3)],
                [total(10, whole.bytes // 90), total(2, 12), total(5, whole.bytes // 5)],
                [total(10, whole.bytes // 900), total(0, 0), total(5, whole.bytes // 7)],
            ],
        ),
        findings=[
            FindingSection(
                "Noncurrent versions",
                "Versions that a newer one replaced. A lifecycle rule can delete them.",
                total(900, whole.bytes // 8),
                Table(
                    ["prefix", "objects", "bytes", "monthly_usd"],
                    [[row.prefix, 12, 12_000_000, None] for row in rows[1:6]],
                    more=7,
                ),
                [row.prefix + "example.txt" for row in rows[1:3]],
            )
        ],
        sections=[
            Section(
                "What changed",
                ["Compared with the day before."],
                {"Changes": Table(["change", "keys"], [["created", 40], ["deleted", 2]])},
            )
        ],
        checks=[
            Check("shards_cover_source", True, "every key belongs to exactly one shard"),
            Check("data_files_exist", False, "data/abc.parquet is missing"),
        ],
        verify_command="inventory verify logs@2026-11-28",
        prices="Prices of us-east-1 of 2026-11-01; estimated",
        notes=["Unfinished multipart uploads were not asked for."],
    )


def ordinary_report() -> ReportData:
    giga = 10**9
    return report({
        "": (120_400, 12_800 * giga, 60 * giga),
        "archive/": (20_000, 4_800 * giga, 0),
        "archive/2024/": (12_000, 2_900 * giga, 0),
        "archive/2025/": (8_000, 1_900 * giga, 0),
        "events/": (64_000, 5_200 * giga, 57 * giga),
        "events/2026/": (64_000, 5_200 * giga, 57 * giga),
        "events/2026/10/": (30_000, 2_600 * giga, -4 * giga),
        "events/2026/11/": (34_000, 2_600 * giga, 61 * giga),
        "images/": (30_000, 2_100 * giga, 3 * giga),
        "images/raw/": (10_000, 1_700 * giga, 3 * giga),
        "images/small/": (20_000, 400 * giga, None),
        "tmp/": (6_000, 650 * giga, -300 * giga),
    })  # fmt: skip


def hostile_report() -> ReportData:
    names: dict[str, tuple[int, int, int | None]] = {
        name: (10, 1000 * (at + 1), 10) for at, name in enumerate(HOSTILE_NAMES)
    }
    return report({"": (90, 45_000, None), **names}, dates=1)
