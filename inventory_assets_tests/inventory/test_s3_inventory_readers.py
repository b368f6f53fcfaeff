"""Third-party readers open published files as S3 Inventory, without changes."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import PropertyMock, patch
from urllib.parse import unquote

import boto3
import duckdb
import polars as pl
import pyarrow.dataset as ds
import pytest
from odc.aws.inventory import list_inventory

from inventory_assets.inventory.export.csv_inventory import publish_csv_inventory
from inventory_assets.inventory.manifest.manifest_merge import merge, publish_manifest
from inventory_assets.inventory.storage.destination import Destination
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets.scan.keyspace.shard import make_shard
from inventory_assets_tests.external_servers import REGION, Endpoint
from inventory_assets_tests.fakes.listings import Listed
from inventory_assets_tests.inventory.samples import DAY, LAYOUT, NOW, snapshot_of

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = [
    pytest.mark.filterwarnings("ignore:PySpark does not yet fully support pandas"),
    pytest.mark.filterwarnings("ignore:The 'future.infer_string' option is deprecated"),
]

RESULTS = "results"
"""The bucket that the store stands for."""

PREFIXES = ("", "a/", "b/")
KEYS = [
    "\x01",
    "a b+c%20",
    "a/1",
    "a/é\U0001f600",
    'b/"quoted", \\',
    "b/2",
    "line\nbreak",
    "\U0010ffff",
]
OBJECTS = [
    Listed(
        key,
        size=number**20,
        e_tag=(None, "0" * 32, f"{'f' * 32}-7")[number % 3],
        storage_class=("STANDARD", None, "GLACIER")[number % 3],
        checksums=((), ("CRC32", "SHA256"))[number % 2],
        owner=(None, 'o"\\')[number % 2],
    )
    for number, key in enumerate(sorted(KEYS))
]


@dataclass(frozen=True, slots=True)
class Published:
    """An inventory in Parquet and in CSV, and its records."""

    store: LocalStore
    objects: Sequence[Listed]

    def manifest_files(self) -> list[Path]:
        """The Parquet files that `manifest.json` lists, by their keys in the bucket."""
        data = self.store.read(LAYOUT.s3_manifest(DAY)) or b""
        return [self.store.path(file["key"]) for file in json.loads(data)["files"]]


@pytest.fixture(scope="module", params=[OBJECTS, []], ids=["several files", "no file"])
def published(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Published:
    store = LocalStore(tmp_path_factory.mktemp("store"))
    destination = Destination(f"arn:aws:s3:::{RESULTS}")
    with patch.object(LocalStore, "destination", PropertyMock(return_value=destination)):
        snapshots = {}
        for prefix in PREFIXES:
            shard = make_shard(prefix, PREFIXES)
            held = [found for found in request.param if shard.covers(found.key)]
            snapshots[prefix] = snapshot_of(store, shard, held)
        manifest = merge(store, LAYOUT, "", snapshots, NOW)
        publish_manifest(store, LAYOUT, manifest)
        files = publish_csv_inventory(store, LAYOUT, manifest)
    assert (len(files) > 1) == (len(manifest.parts) > 1) == bool(request.param)
    return Published(store, request.param)


def texts(found: Listed) -> tuple[str, ...]:
    """An object as the CSV has it."""
    row = found.row()
    modified = found.row()["last_modified_date"]
    is_multipart = None if found.e_tag is None else "-" in found.e_tag
    return (
        "bucket",
        found.key,
        str(found.size),
        f"{modified:%Y-%m-%dT%H:%M:%S}.{found.modified % 1000:03}Z",
        found.e_tag or "",
        found.storage_class or "",
        "" if is_multipart is None else str(is_multipart).lower(),
        str(row["checksum_algorithm"] or ""),
        found.owner or "",
    )


# S3 Inventory in CSV


@pytest.fixture(scope="module")
def uploaded(published: Published, moto: Endpoint) -> Iterator[object]:
    """A client of a server on which the store is the bucket `RESULTS`."""
    root = published.store.root
    files = [path for path in root.rglob("*") if path.is_file()]
    objects = {path.relative_to(root).as_posix(): path.read_bytes() for path in files}
    moto.make_bucket(RESULTS, objects)
    yield boto3.client(
        "s3",
        endpoint_url=moto.url,
        region_name=REGION,
        aws_access_key_id=moto.account.access_key,
        aws_secret_access_key=moto.account.secret_key,
    )
    moto.delete(RESULTS, objects)
    moto.send("DELETE", f"/{RESULTS}")


@pytest.mark.parametrize("manifest", ["", f"{DAY}T00-00Z/manifest.json"], ids=["newest", "dated"])
def test_open_data_cube_lists_it(published: Published, uploaded: object, manifest: str) -> None:
    found = list_inventory(f"s3://{RESULTS}/{LAYOUT.csv.base}/{manifest}", s3=uploaded)
    rows = [(row.Bucket, unquote(row.Key), *list(vars(row).values())[2:]) for row in found]
    assert rows == [texts(listed) for listed in published.objects]


ATHENA_TABLE = """
CREATE EXTERNAL TABLE {name}(
         bucket string,
         key string,
         size string,
         last_modified_date string,
         e_tag string,
         storage_class string,
         is_multipart_uploaded boolean,
         checksum_algorithm string,
         object_owner string
  ) PARTITIONED BY (
        dt string
  )
  ROW FORMAT SERDE 'org.apache.hadoop.hive.serde2.OpenCSVSerde'
  STORED AS INPUTFORMAT 'org.apache.hadoop.hive.ql.io.SymlinkTextInputFormat'
  OUTPUTFORMAT 'org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat'
  LOCATION '{location}'
