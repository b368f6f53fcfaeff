"""Exports with the metadata of objects, as readers of each format see it."""

import csv
import gzip
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from inventory_assets.inventory.errors import CorruptRecord
from inventory_assets.inventory.export.csv_inventory import publish_csv_inventory
from inventory_assets.inventory.export.described_records import described, described_schema
from inventory_assets.inventory.export.export_format import Dialect, ExportFormat
from inventory_assets.inventory.export.exporter import publish_export
from inventory_assets.inventory.manifest.manifest import Manifest
from inventory_assets.inventory.manifest.manifest_merge import merge
from inventory_assets.inventory.manifest.s3_inventory_format import DataFile
from inventory_assets.inventory.metadata.date_metadata import MetadataFile, date_metadata
from inventory_assets.inventory.metadata.metadata_files import MetadataPart, metadata_writer
from inventory_assets.inventory.metadata.schema import IDENTITY_COLUMNS, METADATA_SCHEMA
from inventory_assets.inventory.parts.part import read_records
from inventory_assets.inventory.parts.schema import RECORD_SCHEMA, VERSION_RECORD_SCHEMA
from inventory_assets.inventory.storage.encodings import Encodings
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets.inventory.storage.store import Store
from inventory_assets.scan.keyspace.key_range import KeyRange
from inventory_assets.scan.keyspace.shard import Shard
from inventory_assets_tests.inventory.metadata.object_days import Bucket, noon
from inventory_assets_tests.inventory.samples import HOSTILE_KEYS, LAYOUT, NOW

SHARDS = (Shard("", ("a/",)), Shard("a/"))
OVERLAPPING = (Shard(""), Shard("a/"))
"""The prefix became a shard after the shard around it was listed on that date."""

LOCKED = {
    "x-amz-server-side-encryption": "aws:kms",
    "x-amz-server-side-encryption-bucket-key-enabled": "true",
    "x-amz-replication-status": "COMPLETED",
    "x-amz-object-lock-mode": "GOVERNANCE",
    "x-amz-object-lock-legal-hold": "ON",
    "x-amz-object-lock-retain-until-date": "2027-01-02T03:04:05Z",
    "x-amz-checksum-sha256": "c3Vt",
    "content-type": "text/plain",
    "x-amz-meta-owner": 'the "team"',
}


def date_of(bucket: Bucket, *shards: Shard, collected: Sequence[Shard] | None = None) -> Manifest:
    """The manifest of the bucket's day, with the metadata of some shards."""
    snapshots = {}
    for shard in shards:
        snapshots[shard.prefix] = bucket.snapshot(shard)
        if collected is None or shard in collected:
            bucket.collect(shard)
    return merge(bucket.store, LAYOUT, "", snapshots, noon(bucket.day))


def export(
    bucket: Bucket, manifest: Manifest, name: str, files: Sequence[MetadataFile] | None = None
) -> bytes:
    if files is None:
        files = date_metadata(bucket.store, LAYOUT, manifest).files
    published = publish_export(
        bucket.store, LAYOUT, manifest, name, ExportFormat.named(name), files
    )
    return bucket.store.read(published.key) or b""


def parquet_rows(data: bytes) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(io.BytesIO(data)).to_pylist(maps_as_pydicts="strict")
    return rows


def by_hand(bucket: Bucket, manifest: Manifest) -> Iterator[dict[str, Any]]:
    """What an export should hold: a plain join, row by row."""
    found = {
        tuple(row[name] for name in IDENTITY_COLUMNS): row
        for each in date_metadata(bucket.store, LAYOUT, manifest).files
        for row in _rows(bucket.store, each.part.file)
    }
    nothing = dict.fromkeys(METADATA_SCHEMA.names)
    for batch in read_records(bucket.store, manifest.parts, [KeyRange.of_prefix("")]):
        for record in batch.to_pylist():
            identity = tuple(record.get(name) for name in IDENTITY_COLUMNS)
            told = found.get(identity, nothing)
            others = {k: v for k, v in told.items() if k not in {*record, *IDENTITY_COLUMNS}}
            checksum = record["checksum_algorithm"] or told["checksum_algorithm"]
            yield {**record, "checksum_algorithm": checksum, **others}


