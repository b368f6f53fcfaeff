"""Versions on real servers: past contents of a bucket are those that rclone reports."""

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count, pairwise
from pathlib import Path
from random import Random

import pytest

from inventory_assets.inventory.errors import VersionsNotListed
from inventory_assets.inventory.folder_listing.folder_listing import list_into_folder
from inventory_assets.inventory.parts.current import read_current
from inventory_assets.inventory.query.dataset import Dataset
from inventory_assets.s3.list_client import ListClient
from inventory_assets.scan.keyspace.key_range import KeyRange
from inventory_assets.scan.validation.object_versions import Versions
from inventory_assets_tests.external_servers import Endpoint
from inventory_assets_tests.fakes.versioned_moto import (
    VersionedBucket,
    listing_versions_as_s3_does,
)

RCLONE = Path(sys.executable).with_name("rclone")
FIRST = datetime(2026, 5, 1, 12, tzinfo=UTC)
WHOLE = [KeyRange.of_prefix("")]
numbers = count()


@pytest.fixture(scope="module", autouse=True)
def lists_as_s3() -> Iterator[None]:
    with listing_versions_as_s3_does():
        yield


@pytest.fixture
def bucket(moto: Endpoint) -> VersionedBucket:  # noqa: ARG001 - the server of this process
    return VersionedBucket.new(f"versions-{next(numbers)}")


def objects(
    endpoint: Endpoint, bucket: str, as_of: datetime | None, folder: Path
) -> dict[str, int]:
    """The current objects of a listing of versions, with their sizes."""
    lister = ListClient(endpoint.bucket_config(bucket))
    try:
        list_into_folder(lister, "", folder, versions=Versions(as_of))
    finally:
        lister.close()
    if not any(folder.glob("*.parquet")):
        return {}
    listed = Dataset.of_listing(folder)
    batches = read_current(listed.store, listed.parts, WHOLE, ["key", "size"])
    return {row["key"]: row["size"] for batch in batches for row in batch.to_pylist()}


def rclone(endpoint: Endpoint, bucket: str, as_of: datetime) -> dict[str, int]:
    """The bucket's content according to rclone."""
    command = [
        *(str(RCLONE), "lsf", "--recursive", "--files-only", "--format", "sp", "--separator", " "),
        *("--s3-provider", "Other", "--s3-endpoint", endpoint.url, "--s3-env-auth"),
        *("--s3-region", "us-east-1", "--s3-force-path-style", "--s3-list-chunk", "7"),
        *("--s3-version-at", as_of.isoformat(timespec="milliseconds"), f":s3:{bucket}"),
    ]
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("RCLONE")},
        **endpoint.account.environment,
        "RCLONE_CONFIG": os.devnull,
    }
    run = subprocess.run(
        command, check=False, capture_output=True, text=True, env=environment, timeout=60
    )
    assert run.returncode == 0, run.stderr
    pairs = [line.split(" ", 1) for line in run.stdout.splitlines()]
    return {path: int(size) for size, path in pairs}


def test_a_past_day_is_what_rclone_says_it_was(
    moto: Endpoint, bucket: VersionedBucket, tmp_path: Path
) -> None:
    chance = Random(1)  # noqa: S311
    keys = [f"{folder}/{name}" for folder in "abc" for name in range(8)] + ["root", "z"]
    for step in range(200):
        at = FIRST + timedelta(minutes=29 * step)
        key = chance.choice(keys)
        if chance.random() < 0.3:
            bucket.delete(at, key)
        else:
            bucket.put(at, key, b"x" * step)
    seen = []
    for day in range(-1, 5):
        end = datetime(2026, 5, 2, tzinfo=UTC) + timedelta(days=day, milliseconds=-1)
        ours = objects(moto, bucket.name, end, tmp_path / str(day))
        assert ours == rclone(moto, bucket.name, end)
        seen.append(ours)
    assert seen[0] == {}
    assert all(left != right for left, right in pairwise(seen))


def test_what_was_deleted_for_good_is_missing_from_the_past(
    moto: Endpoint, bucket: VersionedBucket, tmp_path: Path
) -> None:
    erased = bucket.put(FIRST, "k", b"1")
    bucket.put(FIRST + timedelta(days=1), "k", b"22")
    assert objects(moto, bucket.name, FIRST, tmp_path / "before") == {"k": 1}
    bucket.delete_for_good("k", erased)
    assert objects(moto, bucket.name, FIRST, tmp_path / "after") == {}


def test_objects_from_before_versions_were_kept_are_null_versions(
    moto: Endpoint, bucket: VersionedBucket, tmp_path: Path
) -> None:
    bucket.keep_versions("Suspended")
    bucket.put(FIRST, "k", b"1")
    bucket.keep_versions()
    bucket.put(FIRST + timedelta(days=1), "k", b"22")
    assert objects(moto, bucket.name, None, tmp_path) == {"k": 2}
    (batch,) = Dataset.of_listing(tmp_path).batches(["key", "version_id", "is_latest"])
    assert batch.column("version_id").to_pylist()[1] == "null"
    assert batch.column("is_latest").to_pylist() == [True, False]


def test_on_ministack_all_versions_are_listed_newest_first(
    ministack: Endpoint, tmp_path: Path
) -> None:
    import boto3
    from botocore.config import Config

    name = ministack.make_bucket(f"versions-{next(numbers)}")
    client = boto3.client(
        "s3",
        endpoint_url=ministack.url,
        region_name="us-east-1",
        aws_access_key_id=ministack.account.access_key,
        aws_secret_access_key=ministack.account.secret_key,
        config=Config(s3={"addressing_style": "path"}),
    )
    client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    put: dict[str, list[str]] = {}
    for number in range(60):
        key = f"{'ab'[number % 2]}/{number % 5}"
        version = client.put_object(Bucket=name, Key=key, Body=b"x" * number)["VersionId"]
        put.setdefault(key, []).insert(0, version)
        if number % 7 == 0:
            put[key].insert(0, client.delete_object(Bucket=name, Key=key)["VersionId"])
    lister = ListClient(ministack.bucket_config(name))
    list_into_folder(lister, "", tmp_path, versions=Versions())
    lister.close()
    rows = [
        (row["key"], row["version_id"])
        for batch in Dataset.of_listing(tmp_path).batches(["key", "version_id"])
        for row in batch.to_pylist()
    ]
    assert rows == [(key, version) for key in sorted(put) for version in put[key]]


def test_seaweedfs_is_rejected_with_what_to_do(seaweedfs: Endpoint, tmp_path: Path) -> None:
    name = seaweedfs.make_bucket(f"versions-{next(numbers)}", {"a/1": b"", "a-b": b""})
    lister = ListClient(seaweedfs.bucket_config(name))
    with pytest.raises(VersionsNotListed, match="set versions = false"):
        list_into_folder(lister, "", tmp_path, versions=Versions())
    lister.close()
