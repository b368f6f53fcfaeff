"""Publish parts from the drafts and the spool of a process that was killed."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa

from inventory_assets.inventory.parts.drafts import Draft, read_spool
from inventory_assets.inventory.parts.fingerprint import Fingerprint
from inventory_assets.inventory.parts.part import Part, read_records
from inventory_assets.inventory.parts.part_writer import PartWriter
from inventory_assets.inventory.parts.schema import to_records
from inventory_assets.inventory.storage.layout import Layout
from inventory_assets.inventory.storage.store import Store
from inventory_assets.scan.keyspace.key_range import KeyRange


@dataclass(frozen=True, slots=True)
class RangeInProgress:
    """A range whose records are in drafts and, after these, in a spool.

    Attributes:
        key_range: The range.
        drafts: Its drafts, in key order.
        batches: The number of its batches in the spool.
    """

    key_range: KeyRange
    drafts: tuple[Draft, ...]
    batches: int


def recover_drafts(
    store: Store,
    layout: Layout,
    folder: Path,
    in_progress: tuple[RangeInProgress, ...],
    spool: str,
    *,
    for_manifest: bool,
) -> Iterator[tuple[KeyRange, tuple[Part, ...]]]:
    """Publish the records of ranges in progress, except those in damaged files.

    Args:
        store: The store to publish parts to.
        layout: The keys and encodings of parts.
        folder: The folder of the drafts and the spool, which are not changed.
        in_progress: The ranges, from a checkpoint.
        spool: The name of the spool; "" without one.
        for_manifest: Whether a manifest will state fingerprints and MD5s of the parts.

    Yields:
        Ranges that are complete now, and the parts that hold their records.

    Raises:
        StoreError, OSError: A part cannot be published.
    """
    spooled = _read_spool(folder / spool) if spool else iter(())
    for each in in_progress:
        batches = [batch for _ in range(each.batches) if (batch := next(spooled, None))]
        with PartWriter(store, layout, with_fingerprint=False, with_md5=for_manifest) as writer:
            until = each.key_range.after
            for draft in each.drafts:
                if not writer.resume_draft(folder, draft):
                    break
                until = draft.last_key
            else:
                if len(batches) == each.batches:
                    for batch in batches:
                        writer.write(to_records(batch, layout.bucket))
                    until = each.key_range.until
            writer.finish_part()
            parts = writer.parts
        if for_manifest:
            parts = [_with_fingerprint(store, part) for part in parts]
        if parts:
            yield KeyRange(each.key_range.after, until), tuple(parts)


def _read_spool(path: Path) -> Iterator[pa.RecordBatch]:
    """Read the batches of a spool up to its end or the first error."""
    batches = read_spool(path)
    while True:
        try:
            yield next(batches)
        except (StopIteration, OSError, pa.ArrowException):
            return


def _with_fingerprint(store: Store, part: Part) -> Part:
    fingerprint = Fingerprint()
    every_key = KeyRange("", part.last_key)
    for records in read_records(store, [part], [every_key]):
        fingerprint.update(records)
    return replace(part, fingerprint=fingerprint.hexdigest())
