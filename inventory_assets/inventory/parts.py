"""Immutable, sorted Parquet files of records, named for their content."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from inventory_assets.inventory.condemned import free_key
from inventory_assets.inventory.errors import CorruptRecord
from inventory_assets.inventory.fingerprint import Fingerprint
from inventory_assets.inventory.hashing import HashingFile
from inventory_assets.inventory.layout import Layout
from inventory_assets.inventory.records import RECORD_SCHEMA, are_current, has_versions
from inventory_assets.inventory.store import Store
from inventory_assets.scan.evidence import count_up_to
from inventory_assets.scan.ranges import KeyRange

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

_PAGE_BYTES = 8 * 2**20
"""Beyond what a column of a row group takes, so that it is one page."""

_COLUMN_ENCODING = {
    "key": "DELTA_BYTE_ARRAY",
    "size": "PLAIN",
    "last_modified_date": "PLAIN",
    "e_tag": "DELTA_LENGTH_BYTE_ARRAY",
}
"""Chosen by measurement (docs/benchmarks.md). Numbers are plain because Spark before 4.3 reads no
other encoding of them that is smaller, and fastparquet reads some of the others wrongly. The other
columns have few values, and a dictionary of them."""


@dataclass(frozen=True, slots=True)
class ClassTotal:
    """How much of a part one storage class holds."""

    storage_class: str
    objects: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Part:
    """One Parquet file of records, its keys ascending; no key is in two parts.

    Attributes:
        key: Where in the store it lies.
        rows: Records in it; at least one.
        object_bytes: The sum of their sizes.
        file_bytes: The file's own size.
        md5: MD5 of the file, hexadecimal, as S3 Inventory's manifest states it; "" where no
            manifest will.
        first_key: The least key in it.
        last_key: The greatest key in it.
        classes: Totals by storage class, in order of their names.
        fingerprint: Hash of the records, however the file encodes them; "" where it is not known.
        current: Current objects among versions; None where every record is one.
    """

    key: str
    rows: int
    object_bytes: int
    file_bytes: int
    md5: str
    first_key: str
    last_key: str
    classes: tuple[ClassTotal, ...]
    fingerprint: str = ""
    current: int | None = None

    @property
    def objects(self) -> int:
        """Current objects in it."""
        return self.rows if self.current is None else self.current

    def meets(self, key_range: KeyRange) -> bool:
        """Whether the part may hold keys of the range."""
        return self.first_key <= key_range.until and self.last_key > key_range.after


def class_totals(parts: Sequence[Part]) -> tuple[ClassTotal, ...]:
    """The totals by storage class over several parts."""
    objects: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for part in parts:
        for total in part.classes:
            objects[total.storage_class] += total.objects
            sizes[total.storage_class] += total.bytes
    return tuple(ClassTotal(name, objects[name], sizes[name]) for name in sorted(objects))


def parquet_writer(file: Any, schema: pa.Schema = RECORD_SCHEMA) -> pq.ParquetWriter:
    """A writer of Parquet as measurement (docs/benchmarks.md) found it small and widely readable.

    Args:
        file: A path, or what is open to be written front to back.
        schema: Of what is written; columns named as those of a record, or `previous_` and so, are
            treated like them.
    """
    record_column = {name: name.removeprefix("previous_") for name in schema.names}
    encoding = {
        name: _COLUMN_ENCODING[column]
        for name, column in record_column.items()
        if column in _COLUMN_ENCODING
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
        data_page_size=_PAGE_BYTES,
        write_statistics=[name for name, column in record_column.items() if column != "e_tag"],
    )


def _totals_of(table: pa.Table) -> Iterator[ClassTotal]:
    """Totals by storage class of records, delete markers left out; there are few classes.

    To group a table by Arrow's own means costs five times as much.
    """
    for records in table.to_batches():
        classes = records.column("storage_class").dictionary_encode("encode")
        names, sizes = classes.dictionary.to_pylist(), records.column("size")
        for code, name in enumerate(names):
            of_class = sizes
            if len(names) > 1:
                of_class = sizes.filter(pc.equal(classes.indices, code))
            if objects := len(of_class) - of_class.null_count:
                yield ClassTotal(name or NO_STORAGE_CLASS, objects, pc.sum(of_class).as_py())


class PartWriter:
    """Writes ascending records into parts; used as a context, after which scratch files are gone.

    Args:
        store: Where the parts are published, each as soon as it is complete.
        layout: Under which keys.
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
        table = pa.Table.from_batches(self._waiting).combine_chunks()
        self._waiting, self._waiting_rows = [], 0
        if self._open is None:
            folder = self._scratch.enter_context(self._store.scratch())
            file = HashingFile(folder / "part.parquet", with_md5=self._with_md5)
            self._open = _OpenPart(folder / "part.parquet", file, table)
        self._open.append(table)
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

    def __init__(self, path: Path, file: HashingFile, table: pa.Table) -> None:
        self._path = path
        self._file = file
        self._writer = parquet_writer(self._file, table.schema)
        self._current = 0 if has_versions(table.schema) else None
        self._first_key: str = table.column("key")[0].as_py()
        self._last_key = self._first_key
        self._objects: Counter[str] = Counter()
        self._bytes: Counter[str] = Counter()
        self.rows = 0
        self.row_groups = 0

    def append(self, table: pa.Table) -> None:
        # One group: a page more than ROW_GROUP_ROWS must not leave a tiny group behind each.
        self._writer.write_table(table, row_group_size=table.num_rows)
        self.rows += table.num_rows
        self.row_groups += 1
        self._last_key = table.column("key")[-1].as_py()
        if self._current is not None:
            self._current += pc.sum(are_current(table)).as_py()
        for total in _totals_of(table):
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


