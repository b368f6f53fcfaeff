"""The endpoint of page requests, as botocore resolves it.

botocore applies its endpoint rules, addressing style, region, dual-stack and access points to one
request, which is caught before it is sent. The environment adds the proxy and the certificates.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import urllib3
from botocore.awsrequest import AWSPreparedRequest

from inventory_assets.s3.bucket_config import BucketConfig
from inventory_assets.s3.errors import RequestRejected
from inventory_assets.s3.http.routes import route_to, trusted
from inventory_assets.s3.http.sigv4 import ALGORITHM
from inventory_assets.s3.session import BotoSession

_SCOPE = re.compile(r"Credential=[^/]+/\d{8}/([^/]+)/([^/]+)/aws4_request")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The endpoint of page requests, read from one that botocore prepared.

    Attributes:
        origin: Scheme and host.
        host: The Host header.
        path: The encoded path.
        region: The region of the endpoint.
        scope: Region and service of the signature; None for anonymous requests.
        headers: Additional signed headers of every request.
        proxy_headers: Unsigned headers for a proxy that forwards plain HTTP.
        pool: urllib3's settings of the connection: proxy, TLS, socket options.
        absolute: Whether the request target is the whole URL, for a proxy.
        tls: The TLS options of urllib3; empty without TLS.
    """

    origin: str
    host: str
    path: str
    region: str
    scope: tuple[str, str] | None
    headers: Mapping[str, str]
    proxy_headers: Mapping[str, str] = field(repr=False)
    pool: urllib3.HTTPConnectionPool
    absolute: bool
    tls: Mapping[str, str]


def endpoint_of(boto: BotoSession, bucket_config: BucketConfig) -> Endpoint:
    """Let botocore prepare a request, and read its endpoint; no request is sent.

    Raises:
        BotoCoreError, ClientError: The endpoint or the credentials cannot be resolved.
        RequestRejected: The bucket needs a kind of signature that is not supported.
    """
    prepared = _prepared(boto.client, bucket_config)
    url = urlsplit(prepared.url)
    headers = {name.lower(): _text(value) for name, value in prepared.headers.items()}
    scope: tuple[str, str] | None = None
    if not bucket_config.anonymous:
        authorization = headers.get("authorization", "")
        found = _SCOPE.search(authorization)
        if not authorization.startswith(ALGORITHM) or not found:
            raise RequestRejected(
                f"{bucket_config.display_name}: botocore signs its requests with "
                f"{authorization.partition(' ')[0] or 'nothing'}; only {ALGORITHM} is "
                "supported, so remove signature_version from the AWS configuration, and name "
                "a bucket instead of a multi-region access point"
            )
        scope = found[1], found[2]
    default = {"http": 80, "https": 443}.get(url.scheme)
    named = f"[{url.hostname}]" if ":" in (url.hostname or "") else url.hostname or ""
    signed = ("x-amz-request-payer",)
    proxy_url, proxy_headers, pool = route_to(prepared.url, bucket_config.display_name)
    absolute = proxy_url is not None and url.scheme == "http"
    return Endpoint(
        origin=f"{url.scheme}://{url.netloc}",
        host=named if url.port in (None, default) else f"{named}:{url.port}",
        path=url.path or "/",
        region=scope[0] if scope else boto.client.meta.region_name,
        scope=scope,
        headers={name: headers[name] for name in signed if name in headers},
        proxy_headers=proxy_headers if absolute else {},
        pool=pool,
        absolute=absolute,
        tls=(
            trusted(boto.ca_bundle, bucket_config.display_name)
            if "https:" in (prepared.url[:6], (proxy_url or "")[:6])
            else {}
        ),
    )


def _prepared(client: Any, bucket_config: BucketConfig) -> AWSPreparedRequest:
    client.meta.events.register("before-send.s3.ListObjectsV2", _capture_request)
    parameters: dict[str, Any] = {"Bucket": bucket_config.bucket}
    if bucket_config.requester_pays:
        parameters["RequestPayer"] = "requester"
    try:
        client.list_objects_v2(**parameters)
    except _CapturedRequest as captured:
        return captured.request
    raise RuntimeError("botocore sent a request instead of handing it over")


class _CapturedRequest(Exception):
    """Carries a prepared request out of botocore before it is sent."""

    def __init__(self, request: AWSPreparedRequest) -> None:
        super().__init__()
        self.request = request


def _capture_request(request: AWSPreparedRequest, **_: object) -> None:
    raise _CapturedRequest(request)


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
