"""Make parts of what a process left that was killed."""

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
    """Keys whose records lie in drafts, and after them in a spool, in this order.

    Attributes:
        key_range: Which keys.
        drafts: Files that were not ended.
        batches: How many batches of the spool hold the rest.
    """

    key_range: KeyRange
    drafts: tuple[Draft, ...]
    batches: int


def recover_drafts(
    store: Store,
    layout: Layout,
    folder: Path,
    begun: tuple[RangeInProgress, ...],
    spool: str,
    *,
    for_manifest: bool,
) -> Iterator[tuple[KeyRange, tuple[Part, ...]]]:
    """Publish what is left of some keys; what is damaged is left out, and so listed again.

    Args:
        store: Where to.
        layout: Under which keys.
        folder: Where drafts and spool lie; they are left alone.
        begun: What there was.
        spool: The name of the spool; "" where there is none.
        for_manifest: Whether a manifest will state fingerprints and MD5s of the parts.

    Yields:
        Keys that are safe now, and the parts that hold their records.

    Raises:
        StoreError, OSError: A part cannot be published.
    """
    waiting = _read_spool(folder / spool) if spool else iter(())
    for each in begun:
        batches = [batch for _ in range(each.batches) if (batch := next(waiting, None))]
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
    """What can be read of a spool."""
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
