from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from inventory_assets.cli.export import FILE_LISTS
from inventory_assets.inventory.export.export_format import ExportFormat
from inventory_assets.inventory.export.exporter import write_export
from inventory_assets.inventory.export.file_list import FileList, file_list
from inventory_assets.inventory.parts.schema import record_schema
from inventory_assets_tests.fakes.listings import Listed
from inventory_assets_tests.inventory.samples import records_of

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

TIME = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=1_700_000_000_123)
RECORDS = [records_of([Listed("t/", 0), Listed("t/a b%.parquet", 7), Listed("é", 8)])]


def test_the_command_knows_all_lists() -> None:
    assert list(FileList) == list(FILE_LISTS)


def test_a_list_for_delta_has_uris_sizes_and_milliseconds() -> None:
    (batch,) = file_list(RECORDS, FileList.DELTA_VACUUM, "s3a")
    assert batch.to_pylist() == [
        {"path": f"s3a://bucket/{key}", "length": size, "isDir": is_folder, **_MODIFIED}
        for key, size, is_folder in (
            ("t/", 0, True),
            ("t/a b%.parquet", 7, False),
            ("é", 8, False),
        )
    ]


_MODIFIED = {"modificationTime": 1_700_000_000_123}


def test_a_list_for_iceberg_has_files_only() -> None:
    (batch,) = file_list(RECORDS, FileList.ICEBERG_FILES, "s3")
    assert batch.to_pylist() == [
        {"file_path": "s3://bucket/t/a b%.parquet", "last_modified": TIME},
        {"file_path": "s3://bucket/é", "last_modified": TIME},
    ]


@pytest.mark.parametrize("kind", FileList)
def test_noncurrent_versions_and_delete_markers_are_in_no_list(kind: FileList) -> None:
    states = [("a", True, False), ("a", False, False), ("b", True, True), ("b", False, False)]
    rows = [
        {
            "bucket": "bucket",
            "key": key,
            "size": None if is_marker else 1,
            "last_modified_date": TIME,
            "is_latest": is_latest,
            "is_delete_marker": is_marker,
        }
        for key, is_latest, is_marker in states
    ]
    versions = pa.RecordBatch.from_pylist(rows, schema=record_schema(of_versions=True))
    found = [row for batch in file_list([versions], kind, "s3") for row in batch.to_pylist()]
    assert [next(iter(row.values())) for row in found] == ["s3://bucket/a"]


def _written(folder: Path, kind: FileList) -> str:
    path = folder / f"{kind}.parquet"
    with path.open("wb") as file:
        batches = file_list(RECORDS, kind, "s3")
        write_export(ExportFormat.of(path.name), batches, kind.schema, file)
    return str(path)


def test_spark_reads_the_schema_that_delta_and_iceberg_require(
    spark: "SparkSession", tmp_path: Path
) -> None:
    from pyspark.sql.types import (
        BooleanType,
        LongType,
        StringType,
        StructField,
        StructType,
        TimestampType,
    )

    of_delta = spark.read.parquet(_written(tmp_path, FileList.DELTA_VACUUM))
    # Delta compares the whole type, so names, order, types and nullability all matter.
    assert of_delta.schema == StructType(
        [
            StructField("path", StringType()),
            StructField("length", LongType()),
            StructField("isDir", BooleanType()),
            StructField("modificationTime", LongType()),
        ]
    )
    assert [row.length for row in of_delta.collect()] == [0, 7, 8]
    of_iceberg = spark.read.parquet(_written(tmp_path, FileList.ICEBERG_FILES))
    assert of_iceberg.schema == StructType(
        [StructField("file_path", StringType()), StructField("last_modified", TimestampType())]
    )
    assert [row.file_path for row in of_iceberg.collect()] == [
        "s3://bucket/t/a b%.parquet",
        "s3://bucket/é",
    ]
