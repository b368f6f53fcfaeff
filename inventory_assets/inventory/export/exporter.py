"""Write sorted records to one file: Parquet, CSV or JSON Lines, perhaps compressed.

Records are streamed: memory is bounded by a few row groups.
"""

import gzip
import hashlib
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from secrets import token_hex
from typing import IO, cast

import pyarrow as pa
import zstandard

from inventory_assets.inventory.errors import DiskFull, StoreError
from inventory_assets.inventory.export.described_records import (
    carries_metadata,
    described,
    described_schema,
)
from inventory_assets.inventory.export.export_format import ExportFormat
from inventory_assets.inventory.export.text_encoding import csv_header, csv_lines, json_lines
from inventory_assets.inventory.manifest.manifest import Manifest
from inventory_assets.inventory.manifest.s3_inventory_format import DataFile
from inventory_assets.inventory.metadata.date_metadata import MetadataFile
from inventory_assets.inventory.parts.parquet_encoding import ROW_GROUP_ROWS, parquet_writer
from inventory_assets.inventory.parts.part import read_records
from inventory_assets.inventory.storage.disk import full_disk
from inventory_assets.inventory.storage.encodings import Encodings
from inventory_assets.inventory.storage.layout import Layout
from inventory_assets.inventory.storage.scratch import claim, is_abandoned
from inventory_assets.inventory.storage.store import Store
from inventory_assets.scan.keyspace.key_range import KeyRange

_GZIP_LEVEL = 4
_ZSTD_LEVEL = 3
_BUFFER_BYTES = 2**20
_TEMPORARY = ".partial"


def write_export(
    export_format: ExportFormat,
    batches: Iterable[pa.RecordBatch],
    schema: pa.Schema,
    target: IO[bytes],
    encodings: Encodings = Encodings.COMPACT,
) -> int:
    """Write batches to an open file, without closing it.

    Args:
        export_format: The format.
        batches: Sorted batches with the columns of `schema`, at least those that are written.
        schema: The schema of the records; some CSV dialects need `bucket` and `key`.
        target: The file, written sequentially.
        encodings: The Parquet encodings that may be used.

    Returns:
        The number of records written.
    """
    schema = pa.schema([schema.field(name) for name in export_format.columns(schema.names)])
    rows = 0
    with _compressed(target, export_format.compression) as stream:
        if export_format.shape == "parquet":
            with parquet_writer(_Forward(stream), schema, encodings) as writer:
                for table in _row_groups(batches, schema):
                    writer.write_table(table, row_group_size=table.num_rows)
                    rows += table.num_rows
            return rows
        if export_format.shape == "csv":
            stream.write(csv_header(schema, export_format.dialect))
        for table in _row_groups(batches, schema):
            is_csv = export_format.shape == "csv"
            stream.write(csv_lines(table, export_format.dialect) if is_csv else json_lines(table))
            rows += table.num_rows
    return rows


def publish_export(
    store: Store,
    layout: Layout,
    manifest: Manifest,
    suffix: str,
    export_format: ExportFormat,
    metadata: Sequence[MetadataFile] | None = None,
) -> DataFile:
    """Publish a date's inventory as one file, replacing an existing one.

    Args:
        store: The store of the manifest's parts.
        layout: The layout of the source.
        manifest: The manifest to publish.
        suffix: The suffix of the file's name.
        export_format: Its format.
        metadata: The files of metadata whose columns are added; None to add none.

    Raises:
        CorruptRecord: A part, or a file of metadata, is missing or damaged.
        StoreError: The file could not be written.
    """
    schema, everything = manifest.schema, [KeyRange.of_prefix("")]
    if metadata is None or not carries_metadata(export_format):
        columns = export_format.columns(schema.names)
        batches = read_records(store, manifest.parts, everything, columns)
    else:
        records = read_records(store, manifest.parts, everything)
        schema = described_schema(schema, export_format)
        batches = described(store, metadata, records, schema)
    key = layout.export(manifest.day, suffix)
    with store.scratch() as folder:
        path = folder / "export"
        with path.open("wb") as file:
            write_export(export_format, batches, schema, file, layout.encodings)
        published = DataFile(key, path.stat().st_size, md5_of(path))
        store.publish_file(key, path)
    return published


def md5_of(path: Path) -> str:
    """The MD5 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, partial(hashlib.md5, usedforsecurity=False)).hexdigest()


@contextmanager
def atomic_file(path: Path) -> Iterator[IO[bytes]]:
    """Open a file that appears under `path` only if the block succeeds.

    A path that is not a regular file (a pipe, `/dev/stdout`) is written directly.

    Raises:
        StoreError: It cannot be written.
        BrokenPipeError: The reader of a pipe has closed it.
    """
    target = path.resolve()
    partial_bytes = 0
    try:
        if target.exists() and not stat.S_ISREG(target.stat().st_mode):
            with target.open("wb", buffering=_BUFFER_BYTES) as file:
                yield file
            return
        beginning = f".{target.name[:200]}."
        _sweep(target.parent, beginning)
        partial = target.with_name(f"{beginning}{token_hex(4)}{_TEMPORARY}")
        try:
            with partial.open("xb", buffering=_BUFFER_BYTES) as file:
                claim(file.fileno())
                yield file
                file.flush()
                os.fsync(file.fileno())
            partial.replace(target)
        except BaseException:
            with suppress(OSError):
                partial_bytes = partial.stat().st_size
                partial.unlink(missing_ok=True)
            raise
    except BrokenPipeError:
        raise
    except OSError as error:
        if isinstance(full := full_disk(error, path, partial_bytes), DiskFull):
            raise full from error
        raise StoreError(f"cannot write {path}: {error.strerror or error}") from error


def _sweep(folder: Path, beginning: str) -> None:
    """Remove temporary files that killed processes left for the same target."""
    with suppress(OSError):
        for path in folder.iterdir():
            is_one = path.name.startswith(beginning) and path.suffix == _TEMPORARY
            has_token = len(path.name) == len(beginning) + 8 + len(_TEMPORARY)
            if is_one and has_token and is_abandoned(path):
                path.unlink(missing_ok=True)


class _Forward:
    """A sequential file that counts the bytes written."""

    closed = False

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._bytes = 0

    def write(self, data: bytes) -> int:
        self._bytes += len(data)
        self._stream.write(data)
        return len(data)

    def tell(self) -> int:
        return self._bytes

    def flush(self) -> None:
        """Do nothing: flushing would reduce the compression."""

    def close(self) -> None:
        """Do nothing: the caller closes the file."""


@contextmanager
def _compressed(target: IO[bytes], compression: str) -> Iterator[IO[bytes]]:
    if compression == "gz":
        # Without time and name, files of equal records are equal.
        with gzip.GzipFile("", "wb", _GZIP_LEVEL, target, mtime=0) as stream:
            yield cast(IO[bytes], stream)
    elif compression == "zst":
        compressor = zstandard.ZstdCompressor(_ZSTD_LEVEL)
        with compressor.stream_writer(target, closefd=False) as stream:
            yield stream
    else:
        yield target


def _row_groups(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> Iterator[pa.Table]:
    """Combine small batches, so that many small parts do not make many small row groups."""
    waiting: list[pa.RecordBatch] = []
    rows = 0
    for batch in batches:
        waiting.append(batch)
        rows += batch.num_rows
        if rows >= ROW_GROUP_ROWS:
            yield pa.Table.from_batches(waiting, schema)
            waiting, rows = [], 0
    if rows:
        yield pa.Table.from_batches(waiting, schema)
