"""Write sorted records to Parquet parts."""

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from inventory_assets.inventory.parts.drafts import Draft, Drafts
from inventory_assets.inventory.parts.fingerprint import Fingerprint
from inventory_assets.inventory.parts.footers import MAGIC, Footers, footer_of
from inventory_assets.inventory.parts.hashing_file import HashingFile
from inventory_assets.inventory.parts.part import ClassTotal, Part
from inventory_assets.inventory.parts.schema import RECORD_SCHEMA, are_current, has_versions
from inventory_assets.inventory.storage.encodings import Encodings
from inventory_assets.inventory.storage.layout import Layout
from inventory_assets.inventory.storage.store import Store
from inventory_assets.inventory.storage.tombstones import unmarked_key

ROW_GROUP_ROWS = 65_536
"""Minimum records per full row group; a writer buffers one row group."""

PART_ROWS = 64 * ROW_GROUP_ROWS
"""Maximum records per part, about 150 MB on disk."""

PART_ROW_GROUPS = 64
"""Maximum row groups per part; the writer keeps their metadata until the file is closed."""

NO_STORAGE_CLASS = "UNKNOWN"
"""The storage class of objects without one, in totals."""

_COMPRESSION_LEVELS = {"last_modified_date": 3}
"""The columns that benefit from a higher level than 1."""

_COPIED_BYTES = 2**20
"""Bytes to copy from a draft at a time."""

_FEW_VALUES = ["bucket", "storage_class"]
"""Columns to pass to Parquet as dictionaries, which is cheaper than building them there."""

_PAGE_BYTES = 8 * 2**20
"""More than a column of a row group takes, so that it is one page."""

_BATCH_ROWS = 16_384
"""Values that Parquet encodes at a time; the default of 1,024 is 5 % slower."""

_COLUMN_ENCODING = {
    "key": "DELTA_BYTE_ARRAY",
    "size": "PLAIN",
    "last_modified_date": "PLAIN",
    "e_tag": "DELTA_LENGTH_BYTE_ARRAY",
}
"""Chosen by measurement (docs/benchmarks.md). Numbers are plain, as Spark before 4.3 supports no
smaller encoding of them, and fastparquet reads some of the others wrongly. Other columns have few
values and use dictionaries."""


_PLAIN_ENCODING = dict.fromkeys(_COLUMN_ENCODING, "PLAIN")


def parquet_writer(
    file: Any,
    schema: pa.Schema = RECORD_SCHEMA,
    encodings: Encodings = Encodings.COMPACT,
) -> pq.ParquetWriter:
    """A Parquet writer with settings for small, widely readable files (docs/benchmarks.md).

    Args:
        file: A path, or a file open for sequential writing.
        schema: The schema; columns named like those of a record, perhaps after `previous_`, have
            the settings of these.
        encodings: The encodings that may be used.
    """
    of_column = _PLAIN_ENCODING if encodings is Encodings.PLAIN else _COLUMN_ENCODING
    record_column = {name: name.removeprefix("previous_") for name in schema.names}
    encoding = {
        name: of_column[column] for name, column in record_column.items() if column in of_column
    }
    return pq.ParquetWriter(
        file,
        schema,
        compression="zstd",
        compression_level={
            name: _COMPRESSION_LEVELS.get(column, 1) for name, column in record_column.items()
        },
        # Parquet has no dictionary of booleans.
        use_dictionary=[
            field.name
            for field in schema
            if field.name not in encoding and not pa.types.is_boolean(field.type)
        ],
        column_encoding=encoding,
        # One page per column and row group compresses best. Statistics of ETags, which are random,
        # would not help to skip row groups.
        max_rows_per_page=ROW_GROUP_ROWS,
        write_batch_size=_BATCH_ROWS,
        data_page_size=_PAGE_BYTES,
        write_statistics=[name for name, column in record_column.items() if column != "e_tag"],
        # Without the Arrow schema, readers see text, not dictionaries.
        store_schema=False,
    )


def _with_dictionaries(records: pa.RecordBatch) -> pa.RecordBatch:
    """Convert the columns with few values to dictionaries."""
    for name in _FEW_VALUES:
        at = records.schema.get_field_index(name)
        column = _dictionary_of(records.column(at))
        records = records.set_column(at, records.schema.field(at).with_type(column.type), column)
    return records


def _dictionary_of(column: pa.StringArray) -> pa.DictionaryArray:
    # Comparing all values with the first is four times faster than dictionary encoding.
    if not column.null_count and pc.all(pc.equal(column, column[0])).as_py():
        return pa.DictionaryArray.from_arrays(np.zeros(len(column), np.int32), column[:1])
    return column.dictionary_encode()


