"""The findings of one part, computed once in one pass and kept beside it under its name.

The findings of a date are merged of those of its parts. The merge is exact, however the records are
divided into parts: totals are added, the largest objects and the first examples of all are among
those of the parts, and `prefix_counts` says why its sums are right.
"""

from collections.abc import Iterable, Iterator, Sequence

import pyarrow as pa

from inventory_assets.inventory.errors import CorruptRecord
from inventory_assets.inventory.hygiene.findings import PART_FINDINGS, PartFindings
from inventory_assets.inventory.hygiene.findings_builder import FindingsBuilder
from inventory_assets.inventory.parts.part import Part, open_files
from inventory_assets.inventory.storage.commit import publish
from inventory_assets.inventory.storage.layout import Layout
from inventory_assets.inventory.storage.store import Store

_COLUMNS = (
    "key",
    "size",
    "last_modified_date",
    "storage_class",
    "is_latest",
    "is_delete_marker",
)


def part_findings(
    store: Store, layout: Layout, part: Part, *, is_kept: bool = True
) -> PartFindings:
    """The findings of a part; they are computed only if no earlier run has kept them.

    Args:
        store: The store of the part.
        layout: The layout of the source.
        part: The part.
        is_kept: Whether to keep them once they are computed.

    Raises:
        CorruptRecord: The part is missing or damaged.
    """
    key = layout.part_findings(part.key)
    try:
        found = PART_FINDINGS.read(store, key)
    except CorruptRecord:
        found = None
    if found is None:
        found = compute_findings(part, row_groups(store, part))
        if is_kept:
            publish(store, PART_FINDINGS.file(key, found))
    return found


def row_groups(
    store: Store, part: Part, columns: Sequence[str] = _COLUMNS
) -> Iterator[pa.RecordBatch]:
    """Those of some columns that a part has, a batch for each row group."""
    with open_files(store, part, ["storage_class"]) as file:
        existing = [name for name in columns if name in file.schema_arrow.names]
        for group in range(file.num_row_groups):
            table = file.read_row_group(group, columns=existing, use_threads=False)
            yield from table.combine_chunks().to_batches()


def compute_findings(part: Part, batches: Iterable[pa.RecordBatch]) -> PartFindings:
    """Compute the findings of the records of a part.

    Args:
        part: The part.
        batches: Its records; all versions of a key are in one batch.
    """
    builder = FindingsBuilder(part.first_key)
    for batch in batches:
        builder.add(batch)
    return builder.finish()


def merge_findings(parts: Sequence[Part], findings: Iterable[PartFindings]) -> PartFindings:
    """Merge the findings of parts.

    Args:
        parts: The parts, in key order.
        findings: Their findings.
    """
    builder = FindingsBuilder(parts[0].first_key if parts else "")
    for part, each in zip(parts, findings, strict=True):
        builder.merge(each, part.last_key)
    return builder.finish()
