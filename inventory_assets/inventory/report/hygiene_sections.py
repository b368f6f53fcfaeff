"""What the report shows of a hygiene report."""

from collections.abc import Sequence

from inventory_assets.inventory.hygiene.findings import HIDING_NOTHING, NONCURRENT, LargeObject
from inventory_assets.inventory.hygiene.prefix_counts import PrefixShare
from inventory_assets.inventory.hygiene.report import (
    DUPLICATES,
    SMALL,
    UNTOUCHED,
    UPLOADS,
    Finding,
    HygieneReport,
)
from inventory_assets.inventory.report.report_data import (
    FindingSection,
    Section,
    Table,
    Total,
)

_EXPLANATIONS = {
    NONCURRENT: "Versions that a newer one replaced. They are billed like current objects. A "
    "lifecycle rule with NoncurrentVersionExpiration deletes them.",
    HIDING_NOTHING: "Delete markers with no older version of their key beneath. They slow listings "
    "down. In a lifecycle rule, ExpiredObjectDeleteMarker removes those that are the latest, and "
    "NoncurrentVersionExpiration the others.",
    UPLOADS: "Uploads that were neither completed nor aborted. Their parts are billed, and no "
    "listing of objects shows them. A rule with AbortIncompleteMultipartUpload ends them.",
    DUPLICATES: "Objects with the same ETag and size as another one. Only whole-file ETags are "
    "compared; the bytes are those beyond the first of each.",
    SMALL: "They are billed as if they were larger. STANDARD may cost less.",
    UNTOUCHED: "A colder storage class may cost less, if they are rarely read.",
    "empty_segments": "Two slashes in a row. Tools that treat keys as paths drop one.",
    "dot_segments": "Tools that treat keys as paths resolve them, or refuse them.",
    "control_characters": "They break logs, terminals and XML.",
    "trailing_spaces_or_dots": "Windows drops the spaces and dots at the end of a name.",
    "invalid_in_windows": "They cannot be downloaded on Windows under this name.",
    "broken_hive_partitions": "Query engines cannot read a partition of them.",
    "unescaped_for_hive": "Query engines write these characters as escapes, and may not find them.",
}

_WASTE = (NONCURRENT, HIDING_NOTHING, UPLOADS)
"""Findings that can be deleted without losing a current object."""


def waste_of(report: HygieneReport) -> Total | None:
    """What could be deleted without losing a current object; None if nothing of it was counted."""
    found = [each for each in map(report.finding, _WASTE) if each]
    if not found:
        return None
    costs = [each.monthly_usd for each in found]
    known = [cost for cost in costs if cost is not None]
    return Total(
        sum(each.objects for each in found),
        sum(each.bytes or 0 for each in found),
        sum(known) if len(known) == len(costs) else None,
    )


def finding_sections(report: HygieneReport) -> list[FindingSection]:
    """The findings that occur, those that cost most first."""
    found = [each for each in report.findings if each.objects]
    found.sort(key=lambda each: (-(each.monthly_usd or 0), -(each.bytes or 0), each.title))
    return [_section(each) for each in found]


def object_sections(report: HygieneReport) -> list[Section]:
    """The largest objects, and the most crowded prefixes."""
    sections = []
    if report.largest:
        table = _largest_table(report.largest)
        sections.append(Section("The largest objects", tables={"The largest objects": table}))
    if report.crowded:
        text = "Objects directly in a prefix, not in a deeper one."
        table = _prefix_table(report.crowded)
        sections.append(
            Section("The most crowded prefixes", [text], {"The most crowded prefixes": table})
        )
    return sections


def _largest_table(largest: Sequence[LargeObject]) -> Table:
    rows: list[list[str | int]] = [[each.key, each.size, each.storage_class] for each in largest]
    if all(each.is_current for each in largest):
        return Table(["key", "bytes", "storage class"], rows)
    states = ["current" if each.is_current else "noncurrent" for each in largest]
    return Table(
        ["key", "bytes", "storage class", "version"],
        [[*row, state] for row, state in zip(rows, states, strict=True)],
    )


def _section(finding: Finding) -> FindingSection:
    explanation = _EXPLANATIONS[finding.name]
    if finding.unsized:
        explanation += f" The size of {finding.unsized:,} of them is not known."
    return FindingSection(
        title=finding.title,
        explanation=explanation,
        total=Total(finding.objects, finding.bytes or 0, finding.monthly_usd),
        worst=_prefix_table(finding.worst) if finding.worst else None,
        examples=finding.examples,
    )


def _prefix_table(shares: Sequence[PrefixShare]) -> Table:
    rows = [[share.prefix or "(no prefix)", share.objects, share.bytes] for share in shares]
    return Table(["prefix", "objects", "bytes"], rows)
