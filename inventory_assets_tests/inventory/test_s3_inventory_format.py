"""Published files conform to S3 Inventory, according to the strictest readers."""

import gzip
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import md5
from typing import Any
from unittest.mock import PropertyMock, patch

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from inventory_assets.inventory.export.csv_inventory import publish_csv_inventory
from inventory_assets.inventory.manifest.manifest_merge import merge, publish_manifest
from inventory_assets.inventory.manifest.s3_inventory_format import csv_file_schema
from inventory_assets.inventory.storage.destination import Destination
from inventory_assets.inventory.storage.layout import Layout
from inventory_assets.inventory.storage.local_store import NO_BUCKET, LocalStore
from inventory_assets.scan.keyspace.shard import make_shard
from inventory_assets_tests.inventory.samples import DAY, LAYOUT, NOW, listed, snapshot_of

KEYS = ["a/1", "b/2", "b/3 +", "é"]

STORAGE_CLASSES = {
    *("STANDARD", "REDUCED_REDUNDANCY", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING"),
    *("GLACIER", "DEEP_ARCHIVE", "OUTPOSTS", "GLACIER_IR", "SNOW", "EXPRESS_ONEZONE"),
    "FSX_OPENZFS",
}
"""https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html"""

BUCKET_ARN = re.compile(r"arn:aws[a-z-]*:s3:::[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


def md5_of(data: bytes) -> str:
    return md5(data, usedforsecurity=False).hexdigest()


def publish(store: LocalStore, keys: list[str]) -> None:
    """Publish an inventory in Parquet and in CSV, of a file for each of three shards."""
    prefixes = ["", "a/", "b/"]
    snapshots = {}
    for prefix in prefixes:
        shard = make_shard(prefix, prefixes)
        snapshots[prefix] = snapshot_of(store, shard, listed(filter(shard.covers, keys)))
    manifest = merge(store, LAYOUT, "", snapshots, NOW)
    publish_manifest(store, LAYOUT, manifest)
    publish_csv_inventory(store, LAYOUT, manifest)


def manifest_of(store: LocalStore, layout: Layout) -> dict[str, Any]:
    """`manifest.json`, after the checks that a strict reader makes before it reads a data file."""
    data = store.read(layout.s3_manifest(DAY)) or b""
    assert (store.read(layout.checksum(DAY)) or b"").decode() == md5_of(data)
    document: dict[str, Any] = json.loads(data)
    assert BUCKET_ARN.fullmatch(document["destinationBucket"])
    assert datetime.fromtimestamp(int(document["creationTimestamp"]) / 1000, UTC) == NOW
    assert isinstance(document["creationTimestamp"], str)
    assert (document["sourceBucket"], document["version"]) == ("bucket", "2016-11-30")
    for file in document["files"]:
        content = store.read(file["key"]) or b""
        assert (file["size"], file["MD5checksum"]) == (len(content), md5_of(content))
    return document


@pytest.mark.parametrize("keys", [KEYS, []], ids=["several files", "none"])
@pytest.mark.parametrize("layout", [LAYOUT, LAYOUT.csv], ids=["Parquet", "CSV"])
def test_a_strict_reader_finds_every_file_with_its_hash(
    store: LocalStore, keys: list[str], layout: Layout
) -> None:
    publish(store, keys)
    document = manifest_of(store, layout)
    assert len(document["files"]) == (3 if keys else 0)
    links = (store.read(layout.symlink(DAY)) or b"").decode().splitlines()
    assert links == [store.uri(file["key"]) for file in document["files"]]


def test_parquet_columns_are_those_of_the_schema_in_the_manifest(store: LocalStore) -> None:
    publish(store, KEYS)
    document = manifest_of(store, LAYOUT)
    assert document["fileFormat"] == "Parquet"
    fields = re.findall(
        r"  (required|optional) (\w+) (\w+)(?: \(([^;]+)\))?;", document["fileSchema"]
    )
    for file in document["files"]:
        metadata = pq.read_metadata(store.path(file["key"]))
        columns = [metadata.schema.column(n) for n in range(metadata.num_columns)]
        assert [
            (
                "optional" if column.max_definition_level else "required",
                column.physical_type.lower().replace("byte_array", "binary"),
                column.name,
            )
            for column in columns
        ] == [(need, kind, name) for need, kind, name, _ in fields]
        assert [field.nullable for field in metadata.schema.to_arrow_schema()][:3] == [
            False,
            False,
            True,
        ]


def test_times_are_adjusted_to_utc_and_in_milliseconds(store: LocalStore) -> None:
    publish(store, KEYS)
    path = store.path(manifest_of(store, LAYOUT)["files"][0]["key"])
    column = pq.read_metadata(path).schema.column(3)
    assert json.loads(column.logical_type.to_json()) == {
        "Type": "Timestamp",
        "isAdjustedToUTC": True,
        "timeUnit": "milliseconds",
        "is_from_converted_type": False,
        "force_set_converted_type": False,
    }
    assert pq.read_schema(path).field("last_modified_date").type == pa.timestamp("ms", "UTC")


def test_storage_classes_have_s3s_names(store: LocalStore) -> None:
    publish(store, KEYS)
    for file in manifest_of(store, LAYOUT)["files"]:
        assert {*pq.read_table(store.path(file["key"]))["storage_class"].to_pylist()} <= (
            STORAGE_CLASSES
        )


def test_csv_columns_are_those_of_the_schema_in_the_manifest(store: LocalStore) -> None:
    publish(store, KEYS)
    document = manifest_of(store, LAYOUT.csv)
    assert document["fileFormat"] == "CSV"
    assert (
        document["fileSchema"]
        == csv_file_schema()
        == (
            "Bucket, Key, Size, LastModifiedDate, ETag, StorageClass, IsMultipartUploaded, "
            "ChecksumAlgorithm, ObjectOwner"
        )
    )
    for file in document["files"]:
        assert file["key"].endswith(".csv.gz")
        line = gzip.decompress(store.read(file["key"]) or b"").splitlines()[0]
        assert line.count(b'","') == document["fileSchema"].count(", ")


@pytest.mark.parametrize("prefix", ["", "in/here", "in/here/", "/in/here/"])
def test_a_prefix_of_the_destination_leads_every_key_and_doubles_no_slash(prefix: str) -> None:
    destination = Destination("arn:aws:s3:::results", prefix)
    leading = "in/here/" if prefix else ""
    assert (
        destination.key("bucket/source/data/x.parquet") == f"{leading}bucket/source/data/x.parquet"
    )


@pytest.mark.parametrize("layout", [LAYOUT, LAYOUT.csv], ids=["Parquet", "CSV"])
def test_the_store_tells_where_readers_look(store: LocalStore, layout: Layout) -> None:
    there = Destination("arn:aws:s3:::results", "in/")
    with patch.object(LocalStore, "destination", PropertyMock(return_value=there)):
        publish(store, KEYS)
    document = json.loads(store.read(layout.s3_manifest(DAY)) or b"")
    assert document["destinationBucket"] == "arn:aws:s3:::results"
    assert all(file["key"].startswith(f"in/{layout.base}/data/") for file in document["files"])


def test_a_folders_manifest_names_a_bucket_that_can_belong_to_nobody() -> None:
    assert BUCKET_ARN.fullmatch(NO_BUCKET.bucket_arn)
    assert NO_BUCKET.bucket_arn.startswith("arn:aws:s3:::amzn-s3-demo-")


@pytest.fixture
def published(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of what is published, in order."""
    names: list[str] = []

    def noting(plain: Callable[..., object]) -> Callable[..., object]:
        def publish(key: str, *content: object) -> object:
            names.append(key)
            return plain(key, *content)

        return publish

    for way in ("publish_file", "put_if_match"):
        monkeypatch.setattr(store, way, noting(getattr(store, way)))
    return names


def test_data_comes_first_and_the_checksum_last(store: LocalStore, published: list[str]) -> None:
    publish(store, KEYS)
    for layout in (LAYOUT, LAYOUT.csv):
        own = [
            name.removeprefix(f"{layout.base}/") for name in published if layout.base + "/" in name
        ]
        kinds = [name.partition("/")[0] if name.startswith("data") else name for name in own]
        assert kinds[:3] == ["data"] * 3
        assert kinds[-1] == f"{DAY}T00-00Z/manifest.checksum"
        assert {*kinds[3:-1]} >= {
            f"{DAY}T00-00Z/manifest.json",
            "hive/dt=2026-05-05-00-00/symlink.txt",
        }