def _rows(store: Store, key: str) -> list[dict[str, Any]]:
    return parquet_rows(store.read(key) or b"")


def lose_metadata(bucket: Bucket, manifest: Manifest) -> None:
    """Remove the files of metadata of a date."""
    assert isinstance(bucket.store, LocalStore)
    for each in date_metadata(bucket.store, LAYOUT, manifest).files:
        bucket.store.path(each.part.file).unlink()


@pytest.mark.parametrize("shards", [(Shard(""),), SHARDS, OVERLAPPING])
def test_parquet_has_all_columns_of_each_object(bucket: Bucket, shards: Sequence[Shard]) -> None:
    for number, key in enumerate([*HOSTILE_KEYS, "a/1", "a/2", "b/1"]):
        told = {"x-amz-meta-number": str(number)}
        bucket.put(key, key, headers=LOCKED | told if number % 2 else told)
    manifest = date_of(bucket, *shards)
    rows = parquet_rows(export(bucket, manifest, "parquet"))
    assert rows == [*by_hand(bucket, manifest)]
    assert [row["key"] for row in rows] == sorted(bucket.listed)
    assert [row["user_metadata"]["number"] for row in rows] == [
        bucket.server.objects[row["key"], None].headers["x-amz-meta-number"] for row in rows
    ]


def test_objects_without_an_answer_have_empty_columns(bucket: Bucket) -> None:
    for key in ("a/1", "a/2", "b/1", "c/1"):
        bucket.put(key, key, headers=LOCKED)
    manifest = date_of(bucket, *SHARDS, collected=SHARDS[:1])
    collected = date_metadata(bucket.store, LAYOUT, manifest)
    assert (collected.missing, collected.unknown) == (1, 0)
    rows = parquet_rows(export(bucket, manifest, "parquet"))
    assert {row["key"]: row["content_type"] for row in rows} == {
        "a/1": None,
        "a/2": None,
        "b/1": "text/plain",
        "c/1": "text/plain",
    }
    assert [row["key"] for row in rows if row["fetched_at"] is None] == ["a/1", "a/2"]


def test_a_budget_leaves_objects_unknown_and_is_counted(bucket: Bucket) -> None:
    for key in ("a", "b", "c"):
        bucket.put(key, key, headers=LOCKED)
    bucket.collect(limit=1)
    manifest = date_of(bucket, Shard(""), collected=())
    assert date_metadata(bucket.store, LAYOUT, manifest).unknown == 2
    rows = parquet_rows(export(bucket, manifest, "parquet"))
    assert [row["fetched_at"] is None for row in rows].count(True) == 2


def test_an_object_written_since_has_no_metadata_of_its_predecessor(bucket: Bucket) -> None:
    bucket.put("k", "old", headers=LOCKED)
    stale = date_metadata(bucket.store, LAYOUT, date_of(bucket, Shard(""))).files
    bucket.put("k", "new", headers={})
    manifest = date_of(bucket, Shard(""), collected=())
    [row] = parquet_rows(export(bucket, manifest, "parquet", stale))
    assert (row["content_type"], row["fetched_at"]) == (None, None)


def test_a_missing_file_of_metadata_is_an_error_that_says_what_to_do(bucket: Bucket) -> None:
    bucket.put("k", "k")
    manifest = date_of(bucket, Shard(""))
    lose_metadata(bucket, manifest)
    with pytest.raises(CorruptRecord, match=r"materialize\s+object_metadata again"):
        export(bucket, manifest, "parquet")


