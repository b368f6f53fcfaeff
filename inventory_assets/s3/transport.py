"""Send page requests over a lean, pooled, keep-alive path.

botocore is asked once where a page request goes (endpoint rules, addressing style, region,
dual-stack, access points) and for credentials, whatever their kind, at every request; their refresh
is its own. The requests are signed here. Connections are opened by urllib3, on which botocore
stands as well, so that proxies, certificate authorities and IPv6 are configured as for boto3; what
travels over them is `wires.py`'s. docs/benchmarks.md says what each layer would cost.
"""

import asyncio
import os
import re
import socket
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from weakref import WeakSet

import urllib3
from botocore.awsrequest import AWSPreparedRequest
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    NoCredentialsError,
)
from botocore.httpsession import ProxyConfiguration, get_cert_path
from botocore.utils import get_environ_proxies
from urllib3.connection import HTTPConnection
from urllib3.exceptions import ProxyError
from urllib3.util.ssltransport import SSLTransport

from inventory_assets.s3 import connection as settings
from inventory_assets.s3.answers import EXPIRED_CREDENTIALS, SKEWED, Refusal, Response, Sent
from inventory_assets.s3.connection import Boto, Connection, open_boto
from inventory_assets.s3.errors import RequestRejected, TlsFailure
from inventory_assets.s3.signing import ALGORITHM, Credentials, encoded_query, signed_headers
from inventory_assets.s3.wires import Wire, in_thread

_ALWAYS = {"user-agent": "inventory-assets", "accept-encoding": "identity"}

_SCOPE = re.compile(r"Credential=[^/]+/\d{8}/([^/]+)/([^/]+)/aws4_request")
_SURELY_ALIVE_SECONDS = 1.0
"""A connection used so recently is not asked whether it is still there."""

