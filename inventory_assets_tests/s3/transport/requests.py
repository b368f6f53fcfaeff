"""Send requests, and read what the server received."""

import asyncio
import time
from base64 import b64encode
from collections.abc import Callable

import pytest

from inventory_assets.s3.bucket_config import BucketConfig
from inventory_assets.s3.decoding.page import Page
from inventory_assets.s3.errors import S3Error
from inventory_assets.s3.http.response import Response
from inventory_assets.s3.http.transport import Transport
from inventory_assets.s3.list_client import ListClient
from inventory_assets.s3.page_request import PageRequest
from inventory_assets.s3.request_stats import RequestStats
from inventory_assets.s3.retries import RetryPolicy
from inventory_assets_tests.fakes.listings import Listed, render
from inventory_assets_tests.fakes.scripted_server import Answer, Seen

BODY = render([Listed("k")])
GOOD = Answer(200, BODY)
QUICK = RetryPolicy(outage_seconds=0.2, base_seconds=0.02, malformed_attempts=3)
BASIC = "Basic " + b64encode(b"user:pass/word").decode()


def to(url: str | None, **changes: object) -> BucketConfig:
    fields: dict[str, object] = {
        "bucket": "ours",
        "endpoint_url": url,
        "access_key": "AKIATHEKEY",
        "secret_key": "s" * 40,
        "addressing_style": "path",
    }
    return BucketConfig(**{**fields, **changes})  # type: ignore[arg-type]


def list_once(where: BucketConfig, stats: RequestStats | None = None) -> Page:
    lister = ListClient(where, QUICK)
    try:
        return lister.list_page_sync(PageRequest(), stats or RequestStats())
    finally:
        lister.close()


def get(way: Transport, parameters: dict[str, str], body: bytearray) -> Response:
    return asyncio.run(way.get(parameters, body))


def error_of(where: BucketConfig, stats: RequestStats | None = None) -> S3Error:
    with pytest.raises(S3Error) as caught:
        list_once(where, stats)
    return caught.value


def key_of(seen: Seen) -> str:
    return seen.headers["authorization"].partition("Credential=")[2].partition("/")[0]


def scope_of(seen: Seen) -> tuple[str, str]:
    _, _, region, service, _ = seen.headers["authorization"].partition(",")[0].split("/")
    return region, service


def signed_names(seen: Seen) -> str:
    return seen.headers["authorization"].partition("SignedHeaders=")[2].partition(",")[0]


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)