def test_jsonl_has_maps_as_objects(bucket: Bucket) -> None:
    bucket.put("k\n", "k", headers=LOCKED | {"x-amz-meta-a": "{1\\}"})
    bucket.put("l", "l")
    lines = export(bucket, date_of(bucket, Shard("")), "jsonl").decode().splitlines()
    first, second = map(json.loads, lines)
    assert first["user_metadata"] == {"owner": 'the "team"', "a": "{1\\}"}
    assert first["object_lock_retain_until_date"] == "2027-01-02T03:04:05.000Z"
    assert (second["key"], second["user_metadata"], second["object_tags"]) == ("l", {}, None)


@pytest.mark.parametrize("dialect", [Dialect.PLAIN, Dialect.SPREADSHEET])
def test_csv_with_a_header_has_maps_as_json(bucket: Bucket, dialect: Dialect) -> None:
    bucket.put("k", "k", headers=LOCKED | {"x-amz-meta-f": "=cmd()"})
    bucket.put("l", "l", headers={"content-type": "=cmd()"})
    text = export(bucket, date_of(bucket, Shard("")), f"{dialect}.csv").decode()
    first, second = csv.DictReader(io.StringIO(text))
    assert json.loads(first["user_metadata"]) == {"owner": 'the "team"', "f": "=cmd()"}
    assert (first["object_lock_legal_hold_status"], first["is_bucket_key_enabled"]) == (
        "ON",
        "true",
    )
    harmless = "'=cmd()" if dialect is Dialect.SPREADSHEET else "=cmd()"
    assert second["content_type"] == harmless


S3_FIELDS = (
    "Bucket, Key, Size, LastModifiedDate, ETag, StorageClass, IsMultipartUploaded, "
    "ReplicationStatus, EncryptionStatus, ObjectLockRetainUntilDate, ObjectLockMode, "
    "ObjectLockLegalHoldStatus, BucketKeyStatus, ChecksumAlgorithm, ObjectOwner"
)


def s3_rows(data: bytes) -> list[dict[str, str]]:
    names = S3_FIELDS.split(", ")
    lines = csv.reader(io.StringIO(data.decode()))
    return [dict(zip(names, line, strict=True)) for line in lines]


LOCKED_FIELDS = {
    "ReplicationStatus": "COMPLETED",
    "EncryptionStatus": "SSE-KMS",
    "ObjectLockRetainUntilDate": "2027-01-02T03:04:05.000Z",
    "ObjectLockMode": "GOVERNANCE",
    "ObjectLockLegalHoldStatus": "On",
    "BucketKeyStatus": "ENABLED",
    "ChecksumAlgorithm": "SHA256",
}


def test_s3_inventorys_csv_has_its_fields_and_values(bucket: Bucket) -> None:
    bucket.put("k", "k", headers=LOCKED)
    bucket.put("l", "l", headers={"x-amz-object-lock-legal-hold": "OFF"})
    manifest = date_of(bucket, Shard(""))
    first, second = s3_rows(export(bucket, manifest, "csv"))
    assert LOCKED_FIELDS.items() <= first.items()
    nothing = dict.fromkeys(LOCKED_FIELDS, "") | {"ObjectLockLegalHoldStatus": "Off"}
    assert nothing.items() <= second.items()


def test_a_manifest_of_batch_operations_stays_as_it_is(bucket: Bucket) -> None:
    bucket.put("k", "k", headers=LOCKED)
    manifest = date_of(bucket, Shard(""))
    lose_metadata(bucket, manifest)
    assert export(bucket, manifest, "batch-operations.csv") == f"{LAYOUT.bucket},k\n".encode()


def csv_inventory(
    bucket: Bucket, manifest: Manifest, *, with_metadata: bool = True
) -> tuple[DataFile, ...]:
    files = date_metadata(bucket.store, LAYOUT, manifest).files if with_metadata else None
    return publish_csv_inventory(bucket.store, LAYOUT, manifest, metadata=files)


def held(bucket: Bucket, file: DataFile) -> list[dict[str, str]]:
    return s3_rows(gzip.decompress(bucket.store.read(file.key) or b""))