_TOLERATED_SKEW = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class _Target:
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

    connection: Connection
    _boto: Boto = field(init=False)
    _target: _Target | None = field(default=None, init=False)
    _skew: timedelta = field(default=timedelta(0), init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)
    _idle: list[tuple[Wire, float]] = field(default_factory=list, init=False)
    _sockets: WeakSet[socket.socket] = field(default_factory=WeakSet, init=False)
    _sockets_lock: threading.Lock = field(default_factory=threading.Lock, init=False)
    _aborted: threading.Event = field(default_factory=threading.Event, init=False)

    def __post_init__(self) -> None:
        self._boto = open_boto(self.connection)

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
        target = self._target or self._learn(None)
        sent = Sent(target.region, self._skew, credentials)
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
            head = await wire.exchange(
                _request(
                    target.origin + url if target.absolute else url,
                    {**headers, **target.to_proxy, **_ALWAYS},
                ),
                body,
                settings.READ_TIMEOUT_SECONDS,
                settings.ANSWER_TIMEOUT_SECONDS,
            )
            return Response(head.status, head.headers, body, sent)
        finally:
            if wire.is_reusable:
                self._idle.append((wire, time.monotonic()))
            else:
                wire.close()

    def heed(self, refusal: Refusal) -> bool:
        """Learn from a refusal what the next request must do otherwise.

        Returns:
            Whether there is something: another region, the server's clock, renewed credentials;
            learnt now, or by another thread since the request was sent.
        """
        sent = refusal.sent
        if refusal.code == SKEWED and refusal.date:
            self._skew = refusal.date - datetime.now(UTC)
            return abs(self._skew - sent.skew) > _TOLERATED_SKEW
        # Trouble with learning is none of its own: the refusal tells more.
        with suppress(BotoCoreError, ClientError):
            if refusal.code in EXPIRED_CREDENTIALS and sent.credentials:
                return self._renewed(sent.credentials) != sent.credentials
            if refusal.status in (301, 307, 400, 403) and refusal.region:
                return refusal.region != sent.region and bool(self._learn(refusal.region))
        return False

    def abort(self) -> None:
        """End the requests under way with an error, at once; there can be no others after."""
        self._aborted.set()
        with self._sockets_lock:
            sockets = list(self._sockets)
        for each in sockets:
            # Of the plain socket: TLS would first say goodbye to a peer that may not listen.
            with suppress(OSError):
                socket.socket.shutdown(each, socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the connections kept alive."""
        self._boto.client.close()
        while self._idle:
            self._idle.pop()[0].close()

    async def _connected(self, target: _Target) -> Wire:
        """A connection, one kept alive if there is one that still is."""
        while True:
            try:
                wire, since = self._idle.pop()
            except IndexError:
                # Each step on the way is bounded by itself, but not how many there are.
                async with asyncio.timeout(settings.READ_TIMEOUT_SECONDS):
                    return Wire(await in_thread(lambda: self._connect(target)))
            if time.monotonic() - since < _SURELY_ALIVE_SECONDS or wire.is_connected:
                return wire
            wire.close()

    def _connect(self, target: _Target) -> HTTPConnection:
        pool = target.pool
        way = pool.proxy or pool
        options: dict[str, Any] = {**pool.conn_kw, **target.tls}
        connection: Any = pool.ConnectionCls(
            way.host or "",
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
        except OSError as error:
            connection.close()
            if pool.proxy:
                raise ProxyError("no way through the proxy", error) from error
            raise
        self._remember(connection.sock)
        if self._aborted.is_set():
            connection.close()
            raise ConnectionAbortedError("the listing was told to stop")
        opened: HTTPConnection = connection
        return opened

    def _remember(self, opened: Any) -> None:
        """Have `abort` find a socket; of TLS in TLS, that below both."""
        with self._sockets_lock:
            self._sockets.add(opened.socket if isinstance(opened, SSLTransport) else opened)

    def _renewed(self, refused: Credentials) -> Credentials:
        """The credentials that a new look finds, unless another thread has renewed them."""
        with self._lock:
            if self._credentials() == refused:
                self._boto.client.close()
                self._boto = open_boto(self.connection)
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
        try:
            frozen = credentials.get_frozen_credentials()
        except RuntimeError as error:  # botocore's word for credentials that were renewed in vain
            raise CredentialRetrievalError(
                provider=credentials.method, error_msg=str(error)
            ) from error
        if not frozen.access_key or not frozen.secret_key:
            raise NoCredentialsError
        return Credentials(frozen.access_key, frozen.secret_key, frozen.token)

    def _learn(self, region: str | None) -> _Target:
        """Have botocore prepare a request, and keep what is the same for all."""
        with self._lock:
            known = self._target
            if known and region in (None, known.region):
                return known  # another thread was first
            if region:
                self._boto.client.close()
                self._boto = open_boto(self.connection, region)
            prepared = self._prepared()
            self._target = self._read(prepared)
            return self._target

    def _prepared(self) -> AWSPreparedRequest:
        client = self._boto.client
        client.meta.events.register("before-send.s3.ListObjectsV2", _catch)
        parameters: dict[str, Any] = {"Bucket": self.connection.bucket}
        if self.connection.requester_pays:
            parameters["RequestPayer"] = "requester"
        try:
            client.list_objects_v2(**parameters)
        except _Prepared as caught:
            return caught.request
        raise RuntimeError("botocore sent a request that it was to hand over")

    def _read(self, prepared: AWSPreparedRequest) -> _Target:
        url = urlsplit(prepared.url)
        headers = {name.lower(): _text(value) for name, value in prepared.headers.items()}
        scope: tuple[str, str] | None = None
        if not self.connection.anonymous:
            authorization = headers.get("authorization", "")
            found = _SCOPE.search(authorization)
            if not authorization.startswith(ALGORITHM) or not found:
                raise RequestRejected(
                    f"{self.connection.where}: botocore signs its requests with "
                    f"{authorization.partition(' ')[0] or 'nothing'}; only {ALGORITHM} is "
                    "supported, so remove signature_version from the AWS configuration, and name "
                    "a bucket instead of a multi-region access point"
                )
            scope = found[1], found[2]
        default = {"http": 80, "https": 443}.get(url.scheme)
        named = f"[{url.hostname}]" if ":" in (url.hostname or "") else url.hostname or ""
        kept = ("x-amz-request-payer",)
        proxies = ProxyConfiguration(proxies=get_environ_proxies(prepared.url))
        proxy_url = proxies.proxy_url_for(prepared.url)
        absolute = proxy_url is not None and url.scheme == "http"
        try:
            to_proxy = proxies.proxy_headers_for(proxy_url)
        except UnicodeError:
            raise RequestRejected(
                f"{self.connection.where}: the proxy's user or password is not ASCII, which a "
                "request cannot say; change it"
            ) from None
        return _Target(
            origin=f"{url.scheme}://{url.netloc}",
            host=named if url.port in (None, default) else f"{named}:{url.port}",
            path=url.path or "/",
            region=scope[0] if scope else self._boto.client.meta.region_name,
            scope=scope,
            headers={name: headers[name] for name in kept if name in headers},
            to_proxy=to_proxy if absolute else {},
            pool=_pool(prepared.url, proxy_url, to_proxy),
            absolute=absolute,
            tls=self._tls() if "https:" in (prepared.url[:6], (proxy_url or "")[:6]) else {},
        )

    def _tls(self) -> dict[str, str]:
        named = self._boto.ca_bundle or os.environ.get("REQUESTS_CA_BUNDLE")
        if named and not Path(named).exists():
            raise TlsFailure(
                f"{self.connection.where}: there is no certificate authority at {named}, which "
                "AWS_CA_BUNDLE, REQUESTS_CA_BUNDLE or ca_bundle names"
            )
        return {"cert_reqs": "CERT_REQUIRED", "ca_certs": named or str(get_cert_path(True))}


def _pool(
    url: str, proxy_url: str | None, to_proxy: Mapping[str, str]
) -> urllib3.HTTPConnectionPool:
    options = [*HTTPConnection.default_socket_options, (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
    manager = (
        urllib3.ProxyManager(
            proxy_url,
            proxy_headers=to_proxy,
            socket_options=options,
        )
        if proxy_url
        else urllib3.PoolManager(socket_options=options)
    )
    return manager.connection_from_url(url)


class _Prepared(Exception):
    """Carries a request out of botocore instead of into the network."""

    def __init__(self, request: AWSPreparedRequest) -> None:
        super().__init__()
        self.request = request


def _catch(request: AWSPreparedRequest, **_: object) -> None:
    raise _Prepared(request)


def _request(url: str, headers: Mapping[str, str]) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"GET {url} HTTP/1.1\r\n{lines}\r\n".encode("latin-1")


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