def read_records(
    store: Store,
    parts: Sequence[Part],
    ranges: Sequence[KeyRange],
    columns: Sequence[str] | None = None,
    dictionaries: Sequence[str] = (),
) -> Iterator[pa.RecordBatch]:
    """The records of some ranges, in key order, a row group at a time.

    Parts and row groups that cannot hold such keys are not read.

    Args:
        store: Where the parts lie.
        parts: In key order.
        ranges: Disjoint and in key order.
        columns: Which columns, `key` among them; None for all.
        dictionaries: Which of them to leave dictionary-encoded, as they are in the file.

    Yields:
        Batches with the parts' schema, or those of its `columns` that they have, none empty.
    """
    for part in parts:
        wanted = [key_range for key_range in ranges if part.meets(key_range)]
        if not wanted:
            continue
        with opened(store, part, dictionaries) as file:
            for group in range(file.num_row_groups):
                if not _may_hold(file, group, wanted):
                    continue
                # One thread: whoever needs more reads several parts at once, at less CPU.
                table = file.read_row_group(group, columns=columns, use_threads=False)
                for batch in table.to_batches():
                    keys = batch.column("key")
                    for key_range in wanted:
                        start = count_up_to(keys, key_range.after)
                        stop = count_up_to(keys, key_range.until)
                        if stop > start:
                            yield batch.slice(start, stop - start)


def is_there(store: Store, part: Part) -> bool:
    """Whether the file of a part has the size that was published, as far as that can be told."""
    return store.size(part.key) == part.file_bytes


def open_part(store: Store, part: Part) -> pa.NativeFile:
    """The file of a part.

    Raises:
        CorruptRecord: It is not there.
    """
    source = store.open(part.key)
    if source is None:
        raise _damaged(store, part, "nothing is there")
    return source


@contextmanager
def opened(store: Store, part: Part, dictionaries: Sequence[str] = ()) -> Iterator[pq.ParquetFile]:
    """A part to be read by row groups; `CorruptRecord` is raised where it is missing or damaged."""
    try:
        with (
            open_part(store, part) as source,
            pq.ParquetFile(source, read_dictionary=list(dictionaries)) as file,
        ):
            yield file
    except (pa.ArrowException, OSError) as error:
        raise _damaged(store, part, error) from None


def _damaged(store: Store, part: Part, fault: Exception | str) -> CorruptRecord:
    return CorruptRecord(
        f"{store.where(part.key)} is missing or damaged ({fault}); remove it, so that no date "
        "shares it, then materialize object_listing again for the shards of the dates that use it"
    )


def _may_hold(file: pq.ParquetFile, group: int, ranges: Sequence[KeyRange]) -> bool:
    column = RECORD_SCHEMA.get_field_index("key")
    statistics = file.metadata.row_group(group).column(column).statistics
    if statistics is None or not statistics.has_min_max:
        return True
    return any(
        statistics.min <= key_range.until and statistics.max > key_range.after
        for key_range in ranges
    )
