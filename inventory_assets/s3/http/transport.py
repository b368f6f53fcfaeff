"""Send page requests over a lean, pooled, keep-alive path.

botocore is asked once where a page request goes (endpoint rules, addressing style, region,
dual-stack, access points) and for credentials, whatever their kind, at every request; their refresh
is its own. The requests are signed here. Connections are opened by urllib3, on which botocore
stands as well, so that proxies, certificate authorities and IPv6 are configured as for boto3; what
travels over them is `connection.py`'s. docs/benchmarks.md says what each layer would cost.
"""

import asyncio
import re
import socket
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit
from weakref import WeakSet

import urllib3
from botocore.awsrequest import AWSPreparedRequest
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError
from urllib3.connection import HTTPConnection
from urllib3.exceptions import NameResolutionError, NewConnectionError, ProxyError
from urllib3.util.ssltransport import SSLTransport

from inventory_assets.s3 import bucket_config as settings
from inventory_assets.s3.bucket_config import BucketConfig
from inventory_assets.s3.decoding.key_encoding import unpack
from inventory_assets.s3.errors import RequestRejected
from inventory_assets.s3.http.connection import AsyncHttpConnection, in_thread
from inventory_assets.s3.http.response import (
    ANOTHER_REGION,
    CLOCK_SKEW_CODE,
    EXPIRED_CREDENTIALS,
    ErrorResponse,
    RequestContext,
    Response,
)
from inventory_assets.s3.http.routes import trusted, way_to
from inventory_assets.s3.http.sigv4 import ALGORITHM, Credentials, encoded_query, signed_headers
from inventory_assets.s3.session import BotoSession, open_boto_session

_DEFAULT_HEADERS = {"user-agent": "inventory-assets", "accept-encoding": "identity"}

_SCOPE = re.compile(r"Credential=[^/]+/\d{8}/([^/]+)/([^/]+)/aws4_request")
_RENEWABLE = EXPIRED_CREDENTIALS | {"InvalidAccessKeyId", "InvalidToken"}
"""With these codes S3 refuses credentials that may have been replaced where they came from."""

_NAMELESS = frozenset({ANOTHER_REGION, "PermanentRedirect"})
"""With these codes S3 says that the bucket is in another region, and may not say in which."""

_REGION = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,62}")

_TOLERATED_SKEW = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class _Endpoint:
    """Where page requests go, as botocore prepared one.

    Attributes:
        origin: Scheme and host.
        host: The Host header.
        path: The encoded path.
        region: The region of the endpoint.
        scope: Region and service to sign for; None where requests are not signed.
        headers: What every request carries besides its signature, which covers it.
        to_proxy: What only the proxy sees, so that no signature may cover it.
        pool: What urllib3 knows of the way: the proxy, TLS, options of the socket.
        absolute: Whether a proxy wants the whole URL as the request's target.
        tls: Whom to trust, where TLS is spoken.
    """

    origin: str
    host: str
    path: str
    region: str
    scope: tuple[str, str] | None
    headers: Mapping[str, str]
    to_proxy: Mapping[str, str] = field(repr=False)
    pool: urllib3.HTTPConnectionPool
    absolute: bool
    tls: Mapping[str, str]


