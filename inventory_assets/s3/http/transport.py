"""Send page requests over pooled keep-alive connections, with little CPU time.

`endpoint.py` says where requests go. boto3 provides and refreshes the credentials for every
request, and `sigv4.py` signs it. urllib3 opens the connections, as for botocore, so proxies,
certificate authorities and IPv6 are configured as for boto3; `connection.py` sends and receives.
docs/benchmarks.md has the cost of each layer.
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
from weakref import WeakSet

from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError
from urllib3.connection import HTTPConnection
from urllib3.exceptions import NameResolutionError, NewConnectionError, ProxyError
from urllib3.util.ssltransport import SSLTransport

from inventory_assets.s3 import bucket_config as settings
from inventory_assets.s3.bucket_config import BucketConfig
from inventory_assets.s3.decoding.content_encoding import unpack
from inventory_assets.s3.http.connection import AsyncHttpConnection, in_thread
from inventory_assets.s3.http.endpoint import Endpoint, endpoint_of
from inventory_assets.s3.http.response import (
    ANOTHER_REGION,
    CLOCK_SKEW_CODE,
    EXPIRED_CREDENTIALS,
    ErrorResponse,
    RequestContext,
    Response,
)
from inventory_assets.s3.http.sigv4 import Credentials, encoded_query, signed_headers
from inventory_assets.s3.session import BotoSession, open_boto_session

DEFAULT_HEADERS = {"user-agent": "inventory-assets", "accept-encoding": "identity"}
"""The headers of every request that are not signed."""

_RENEWABLE = EXPIRED_CREDENTIALS | {"InvalidAccessKeyId", "InvalidToken"}
"""Codes for credentials that may have been replaced at their source since they were loaded."""

_REGION_UNNAMED = frozenset({ANOTHER_REGION, "PermanentRedirect"})
"""Codes for a bucket in another region; the response may omit the region's name."""

_REGION = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,62}")

_TOLERATED_SKEW = timedelta(seconds=30)


