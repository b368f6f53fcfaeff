"""Worlds for the tests of assets: over real HTTP, and over buckets in memory."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from inventory_assets.config import Shards
from inventory_assets.s3.bucket_config import BucketConfig
from inventory_assets_tests.assets.world import Buckets, World

ACCESS_KEY = "AKIAEXAMPLEEXAMPLE77"
SECRET_KEY = "very-secret-key-of-the-tests"


@pytest.fixture
def make_world(
    tmp_path: Path,
    moto_bucket: Callable[[Iterable[str]], BucketConfig],
    no_aws_environment: None,  # noqa: ARG001
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Callable[..., World]]:
    """Makes a world whose bucket lies behind a real HTTP endpoint and holds the keys given."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    with dg.DagsterInstance.ephemeral() as instance:

        def make(keys: Iterable[str], **source: Any) -> World:
            bucket_config = moto_bucket(keys)
            fields = {
                "bucket": bucket_config.bucket,
                "endpoint_url": bucket_config.endpoint_url,
                "addressing_style": "path",
            }
            return World(tmp_path, instance, {**fields, **source})

        yield make


@pytest.fixture
def buckets(monkeypatch: pytest.MonkeyPatch) -> Buckets:
    """Buckets in memory, and faults on the way to any bucket."""
    return Buckets(monkeypatch)


@pytest.fixture
def world(tmp_path: Path, buckets: Buckets) -> Iterator[World]:
    """A world over a bucket in memory: three shards and the remainder."""
    buckets.keys["memory"] = {"a/1", "a/2", "b/1", "c/1", "root"}
    with dg.DagsterInstance.ephemeral() as instance:
        yield World(tmp_path, instance, {"bucket": "memory", "shards": Shards(depth=1)})