@dataclass(slots=True)
class Transport:
    """The way to one bucket, for any number of threads, each with an event loop of its own.

    Attributes:
        connection: The bucket and how to reach it.
    """

    connection: BucketConfig
    _boto: BotoSession = field(init=False)
    _endpoint: _Endpoint | None = field(default=None, init=False)
    _skew: timedelta = field(default=timedelta(0), init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)
    _idle: list[AsyncHttpConnection] = field(default_factory=list, init=False)
    _sockets: WeakSet[socket.socket] = field(default_factory=WeakSet, init=False)
    _sockets_lock: threading.Lock = field(default_factory=threading.Lock, init=False)
    _aborted: threading.Event = field(default_factory=threading.Event, init=False)

    def __post_init__(self) -> None:
        self._boto = open_boto_session(self.connection)

    async def get(self, parameters: Mapping[str, str], body: bytearray) -> Response:
        """Send a request and read its answer, whatever its status.

        Args:
            parameters: The query, not encoded.
            body: What the body of the answer replaces; its memory is used again.

        Raises:
            BotoCoreError, ClientError: No credentials, or no endpoint.
            HTTPError, HTTPException, OSError: Trouble with the network.
            MalformedResponse: The answer is beyond `MAX_RESPONSE_BYTES`.
            RequestRejected: The bucket needs a signature that is not made here.
        """
        credentials = None if self.connection.anonymous else await self._current_credentials()
        target = self._endpoint or self._resolve_endpoint(None)
        sent = RequestContext(target.region, self._skew, credentials)
        query = encoded_query(parameters)
        headers = {**target.headers, "host": target.host}
        if target.scope and credentials:
            now = datetime.now(UTC) + sent.skew
            headers = signed_headers(
                credentials, *target.scope, now, target.host, target.path, query, headers
            )
        url = f"{target.path}?{query}"
        wire = await self._connected(target)
        try:
            head = await wire.send_request(
                _request(
                    target.origin + url if target.absolute else url,
                    {**headers, **target.to_proxy, **_DEFAULT_HEADERS},
                ),
                body,
                settings.READ_TIMEOUT_SECONDS,
                settings.ANSWER_TIMEOUT_SECONDS,
            )
            if "content-encoding" in head.headers:
                unpack(head.headers, body, self.connection.display_name)
            return Response(head.status, head.headers, body, sent, wire)
        finally:
            if wire.is_reusable:
                self._idle.append(wire)
            else:
                wire.close()

    def discard(self, response: Response) -> None:
        """Never again use the connection that an answer came over.

        For an answer that belongs to another request: the next answer on that connection would too.
        A request that has been sent over it in the meantime ends with an error, and can be retried.
        """
        wire = response.connection
        if wire is None:
            return
        wire.abort()
        with suppress(ValueError):  # it is in use, or closed
            self._idle.remove(wire)
            wire.close()

    def adapt_to_error(self, error_response: ErrorResponse) -> bool:
        """Learn from a refusal what the next request must do otherwise.

        Returns:
            Whether there is something: another region, the server's clock, renewed credentials;
            learnt now, or by another thread since the request was sent.
        """
        sent = error_response.context
        if error_response.code == CLOCK_SKEW_CODE and error_response.date:
            self._skew = error_response.date - datetime.now(UTC)
            return abs(self._skew - sent.skew) > _TOLERATED_SKEW
        # Trouble with learning is none of its own: the refusal tells more.
        with suppress(BotoCoreError, ClientError):
            if error_response.code in _RENEWABLE and sent.credentials:
                return self._refreshed_credentials(sent.credentials) != sent.credentials
            if error_response.status in (301, 307, 400, 403):
                region = error_response.region
                if not region and error_response.code in _NAMELESS:
                    region = self._region_of_bucket()
                return bool(region and region != sent.region and self._resolve_endpoint(region))
        return False

    def _region_of_bucket(self) -> str | None:
        """The region that S3 names when it is asked for nothing but the bucket's head."""
        try:
            answer: Any = self._boto.client.head_bucket(Bucket=self.connection.bucket)
        except ClientError as error:
            answer = error.response
        headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
        region = headers.get("x-amz-bucket-region")
        return region if region and _REGION.fullmatch(region) else None

    def abort(self) -> None:
        """End the requests under way with an error, at once; there can be no others after."""
        self._aborted.set()
        with self._sockets_lock:
            sockets = list(self._sockets)
        for each in sockets:
            # Of the plain socket: TLS would first say goodbye to a peer that may not listen.
            with suppress(OSError):
                socket.socket.shutdown(each, socket.SHUT_RDWR)

    def drop_idle(self) -> None:
        """Close the connections kept alive; others are opened where they are needed."""
        with suppress(IndexError):  # other threads take and leave some
            while True:
                self._idle.pop().close()

    def close(self) -> None:
        """Close the connections kept alive, for good."""
        self._boto.client.close()
        self.drop_idle()

    async def _connected(self, target: _Endpoint) -> AsyncHttpConnection:
        """A connection, one kept alive if there is one that still is."""
        while True:
            try:
                wire = self._idle.pop()
            except IndexError:
                # Each step on the way is bounded by itself, but not how many there are.
                async with asyncio.timeout(settings.READ_TIMEOUT_SECONDS):
                    return AsyncHttpConnection(await in_thread(lambda: self._connect(target)))
            if wire.is_quiet:
                return wire
            wire.close()

    def _connect(self, target: _Endpoint) -> HTTPConnection:
        pool = target.pool
        way = pool.proxy or pool
        options: dict[str, Any] = {**pool.conn_kw, **target.tls}
        host = way.host or ""
        connection: Any = pool.ConnectionCls(
            # RFC 6761, section 6.3: such names are this machine, whatever its resolver knows.
            "localhost" if host.endswith(".localhost") and not target.tls else host,
            way.port,
            timeout=settings.CONNECT_TIMEOUT_SECONDS,
            **options,
        )
        if pool.proxy and not target.absolute:
            connection.set_tunnel(
                pool.host, pool.port, headers=pool.proxy_headers, scheme=pool.proxy.scheme or "http"
            )
        try:
            connection.connect()
        except BaseException as error:
            connection.close()
            if isinstance(error, NameResolutionError) and not pool.proxy:
                raise self._without_host_name(connection, host) from error
            if pool.proxy and isinstance(error, OSError | NewConnectionError):
                raise ProxyError("no way through the proxy", error) from error
            raise
        self._track_socket(connection.sock)
        if self._aborted.is_set():
            connection.close()
            raise ConnectionAbortedError("the listing was told to stop")
        opened: HTTPConnection = connection
        return opened

    def _without_host_name(self, connection: Any, host: str) -> NewConnectionError:
        """What to raise for a host without an address."""
        hint = ""
        if host.startswith(f"{self.connection.bucket}."):
            hint = (
                "; the bucket's name is part of it, and would be part of the path with "
                "addressing_style = path"
            )
        return NewConnectionError(connection, f"{host} has no address{hint}")

    def _track_socket(self, opened: Any) -> None:
        """Have `abort` find a socket; of TLS in TLS, that below both."""
        with self._sockets_lock:
            self._sockets.add(opened.socket if isinstance(opened, SSLTransport) else opened)

    def _refreshed_credentials(self, refused: Credentials) -> Credentials:
        """The credentials that a new look finds, unless another thread has renewed them."""
        with self._lock:
            if self._credentials() == refused:
                self._boto.client.close()
                self._boto = open_boto_session(self.connection)
            return self._credentials()

    async def _current_credentials(self) -> Credentials:
        """Those of now; where they must be fetched first, nothing else waits for that."""
        refresh_needed = getattr(self._boto.session.get_credentials(), "refresh_needed", None)
        if refresh_needed and refresh_needed():
            return await in_thread(self._credentials)
        return self._credentials()

    def _credentials(self) -> Credentials:
        credentials = self._boto.session.get_credentials()
        if credentials is None:
            raise NoCredentialsError
        frozen = credentials.get_frozen_credentials()
        if not frozen.access_key or not frozen.secret_key:
            raise NoCredentialsError
        return Credentials(frozen.access_key, frozen.secret_key, frozen.token)

    def _resolve_endpoint(self, region: str | None) -> _Endpoint:
        """Have botocore prepare a request, and keep what is the same for all."""
        with self._lock:
            known = self._endpoint
            if known and region in (None, known.region):
                return known  # another thread was first
            if region:
                self._boto.client.close()
                self._boto = open_boto_session(self.connection, region)
            prepared = self._prepared()
            self._endpoint = self._read(prepared)
            return self._endpoint

    def _prepared(self) -> AWSPreparedRequest:
        client = self._boto.client
        client.meta.events.register("before-send.s3.ListObjectsV2", _capture_request)
        parameters: dict[str, Any] = {"Bucket": self.connection.bucket}
        if self.connection.requester_pays:
            parameters["RequestPayer"] = "requester"
        try:
            client.list_objects_v2(**parameters)
        except _CapturedRequest as caught:
            return caught.request
        raise RuntimeError("botocore sent a request that it was to hand over")

    def _read(self, prepared: AWSPreparedRequest) -> _Endpoint:
        url = urlsplit(prepared.url)
        headers = {name.lower(): _text(value) for name, value in prepared.headers.items()}
        scope: tuple[str, str] | None = None
        if not self.connection.anonymous:
            authorization = headers.get("authorization", "")
            found = _SCOPE.search(authorization)
            if not authorization.startswith(ALGORITHM) or not found:
                raise RequestRejected(
                    f"{self.connection.display_name}: botocore signs its requests with "
                    f"{authorization.partition(' ')[0] or 'nothing'}; only {ALGORITHM} is "
                    "supported, so remove signature_version from the AWS configuration, and name "
                    "a bucket instead of a multi-region access point"
                )
            scope = found[1], found[2]
        default = {"http": 80, "https": 443}.get(url.scheme)
        named = f"[{url.hostname}]" if ":" in (url.hostname or "") else url.hostname or ""
        kept = ("x-amz-request-payer",)
        proxy_url, to_proxy, pool = way_to(prepared.url, self.connection.display_name)
        absolute = proxy_url is not None and url.scheme == "http"
        return _Endpoint(
            origin=f"{url.scheme}://{url.netloc}",
            host=named if url.port in (None, default) else f"{named}:{url.port}",
            path=url.path or "/",
            region=scope[0] if scope else self._boto.client.meta.region_name,
            scope=scope,
            headers={name: headers[name] for name in kept if name in headers},
            to_proxy=to_proxy if absolute else {},
            pool=pool,
            absolute=absolute,
            tls=(
                trusted(self._boto.ca_bundle, self.connection.display_name)
                if "https:" in (prepared.url[:6], (proxy_url or "")[:6])
                else {}
            ),
        )


class _CapturedRequest(Exception):
    """Carries a request out of botocore instead of into the network."""

    def __init__(self, request: AWSPreparedRequest) -> None:
        super().__init__()
        self.request = request


def _capture_request(request: AWSPreparedRequest, **_: object) -> None:
    raise _CapturedRequest(request)


def _request(url: str, headers: Mapping[str, str]) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"GET {url} HTTP/1.1\r\n{lines}\r\n".encode("latin-1")


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