@dataclass(slots=True)
class Transport:
    """Sends requests to one bucket; shared by threads, each with its own event loop.

    Attributes:
        bucket_config: The bucket and how to reach it.
    """

    bucket_config: BucketConfig
    _boto: BotoSession = field(init=False)
    _endpoint: Endpoint | None = field(default=None, init=False)
    _skew: timedelta = field(default=timedelta(0), init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)
    _idle: list[AsyncHttpConnection] = field(default_factory=list, init=False)
    _sockets: WeakSet[socket.socket] = field(default_factory=WeakSet, init=False)
    _sockets_lock: threading.Lock = field(default_factory=threading.Lock, init=False)
    _aborted: threading.Event = field(default_factory=threading.Event, init=False)

    def __post_init__(self) -> None:
        self._boto = open_boto_session(self.bucket_config)

    async def get(self, parameters: Mapping[str, str], body: bytearray) -> Response:
        """Send a request and receive its response, whatever its status.

        Args:
            parameters: The query, not encoded.
            body: Receives the body of the response, replacing its content.

        Raises:
            BotoCoreError, ClientError: Credentials or endpoint cannot be resolved.
            HTTPError, HTTPException, OSError: A network error.
            MalformedResponse: The response is longer than `MAX_RESPONSE_BYTES`.
            RequestRejected: The bucket needs a kind of signature that is not supported.
        """
        target, context = await self.route()
        credentials = context.credentials
        query = encoded_query(parameters)
        headers = {**target.headers, "host": target.host}
        if target.scope and credentials:
            now = datetime.now(UTC) + context.skew
            headers = signed_headers(
                credentials, *target.scope, now, target.host, target.path, query, headers
            )
        url = f"{target.path}?{query}"
        channel = await self.connected(target)
        try:
            head = await channel.send_request(
                request_bytes(
                    "GET",
                    target.origin + url if target.absolute else url,
                    header_lines({**headers, **target.proxy_headers, **DEFAULT_HEADERS}),
                ),
                body,
                settings.READ_TIMEOUT_SECONDS,
                settings.RESPONSE_TIMEOUT_SECONDS,
            )
            if "content-encoding" in head.headers:
                unpack(head.headers, body, self.bucket_config.display_name)
            return Response(head.status, head.headers, body, context, channel)
        finally:
            self.put_back(channel)

    async def route(self) -> tuple[Endpoint, RequestContext]:
        """Where the next request goes, and the settings that it is sent with.

        Raises:
            BotoCoreError, ClientError: Credentials or endpoint cannot be resolved.
            RequestRejected: The bucket needs a kind of signature that is not supported.
        """
        credentials = None if self.bucket_config.anonymous else await self._current_credentials()
        target = self._endpoint or self._resolve_endpoint(None)
        return target, RequestContext(target.region, self._skew, credentials)

    def put_back(self, channel: AsyncHttpConnection) -> None:
        """Keep a connection for a later request, or close it if it cannot be used again."""
        if channel.is_reusable:
            self._idle.append(channel)
        else:
            channel.close()

    def discard(self, response: Response) -> None:
        """Shut down the connection over which a response arrived.

        For a response that belongs to another request: all later responses on that connection would
        be misplaced, too. A request that uses the connection now fails and can be retried.
        """
        channel = response.connection
        if channel is None:
            return
        channel.abort()
        with suppress(ValueError):  # it is in use, or closed
            self._idle.remove(channel)
            channel.close()

    def adapt_to_error(self, error_response: ErrorResponse) -> bool:
        """Adopt the region, clock or credentials that an error response calls for.

        Returns:
            Whether the next request will differ from the failed one, including by a change that
            another thread made in the meantime.
        """
        context = error_response.context
        if error_response.code == CLOCK_SKEW_CODE and error_response.date:
            self._skew = error_response.date - datetime.now(UTC)
            return abs(self._skew - context.skew) > _TOLERATED_SKEW
        # An error while adapting is suppressed: the error response says more.
        with suppress(BotoCoreError, ClientError):
            if error_response.code in _RENEWABLE and context.credentials:
                return self._refreshed_credentials(context.credentials) != context.credentials
            if error_response.status in (301, 307, 400, 403):
                region = error_response.region
                if not region and error_response.code in _REGION_UNNAMED:
                    region = self._region_of_bucket()
                return bool(region and region != context.region and self._resolve_endpoint(region))
        return False

    def _region_of_bucket(self) -> str | None:
        """The region according to HeadBucket, or None."""
        try:
            answer: Any = self._boto.client.head_bucket(Bucket=self.bucket_config.bucket)
        except ClientError as error:
            answer = error.response
        headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
        region = headers.get("x-amz-bucket-region")
        return region if region and _REGION.fullmatch(region) else None

    def abort(self) -> None:
        """End the requests in flight with an error; later ones fail, too."""
        self._aborted.set()
        with self._sockets_lock:
            sockets = list(self._sockets)
        for each in sockets:
            # Of the plain socket: a TLS shutdown would wait for the peer.
            with suppress(OSError):
                socket.socket.shutdown(each, socket.SHUT_RDWR)

    def drop_idle(self) -> None:
        """Close the idle connections; new ones are opened when needed."""
        with suppress(IndexError):  # other threads use the list, too
            while True:
                self._idle.pop().close()

    def close(self) -> None:
        """Close the idle connections and the boto3 client."""
        self._boto.client.close()
        self.drop_idle()

    async def connected(self, target: Endpoint) -> AsyncHttpConnection:
        """An idle connection that is still open, or a new one."""
        while True:
            try:
                channel = self._idle.pop()
            except IndexError:
                # Each step (per address, proxy, TLS) has its own timeout; this bounds the total.
                async with asyncio.timeout(settings.READ_TIMEOUT_SECONDS):
                    return AsyncHttpConnection(await in_thread(lambda: self._connect(target)))
            if channel.is_quiet:
                return channel
            channel.close()

    def _connect(self, target: Endpoint) -> HTTPConnection:
        pool = target.pool
        peer = pool.proxy or pool
        options: dict[str, Any] = {**pool.conn_kw, **target.tls}
        host = peer.host or ""
        connection: Any = pool.ConnectionCls(
            # RFC 6761, section 6.3: such names are loopback, even if the resolver fails.
            "localhost" if host.endswith(".localhost") and not target.tls else host,
            peer.port,
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
            raise ConnectionAbortedError("the listing was cancelled")
        opened: HTTPConnection = connection
        return opened

    def _without_host_name(self, connection: Any, host: str) -> NewConnectionError:
        """The error for a host name that does not resolve."""
        hint = ""
        if host.startswith(f"{self.bucket_config.bucket}."):
            hint = (
                "; it contains the bucket's name, which is in the path instead with "
                "addressing_style = path"
            )
        return NewConnectionError(connection, f"{host} has no address{hint}")

    def _track_socket(self, opened: Any) -> None:
        """Register a socket for `abort`; for TLS in TLS, the innermost one."""
        with self._sockets_lock:
            self._sockets.add(opened.socket if isinstance(opened, SSLTransport) else opened)

    def _refreshed_credentials(self, refused: Credentials) -> Credentials:
        """Reload the credentials, unless another thread has done so."""
        with self._lock:
            if self._credentials() == refused:
                self._boto.client.close()
                self._boto = open_boto_session(self.bucket_config)
            return self._credentials()

    async def _current_credentials(self) -> Credentials:
        """The current credentials; fetched in a thread if a refresh is due."""
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

    def _resolve_endpoint(self, region: str | None) -> Endpoint:
        """Let botocore prepare a request, and cache its endpoint."""
        with self._lock:
            known = self._endpoint
            if known and region in (None, known.region):
                return known  # another thread was first
            if region:
                self._boto.client.close()
                self._boto = open_boto_session(self.bucket_config, region)
            self._endpoint = endpoint_of(self._boto, self.bucket_config)
            return self._endpoint


def header_lines(headers: Mapping[str, str]) -> str:
    """Headers as the lines of a request."""
    return "".join([f"{name}: {value}\r\n" for name, value in headers.items()])


def request_bytes(method: str, url: str, lines: str) -> bytes:
    """A request without a body, of the lines of its headers."""
    return f"{method} {url} HTTP/1.1\r\n{lines}\r\n".encode("latin-1")
