"""Metadata from real servers: that of every key, and what boto3 is told of the same objects."""

from collections.abc import Iterable
from datetime import UTC, date, datetime
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pyarrow.parquet as pq
import pytest
from botocore.config import Config

from inventory_assets.inventory.listing.shard_lister import ShardLister
from inventory_assets.inventory.metadata.asking import RequestBudget
from inventory_assets.inventory.metadata.shard_collector import ShardCollector
from inventory_assets.inventory.metadata.shard_metadata import ShardMetadata, violations_of
from inventory_assets.inventory.storage.layout import Layout
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets.s3.head_client import HeadClient
from inventory_assets.s3.list_client import ListClient
from inventory_assets.scan.keyspace.shard import Shard
from inventory_assets.scan.validation.object_versions import Versions
from inventory_assets_tests.external_servers import REGION, Endpoint, MotoEndpoint
from inventory_assets_tests.fakes.versioned_moto import (
    VersionedBucket,
    listing_versions_as_s3_does,
)
from inventory_assets_tests.servers.inventories import body_of
from inventory_assets_tests.servers.test_every_key import (
    CONTROL_CHARACTERS_IN_FOLDERS,
    HOSTILE_KEYS,
    NAMES_NO_FILE_CAN_HAVE,
)

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

DAY = date(2026, 3, 1)
numbers = count()


def collect(
    endpoint: Endpoint,
    bucket: str,
    folder: Path,
    *,
    with_tags: bool = False,
    versions: Versions | None = None,
) -> tuple[ShardMetadata, list[dict[str, Any]]]:
    """List a bucket, collect its metadata, and read that back."""
    store, layout = LocalStore(folder), Layout(bucket, "test")
    lister = ListClient(endpoint.bucket_config(bucket))
    client = HeadClient(endpoint.bucket_config(bucket), with_tags=with_tags)
    try:
        snapshot = ShardLister(lister, store, layout).list_shard(DAY, Shard(""), versions)
        collector = ShardCollector(client, store, layout, lambda: datetime.now(UTC))
        budget = RequestBudget(None, client.requests_per_object)
        record = collector.collect(collector.plan(snapshot), budget)
    finally:
        lister.close()
        client.close()
    assert violations_of(store, record, snapshot) == []
    rows = [
        row
        for part in record.parts
        for row in pq.read_table(store.path(part.file)).to_pylist(maps_as_pydicts="strict")
    ]
    return record, rows


def keys_of(endpoint: Endpoint) -> list[str]:
    keys = [key for key in HOSTILE_KEYS if key != "new\nline" or not is_moto(endpoint)]
    keys += [] if endpoint.keeps_folders else NAMES_NO_FILE_CAN_HAVE
    return [*keys, *([] if is_moto(endpoint) else CONTROL_CHARACTERS_IN_FOLDERS)]


def is_moto(endpoint: Endpoint) -> bool:
    return isinstance(endpoint, MotoEndpoint)


def client_of(endpoint: Endpoint) -> "S3Client":
    return boto3.client(
        "s3",
        endpoint_url=endpoint.url,
        region_name=REGION,
        aws_access_key_id=endpoint.account.access_key,
        aws_secret_access_key=endpoint.account.secret_key,
        config=Config(s3={"addressing_style": "path"}),
    )


def test_every_key_has_the_metadata_of_its_own_object(endpoint: Endpoint, tmp_path: Path) -> None:
    objects = {key: body_of(key) for key in keys_of(endpoint)}
    bucket = endpoint.make_bucket(f"metadata-{next(numbers)}", objects)

    record, rows = collect(endpoint, bucket, tmp_path, with_tags=not endpoint.keeps_folders)

    # An ETag that differed, as that of another object would, would be an error.
    assert {row["key"]: row["error"] for row in rows} == dict.fromkeys(objects)
    assert record.asked == len(objects)
    assert all(row["fetched_at"] for row in rows)


def put_some(client: "S3Client", bucket: str) -> None:
    client.put_object(
        Bucket=bucket,
        Key="page",
        Body=b"x",
        ContentType="text/html; charset=utf-8",
        ContentEncoding="gzip",
        ContentLanguage="de",
        ContentDisposition='attachment; filename="a b"',
        CacheControl="max-age=60",
        Metadata={"owner": "team-a", "empty": "", "quoted": '"; drop'},
        Tagging="team=a&cost=1%2F2",
        ChecksumAlgorithm="SHA256",
    )
    client.put_object(Bucket=bucket, Key="plain", Body=b"y")
    upload = client.create_multipart_upload(Bucket=bucket, Key="large", ContentType="video/mp4")
    parts = [
        {
            "PartNumber": number,
            "ETag": client.upload_part(
                Bucket=bucket,
                Key="large",
                PartNumber=number,
                UploadId=upload["UploadId"],
                Body=b"z" * size,
            )["ETag"],
        }
        for number, size in ((1, 5 * 2**20), (2, 1))
    ]
    client.complete_multipart_upload(
        Bucket=bucket,
        Key="large",
        UploadId=upload["UploadId"],
        MultipartUpload={"Parts": parts},  # type: ignore[typeddict-item]
    )


