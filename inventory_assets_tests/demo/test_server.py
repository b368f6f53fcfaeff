import datetime as dt
import gc
import logging
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from inventory_assets.demo.content import LASTING_KEYS, demo_objects, demo_versions
from inventory_assets.demo.neglect import demo_uploads
from inventory_assets.demo.server import ACCESS_KEY, BUCKET, SECRET_KEY, DemoServer, demo_server
from inventory_assets.demo.values import DemoObject, DemoVersion
from inventory_assets.s3.bucket_config import BucketConfig
from inventory_assets.s3.list_client import ListClient
from inventory_assets.s3.page_request import PageRequest
from inventory_assets.s3.request_stats import RequestStats
from inventory_assets.s3.session import open_boto_session
from inventory_assets.s3.upload_client import Upload, UploadClient

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

SATURDAY = dt.date(2026, 11, 21)
SUNDAY = dt.date(2026, 11, 22)

Listed = tuple[str, int, dt.datetime, str, str, str | None]


@pytest.fixture(scope="module")
def server() -> Iterator[DemoServer]:
    server = DemoServer()
    yield server
    server.stop()


def config(server: DemoServer) -> BucketConfig:
    return BucketConfig(
        BUCKET,
        endpoint_url=server.endpoint_url,
        access_key=ACCESS_KEY,
        secret_key=SECRET_KEY,
        region="eu-central-1",
    )


@pytest.fixture
def client(server: DemoServer) -> "S3Client":
    return open_boto_session(config(server)).client


def listed(client: "S3Client", prefix: str = "") -> list[Listed]:
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
    return [
        (
            found["Key"],
            found["Size"],
            found["LastModified"],
            found["ETag"].strip('"'),
            found["StorageClass"],
            next(iter(found.get("ChecksumAlgorithm", [])), None),
        )
        for page in pages
        for found in page.get("Contents", [])
    ]


@cache
def versions_of_sunday() -> Mapping[str, Sequence[DemoVersion]]:
    return demo_versions(SUNDAY)


def demo_versions_of(key: str) -> Sequence[DemoVersion]:
    return versions_of_sunday()[key]


def expected(day: dt.date, prefix: str = "") -> list[Listed]:
    return [
        (
            found.key,
            found.size,
            found.last_modified,
            found.e_tag,
            found.storage_class,
            found.checksum_algorithm,
        )
        for found in demo_objects(day)
        if found.key.startswith(prefix)
    ]


def test_a_listing_shows_every_object_as_the_day_has_it(
    server: DemoServer, client: "S3Client"
) -> None:
    server.show(SUNDAY)
    assert listed(client) == expected(SUNDAY)


def listed_versions(lister: ListClient, request: PageRequest) -> list[dict[str, Any]]:
    """The versions from a request on, over all pages that follow it."""
    found: list[dict[str, Any]] = []
    while True:
        page = lister.list_page_sync(request, RequestStats())
        found += page.objects.to_pylist()
        if page.next_token is None:
            return found
        request = replace(request, start_after="", token=page.next_token)


def expected_versions(day: dt.date, prefix: str = "", after: str = "") -> list[DemoVersion]:
    return [
        version
        for key, of_key in demo_versions(day).items()
        for version in of_key
        if key.startswith(prefix) and key.encode() > after.encode()
    ]


@pytest.mark.parametrize(
    ("prefix", "after", "size"),
    [
        ("", "", 1000),
        ("usr/lib/", "", 7),
        ("hostile/", "", 1),
        ("backups/", "backups/databases/billing.dump", 13),
        ("backups/", "backups/databases/c", 1000),
        ("", "surveys/", 1000),
        ("no such/", "", 1000),
    ],
)
def test_all_versions_are_listed_from_any_key_in_pages_of_any_size(
    server: DemoServer, prefix: str, after: str, size: int
) -> None:
    server.show(SUNDAY)
    with closing(ListClient(config(server))) as lister:
        request = PageRequest(prefix, after, max_keys=size, versions=True)
        found = listed_versions(lister, request)
    versions = expected_versions(SUNDAY, prefix, after)
    assert [(row["key"], row["version_id"], row["last_modified_date"]) for row in found] == [
        (each.key, each.version_id, each.last_modified) for each in versions
    ]
    for row, version in zip(found, versions, strict=True):
        assert row["is_latest"] == (demo_versions_of(version.key)[0] == version)
        assert row["is_delete_marker"] == (not isinstance(version, DemoObject))
        if isinstance(version, DemoObject):
            assert (row["size"], row["e_tag"]) == (version.size, version.e_tag)
            assert row["storage_class"] == version.storage_class


