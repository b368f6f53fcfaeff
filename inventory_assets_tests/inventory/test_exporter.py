import csv
import gzip
import io
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from inventory_assets.inventory.errors import StoreError, UnknownFormat
from inventory_assets.inventory.export.export_format import (
    COMPRESSIONS,
    SHAPES,
    Dialect,
    ExportFormat,
)
from inventory_assets.inventory.export.exporter import atomic_file, publish_export, write_export
from inventory_assets.inventory.manifest.manifest_merge import merge
from inventory_assets.inventory.parts.parquet_encoding import ROW_GROUP_ROWS
from inventory_assets.inventory.parts.schema import RECORD_SCHEMA
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets.scan.keyspace.shard import Shard
from inventory_assets_tests.inventory.samples import (
    DAY,
    HOSTILE_KEYS,
    LAYOUT,
    NOW,
    listed,
    records_of,
    snapshot_of,
)

SUFFIXES = [f"{shape}{c}" for shape in SHAPES for c in ("", *(f".{c}" for c in COMPRESSIONS))]
OBJECTS = listed([*HOSTILE_KEYS, "=cmd", 'quote"', *(f"a/{number}" for number in range(20))])


def batches(size: int = 3) -> Iterator[pa.RecordBatch]:
    for start in range(0, len(OBJECTS), size):
        yield records_of(OBJECTS[start : start + size])


def exported(suffix: str, found: Iterator[pa.RecordBatch] | None = None) -> bytes:
    target = io.BytesIO()
    write_export(ExportFormat.named(suffix), found or batches(), RECORD_SCHEMA, target)
    return target.getvalue()


def unpacked(suffix: str, data: bytes) -> bytes:
    match suffix.rpartition(".")[2]:
        case "gz":
            return gzip.decompress(data)
        case "zst":
            return zstandard.ZstdDecompressor().decompressobj().decompress(data)
    return data


def keys_in(suffix: str, data: bytes) -> list[str]:
    data = unpacked(suffix, data)
    if suffix.startswith("parquet"):
        keys: list[str] = pq.read_table(io.BytesIO(data))["key"].to_pylist()
        return keys
    if suffix.startswith("jsonl"):
        return [json.loads(line)["key"] for line in data.decode().split("\n")[:-1]]
    return [unquote(row[1]) for row in csv.reader(io.StringIO(data.decode()))]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_suffix_determines_the_format(suffix: str) -> None:
    assert keys_in(suffix, exported(suffix)) == [found.key for found in OBJECTS]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_nothing_to_export_is_a_file_without_records(suffix: str) -> None:
    assert keys_in(suffix, exported(suffix, iter(()))) == []


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_equal_records_make_equal_files_in_any_batches(suffix: str) -> None:
    assert exported(suffix, batches(1)) == exported(suffix, batches(7))


def test_a_parquet_file_has_the_schema_and_statistics_of_a_part() -> None:
    file = pq.ParquetFile(io.BytesIO(exported("parquet")))
    assert file.schema_arrow.equals(RECORD_SCHEMA)
    statistics = file.metadata.row_group(0).column(1).statistics
    assert (statistics.min, statistics.max) == (OBJECTS[0].key, OBJECTS[-1].key)


@pytest.mark.parametrize(
    "name", ["objects", "objects.xml", "csv.bz2", "objects.gz", ".zst", "objects.csv.gz.gz"]
)
def test_another_suffix_is_rejected_with_those_that_are_known(name: str) -> None:
    with pytest.raises(UnknownFormat, match=r"a name that ends in \.parquet, \.csv or \.jsonl"):
        ExportFormat.of(name)


@pytest.mark.parametrize("dialect", Dialect)
def test_a_dialect_may_be_named_before_a_csv(dialect: Dialect) -> None:
    assert ExportFormat.named(f"{dialect}.csv.gz") == ExportFormat("csv", "gz", dialect)


@pytest.mark.parametrize("suffix", ["csv", "csv.gz", "csv.zst", "jsonl", "parquet"])
def test_records_are_written_while_more_are_still_to_come(suffix: str) -> None:
    target = io.BytesIO()
    sizes = []

    def many() -> Iterator[pa.RecordBatch]:
        group = pa.Table.from_batches(batches()).take(
            pa.array([number % len(OBJECTS) for number in range(ROW_GROUP_ROWS)])
        )
        for _ in range(4):
            sizes.append(len(target.getvalue()))
            yield from group.to_batches()

    rows = write_export(ExportFormat.of(suffix), many(), RECORD_SCHEMA, target)
    assert rows == 4 * ROW_GROUP_ROWS
    assert sizes[1] < sizes[2] < sizes[3] < len(target.getvalue())


def test_a_dates_file_is_published_with_its_hash(store: LocalStore) -> None:
    manifest = merge(store, LAYOUT, "", {"": snapshot_of(store, Shard(""), OBJECTS)}, NOW)
    file = publish_export(store, LAYOUT, manifest, "csv.gz", ExportFormat.of("csv.gz"))
    assert file.key == f"bucket/source/exports/dt={DAY}/objects.csv.gz"
    data = store.read(file.key) or b""
    assert (file.size, keys_in("csv.gz", data)) == (len(data), [found.key for found in OBJECTS])


# Whole, or not at all


def test_a_file_appears_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    path.write_text("old")
    with atomic_file(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert [found.name for found in tmp_path.iterdir()] == ["out.csv"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_leaves_an_existing_file_unchanged(
    tmp_path: Path, error: type[BaseException]
) -> None:
    path = tmp_path / "out.csv"
    path.write_text("old")

    def fail() -> None:
        with atomic_file(path) as file:
            file.write(b"new")
            raise error

    with pytest.raises(error):
        fail()
    assert path.read_text() == "old"
    assert [found.name for found in tmp_path.iterdir()] == ["out.csv"]


def test_a_link_is_followed_and_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("real")
    with atomic_file(tmp_path / "link") as file:
        file.write(b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"


def test_a_pipe_is_written_and_stays_a_pipe(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(path.read_bytes()))
    reader.start()
    with atomic_file(path) as file:
        file.write(b"new")
    reader.join()
    assert (read, path.is_fifo()) == ([b"new"], True)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    missing = atomic_file(tmp_path / "no" / "out.csv")
    with pytest.raises(StoreError, match=r"cannot write .*/no/out\.csv: No such file"), missing:
        pass
