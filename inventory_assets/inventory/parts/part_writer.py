"""Write sorted records into immutable Parquet files, as measurement found it best."""

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
"""Records in a row group; a writer holds one row group in memory."""

PART_ROWS = 64 * ROW_GROUP_ROWS
"""Records in a part at most: some 150 MB on disk."""

PART_ROW_GROUPS = 64
"""Row groups in a part at most; the writer holds what it knows of each until the file is closed."""

NO_STORAGE_CLASS = "UNKNOWN"
"""Under which name objects are counted whose store names no storage class."""

_COMPRESSION_LEVELS = {"last_modified_date": 3}
"""Of the columns that gain by more than the first level."""

_COPIED_BYTES = 2**20
"""How much of a draft is read at a time."""

_FEW_VALUES = ["bucket", "storage_class"]
"""Columns that Parquet gets as dictionaries, which costs less than to have it make them."""

_PAGE_BYTES = 8 * 2**20
"""Beyond what a column of a row group takes, so that it is one page."""

_BATCH_ROWS = 16_384
"""Values that Parquet encodes at a time; by its default of 1,024 it takes a twentieth longer."""

_COLUMN_ENCODING = {
    "key": "DELTA_BYTE_ARRAY",
    "size": "PLAIN",
    "last_modified_date": "PLAIN",
    "e_tag": "DELTA_LENGTH_BYTE_ARRAY",
}
"""Chosen by measurement (docs/benchmarks.md). Numbers are plain because Spark before 4.3 reads no
other encoding of them that is smaller, and fastparquet reads some of the others wrongly. The other
columns have few values, and a dictionary of them."""


_PLAIN_ENCODING = dict.fromkeys(_COLUMN_ENCODING, "PLAIN")


def parquet_writer(
    file: Any,
    schema: pa.Schema = RECORD_SCHEMA,
    encodings: Encodings = Encodings.COMPACT,
) -> pq.ParquetWriter:
    """A writer of Parquet as measurement (docs/benchmarks.md) found it small and widely readable.

    Args:
        file: A path, or what is open to be written front to back.
        schema: Of what is written; columns named as those of a record, or `previous_` and so, are
            treated like them.
        encodings: Which encodings may be used.
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
        # A compressor that sees a whole column of a row group finds more in it. Statistics of
        # random text would help nobody skip anything.
        max_rows_per_page=ROW_GROUP_ROWS,
        write_batch_size=_BATCH_ROWS,
        data_page_size=_PAGE_BYTES,
        write_statistics=[name for name, column in record_column.items() if column != "e_tag"],
        # Readers shall find text, whether it was written as text or as a dictionary.
        store_schema=False,
    )


def _with_dictionaries(records: pa.RecordBatch) -> pa.RecordBatch:
    """The same records, the columns of few values as dictionaries, as which Parquet holds them."""
    for name in _FEW_VALUES:
        at = records.schema.get_field_index(name)
        column = _dictionary_of(records.column(at))
        records = records.set_column(at, records.schema.field(at).with_type(column.type), column)
    return records


def _dictionary_of(column: pa.StringArray) -> pa.DictionaryArray:
    # To compare all with one costs a quarter of looking for values in a table of them.
    if not column.null_count and pc.all(pc.equal(column, column[0])).as_py():
        return pa.DictionaryArray.from_arrays(np.zeros(len(column), np.int32), column[:1])
    return column.dictionary_encode()


def _totals_of(classes: pa.DictionaryArray, sizes: pa.Int64Array) -> Iterator[ClassTotal]:
    """Totals by storage class, delete markers left out, as they have no size; few are the classes.

    To group a table by Arrow's own means costs five times as much.
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
    """Writes ascending records into parts; used as a context, after which scratch files are gone.

    Args:
        store: Where the parts are published, each as soon as it is complete.
        layout: Under which keys, and in which encodings.
        with_fingerprint: Whether to hash what comes without a fingerprint.
        with_md5: Whether to hash files as a manifest states it.
        drafts: Where files are written that another process can go on with, if this one is killed;
            without them they are scratch files.
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
        """Whether a file was begun."""
        return bool(self.parts or self._staged) or self._open is not None

    @property
    def rows(self) -> int:
        """Records of the part at hand."""
        return self._buffered_rows + (self._open.rows if self._open else 0)

    def write(self, records: pa.RecordBatch, fingerprint: Fingerprint | None = None) -> None:
        """Append a batch of records; its keys come after all keys written before.

        The caller may have its fingerprint already.
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
        """Write what waits as a row group."""
        if not self._buffered_rows:
            return
        waiting, self._buffered, self._buffered_rows = self._buffered, [], 0
        records = waiting[0] if len(waiting) == 1 else pa.concat_batches(waiting)
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
        """Begin a part with what another process has written; whether it is what it was.

        Args:
            folder: Where the draft lies; it is left alone.
            draft: What of it is whole.
        """
        self.finish_part()
        part = self._new()
        try:
            is_whole = part.resume(folder, draft)
        except OSError:  # it is gone, or cannot be read
            is_whole = False
        if is_whole:
            self._open = part
        else:
            part.discard()
        return is_whole

    @property
    def finish(self) -> list[Draft]:
        """What of the parts that are not published is whole, in key order."""
        found = [part.finish for part, _ in self._staged]
        found += [self._open.finish] if self._open else []
        return [draft for draft in found if draft]

    def finish_part(self) -> None:
        """End the part at hand, so that what follows goes to another, and publish it."""
        self.stage_part()
        for part, fingerprint in self._staged:
            self.parts.append(part.publish(self._store, self._layout, fingerprint))
        self._staged = []
        self._scratch.close()

    def stage_part(self) -> None:
        """End the part at hand, but leave it open whether it will be published."""
        self.end_row_group()
        if self._open is not None:
            self._open.close()
            fingerprint = self._fingerprint.hexdigest() if self._fingerprint.rows else ""
            self._staged.append((self._open, fingerprint))
            self._fingerprint, self._open = Fingerprint(), None

    def reuse(self, part: Part) -> None:
        """Take a part that is published already in the place of all that is not."""
        self.discard()
        self.parts.append(part)

    def discard(self) -> None:
        """Remove what is not published."""
        self._buffered, self._buffered_rows, self._fingerprint = [], 0, Fingerprint()
        for part, _ in self._staged:
            part.discard()
        self._staged = []
        if self._open is not None:
            self._open.discard()
            self._open = None
        self._scratch.close()


