import datetime as dt
import gc
import logging
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from inventory_assets.demo.content import LASTING_KEYS, DemoObject, demo_objects
from inventory_assets.demo.server import ACCESS_KEY, BUCKET, SECRET_KEY, DemoServer, demo_server
from inventory_assets.s3.bucket_config import BucketConfig
from inventory_assets.s3.session import open_boto_session

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


@pytest.fixture
def client(server: DemoServer) -> "S3Client":
    return open_boto_session(
        BucketConfig(
            BUCKET,
            endpoint_url=server.endpoint_url,
            access_key=ACCESS_KEY,
            secret_key=SECRET_KEY,
            region="eu-central-1",
        )
    ).client


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

    def must_not_be_called(_: dt.date) -> tuple[DemoObject, ...]:
        raise AssertionError

    monkeypatch.setattr("inventory_assets.demo.server.demo_objects", must_not_be_called)
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
