"""Parquet files of metadata: sorted, named for their content, one for each part of a listing."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from inventory_assets.inventory.errors import CorruptRecord
from inventory_assets.inventory.metadata.schema import METADATA_SCHEMA
from inventory_assets.inventory.parts.parquet_encoding import ROW_GROUP_ROWS, leaves_of
from inventory_assets.inventory.storage.encodings import Encodings
from inventory_assets.inventory.storage.layout import FileKind, Layout, parse_path, path_in_source
from inventory_assets.inventory.storage.store import Store
from inventory_assets.inventory.storage.tombstones import unmarked_key

_ENCODING = {"key": "DELTA_BYTE_ARRAY", "e_tag": "DELTA_LENGTH_BYTE_ARRAY"}
_PLAIN = dict.fromkeys(_ENCODING, "PLAIN")


@dataclass(frozen=True, slots=True)
class MetadataPart:
    """The metadata of the objects of one part of a listing.

    Attributes:
        part: The key of that part.
        file: The key of the Parquet file.
        rows: Its rows: one for each object or version.
        file_bytes: The size of the file.
        first_key: The first key.
        last_key: The last key.
        unknown: Objects that are still to be asked for.
        again: Objects that are to be asked for again on the next date, as the answer may differ.
        errors: Objects whose answer is not complete, by error.
    """

    part: str
    file: str
    rows: int
    file_bytes: int
    first_key: str
    last_key: str
    unknown: int = 0
    again: int = 0
    errors: Mapping[str, int] = field(default_factory=dict)


def metadata_writer(file: object, encodings: Encodings) -> pq.ParquetWriter:
    """A Parquet writer for `METADATA_SCHEMA`."""
    of_column = _PLAIN if encodings is Encodings.PLAIN else _ENCODING
    leaves = [leaf for field in METADATA_SCHEMA for leaf in leaves_of(field)]
    flags = {field.name for field in METADATA_SCHEMA if pa.types.is_boolean(field.type)}
    return pq.ParquetWriter(
        file,
        METADATA_SCHEMA,
        compression="zstd",
        compression_level=1,
        use_dictionary=[each for each in leaves if each not in of_column and each not in flags],
        column_encoding=of_column,
        write_statistics=[each for each in METADATA_SCHEMA.names if each != "e_tag"],
        store_schema=False,
    )


class MetadataWriter:
    """Writes the rows of one part, keys ascending; a context manager that removes its scratch file.

    Args:
        store: The store to publish to.
        layout: The layout of the source.
        part: The key of the part of the listing.
    """

    def __init__(self, store: Store, layout: Layout, part: str) -> None:
        self._store, self._layout, self._part = store, layout, part
        self._stack = ExitStack()
        self._path: Path | None = None
        self._writer: pq.ParquetWriter | None = None
        self._waiting: list[pa.Table] = []
        self._waiting_rows = self._rows = self._unknown = self._again = 0
        self._errors: Counter[str] = Counter()
        self._first = self._last = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def write(self, rows: pa.Table, again: int) -> None:
        """Append rows.

        Args:
            rows: Some rows, with `METADATA_SCHEMA`.
            again: How many of them are to be asked for again.

        Raises:
            OSError: The file cannot be written.
        """
        if not rows.num_rows:
            return
        keys = rows.column("key")
        if not self._rows:
            self._first = keys[0].as_py()
        self._last = keys[-1].as_py()
        self._rows += rows.num_rows
        self._again += again
        self._unknown += rows.column("fetched_at").null_count
        if rows.column("error").null_count < rows.num_rows:
            for count in pc.value_counts(rows.column("error").combine_chunks()).to_pylist():
                if count["values"] is not None:
                    self._errors[count["values"]] += count["counts"]
        self._waiting.append(rows)
        self._waiting_rows += rows.num_rows
        if self._waiting_rows >= ROW_GROUP_ROWS:
            self._end_row_group()

    def _end_row_group(self) -> None:
        if not self._waiting:
            return
        if self._writer is None:
            self._path = self._stack.enter_context(self._store.scratch()) / "metadata.parquet"
            self._writer = metadata_writer(self._path, self._layout.encodings)
            self._stack.callback(self._writer.close)
        self._writer.write_table(
            pa.concat_tables(self._waiting).combine_chunks(), row_group_size=self._waiting_rows
        )
        self._waiting, self._waiting_rows = [], 0

    def publish(self) -> MetadataPart | None:
        """Publish the file under the name of its content; None if no row was written.

        Raises:
            StoreError: It cannot be published.
        """
        self._end_row_group()
        if self._writer is None or self._path is None:
            return None
        self._writer.close()
        with self._path.open("rb") as written:
            digest = hashlib.file_digest(written, "sha256").hexdigest()
        size = self._path.stat().st_size
        key = unmarked_key(self._store, self._layout.metadata_data(digest), ".parquet")
        self._store.publish_file(key, self._path, digest)
        return MetadataPart(
            part=self._part,
            file=key,
            rows=self._rows,
            file_bytes=size,
            first_key=self._first,
            last_key=self._last,
            unknown=self._unknown,
            again=self._again,
            errors=dict(sorted(self._errors.items())),
        )


def open_metadata(store: Store, key: str) -> pa.NativeFile:
    """Open a file of metadata.

    Raises:
        CorruptRecord: The file is missing.
    """
    file = store.open(key)
    if file is None:
        raise damaged(store, key, "the file does not exist")
    return file


def read_metadata_rows(store: Store, key: str, columns: Sequence[str]) -> Iterator[pa.Table]:
    """Some columns of a file, a row group at a time.

    Raises:
        CorruptRecord: The file is missing or damaged.
    """
    try:
        with open_metadata(store, key) as opened, pq.ParquetFile(opened) as file:
            for group in range(file.num_row_groups):
                yield file.read_row_group(group, columns=list(columns), use_threads=False)
    except (pa.ArrowException, OSError) as error:
        raise damaged(store, key, error) from None


def damaged(store: Store, key: str, cause: Exception | str) -> CorruptRecord:
    """The error for a file that is missing or damaged."""
    parsed = parse_path(path_in_source(key))
    is_named = parsed is None or parsed.kind is not FileKind.FETCHED_METADATA
    what = "the records of metadata that name it (metadata/dt=DATE/)" if is_named else "it"
    return CorruptRecord(
        f"{store.where(key)} is missing or damaged ({cause}); remove {what}, then materialize "
        "object_metadata again, which asks for its objects again"
    )
