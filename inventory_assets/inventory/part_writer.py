"""Write sorted records into immutable Parquet files, as measurement found it best."""

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from inventory_assets.inventory.condemned import free_key
from inventory_assets.inventory.encodings import Encodings
from inventory_assets.inventory.fingerprint import Fingerprint
from inventory_assets.inventory.hashing import HashingFile
from inventory_assets.inventory.layout import Layout
from inventory_assets.inventory.parts import ClassTotal, Part
from inventory_assets.inventory.records import RECORD_SCHEMA, are_current, has_versions
from inventory_assets.inventory.store import Store

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
    """

    def __init__(
        self,
        store: Store,
        layout: Layout,
        *,
        with_fingerprint: bool = True,
        with_md5: bool = True,
    ) -> None:
        self.parts: list[Part] = []
        self._with_fingerprint, self._with_md5 = with_fingerprint, with_md5
        self._fingerprint = Fingerprint()
        self._store = store
        self._layout = layout
        self._waiting: list[pa.RecordBatch] = []
        self._waiting_rows = 0
        self._open: _OpenPart | None = None
        self._aside: list[tuple[_OpenPart, str]] = []
        self._scratch = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.abandon()

    @property
    def has_begun(self) -> bool:
        """Whether a file was begun."""
        return bool(self.parts or self._aside) or self._open is not None

    @property
    def rows(self) -> int:
        """Records of the part at hand."""
        return self._waiting_rows + (self._open.rows if self._open else 0)

    def write(self, records: pa.RecordBatch, fingerprint: Fingerprint | None = None) -> None:
        """Append a batch of records; its keys come after all keys written before.

        The caller may have its fingerprint already.
        """
        if fingerprint is not None:
            self._fingerprint.join(fingerprint)
        elif self._with_fingerprint:
            self._fingerprint.update(records)
        self._waiting.append(records)
        self._waiting_rows += records.num_rows
        if self._waiting_rows >= ROW_GROUP_ROWS:
            self.end_row_group()

    def end_row_group(self) -> None:
        """Write what waits as a row group."""
        if not self._waiting_rows:
            return
        waiting, self._waiting, self._waiting_rows = self._waiting, [], 0
        records = waiting[0] if len(waiting) == 1 else pa.concat_batches(waiting)
        records = _with_dictionaries(records)
        if self._open is None:
            folder = self._scratch.enter_context(self._store.scratch())
            file = HashingFile(folder / "part.parquet", with_md5=self._with_md5)
            self._open = _OpenPart(folder / "part.parquet", file, records, self._layout.encodings)
        self._open.append(records)
        if self._open.rows >= PART_ROWS or self._open.row_groups >= PART_ROW_GROUPS:
            self.cut()

    def cut(self) -> None:
        """End the part at hand, so that what follows goes to another, and publish it."""
        self.set_aside()
        for part, fingerprint in self._aside:
            self.parts.append(part.publish(self._store, self._layout, fingerprint))
        self._aside = []
        self._scratch.close()

    def set_aside(self) -> None:
        """End the part at hand, but leave it open whether it will be published."""
        self.end_row_group()
        if self._open is not None:
            self._open.close()
            fingerprint = self._fingerprint.hexdigest() if self._fingerprint.rows else ""
            self._aside.append((self._open, fingerprint))
            self._fingerprint, self._open = Fingerprint(), None

    def share(self, part: Part) -> None:
        """Take a part that is published already in the place of all that is not."""
        self.abandon()
        self.parts.append(part)

    def abandon(self) -> None:
        """Remove what is not published."""
        self._waiting, self._waiting_rows, self._fingerprint = [], 0, Fingerprint()
        self._aside = []
        if self._open is not None:
            self._open.abandon()
            self._open = None
        self._scratch.close()


class _OpenPart:
    """A part being written, hashed on its way to the disk."""

    def __init__(
        self, path: Path, file: HashingFile, records: pa.RecordBatch, encodings: Encodings
    ) -> None:
        self._path = path
        self._file = file
        self._writer = parquet_writer(self._file, records.schema, encodings)
        self._current = 0 if has_versions(records.schema) else None
        self._first_key: str = records.column("key")[0].as_py()
        self._last_key = self._first_key
        self._objects: Counter[str] = Counter()
        self._bytes: Counter[str] = Counter()
        self.rows = 0
        self.row_groups = 0

    def append(self, records: pa.RecordBatch) -> None:
        # One group: a page more than ROW_GROUP_ROWS must not leave a tiny group behind each.
        self._writer.write_batch(records, row_group_size=records.num_rows)
        self.rows += records.num_rows
        self.row_groups += 1
        self._last_key = records.column("key")[-1].as_py()
        if self._current is not None:
            self._current += pc.sum(are_current(records)).as_py()
        for total in _totals_of(records.column("storage_class"), records.column("size")):
            self._objects[total.storage_class] += total.objects
            self._bytes[total.storage_class] += total.bytes

    def close(self) -> None:
        self._writer.close()
        self._file.close()

    def publish(self, store: Store, layout: Layout, fingerprint: str) -> Part:
        digest = self._file.sha256.hexdigest()
        key = free_key(store, layout.part(digest), ".parquet")
        store.publish_file(key, self._path, digest)
        return Part(
            key=key,
            rows=self.rows,
            object_bytes=self._bytes.total(),
            file_bytes=self._file.size,
            md5=self._file.md5,
            first_key=self._first_key,
            last_key=self._last_key,
            classes=tuple(
                ClassTotal(name, self._objects[name], self._bytes[name])
                for name in sorted(self._objects)
            ),
            fingerprint=fingerprint,
            current=self._current,
        )

    def abandon(self) -> None:
        # Closing writes what is left; on a full disk it fails once more, and nobody wants it.
        with suppress(OSError):
            self._writer.close()
        with suppress(OSError):
            self._file.close()
