"""Parts: immutable, sorted Parquet files of records, named for their content."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from inventory_assets.inventory.errors import CorruptRecord
from inventory_assets.inventory.parts.schema import RECORD_SCHEMA
from inventory_assets.inventory.storage.store import Store
from inventory_assets.scan.keyspace.key_range import KeyRange
from inventory_assets.scan.keyspace.sorted_keys import count_up_to


@dataclass(frozen=True, slots=True)
class ClassTotal:
    """The objects and bytes of one storage class."""

    storage_class: str
    objects: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Part:
    """One Parquet file of records with ascending keys; no key is in two parts.

    Attributes:
        key: Its key in the store.
        rows: The number of records, at least one.
        object_bytes: The sum of the objects' sizes.
        file_bytes: The file's own size.
        md5: The MD5 of the file, hexadecimal, for S3 Inventory's manifest; "" without a manifest.
        first_key: The first key.
        last_key: The last key.
        classes: Totals by storage class, in order of their names.
        fingerprint: The hash of the records, independent of their encoding; "" if unknown.
        current: The number of current objects among versions; None without versions.
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
        """The number of current objects."""
        return self.rows if self.current is None else self.current

    def meets(self, key_range: KeyRange) -> bool:
        """Whether the part may contain keys of the range."""
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


def read_records(
    store: Store,
    parts: Sequence[Part],
    ranges: Sequence[KeyRange],
    columns: Sequence[str] | None = None,
    dictionaries: Sequence[str] = (),
) -> Iterator[pa.RecordBatch]:
    """The records in ranges, in key order, one row group at a time.

    Skips parts and row groups that cannot contain such keys.

    Args:
        store: The store of the parts.
        parts: The parts, in key order.
        ranges: The ranges, disjoint and in key order.
        columns: The columns, including `key`; None for all. Missing columns are ignored.
        dictionaries: The columns to leave dictionary-encoded.

    Yields:
        Non-empty batches with the parts' schema, or those of `columns` that exist.

    Raises:
        CorruptRecord: A part is missing or damaged.
    """
    for part in parts:
        overlapping = [key_range for key_range in ranges if part.meets(key_range)]
        if not overlapping:
            continue
        with open_files(store, part, dictionaries) as file:
            for group in range(file.num_row_groups):
                if not _may_contain(file, group, overlapping):
                    continue
                # One thread: reading several parts in parallel takes less CPU time.
                table = file.read_row_group(group, columns=columns, use_threads=False)
                for batch in table.to_batches():
                    keys = batch.column("key")
                    for key_range in overlapping:
                        start = count_up_to(keys, key_range.after)
                        stop = count_up_to(keys, key_range.until)
                        if stop > start:
                            yield batch.slice(start, stop - start)


def part_exists(store: Store, part: Part) -> bool:
    """Whether the file of a part exists with the published size."""
    return store.size(part.key) == part.file_bytes


def open_part(store: Store, part: Part) -> pa.NativeFile:
    """Open the file of a part.

    Raises:
        CorruptRecord: The file is missing.
    """
    source = store.open(part.key)
    if source is None:
        raise _damaged(store, part, "the file does not exist")
    return source


@contextmanager
def open_files(
    store: Store, part: Part, dictionaries: Sequence[str] = ()
) -> Iterator[pq.ParquetFile]:
    """Open a part for reading by row groups; raises `CorruptRecord` if it is missing or damaged."""
    try:
        with (
            open_part(store, part) as source,
            pq.ParquetFile(source, read_dictionary=list(dictionaries)) as file,
        ):
            yield file
    except (pa.ArrowException, OSError) as error:
        raise _damaged(store, part, error) from None


def _damaged(store: Store, part: Part, cause: Exception | str) -> CorruptRecord:
    return CorruptRecord(
        f"{store.where(part.key)} is missing or damaged ({cause}); remove it, so that no date "
        "reuses it, then materialize object_listing again for the shards of the dates that use it"
    )


def _may_contain(file: pq.ParquetFile, group: int, ranges: Sequence[KeyRange]) -> bool:
    column = RECORD_SCHEMA.get_field_index("key")
    statistics = file.metadata.row_group(group).column(column).statistics
    if statistics is None or not statistics.has_min_max:
        return True
    return any(
        statistics.min <= key_range.until and statistics.max > key_range.after
        for key_range in ranges
    )