"""
"""https://docs.aws.amazon.com/AmazonS3/latest/userguide/storage-inventory-athena-query.html"""


def test_the_documented_athena_table_reads_it(published: Published, spark: "SparkSession") -> None:
    location = published.store.path(f"{LAYOUT.csv.base}/hive/").as_uri()
    spark.sql("DROP TABLE IF EXISTS s3_inventory")
    spark.sql(ATHENA_TABLE.format(name="s3_inventory", location=location))
    spark.sql("MSCK REPAIR TABLE s3_inventory")
    rows = spark.sql("SELECT * FROM s3_inventory WHERE dt = '2026-05-05-00-00'").collect()
    # The serde takes a backslash for an escape, and keys are encoded for it.
    found = [(row[0], unquote(row[1]), *row[2:8]) for row in rows]
    assert sorted(found) == sorted(texts(listed)[:8] for listed in published.objects)


# Parquet

of_several_files = pytest.mark.parametrize("published", [OBJECTS], indirect=True)
"""Readers infer no schema of no file."""


def rows_of(table: pl.DataFrame) -> list[tuple[object, ...]]:
    columns = ["key", "size", "e_tag", "storage_class", "object_owner"]
    return table.select(columns).sort("key").rows()


def expected_rows(published: Published) -> list[tuple[object, ...]]:
    return [
        (found.key, found.size, found.e_tag, found.storage_class, found.owner)
        for found in published.objects
    ]


@of_several_files
def test_spark_reads_the_files_of_the_manifest(published: Published, spark: "SparkSession") -> None:
    paths = [str(path) for path in published.manifest_files()]
    rows = spark.read.parquet(*paths).orderBy("key").collect()
    found = [(row.key, row.size, row.e_tag, row.storage_class, row.object_owner) for row in rows]
    assert found == expected_rows(published)
    moments = [row.last_modified_date.astimezone(UTC) for row in rows]
    assert moments == [listed.row()["last_modified_date"] for listed in published.objects]


@of_several_files
@pytest.mark.parametrize("reader", ["DuckDB", "Polars", "pyarrow"])
def test_other_readers_read_the_files_of_the_manifest(published: Published, reader: str) -> None:
    paths = [str(path) for path in published.manifest_files()]
    match reader:
        case "DuckDB":
            with duckdb.connect() as database:
                table = pl.DataFrame(database.read_parquet(paths).to_arrow_table())
        case "Polars":
            table = pl.read_parquet(paths)
        case _:
            table = pl.DataFrame(ds.dataset(paths).to_table())
    assert rows_of(table) == expected_rows(published)


@pytest.mark.parametrize("reader", ["DuckDB", "Polars"])
def test_the_symlink_file_names_what_readers_open(published: Published, reader: str) -> None:
    links = (published.store.read(LAYOUT.symlink(DAY)) or b"").decode().splitlines()
    assert links == [f"file://{path}" for path in published.manifest_files()]
    if not links:
        return
    if reader == "Polars":
        table = pl.read_parquet(links)
    else:
        with duckdb.connect() as database:
            table = pl.DataFrame(database.read_parquet(links).to_arrow_table())
    assert rows_of(table) == expected_rows(published)
