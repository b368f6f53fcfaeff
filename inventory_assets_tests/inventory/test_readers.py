"""Common Parquet readers return exactly the records that were written to parts."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from unittest.mock import patch

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from inventory_assets.inventory.parts import part_writer
from inventory_assets.inventory.parts.parquet_encoding import ROW_GROUP_ROWS
from inventory_assets.inventory.parts.part_writer import PartWriter
from inventory_assets.inventory.parts.schema import RECORD_SCHEMA
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets_tests.fakes.listings import Listed
from inventory_assets_tests.inventory.samples import HOSTILE_KEYS, LAYOUT, parts_of, records_of

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = [
    pytest.mark.filterwarnings("ignore:PySpark does not yet fully support pandas"),
    pytest.mark.filterwarnings("ignore:The 'future.infer_string' option is deprecated"),
]

FOLDER = f"deep/{'x' * 900}/"
KEYS = {
    *HOSTILE_KEYS,
    *("\x00", "nul\x00inside", "\x7f", "\r\n", "tab\t"),
    *("a b", "a+b", "a%20b", "a%2Fb", "a//b", "trailing ", " leading"),
    *("e\u0301", "\u00e9", "\U0001f600", "\U0001f600/\u00e9"),
    *("\ud7ff", "\ue000", "\ufffe", "\U00010000", "\U0010fffd"),
    *(f"{FOLDER}{number:04}" for number in range(20)),
    *("z" * length for length in (1022, 1023, 1024)),
    f"{'z' * 1023}y",
    "\U0010ffff" * 256,
}
SIZES = (0, 2**63 - 1, 1, 5_000_000_000_000)
LAST_MILLISECOND = 253_402_300_799_999
TIMES = (0, 1, 1_700_000_000_123, LAST_MILLISECOND)


def object_of(number: int, key: str) -> Listed:
    """An object; each field goes through its extremes at a pace of its own."""
    return Listed(
        key,
        size=SIZES[number % len(SIZES)],
        modified=TIMES[number // 2 % len(TIMES)],
        e_tag=(None, "0" * 32, f"{'f' * 32}-10000")[number % 3],
        storage_class=(None, "STANDARD", "GLACIER")[number // 3 % 3],
        checksums=((), ("CRC32",), ("CRC32", "SHA256"))[number % 3],
        owner=(None, "o")[number % 2],
    )


def bare(found: Listed) -> Listed:
    """The object with null in every field that may be null."""
    return Listed(found.key, found.size, found.modified, e_tag=None, storage_class=None)


OBJECTS = [object_of(number, key) for number, key in enumerate(sorted(KEYS))]
FILES = (OBJECTS[:24], [bare(found) for found in OBJECTS[24:36]], OBJECTS[36:])


@dataclass(frozen=True, slots=True)
class Written:
    """Parts, what they hold, and how the writer was asked to write it."""

    paths: tuple[Path, ...]
    table: pa.Table
    asked: dict[str, Any]


@pytest.fixture(scope="module")
def hostile(roomy_store: LocalStore) -> Written:
    """Several files of several small row groups."""
    with (
        patch.object(part_writer, "ROW_GROUP_ROWS", 8),
        patch.object(pq, "ParquetWriter", wraps=pq.ParquetWriter) as writer,
    ):
        parts = parts_of(roomy_store, *FILES)
    return Written(
        paths=tuple(roomy_store.path(part.key) for part in parts),
        table=pa.Table.from_batches(map(records_of, FILES)),
        asked=dict(writer.call_args.kwargs),
    )


@pytest.fixture(scope="module")
def full_group(roomy_store: LocalStore) -> Written:
    """A file with a row group of the usual size, of several pages."""
    numbers = range(ROW_GROUP_ROWS)
    columns = {
        "bucket": [LAYOUT.bucket for _ in numbers],
        "key": [f"data/{number:06}/{number * 7919 % 104729:x}" for number in numbers],
        "size": [number**3 for number in numbers],
        "last_modified_date": [number * 20_000_003 for number in numbers],
        "e_tag": [f"{number * 2**107 // 3:032x}" for number in numbers],
        "storage_class": [("STANDARD", None, "GLACIER")[number % 7 % 3] for number in numbers],
        "is_multipart_uploaded": [(True, False, None)[number % 11 % 3] for number in numbers],
        "checksum_algorithm": [f"{number % 1000}" for number in numbers],
        "object_owner": [None for _ in numbers],
    }
    table = pa.table(columns, RECORD_SCHEMA)
    with PartWriter(roomy_store, LAYOUT) as writer:
        for batch in table.to_batches(1000):
            writer.write(batch)
        writer.finish_part()
    return Written(tuple(roomy_store.path(part.key) for part in writer.parts), table, {})


class Reader(Protocol):
    """A tool that reads Parquet files."""

    def read(self, path: Path) -> pa.Table:
        """All of a file, in its order."""

    def sorted(self, paths: Sequence[Path]) -> pa.Table:
        """All of several files, sorted by key by the reader itself."""

    def between(self, paths: Sequence[Path], first: str, last: str) -> pa.Table:
        """The records of several files with the keys from `first` to `last`, in key order."""


class PyArrow:
    def read(self, path: Path) -> pa.Table:
        return pq.read_table(path)

    def sorted(self, paths: Sequence[Path]) -> pa.Table:
        return ds.dataset([str(path) for path in paths]).sort_by("key").to_table()

    def between(self, paths: Sequence[Path], first: str, last: str) -> pa.Table:
        wanted = (ds.field("key") >= first) & (ds.field("key") <= last)
        return ds.dataset([str(path) for path in paths]).to_table(filter=wanted)


@dataclass(frozen=True, slots=True)
class DuckDB:
    database: duckdb.DuckDBPyConnection

    def _open(self, paths: Sequence[Path]) -> duckdb.DuckDBPyRelation:
        return self.database.read_parquet([str(path) for path in paths])

    def read(self, path: Path) -> pa.Table:
        return self._open([path]).to_arrow_table()

    def sorted(self, paths: Sequence[Path]) -> pa.Table:
        return self._open(paths).order("key").to_arrow_table()

    def between(self, paths: Sequence[Path], first: str, last: str) -> pa.Table:
        key = duckdb.ColumnExpression("key")
        bounds = (duckdb.ConstantExpression(first), duckdb.ConstantExpression(last))
        return self._open(paths).filter(key.between(*bounds)).to_arrow_table()


class Polars:
    def read(self, path: Path) -> pa.Table:
        return pl.read_parquet(path).to_arrow()

    def sorted(self, paths: Sequence[Path]) -> pa.Table:
        return pl.scan_parquet(list(paths)).sort("key").collect().to_arrow()

    def between(self, paths: Sequence[Path], first: str, last: str) -> pa.Table:
        wanted = pl.col("key").is_between(pl.lit(first), pl.lit(last))
        return pl.scan_parquet(list(paths)).filter(wanted).collect().to_arrow()


@dataclass(frozen=True, slots=True)
class Spark:
    session: "SparkSession"

    def read(self, path: Path) -> pa.Table:
        return self.session.read.parquet(str(path)).toArrow()

    def sorted(self, paths: Sequence[Path]) -> pa.Table:
        return self.session.read.parquet(*map(str, paths)).orderBy("key").toArrow()

    def between(self, paths: Sequence[Path], first: str, last: str) -> pa.Table:
        files = self.session.read.parquet(*map(str, paths))
        # Spark takes the largest of several files first, whatever their order.
        return files.filter(files.key.between(first, last)).orderBy("key").toArrow()


@pytest.fixture(scope="module", params=["pyarrow", "DuckDB", "Polars", "Spark"])
def reader(request: pytest.FixtureRequest) -> Iterator[Reader]:
    """Each reader of all columns, in turn."""
    match request.param:
        case "pyarrow":
            yield PyArrow()
        case "DuckDB":
            with duckdb.connect() as database:
                yield DuckDB(database)
        case "Polars":
            yield Polars()
        case "Spark":
            yield Spark(request.getfixturevalue("spark"))


def rows(*tables: pa.Table) -> list[dict[str, Any]]:
    """Rows in their order; readers may hold text and times in types of their own."""
    return [row for table in tables for row in table.cast(RECORD_SCHEMA).to_pylist()]


def keys(table: pa.Table) -> list[str]:
    found: list[str] = table.column("key").to_pylist()
    return found


def row_groups(written: Written) -> Iterator[tuple[pq.RowGroupMetaData, pa.Table]]:
    """Each row group of the files, with the records that it should hold."""
    start = 0
    for path in written.paths:
        metadata = pq.read_metadata(path)
        for number in range(metadata.num_row_groups):
            group = metadata.row_group(number)
            yield group, written.table.slice(start, group.num_rows)
            start += group.num_rows
    assert start == written.table.num_rows


def test_the_sample_is_as_hostile_as_it_should_be(hostile: Written) -> None:
    assert len(hostile.paths) == len(FILES)
    assert all(pq.read_metadata(path).num_row_groups > 1 for path in hostile.paths)
    assert max(len(key.encode()) for key in KEYS) == 1024
    assert keys(hostile.table) == sorted(KEYS, key=str.encode)


def test_a_reader_returns_exactly_the_rows_written(hostile: Written, reader: Reader) -> None:
    assert rows(*map(reader.read, hostile.paths)) == rows(hostile.table)


def test_a_reader_returns_row_groups_of_full_size(full_group: Written, reader: Reader) -> None:
    (path,) = full_group.paths
    assert reader.read(path).cast(RECORD_SCHEMA).equals(full_group.table)


def test_a_reader_sorts_keys_as_the_parts_do(hostile: Written, reader: Reader) -> None:
    assert rows(reader.sorted(hostile.paths)) == rows(hostile.table)


@pytest.mark.parametrize(
    ("first", "last"),
    [
        pytest.param(1, 6, id="within a row group"),
        pytest.param(7, 8, id="on both sides of a border"),
        pytest.param(20, 40, id="over several files"),
        pytest.param(len(KEYS) - 1, len(KEYS) - 1, id="the last"),
    ],
)
def test_a_reader_finds_a_range_of_keys(
    hostile: Written, reader: Reader, first: int, last: int
) -> None:
    written = keys(hostile.table)
    found = reader.between(hostile.paths, written[first], written[last])
    assert rows(found) == rows(hostile.table.slice(first, last - first + 1))


def test_a_reader_finds_nothing_between_neighbours(hostile: Written, reader: Reader) -> None:
    found = reader.between(hostile.paths, f"{FOLDER}0007\x00", f"{FOLDER}0007~")
    assert found.num_rows == 0


@pytest.mark.parametrize("reader", ["pyarrow", "DuckDB", "Polars"], indirect=True)
def test_each_key_is_found_by_itself(hostile: Written, reader: Reader) -> None:
    for key in keys(hostile.table):
        assert keys(reader.between(hostile.paths, key, key)) == [key]


def test_every_row_group_states_its_least_and_greatest_key_in_full(hostile: Written) -> None:
    for group, held in row_groups(hostile):
        statistics = group.column(RECORD_SCHEMA.get_field_index("key")).statistics
        assert (statistics.min, statistics.max) == (keys(held)[0], keys(held)[-1])


def test_another_reader_sees_the_same_bounds(hostile: Written) -> None:
    query = (
        "select stats_min_value, stats_max_value, min_is_exact, max_is_exact "
        "from parquet_metadata(?) where path_in_schema = 'key' order by row_group_id"
    )
    expected = [(keys(held)[0], keys(held)[-1], True, True) for _, held in row_groups(hostile)]
    with duckdb.connect() as database:
        seen = [database.execute(query, [str(path)]).fetchall() for path in hostile.paths]
    assert [bounds for groups in seen for bounds in groups] == expected


def test_columns_are_encoded_and_compressed_as_asked(hostile: Written) -> None:
    dictionaries = hostile.asked["use_dictionary"]
    encodings = hostile.asked["column_encoding"]
    asked = {
        # A dictionary itself is PLAIN, and which values are null is RLE.
        name: {"RLE_DICTIONARY", "PLAIN", "RLE"}
        if name in dictionaries
        else {encodings.get(name, "PLAIN"), "RLE"}
        for name in RECORD_SCHEMA.names
    }
    for group, _ in row_groups(hostile):
        columns = [group.column(number) for number in range(group.num_columns)]
        assert {column.path_in_schema: {*column.encodings} for column in columns} == asked
        assert {column.compression for column in columns} == {"ZSTD"}


def fastparquet_reads(path: Path, column: str) -> list[Any]:
    """A column of a file; fastparquet's times are naive, and in UTC."""
    from fastparquet import ParquetFile

    frame = ParquetFile(str(path)).to_pandas(columns=[column])
    schema = pa.schema([RECORD_SCHEMA.field(column)])
    found: list[Any] = pa.Table.from_pandas(frame, schema, preserve_index=False)[column].to_pylist()
    return found


FASTPARQUET_LACKS = {
    "key": "DELTA_BYTE_ARRAY",
    "e_tag": "DELTA_LENGTH_BYTE_ARRAY",
}
COLUMNS = [
    pytest.param(
        name,
        marks=pytest.mark.xfail(
            name in FASTPARQUET_LACKS,
            reason=f"fastparquet 2026.9 does not decode {FASTPARQUET_LACKS.get(name)}",
            raises=NotImplementedError,
            strict=True,
        ),
    )
    for name in RECORD_SCHEMA.names
]


@pytest.mark.parametrize("column", COLUMNS)
def test_fastparquet_returns_exactly_what_was_written(hostile: Written, column: str) -> None:
    found = [value for path in hostile.paths for value in fastparquet_reads(path, column)]
    assert found == hostile.table.column(column).to_pylist()


@pytest.mark.parametrize("column", COLUMNS)
def test_fastparquet_returns_row_groups_of_full_size(full_group: Written, column: str) -> None:
    (path,) = full_group.paths
    assert fastparquet_reads(path, column) == full_group.table.column(column).to_pylist()
