"""Requests that fail, and checks that hold for every error."""

import pytest

from inventory_assets.s3.bucket_config import BucketConfig
from inventory_assets.s3.decoding.page import Page
from inventory_assets.s3.errors import S3Error
from inventory_assets.s3.list_client import ListClient
from inventory_assets.s3.page_request import PageRequest
from inventory_assets.s3.request_stats import RequestStats
from inventory_assets.s3.retries import RetryPolicy
from inventory_assets_tests.fakes.listings import Listed, render

QUICK = RetryPolicy(outage_seconds=0.2, base_seconds=0.01, malformed_attempts=4)
SECRET = "ss/SSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSS"
GOOD = render([Listed("k")])


def to(url: str, **changes: object) -> BucketConfig:
    fields: dict[str, object] = {
        "bucket": "ours",
        "endpoint_url": url,
        "access_key": "AKIATHEKEY",
        "secret_key": SECRET,
        "addressing_style": "path",
    }
    return BucketConfig(**{**fields, **changes})  # type: ignore[arg-type]


def list_once(where: BucketConfig, stats: RequestStats | None = None) -> Page:
    return ListClient(where, QUICK).list_page_sync(PageRequest(), stats or RequestStats())


def error_of(lister: ListClient | BucketConfig, stats: RequestStats | None = None) -> S3Error:
    """The listing's error; checks that it names the bucket, has no secret, and is one line."""
    if isinstance(lister, BucketConfig):
        lister = ListClient(lister, QUICK)
    with pytest.raises(S3Error) as caught:
        lister.list_page_sync(PageRequest(), stats or RequestStats())
    message = str(caught.value)
    assert "ours" in message
    assert SECRET not in message + repr(caught.value)
    assert message.isprintable()
    return caught.value