SAME_NAMES = {
    "content_type": "ContentType",
    "content_encoding": "ContentEncoding",
    "content_language": "ContentLanguage",
    "content_disposition": "ContentDisposition",
    "cache_control": "CacheControl",
    "user_metadata": "Metadata",
    "replication_status": "ReplicationStatus",
    "object_lock_mode": "ObjectLockMode",
    "object_lock_legal_hold_status": "ObjectLockLegalHoldStatus",
    "checksum_type": "ChecksumType",
}


CHECKSUMS = [f"Checksum{name}" for name in ("SHA256", "SHA1", "CRC32", "CRC32C", "CRC64NVME")]


def told_by_boto3(client: "S3Client", bucket: str, keys: Iterable[str]) -> dict[str, Any]:
    found = {}
    for key in keys:
        head: Any = client.head_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED")
        tags = client.get_object_tagging(Bucket=bucket, Key=key)["TagSet"]
        found[key] = {
            **{name: head.get(theirs) for name, theirs in SAME_NAMES.items()},
            "checksum": next((head[name] for name in CHECKSUMS if name in head), None),
            "object_tags": {tag["Key"]: tag["Value"] for tag in tags},
        }
    return found


def test_the_metadata_is_what_boto3_is_told(
    endpoint: Endpoint, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if "swift" in request.node.name:
        pytest.skip("Swift has no tags of objects")
    bucket = endpoint.make_bucket(f"metadata-{next(numbers)}")
    client = client_of(endpoint)
    put_some(client, bucket)

    _, rows = collect(endpoint, bucket, tmp_path, with_tags=True)

    expected = told_by_boto3(client, bucket, ["large", "page", "plain"])
    found = {row["key"]: {name: row[name] for name in expected[row["key"]]} for row in rows}
    assert found == expected
    assert found["page"]["user_metadata"]["owner"] == "team-a"
    assert found["page"]["object_tags"] == {"team": "a", "cost": "1/2"}
    by_key = {row["key"]: row for row in rows}
    assert (by_key["large"]["part_count"], by_key["plain"]["part_count"]) == (2, None)


def test_every_version_has_metadata_of_its_own(moto: Endpoint, tmp_path: Path) -> None:
    bucket = VersionedBucket.new(f"metadata-{next(numbers)}")
    client = client_of(moto)
    for number in range(3):
        client.put_object(
            Bucket=bucket.name, Key="a/../k+ ?", Body=b"%d" % number, Metadata={"n": str(number)}
        )
    client.delete_object(Bucket=bucket.name, Key="a/../k+ ?")

    with listing_versions_as_s3_does():
        record, rows = collect(moto, bucket.name, tmp_path, versions=Versions(None))

    assert record.rows == 3  # a delete marker has no metadata
    assert sorted(row["user_metadata"]["n"] for row in rows) == ["0", "1", "2"]
    assert len({row["version_id"] for row in rows}) == 3
    assert {row["error"] for row in rows} == {None}


def test_the_retention_of_a_locked_object_is_read(moto: Endpoint, tmp_path: Path) -> None:
    client = client_of(moto)
    bucket = f"metadata-{next(numbers)}"
    client.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True)
    until = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
    client.put_object(
        Bucket=bucket,
        Key="k",
        Body=b"x",
        ObjectLockMode="GOVERNANCE",
        ObjectLockRetainUntilDate=until,
        ObjectLockLegalHoldStatus="ON",
        ServerSideEncryption="aws:kms",
        SSEKMSKeyId="key-1",
        BucketKeyEnabled=True,
    )

    _, (row,) = collect(moto, bucket, tmp_path)

    assert row["object_lock_mode"] == "GOVERNANCE"
    assert row["object_lock_retain_until_date"] == until
    assert row["object_lock_legal_hold_status"] == "ON"
    assert (row["encryption_status"], row["kms_key_arn"]) == ("SSE-KMS", "key-1")
    assert row["is_bucket_key_enabled"] is True