def test_unfinished_uploads_are_listed_with_their_sizes(server: DemoServer) -> None:
    server.show(SUNDAY)
    client = UploadClient(config(server))
    for prefix in ("", "backups/"):
        uploads = [each for each in demo_uploads(SUNDAY) if each.key.startswith(prefix)]
        (page,) = client.pages(prefix)
        assert page == [
            Upload(each.key, each.upload_id, each.initiated, "STANDARD") for each in uploads
        ]
        sizes = [client.size(each, requests=1).bytes for each in page]
        assert sizes == [sum(each.parts) for each in uploads]
    assert list(client.pages("no such/")) == []


def test_a_day_can_be_shown_twice_and_the_one_before_again(
    server: DemoServer, client: "S3Client"
) -> None:
    for day in (SUNDAY, SUNDAY, SATURDAY, SUNDAY):
        server.show(day)
        for prefix in ("incoming/", "usr/lib/"):
            assert listed(client, prefix) == expected(day, prefix)


def test_a_day_that_is_shown_is_not_built_again(
    server: DemoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.show(SUNDAY)

    def must_not_be_called(_: dt.date) -> Mapping[str, Sequence[DemoVersion]]:
        raise AssertionError

    monkeypatch.setattr("inventory_assets.demo.server.demo_versions", must_not_be_called)
    server.show(SUNDAY)


def test_two_servers_of_a_process_do_not_mislead_each_other(
    server: DemoServer, client: "S3Client"
) -> None:
    server.show(SUNDAY)
    other = DemoServer()
    other.show(SATURDAY)
    server.show(SUNDAY)
    assert listed(client, "incoming/") == expected(SUNDAY, "incoming/")
    other.stop()


def test_head_object_agrees_with_the_listing_for_every_handmade_key(
    server: DemoServer, client: "S3Client"
) -> None:
    server.show(SUNDAY)
    objects = {found.key: found for found in demo_objects(SUNDAY)}
    some = [key for key, found in objects.items() if found.metadata][:10]
    for key in (*LASTING_KEYS, *some):
        head = client.head_object(Bucket=BUCKET, Key=key)
        assert head["ContentLength"] == objects[key].size, key
        assert head["ETag"].strip('"') == objects[key].e_tag
        assert head["LastModified"] == objects[key].last_modified
        assert head["Metadata"] == objects[key].metadata
        assert head.get("StorageClass", "STANDARD") == objects[key].storage_class


def test_requests_are_not_logged(
    server: DemoServer, client: "S3Client", caplog: pytest.LogCaptureFixture
) -> None:
    server.show(SUNDAY)
    caplog.set_level(logging.INFO)
    listed(client, "incoming/")
    assert [record for record in caplog.records if record.name == "werkzeug"] == []


@pytest.mark.filterwarnings("error")
def test_days_that_are_no_longer_shown_are_not_kept(server: DemoServer) -> None:
    from moto.s3.models import FakeKey

    def held() -> int:
        gc.collect()
        return sum(type(found) is FakeKey for found in gc.get_objects())

    server.show(dt.date(2026, 1, 1))
    others = held() - len(demo_objects(dt.date(2026, 1, 1)))
    for day in (2, 3):
        server.show(dt.date(2026, 1, day))
    assert held() == others + len(demo_objects(dt.date(2026, 1, 3)))


def test_a_stopped_server_does_not_listen_and_starts_again_when_needed() -> None:
    server = DemoServer()
    server.show(SUNDAY)
    address = urlsplit(server.endpoint_url)
    assert address.hostname == "127.0.0.1"
    assert address.port is not None
    server.stop()
    server.stop()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((address.hostname, address.port), timeout=5).close()
    assert server.endpoint_url
    server.stop()


def test_a_process_has_one_demo_server() -> None:
    assert demo_server() is demo_server()


def test_moto_is_not_imported_before_the_server_starts() -> None:
    code = "import sys, inventory_assets.demo as d; d.demo_server(); print('moto' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
