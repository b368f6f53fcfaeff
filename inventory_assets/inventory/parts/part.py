"""Immutable, sorted Parquet files of records, named for their content."""

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
        with open_files(store, part, dictionaries) as file:
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


def part_exists(store: Store, part: Part) -> bool:
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
def open_files(
    store: Store, part: Part, dictionaries: Sequence[str] = ()
) -> Iterator[pq.ParquetFile]:
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
