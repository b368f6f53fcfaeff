"""Write sorted records to Parquet parts."""

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow as pa

from inventory_assets.inventory.parts.drafts import Draft, Drafts
from inventory_assets.inventory.parts.fingerprint import Fingerprint
from inventory_assets.inventory.parts.open_part import OpenPart
from inventory_assets.inventory.parts.parquet_encoding import ROW_GROUP_ROWS
from inventory_assets.inventory.parts.part import Part
from inventory_assets.inventory.storage.layout import Layout
from inventory_assets.inventory.storage.store import Store

PART_ROWS = 64 * ROW_GROUP_ROWS
"""Maximum records per part, about 150 MB on disk."""

PART_ROW_GROUPS = 64
"""Maximum row groups per part; the writer keeps their metadata until the file is closed."""


class PartWriter:
    """Writes ascending records to parts; a context manager that removes its scratch files.

    Args:
        store: The store to publish parts to, each as soon as it is complete.
        layout: The keys and encodings of parts.
        with_fingerprint: Whether to fingerprint batches that are written without a fingerprint.
        with_md5: Whether to compute the MD5 of files, for a manifest.
        drafts: Writes files with which another process can resume; None for scratch files.
    """

    def __init__(
        self,
        store: Store,
        layout: Layout,
        *,
        with_fingerprint: bool = True,
        with_md5: bool = True,
        drafts: Drafts | None = None,
    ) -> None:
        self.parts: list[Part] = []
        self._drafts = drafts
        self._with_fingerprint, self._with_md5 = with_fingerprint, with_md5
        self._fingerprint = Fingerprint()
        self._store = store
        self._layout = layout
        self._buffered: list[pa.RecordBatch] = []
        self._buffered_rows = 0
        self._open: OpenPart | None = None
        self._staged: list[tuple[OpenPart, str]] = []
        self._scratch = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.discard()

    @property
    def has_begun(self) -> bool:
        """Whether any part is published or has a file."""
        return bool(self.parts or self._staged) or self._open is not None

    @property
    def rows(self) -> int:
        """The number of records in the current part."""
        return self._buffered_rows + (self._open.rows if self._open else 0)

    def write(self, records: pa.RecordBatch, fingerprint: Fingerprint | None = None) -> None:
        """Append a batch of records, whose keys are greater than all before.

        Args:
            records: The batch, with `RECORD_SCHEMA` or `VERSION_RECORD_SCHEMA`.
            fingerprint: Of the batch, if the caller has computed it.

        Raises:
            StoreError, OSError: A row group is full and cannot be written.
        """
        if fingerprint is not None:
            self._fingerprint.join(fingerprint)
        elif self._with_fingerprint:
            self._fingerprint.update(records)
        self._buffered.append(records)
        self._buffered_rows += records.num_rows
        if self._buffered_rows >= ROW_GROUP_ROWS:
            self.end_row_group()

    def end_row_group(self) -> None:
        """Write the buffered batches as a row group."""
        if not self._buffered_rows:
            return
        batches, self._buffered, self._buffered_rows = self._buffered, [], 0
        if self._open is None:
            self._open = self._new()
        self._open.append(batches[0] if len(batches) == 1 else pa.concat_batches(batches))
        if self._open.rows >= PART_ROWS or self._open.row_groups >= PART_ROW_GROUPS:
            self.finish_part()

    def _new(self) -> OpenPart:
        encodings = self._layout.encodings
        if self._drafts is not None:
            return OpenPart(self._drafts.new(), self._drafts, encodings, with_md5=self._with_md5)
        path = self._scratch.enter_context(self._store.scratch()) / "part.parquet"
        return OpenPart(path, None, encodings, with_md5=self._with_md5)

    def resume_draft(self, folder: Path, draft: Draft) -> bool:
        """Finish the current part, and begin another with a copy of a draft.

        Args:
            folder: The folder of the draft, which is not changed.
            draft: Its complete row groups.

        Returns:
            Whether the draft is intact; if not, no part is begun.
        """
        self.finish_part()
        part = self._new()
        try:
            is_intact = part.resume(folder, draft)
        except OSError:  # the draft is missing, or cannot be read
            is_intact = False
        if is_intact:
            self._open = part
        else:
            part.discard()
        return is_intact

    @property
    def unpublished_drafts(self) -> list[Draft]:
        """The drafts of unpublished parts, in key order."""
        found = [part.draft for part, _ in self._staged]
        found += [self._open.draft] if self._open else []
        return [draft for draft in found if draft]

    def finish_part(self) -> None:
        """End the current part, and publish all staged parts."""
        self.stage_part()
        for part, fingerprint in self._staged:
            self.parts.append(part.publish(self._store, self._layout, fingerprint))
        self._staged = []
        self._scratch.close()

    def stage_part(self) -> None:
        """End the current part without publishing it yet."""
        self.end_row_group()
        if self._open is not None:
            self._open.close()
            fingerprint = self._fingerprint.hexdigest() if self._fingerprint.rows else ""
            self._staged.append((self._open, fingerprint))
            self._fingerprint, self._open = Fingerprint(), None

    def reuse(self, part: Part) -> None:
        """Discard all unpublished records in favour of a published part."""
        self.discard()
        self.parts.append(part)

    def discard(self) -> None:
        """Remove all unpublished records."""
        self._buffered, self._buffered_rows, self._fingerprint = [], 0, Fingerprint()
        for part, _ in self._staged:
            part.discard()
        self._staged = []
        if self._open is not None:
            self._open.discard()
            self._open = None
        self._scratch.close()
