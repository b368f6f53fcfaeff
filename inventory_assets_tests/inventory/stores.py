"""Stores on real servers, and injected errors."""

import io
from collections.abc import Callable, Iterator
from copy import copy
from dataclasses import replace
from functools import cache
from itertools import count
from typing import Any

from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.compat import HTTPHeaders

from inventory_assets.inventory.storage.bucket_store import BucketStore
from inventory_assets_tests.external_servers import Endpoint
from inventory_assets_tests.fakes.scripted_server import error_document

BUCKET = "results"

_numbers = count()


@cache
def _first_store(endpoint: Endpoint) -> BucketStore:
    return new_bucket_store(endpoint)


def bucket_store(endpoint: Endpoint) -> BucketStore:
    """An empty store; the stores of a server share its connections, as those take long to open."""
    store = copy(_first_store(endpoint))
    store._destination = replace(store.destination, prefix=f"some/{next(_numbers)}")
    return store


def new_bucket_store(endpoint: Endpoint) -> BucketStore:
    """An empty store with connections of its own."""
    if endpoint.send("HEAD", f"/{BUCKET}") != 200:
        endpoint.make_bucket(BUCKET)
    return BucketStore(endpoint.bucket_config(BUCKET), f"some/{next(_numbers)}/")


def unfinished_uploads(store: BucketStore) -> list[str]:
    """The keys of multipart uploads that were neither completed nor aborted."""
    found = store._objects._client.list_multipart_uploads(Bucket=BUCKET)
    keys = [upload["Key"] for upload in found.get("Uploads", [])]
    return [key for key in keys if key.startswith(f"{store.destination.prefix}/")]


def on_the_way(
    store: BucketStore, handle: Callable[[AWSPreparedRequest], AWSResponse | None]
) -> None:
    """Let `handle` intercept the requests of a store; a response from it is returned instead."""

    def before_send(request: AWSPreparedRequest, **_: Any) -> AWSResponse | None:
        return handle(request)

    store._objects._client.meta.events.register_first("before-send.s3", before_send)


def error_response(request: AWSPreparedRequest, status: int, code: str) -> AWSResponse:
    """A response with an error document."""
    return AWSResponse(request.url, status, HTTPHeaders(), _Raw(error_document(code)))


def ignore_conditions(store: BucketStore) -> None:
    """Let the server see no condition of a write."""

    def before_call(params: dict[str, Any], **_: Any) -> None:
        for name in ("If-Match", "If-None-Match"):
            params["headers"].pop(name, None)

    for operation in ("PutObject", "CompleteMultipartUpload"):
        store._objects._client.meta.events.register(f"before-call.s3.{operation}", before_call)


class _Raw(io.BytesIO):
    def stream(self, **_: Any) -> Iterator[bytes]:
        yield self.read()