class _Window:
    """Takes what a Parquet writer writes: row groups go on to a file, magic and footer do not."""

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
        elif self._skipped < len(MAGIC):  # the magic comes alone
            self._skipped += view.nbytes
        else:
            self._file.write(data)
        return view.nbytes

    def flush(self) -> None:
        """The file is flushed when the row group is whole."""

    def close(self) -> None:
        self.closed = True


class _OpenPart:
    """A part being written, hashed on its way to the disk."""

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
        self._whole: _FinishedFile | None = None
        self.rows = 0
        self.row_groups = 0
        self._file.write(MAGIC)

    def append(self, records: pa.RecordBatch) -> None:
        # One group: a page more than ROW_GROUP_ROWS must not leave a tiny group behind each.
        window, at = _Window(self._file), self._file.size
        with parquet_writer(window, records.schema, self._encodings) as writer:
            writer.write_batch(records, row_group_size=records.num_rows)
            window.is_ending = True
        self._add_footer(footer_of(bytes(window.end)), at)
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
            with self._footer_path.open("ab") as file:  # not kept open: descriptors are few
                file.write(footer)
            self._footers_sha256.update(footer)
            self._groups += ((len(footer), at),)

    def _save_draft(self) -> None:
        """All that was written is whole, and outlives this process."""
        if self._drafts is None:
            return
        self._file.flush()
        self._whole = _FinishedFile(
            self._file.size,
            self._file.sha256.copy(),
            self._groups,
            self._footers_sha256.copy(),
            self._last_key,
            self._classes,
            self._current,
        )

    @property
    def finish(self) -> Draft | None:
        """What of it is whole, however this process ends."""
        whole = self._whole
        if whole is None:
            return None
        return Draft(
            self._path.name,
            whole.size,
            whole.sha256.hexdigest(),
            whole.groups,
            whole.footers_sha256.hexdigest(),
            self._first_key,
            whole.last_key,
            whole.classes,
            whole.current,
        )

    def resume(self, folder: Path, draft: Draft) -> bool:
        """Begin with what another process has written; whether it is what it was."""
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
        # Closing writes what is left; on a full disk it fails once more, and nobody wants it.
        with suppress(OSError):
            self._file.close()
        self._drop()

    def _drop(self) -> None:
        if self._drafts is not None:
            self._drafts.drop(self._path, self._footer_path)


@dataclass(frozen=True, slots=True)
class _FinishedFile:
    """What of an open part is whole: the hashes so far, which cost more to tell than to copy."""

    size: int
    sha256: Any
    groups: tuple[tuple[int, int], ...]
    footers_sha256: Any
    last_key: str
    classes: tuple[ClassTotal, ...]
    current: int | None