def _totals_of(classes: pa.DictionaryArray, sizes: pa.Int64Array) -> Iterator[ClassTotal]:
    """Totals by storage class, without delete markers, which have no size.

    There are few classes, so this is five times faster than grouping with Arrow.
    """
    for code, name in enumerate([*classes.dictionary.to_pylist(), None]):
        if name is None:
            of_class = sizes.filter(classes.is_null()) if classes.null_count else sizes[:0]
        elif len(classes.dictionary) == 1 and not classes.null_count:
            of_class = sizes
        else:
            of_class = sizes.filter(pc.equal(classes.indices, code))
        if objects := len(of_class) - of_class.null_count:
            yield ClassTotal(name or NO_STORAGE_CLASS, objects, pc.sum(of_class).as_py())


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
        self._drafts = drafts
        self.parts: list[Part] = []
        self._with_fingerprint, self._with_md5 = with_fingerprint, with_md5
        self._fingerprint = Fingerprint()
        self._store = store
        self._layout = layout
        self._buffered: list[pa.RecordBatch] = []
        self._buffered_rows = 0
        self._open: _OpenPart | None = None
        self._staged: list[tuple[_OpenPart, str]] = []
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
        """Whether any file was begun."""
        return bool(self.parts or self._staged) or self._open is not None

    @property
    def rows(self) -> int:
        """The number of records in the current part."""
        return self._buffered_rows + (self._open.rows if self._open else 0)

    def write(self, records: pa.RecordBatch, fingerprint: Fingerprint | None = None) -> None:
        """Append a batch of records, whose keys are greater than all before.

        `fingerprint` is that of the batch, if the caller has it already.
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
        records = batches[0] if len(batches) == 1 else pa.concat_batches(batches)
        records = _with_dictionaries(records)
        if self._open is None:
            self._open = self._new()
        self._open.append(records)
        if self._open.rows >= PART_ROWS or self._open.row_groups >= PART_ROW_GROUPS:
            self.finish_part()

    def _new(self) -> "_OpenPart":
        if self._drafts is not None:
            return _OpenPart(
                self._drafts.new(), self._with_md5, self._layout.encodings, self._drafts
            )
        folder = self._scratch.enter_context(self._store.scratch())
        return _OpenPart(folder / "part.parquet", self._with_md5, self._layout.encodings)

    def resume_draft(self, folder: Path, draft: Draft) -> bool:
        """Begin a part with a copy of a draft; return whether the draft is intact.

        Args:
            folder: The folder of the draft, which is not changed.
            draft: Its complete row groups.
        """
        self.finish_part()
        part = self._new()
        try:
            is_intact = part.resume(folder, draft)
        except OSError:  # it is missing, or cannot be read
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


class _RowGroupFile:
    """Passes the row groups of a Parquet writer to a file, and captures the footer."""

    def __init__(self, file: HashingFile) -> None:
        self._file = file
        self._skipped = 0
        self.end = bytearray()
        self.is_ending = False
        self.closed = False

    def write(self, data: bytes) -> int:
        view = memoryview(data)
        if self.is_ending:
            self.end += view
        elif self._skipped < len(MAGIC):  # the magic is written separately
            self._skipped += view.nbytes
        else:
            self._file.write(data)
        return view.nbytes

    def flush(self) -> None:
        """Does nothing: the file is flushed after the row group."""

    def close(self) -> None:
        self.closed = True


class _OpenPart:
    """A part that is being written and hashed."""

    def __init__(
        self, path: Path, with_md5: bool, encodings: Encodings, drafts: Drafts | None = None
    ) -> None:
        self._path = path
        self._encodings = encodings
        self._drafts = drafts
        self._file = HashingFile(path, with_md5=with_md5)
        self._footers = Footers()
        self._footer_path = path.with_suffix(".footers")
        self._groups: tuple[tuple[int, int], ...] = ()
        self._footers_sha256 = sha256()
        self._current: int | None = None
        self._first_key = self._last_key = ""
        self._objects: Counter[str] = Counter()
        self._bytes: Counter[str] = Counter()
        self._complete: _CompleteGroups | None = None
        self.rows = 0
        self.row_groups = 0
        self._file.write(MAGIC)

    def append(self, records: pa.RecordBatch) -> None:
        # One row group, even if it has a few records more than ROW_GROUP_ROWS.
        group_file, at = _RowGroupFile(self._file), self._file.size
        with parquet_writer(group_file, records.schema, self._encodings) as writer:
            writer.write_batch(records, row_group_size=records.num_rows)
            group_file.is_ending = True
        self._add_footer(footer_of(bytes(group_file.end)), at)
        if not self._first_key and not self._last_key:
            self._first_key = records.column("key")[0].as_py()
        self._last_key = records.column("key")[-1].as_py()
        if has_versions(records.schema):
            self._current = (self._current or 0) + pc.sum(are_current(records)).as_py()
        for total in _totals_of(records.column("storage_class"), records.column("size")):
            self._objects[total.storage_class] += total.objects
            self._bytes[total.storage_class] += total.bytes
        self._save_draft()

    def _add_footer(self, footer: bytes, at: int) -> None:
        self._footers.add(footer, at)
        self.rows, self.row_groups = self._footers.rows, self.row_groups + 1
        if self._drafts is not None:
            with self._footer_path.open("ab") as file:  # not kept open, to save descriptors
                file.write(footer)
            self._footers_sha256.update(footer)
            self._groups += ((len(footer), at),)

    def _save_draft(self) -> None:
        """Flush, and remember the complete row groups, which survive this process."""
        if self._drafts is None:
            return
        self._file.flush()
        self._complete = _CompleteGroups(
            self._file.size,
            self._file.sha256.copy(),
            self._groups,
            self._footers_sha256.copy(),
            self._last_key,
            self._classes,
            self._current,
        )

    @property
    def draft(self) -> Draft | None:
        """The complete row groups, or None without drafts."""
        complete = self._complete
        if complete is None:
            return None
        return Draft(
            self._path.name,
            complete.size,
            complete.sha256.hexdigest(),
            complete.groups,
            complete.footers_sha256.hexdigest(),
            self._first_key,
            complete.last_key,
            complete.classes,
            complete.current,
        )

    def resume(self, folder: Path, draft: Draft) -> bool:
        """Copy a draft; return whether it is intact."""
        path = folder / draft.name
        with path.open("rb") as file:
            left = draft.bytes - len(MAGIC)
            file.seek(len(MAGIC))
            while left and (data := file.read(min(left, _COPIED_BYTES))):
                self._file.write(data)
                left -= len(data)
        sizes = sum(size for size, _ in draft.groups)
        footers = path.with_suffix(".footers").read_bytes()[:sizes]
        if (
            self._file.sha256.hexdigest() != draft.sha256
            or sha256(footers).hexdigest() != draft.footers_sha256
        ):
            return False
        for size, at in draft.groups:
            self._add_footer(footers[:size], at)
            footers = footers[size:]
        self._first_key, self._last_key = draft.first_key, draft.last_key
        self._current = draft.current
        for total in draft.classes:
            self._objects[total.storage_class] = total.objects
            self._bytes[total.storage_class] = total.bytes
        self._save_draft()
        return True

    def close(self) -> None:
        self._file.write(self._footers.whole())
        self._file.close()

    @property
    def _classes(self) -> tuple[ClassTotal, ...]:
        return tuple(
            ClassTotal(name, self._objects[name], self._bytes[name])
            for name in sorted(self._objects)
        )

    def publish(self, store: Store, layout: Layout, fingerprint: str) -> Part:
        digest = self._file.sha256.hexdigest()
        key = unmarked_key(store, layout.part(digest), ".parquet")
        path = self._drafts.copy_to_publish(self._path) if self._drafts else self._path
        store.publish_file(key, path, digest)
        if path != self._path:
            path.unlink(missing_ok=True)
        self._drop()
        return Part(
            key=key,
            rows=self.rows,
            object_bytes=self._bytes.total(),
            file_bytes=self._file.size,
            md5=self._file.md5,
            first_key=self._first_key,
            last_key=self._last_key,
            classes=self._classes,
            fingerprint=fingerprint,
            current=self._current,
        )

    def discard(self) -> None:
        # Closing flushes, which fails on a full disk; the content is not needed.
        with suppress(OSError):
            self._file.close()
        self._drop()

    def _drop(self) -> None:
        if self._drafts is not None:
            self._drafts.drop(self._path, self._footer_path)


@dataclass(frozen=True, slots=True)
class _CompleteGroups:
    """The complete row groups of a part; copying a hash is cheaper than its digest."""

    size: int
    sha256: Any
    groups: tuple[tuple[int, int], ...]
    footers_sha256: Any
    last_key: str
    classes: tuple[ClassTotal, ...]
    current: int | None