def test_the_csv_inventory_names_the_fields_in_its_manifest(bucket: Bucket) -> None:
    bucket.put("a/k", "k", headers=LOCKED)
    bucket.put("b/l", "l")
    manifest = date_of(bucket, *SHARDS)
    files = csv_inventory(bucket, manifest)
    document = json.loads(bucket.store.read(LAYOUT.csv.s3_manifest(manifest.day)) or b"")
    assert document["fileSchema"] == S3_FIELDS
    assert [row["EncryptionStatus"] for each in files for row in held(bucket, each)] == [
        "SSE-KMS",
        "",
    ]


def test_only_files_with_other_records_or_metadata_are_written_again(bucket: Bucket) -> None:
    bucket.put("a/k", "k", headers={"x-amz-replication-status": "PENDING"})
    bucket.put("b/l", "l")
    first = csv_inventory(bucket, date_of(bucket, *SHARDS))
    bucket.pass_night()
    bucket.server.objects["a/k", None].headers = {"x-amz-replication-status": "COMPLETED"}
    second = csv_inventory(bucket, date_of(bucket, *SHARDS))
    assert [a == b for a, b in zip(first, second, strict=True)] == [False, True]
    assert [row["ReplicationStatus"] for row in held(bucket, second[0])] == ["COMPLETED"]
    bucket.pass_night()
    assert csv_inventory(bucket, date_of(bucket, *SHARDS)) == second


def test_a_switch_of_the_setting_writes_files_of_its_own(bucket: Bucket) -> None:
    bucket.put("k", "k", headers=LOCKED)
    manifest = date_of(bucket, Shard(""))
    [without] = csv_inventory(bucket, manifest, with_metadata=False)
    [with_it] = csv_inventory(bucket, manifest)
    [again] = csv_inventory(bucket, manifest, with_metadata=False)
    assert without == again != with_it


VERSIONS = [("k", "2", None, True), ("k", "1", "e1", False), ("l", "1", "e2", False)]


def test_a_version_has_its_own_metadata_and_a_delete_marker_none(store: LocalStore) -> None:
    nothing = dict.fromkeys(METADATA_SCHEMA.names)
    told = [
        {"key": key, "version_id": version, "e_tag": e_tag, "last_modified_date": NOW}
        for key, version, e_tag, is_marker in VERSIONS
        if not is_marker
    ]
    rows = [nothing | row | {"content_type": f"{row['key']}{row['version_id']}"} for row in told]
    path = store.path("metadata.parquet")
    path.parent.mkdir(parents=True, exist_ok=True)
    with metadata_writer(path, Encodings.COMPACT) as writer:
        writer.write_table(pa.Table.from_pylist(rows, METADATA_SCHEMA))
    file = MetadataFile(MetadataPart("", "metadata.parquet", 2, path.stat().st_size, "k", "l"))
    records: list[Mapping[str, Any]] = [
        dict.fromkeys(VERSION_RECORD_SCHEMA.names)
        | {"bucket": "b", "key": key, "version_id": version, "e_tag": e_tag}
        | {"last_modified_date": NOW, "is_delete_marker": is_marker}
        for key, version, e_tag, is_marker in VERSIONS
    ]
    # A batch for each version: those of a key may be apart.
    batches = [pa.RecordBatch.from_pylist([row], VERSION_RECORD_SCHEMA) for row in records]
    schema = described_schema(VERSION_RECORD_SCHEMA, ExportFormat.of("parquet"))
    found = [
        row for batch in described(store, [file], batches, schema) for row in batch.to_pylist()
    ]
    assert [row["content_type"] for row in found] == [None, "k1", "l1"]
    assert [row["version_id"] for row in found] == ["2", "1", "1"]


def test_no_column_of_the_records_is_lost_or_twice() -> None:
    schema = described_schema(RECORD_SCHEMA, ExportFormat.of("parquet"))
    assert len(set(schema.names)) == len(schema.names)
    assert schema.names[: len(RECORD_SCHEMA)] == RECORD_SCHEMA.names
    assert {*schema.names} == {*RECORD_SCHEMA.names, *METADATA_SCHEMA.names} - {"version_id"}
