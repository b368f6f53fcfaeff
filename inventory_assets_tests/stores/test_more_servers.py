"""Listings of Ceph's gateway and Swift: any names, versions, many requests at once.

`inventory/test_any_store.py` tests them as stores of results.
"""

from collections.abc import Iterable
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import pytest
from botocore.config import Config

from inventory_assets.inventory.folder_listing.folder_listing import list_into_folder
from inventory_assets.s3.list_client import ListClient
from inventory_assets.scan.validation.object_versions import Versions
from inventory_assets_tests.conftest import CEPH, SWIFT
from inventory_assets_tests.external_servers import REGION, Endpoint
from inventory_assets_tests.servers.inventories import body_of, real_names
from inventory_assets_tests.stores.holdings import listed

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


_numbers = count()

ODD = [
    *("a b", "a+b", "50% off", "%41", "A", "z&<>\"'", "\u00c6ther/a+b", "~\U0001f600"),
    *("a\x01b", "tab\there", "line\nfeed", "a//b", "dir/", "dir/x y", "pool/g++_12_amd64.deb"),
]

ENDS_OF_PAGES = ["pool/apt_1%3a2_amd64.deb", "k%7E0999", "pool/g++_12_amd64.deb", "k0999\x01"]


def list_keys(
    endpoint: Endpoint, bucket: str, folder: Path, in_flight: int, versions: Versions | None = None
) -> list[str]:
    lister = ListClient(endpoint.bucket_config(bucket, in_flight))
    try:
        list_into_folder(lister, "", folder, versions=versions)
    finally:
        lister.close()
    return [row[0] for row in listed(folder, with_versions=versions is not None)]


def filled(endpoint: Endpoint, keys: Iterable[str]) -> str:
    return endpoint.make_bucket(f"keys-{next(_numbers)}", {key: body_of(key) for key in keys})


def around(last: str) -> list[str]:
    """Keys of which the thousandth is `last`."""
    head = last[0]
    before = [chr(ord(head) - 1) + f"{number:03}" for number in range(999)]
    return [*before, last, *(last + f"~{number}" for number in range(9)), "~"]


@pytest.fixture(scope="module", params=[CEPH, SWIFT])
def server(request: pytest.FixtureRequest) -> Endpoint:
    found: Endpoint = request.getfixturevalue(request.param)
    return found


@pytest.fixture(scope="module")
def many(server: Endpoint) -> tuple[str, list[str]]:
    """A bucket, and its content."""
    keys = sorted({*real_names()[:4000], *ODD}, key=str.encode)
    return filled(server, keys), keys


@pytest.mark.parametrize("in_flight", [1, 2, 8, 32])
def test_all_keys_are_listed_by_any_number_of_requests(
    server: Endpoint, many: tuple[str, list[str]], tmp_path: Path, in_flight: int
) -> None:
    bucket, keys = many
    assert list_keys(server, bucket, tmp_path, in_flight) == keys


@pytest.mark.parametrize("last", ENDS_OF_PAGES)
def test_any_key_may_end_a_page(server: Endpoint, tmp_path: Path, last: str) -> None:
    keys = around(last)
    assert list_keys(server, filled(server, keys), tmp_path, 8) == sorted(keys)


@pytest.mark.parametrize("last", ENDS_OF_PAGES)
def test_any_key_may_end_a_page_of_versions(
    server: Endpoint, tmp_path: Path, last: str, request: pytest.FixtureRequest
) -> None:
    if "swift" in request.node.name and "\x01" in last:
        pytest.skip("Swift answers 500 to a marker that XML forbids: the listing is refused")
    keys = around(last)
    bucket = versioned(server)
    server.put(bucket, dict.fromkeys(keys, b"x"))
    server.put(bucket, {last: b"y"})
    found = list_keys(server, bucket, tmp_path, 8, Versions())
    assert found == sorted([*keys, last])


def test_delete_markers_are_listed(server: Endpoint, tmp_path: Path) -> None:
    bucket = versioned(server)
    server.put(bucket, dict.fromkeys(("a", "b", "c"), b"x"))
    server.delete(bucket, ["b"])
    list_keys(server, bucket, tmp_path, 2, Versions())
    rows = listed(tmp_path, with_versions=True)
    assert [(row[0], row[2], row[3]) for row in rows] == [
        ("a", True, False),
        ("b", True, True),
        ("b", False, False),
        ("c", True, False),
    ]


def versioned(server: Endpoint) -> str:
    bucket = filled(server, [])
    client: S3Client = boto3.client(
        "s3",
        endpoint_url=server.url,
        region_name=REGION,
        aws_access_key_id=server.account.access_key,
        aws_secret_access_key=server.account.secret_key,
        config=Config(s3={"addressing_style": "path"}),
    )
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    return bucket
