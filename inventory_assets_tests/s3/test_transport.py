"""Transport: endpoints, proxies, certificates, clocks, regions, credentials and bodies."""

import asyncio
import datetime as dt
import gzip
import os
import select
import socket
import socketserver
import ssl
import threading
import time
import zlib
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from email.utils import format_datetime
from functools import cache
from http.server import ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest
from botocore.loaders import JSONFileLoader
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from urllib3.connection import HTTPConnection

from inventory_assets.s3.bucket_config import BucketConfig
from inventory_assets.s3.concurrency.limiter import Cancelled
from inventory_assets.s3.decoding.xml_decoder import Page
from inventory_assets.s3.error_classification import classify
from inventory_assets.s3.errors import (
    CredentialsMissing,
    CredentialsRefused,
    MalformedResponse,
    RequestRejected,
    RetriesExhausted,
    S3Error,
    TlsFailure,
    TransientError,
)
from inventory_assets.s3.http import http1_parser, transport
from inventory_assets.s3.http.response import ErrorResponse, Response
from inventory_assets.s3.http.transport import Transport
from inventory_assets.s3.list_client import ListClient, RequestStats, RetryPolicy
from inventory_assets.s3.page_request import PageRequest
from inventory_assets_tests.fakes.listings import Listed, render
from inventory_assets_tests.fakes.scripted_server import (
    Answer,
    ScriptedServer,
    Seen,
    error_document,
)

BODY = render([Listed("k")])
GOOD = Answer(200, BODY)
QUICK = RetryPolicy(outage_seconds=0.2, base_seconds=0.02, malformed_attempts=3)
PASSWORD = "pass%2Fword"
BASIC = "Basic " + b64encode(b"user:pass/word").decode()

pytestmark = pytest.mark.usefixtures("no_aws_environment")


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


@pytest.fixture(scope="module", autouse=True)
def models_read_once() -> Iterator[None]:
    """botocore's models are read once, and not for every test."""
    with pytest.MonkeyPatch.context() as patch:
        load = JSONFileLoader().load_file
        read = cache(load)
        patch.setattr(JSONFileLoader, "load_file", lambda _self, path: read(path))
        yield


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer([GOOD]) as scripted:
        yield scripted


@pytest.fixture
def connected(monkeypatch: pytest.MonkeyPatch) -> list[HTTPConnection]:
    """The connections opened, in their order."""
    found: list[HTTPConnection] = []
    connect = Transport._connect

    def counted(self: Transport, target: transport._Endpoint) -> HTTPConnection:
        found.append(connect(self, target))
        return found[-1]

    monkeypatch.setattr(Transport, "_connect", counted)
    return found


# Where requests go


ADDRESSES = [
    ({}, {}, "ours.s3.eu-west-1.amazonaws.com", "/", ("eu-west-1", "s3")),
    (
        {"addressing_style": "path"},
        {},
        "s3.eu-west-1.amazonaws.com",
        "/ours",
        ("eu-west-1", "s3"),
    ),
    (
        {},
        {"AWS_USE_DUALSTACK_ENDPOINT": "true"},
        "ours.s3.dualstack.eu-west-1.amazonaws.com",
        "/",
        ("eu-west-1", "s3"),
    ),
    (
        {"region": "us-west-2"},
        {"AWS_USE_FIPS_ENDPOINT": "true"},
        "ours.s3-fips.us-west-2.amazonaws.com",
        "/",
        ("us-west-2", "s3"),
    ),
    (
        {"bucket": "arn:aws:s3:us-west-2:123456789012:accesspoint/mine"},
        {},
        "mine-123456789012.s3-accesspoint.us-west-2.amazonaws.com",
        "/",
        ("us-west-2", "s3"),
    ),
    (
        {
            "bucket": "arn:aws:s3-outposts:us-west-2:123456789012:outpost/op-01234567890123456"
            "/accesspoint/mine"
        },
        {},
        "mine-123456789012.op-01234567890123456.s3-outposts.us-west-2.amazonaws.com",
        "/",
        ("us-west-2", "s3-outposts"),
    ),
    (
        {"endpoint_url": "http://127.0.0.1:80", "addressing_style": "path"},
        {},
        "127.0.0.1",
        "/ours",
        ("eu-west-1", "s3"),
    ),
]


@pytest.mark.parametrize(("changes", "environment", "host", "path", "scope"), ADDRESSES)
def test_requests_go_where_botocore_would_send_them(
    changes: dict[str, object],
    environment: dict[str, str],
    host: str,
    path: str,
    scope: tuple[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    fields = {"region": "eu-west-1", "addressing_style": "auto", **changes}
    target = Transport(to(None, **fields))._resolve_endpoint(None)
    assert (target.host, target.path, target.scope) == (host, path, scope)


def test_path_style_puts_the_bucket_into_the_path(server: ScriptedServer) -> None:
    list_once(to(server.url))
    assert server.seen[0].path.startswith("/ours?")
    assert server.seen[0].headers["host"] == server.url.removeprefix("http://")


def test_an_endpoint_that_is_an_ipv6_address_is_reached_and_named_in_brackets() -> None:
    class Server6(ThreadingHTTPServer):
        address_family = socket.AF_INET6

    try:
        probe = Server6(("::1", 0), socketserver.BaseRequestHandler)
    except OSError:
        pytest.skip("this machine has no IPv6")
    probe.server_close()
    with OneAnswer(socket.AF_INET6, "::1", _http(BODY)) as (port, heads):
        list_once(to(f"http://[::1]:{port}"))
    assert f"host: [::1]:{port}" in heads[0].decode().lower()


def test_a_bucket_with_another_signature_algorithm_is_rejected(server: ScriptedServer) -> None:
    lister = ListClient(to(server.url), QUICK)
    events = lister._transport._boto.client.meta.events
    another: Any = lambda **_: "s3"  # noqa: E731
    events.register_first("choose-signer.s3.ListObjectsV2", another)
    with pytest.raises(RequestRejected, match="only AWS4-HMAC-SHA256 is supported") as caught:
        lister.list_page_sync(PageRequest(), RequestStats())
    assert "signs its requests with AWS;" in str(caught.value)
    assert "AKIATHEKEY" not in str(caught.value)
    assert not server.seen


def test_a_signature_version_in_the_configuration_changes_nothing_as_botocore_prefers_its_rules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: ScriptedServer
) -> None:
    config = tmp_path / "config"
    config.write_text("[default]\ns3 =\n    signature_version = s3\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    list_once(to(server.url))
    assert server.seen[0].headers["authorization"].startswith("AWS4-HMAC-SHA256 ")


def test_a_multi_region_access_point_is_rejected() -> None:
    arn = "arn:aws:s3::123456789012:accesspoint/mfzwi23gnjvgw.mrap"
    assert isinstance(error_of(to(None, bucket=arn, addressing_style="auto")), RequestRejected)


# Small servers of the tests' own


def _http(body: bytes, headers: str = "") -> bytes:
    return f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode() + body


def _head(stream: socket.socket) -> bytes:
    head = b""
    while not head.endswith(b"\r\n\r\n") and (byte := stream.recv(1)):
        head += byte
    return head


class OneAnswer:
    """A server that sends one response per connection and closes it."""

    def __init__(self, family: int, host: str, answer: bytes) -> None:
        heads: list[bytes] = []

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                heads.append(_head(self.request))
                self.request.sendall(answer)

        class Server(_QuietServer):
            address_family = family

        self._server = Server((host, 0), Handler)
        self._entered = self._server.server_address[1], heads
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def __enter__(self) -> tuple[int, list[bytes]]:
        self._thread.start()
        return self._entered

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _QuietServer(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: object, client_address: object) -> None:
        """A connection that the client closed early is what the test wanted."""


class ConnectProxy:
    """An HTTP proxy that does nothing but tunnel, to ports of this machine whatever their host.

    Attributes:
        url: Where it listens.
        heads: What it was asked, as it arrived.
    """

    def __init__(
        self, tls: ssl.SSLContext | None = None, error_response: bytes | None = None
    ) -> None:
        self.heads: list[str] = []
        proxy = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                client = tls.wrap_socket(self.request, server_side=True) if tls else self.request
                head = _head(client).decode()
                proxy.heads.append(head)
                if error_response:
                    client.sendall(error_response)
                    return
                port = int(head.split()[1].rpartition(":")[2])
                with socket.create_connection(("127.0.0.1", port)) as onward:
                    client.sendall(b"HTTP/1.1 200 go on\r\n\r\n")
                    _relay(client, onward)

        self._server = _QuietServer(("127.0.0.1", 0), Handler)
        scheme = "https" if tls else "http"
        self.url = f"{scheme}://user:{PASSWORD}@localhost:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _relay(client: socket.socket, onward: socket.socket) -> None:
    while True:
        waiting = isinstance(client, ssl.SSLSocket) and client.pending()
        ready = [client] if waiting else select.select([client, onward], [], [])[0]
        for source in ready:
            data = source.recv(65_536)
            if not data:
                return
            (onward if source is client else client).sendall(data)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate of this machine, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = tmp_path_factory.mktemp("tls") / "server.pem"
    pem.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return pem


@pytest.fixture
def tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


@pytest.fixture
def tls_server(tls: ssl.SSLContext) -> Iterator[ScriptedServer]:
    with ScriptedServer([GOOD], tls=tls) as scripted:
        yield scripted


@pytest.fixture
def trusted(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate))


# Proxies


@pytest.fixture
def proxies(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """No proxy is set, nor kept from being used."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    return monkeypatch


def with_password(url: str) -> str:
    return url.replace("://", f"://user:{PASSWORD}@")


def test_a_proxy_gets_the_whole_url_and_its_password(
    proxies: pytest.MonkeyPatch, server: ScriptedServer
) -> None:
    proxies.setenv("HTTP_PROXY", with_password(server.url))
    list_once(to("http://s3.example.com:9000"))
    assert server.seen[0].path.startswith("http://s3.example.com:9000/ours?")
    assert server.seen[0].headers["host"] == "s3.example.com:9000"
    assert server.seen[0].headers["proxy-authorization"] == BASIC


def test_headers_for_the_proxy_are_not_signed(
    proxies: pytest.MonkeyPatch, server: ScriptedServer
) -> None:
    proxies.setenv("HTTP_PROXY", with_password(server.url))
    list_once(to("http://s3.example.com"))
    assert signed_names(server.seen[0]) == "host;x-amz-content-sha256;x-amz-date"


def test_a_host_below_localhost_is_this_machine(server: ScriptedServer) -> None:
    url = server.url.replace("127.0.0.1", "localhost")
    list_once(to(url, addressing_style="virtual"))
    assert server.seen[0].headers["host"] == f"ours.{url.removeprefix('http://')}"


def test_the_addressing_style_of_the_aws_configuration_is_honoured(
    server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "config"
    config.write_text("[default]\ns3 =\n    addressing_style = virtual\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    url = server.url.replace("127.0.0.1", "localhost")
    list_once(to(url, addressing_style="auto"))
    assert server.seen[0].headers["host"].startswith("ours.localhost")
    list_once(to(url, addressing_style="path"))
    assert server.seen[1].path.startswith("/ours?")


def test_virtual_host_style_puts_the_bucket_into_the_host(
    proxies: pytest.MonkeyPatch, server: ScriptedServer
) -> None:
    proxies.setenv("HTTP_PROXY", server.url)
    list_once(to("http://s3.example.com", addressing_style="virtual"))
    assert server.seen[0].path.startswith("http://ours.s3.example.com/?")
    assert server.seen[0].headers["host"] == "ours.s3.example.com"
    assert "proxy-authorization" not in server.seen[0].headers


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("is_tls", [False, True])
def test_tls_goes_through_a_tunnel_whether_or_not_the_way_to_the_proxy_is_tls_too(
    is_tls: bool, proxies: pytest.MonkeyPatch, tls: ssl.SSLContext, tls_server: ScriptedServer
) -> None:
    with ConnectProxy(tls if is_tls else None) as proxy:
        proxies.setenv("HTTPS_PROXY", proxy.url)
        url = tls_server.url.replace("127.0.0.1", "localhost")
        list_once(to(url))
    (head,) = proxy.heads
    assert head.startswith(f"CONNECT {url.removeprefix('https://')} HTTP/1.")
    assert f"proxy-authorization: {BASIC}".lower() in head.lower()
    (seen,) = tls_server.seen
    assert seen.path.startswith("/ours?")
    assert "proxy-authorization" not in seen.headers
    assert signed_names(seen) == "host;x-amz-content-sha256;x-amz-date"


@pytest.mark.usefixtures("trusted")
def test_plain_http_goes_through_a_proxy_that_speaks_tls(
    proxies: pytest.MonkeyPatch, tls_server: ScriptedServer
) -> None:
    proxies.setenv("HTTP_PROXY", with_password(tls_server.url))
    list_once(to("http://s3.example.com"))
    assert tls_server.seen[0].path.startswith("http://s3.example.com/ours?")
    assert tls_server.seen[0].headers["proxy-authorization"] == BASIC


def test_no_proxy_is_honoured(proxies: pytest.MonkeyPatch, server: ScriptedServer) -> None:
    proxies.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    proxies.setenv("NO_PROXY", "example.com,127.0.0.1")
    list_once(to(server.url))
    assert server.seen[0].path.startswith("/ours?")


REFUSALS = {
    407: b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n",
    403: b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n",
}


@pytest.mark.parametrize("status", REFUSALS)
def test_a_proxy_that_rejects_a_tunnel_is_reported(
    status: int, proxies: pytest.MonkeyPatch
) -> None:
    with ConnectProxy(error_response=REFUSALS[status]) as proxy:
        proxies.setenv("HTTPS_PROXY", proxy.url)
        error = error_of(to("https://s3.example.com"))
    assert "proxy" in str(error)
    assert str(status) in str(error)
    assert PASSWORD not in str(error)
    assert BASIC.split()[1] not in str(error)


def test_a_proxy_that_rejects_the_password_is_reported(
    proxies: pytest.MonkeyPatch, server: ScriptedServer
) -> None:
    server.script(Answer(407, b"<html>who are you?</html>"))
    proxies.setenv("HTTP_PROXY", with_password(server.url))
    error = error_of(to("http://s3.example.com"))
    assert "407" in str(error)
    assert "proxy" in str(error)
    assert PASSWORD not in str(error)
    assert len(server.seen) == 1


@pytest.mark.parametrize(
    "url",
    [
        f"http://user:{PASSWORD}@proxy:port",
        f"http://user:{PASSWORD}@[::1",
        f"socks5://user:{PASSWORD}@proxy:1080",
        f"http://user:{PASSWORD}@proxy:99999",
        "http://",
    ],
)
def test_an_invalid_proxy_url_is_reported(url: str, proxies: pytest.MonkeyPatch) -> None:
    proxies.setenv("HTTP_PROXY", url)
    error = error_of(to("http://s3.example.com"))
    assert type(error) is RequestRejected
    assert "HTTP_PROXY" in str(error)
    assert PASSWORD not in f"{error} {error!r}"


def test_an_unreachable_proxy_is_a_transient_error(proxies: pytest.MonkeyPatch) -> None:
    with ScriptedServer([GOOD]) as gone:
        closed = gone.url
    proxies.setenv("HTTP_PROXY", with_password(closed))
    stats = RequestStats()
    error = error_of(to("http://s3.example.com"), stats)
    assert isinstance(error, RetriesExhausted)
    assert set(stats.faults) == {TransientError.REFUSED}
    assert stats.faults.total() > 1
    assert "no way through the proxy: " in str(error)
    assert PASSWORD not in f"{error} {error!r}"


def test_an_untrusted_certificate_behind_a_proxy_is_no_transient_error(
    proxies: pytest.MonkeyPatch, tls_server: ScriptedServer
) -> None:
    with ConnectProxy() as proxy:
        proxies.setenv("HTTPS_PROXY", proxy.url)
        error = error_of(to(tls_server.url))
    assert isinstance(error, TlsFailure)
    assert not tls_server.seen


def test_a_proxy_password_that_is_not_ascii_is_rejected_and_not_shown(
    proxies: pytest.MonkeyPatch,
) -> None:
    proxies.setenv("HTTP_PROXY", "http://user:g%C3%A9heim@127.0.0.1:1")
    error = error_of(to("http://s3.example.com"))
    assert isinstance(error, RequestRejected)
    assert "heim" not in f"{error} {error!r}"


def test_secrets_do_not_show_in_a_transport(
    proxies: pytest.MonkeyPatch, server: ScriptedServer
) -> None:
    proxies.setenv("HTTP_PROXY", with_password(server.url))
    proxies.setenv("AWS_ACCESS_KEY_ID", "AKIATHEKEY")
    proxies.setenv("AWS_SECRET_ACCESS_KEY", "the-secret")
    proxies.setenv("AWS_SESSION_TOKEN", "the-token")
    way = Transport(to("http://s3.example.com", access_key=None, secret_key=None))
    response = get(way, {"list-type": "2"}, bytearray())
    shown = f"{way!r} {way} {way._endpoint!r} {response!r} {ErrorResponse(response)!r}"
    for secret in (PASSWORD, "pass/word", BASIC.split()[1], "the-secret", "the-token"):
        assert secret not in shown


# Trust


@pytest.mark.parametrize("setting", ["AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "ca_bundle"])
def test_a_private_authority_is_trusted_wherever_it_is_named(
    setting: str,
    certificate: Path,
    tls_server: ScriptedServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if setting == "ca_bundle":
        config = tmp_path / "config"
        config.write_text(f"[default]\nca_bundle = {certificate}\n")
        monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    else:
        monkeypatch.setenv(setting, str(certificate))
    assert list_once(to(tls_server.url)).objects.num_rows == 1


@pytest.mark.usefixtures("trusted")
def test_a_certificate_of_another_host_is_not_trusted(
    proxies: pytest.MonkeyPatch, tls_server: ScriptedServer
) -> None:
    port = tls_server.url.rpartition(":")[2]
    with ConnectProxy() as proxy:
        proxies.setenv("HTTPS_PROXY", proxy.url)
        error = error_of(to(f"https://s3.example.com:{port}"))
    assert isinstance(error, TlsFailure)
    assert not tls_server.seen


def test_a_bundle_that_does_not_exist_is_reported(
    tls_server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "missing.pem"))
    error = error_of(to(tls_server.url))
    assert not isinstance(error, RetriesExhausted)
    assert "AWS_CA_BUNDLE" in str(error)


@pytest.mark.parametrize(
    ("content", "words"), [("no PEM", "no certificates in PEM"), ("", "no certificates in PEM")]
)
def test_a_bundle_that_holds_no_certificates_is_reported(
    content: str,
    words: str,
    tls_server: ScriptedServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bundle = tmp_path / "bundle.pem"
    bundle.write_text(content)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(bundle))
    error = error_of(to(tls_server.url))
    assert type(error) is TlsFailure
    assert words in str(error)
    assert str(bundle) in str(error)
    assert not tls_server.seen


def test_a_bundle_that_is_a_folder_is_reported(
    tls_server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path))
    error = error_of(to(tls_server.url))
    assert type(error) is TlsFailure
    assert str(tmp_path) in str(error)


# The server's clock


def skewed(by: dt.timedelta) -> Answer:
    date = format_datetime(dt.datetime.now(dt.UTC) + by, usegmt=True)
    return Answer(403, error_document("RequestTimeTooSkewed"), {"Date": date})


@pytest.mark.parametrize("hours", [-1, 1, 24 * 400])
def test_a_request_with_clock_skew_is_signed_again_with_the_server_time(
    hours: int, server: ScriptedServer
) -> None:
    server.script(skewed(dt.timedelta(hours=hours)), GOOD)
    stats = RequestStats()
    list_once(to(server.url), stats)
    first, second = (
        dt.datetime.strptime(seen.headers["x-amz-date"], "%Y%m%dT%H%M%S%z") for seen in server.seen
    )
    assert abs(second - first - dt.timedelta(hours=hours)) < dt.timedelta(minutes=5)
    assert not stats.faults


def test_the_server_time_is_used_for_later_requests(server: ScriptedServer) -> None:
    server.script(skewed(dt.timedelta(hours=1)), GOOD)
    lister = ListClient(to(server.url), QUICK)
    lister.list_page_sync(PageRequest(), RequestStats())
    lister.list_page_sync(PageRequest(), RequestStats())
    assert len(server.seen) == 3


@pytest.mark.parametrize("hours", [0, 1])
def test_a_server_that_always_reports_clock_skew_ends_the_listing_soon(
    hours: int, server: ScriptedServer
) -> None:
    server.script(skewed(dt.timedelta(hours=hours)))
    error = error_of(to(server.url))
    assert isinstance(error, CredentialsRefused)
    assert "clock" in str(error)
    assert len(server.seen) <= 2


@pytest.mark.parametrize(
    "date",
    [
        {},
        {"Date": "yesterday"},
        {"Date": "Thu, 99 Foo 2026"},
        {"Date": "Thu, 01 Jan 9999 00:00:00 GMT"},
        {"Date": "Thu, 01 Jan 2026 00:00:00 +99999999999999"},
        {"Date": "1" * 5000},
    ],
)
def test_a_clock_skew_error_without_the_server_time_ends_the_listing(
    date: Mapping[str, str], server: ScriptedServer
) -> None:
    server.script(replace(skewed(dt.timedelta()), headers=date))
    assert isinstance(error_of(to(server.url)), CredentialsRefused)
    assert len(server.seen) == 1


# The bucket's region


def elsewhere(region: str) -> Answer:
    return Answer(301, error_document("PermanentRedirect"), {"x-amz-bucket-region": region})


def malformed_for(region: str) -> Answer:
    body = error_document("AuthorizationHeaderMalformed").replace(
        b"</Message>", f"</Message><Region>{region}</Region>".encode()
    )
    return Answer(400, body)


@pytest.mark.parametrize("error_response", [elsewhere("eu-west-3"), malformed_for("eu-west-3")])
def test_a_bucket_of_another_region_is_asked_again_in_its_own(
    error_response: Answer, server: ScriptedServer
) -> None:
    server.script(error_response, GOOD)
    stats = RequestStats()
    lister = ListClient(to(server.url), QUICK)
    lister.list_page_sync(PageRequest(), stats)
    lister.list_page_sync(PageRequest(), stats)
    regions = [scope_of(seen)[0] for seen in server.seen]
    assert regions == ["us-east-1", "eu-west-3", "eu-west-3"]
    assert not stats.faults


@pytest.mark.parametrize(
    "error_response",
    [
        Answer(400, error_document("IllegalLocationConstraintException")),
        Answer(301, error_document("PermanentRedirect")),
    ],
)
def test_a_region_that_an_error_response_does_not_name_is_looked_up(
    error_response: Answer, server: ScriptedServer
) -> None:
    server.script(error_response, Answer(200, headers={"x-amz-bucket-region": "af-south-1"}), GOOD)
    stats = RequestStats()
    list_once(to(server.url), stats)
    assert scope_of(server.seen[-1])[0] == "af-south-1"
    assert not stats.faults
    assert len(server.seen) == 3


def test_the_user_is_asked_for_a_region_that_no_response_names(server: ScriptedServer) -> None:
    server.script(Answer(400, error_document("IllegalLocationConstraintException")))
    error = error_of(to(server.url))
    assert type(error) is RequestRejected
    assert "--region" in str(error)


def test_a_redirect_to_the_requested_region_blames_the_endpoint(
    server: ScriptedServer,
) -> None:
    server.script(elsewhere("us-east-1"))
    error = error_of(to(server.url))
    assert type(error) is RequestRejected
    assert "leave out --endpoint-url" in str(error)
    assert "another region" not in str(error)
    assert len(server.seen) == 1


def test_regions_that_send_us_to_and_fro_end_the_listing_soon(server: ScriptedServer) -> None:
    server.script(*[elsewhere("eu-west-3"), elsewhere("us-east-1")] * 20)
    error = error_of(to(server.url))
    assert isinstance(error, RequestRejected)
    assert "region" in str(error)
    assert len(server.seen) <= 6


def test_a_region_that_cannot_be_is_not_followed(server: ScriptedServer) -> None:
    server.script(elsewhere("no/such.region#"))
    assert isinstance(error_of(to(server.url)), RequestRejected)
    assert len(server.seen) == 1


def test_an_anonymous_listing_follows_the_bucket_to_its_region(server: ScriptedServer) -> None:
    server.script(elsewhere("eu-west-3"))
    nobody = to(server.url, access_key=None, secret_key=None, anonymous=True)
    error_response = ErrorResponse(get(Transport(nobody), {}, bytearray()))
    way = Transport(replace(nobody, endpoint_url=None, addressing_style="virtual"))
    assert way._resolve_endpoint(None).region == "us-east-1"
    assert way.adapt_to_error(error_response)
    assert way._resolve_endpoint(None).host == "ours.s3.eu-west-3.amazonaws.com"
    assert way._resolve_endpoint(None).scope is None


def test_an_anonymous_listing_that_is_sent_nowhere_else_ends(server: ScriptedServer) -> None:
    server.script(elsewhere("us-east-1"))
    nobody = to(server.url, access_key=None, secret_key=None, anonymous=True)
    assert isinstance(error_of(nobody), RequestRejected)
    assert len(server.seen) == 1


@pytest.mark.parametrize("error_response", [elsewhere("eu-west-3"), malformed_for("eu-west-3")])
def test_a_region_found_by_one_request_applies_to_earlier_ones(
    error_response: Answer, server: ScriptedServer
) -> None:
    server.script(error_response)
    way = Transport(to(server.url))
    before = [ErrorResponse(get(way, {}, bytearray())) for _ in range(2)]
    assert [way.adapt_to_error(each) for each in before] == [True, True]
    assert not way.adapt_to_error(ErrorResponse(get(way, {}, bytearray())))


def test_a_time_that_one_request_learns_is_news_to_those_sent_before(
    server: ScriptedServer,
) -> None:
    server.script(skewed(dt.timedelta(hours=1)))
    way = Transport(to(server.url))
    before = [ErrorResponse(get(way, {}, bytearray())) for _ in range(2)]
    assert [way.adapt_to_error(each) for each in before] == [True, True]
    assert not way.adapt_to_error(ErrorResponse(get(way, {}, bytearray())))


# Credentials that expire


EXPIRED = Answer(400, error_document("ExpiredToken"))


def in_environment(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s" * 40)
    monkeypatch.setenv("AWS_SESSION_TOKEN", f"token of {key}")


def chained(url: str) -> BucketConfig:
    return to(url, access_key=None, secret_key=None)


def test_expired_credentials_are_looked_up_anew_in_the_environment(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_environment(monkeypatch, "OLDKEY")
    lister, stats = ListClient(chained(server.url), QUICK), RequestStats()
    lister.list_page_sync(PageRequest(), stats)
    in_environment(monkeypatch, "NEWKEY")
    server.script(EXPIRED, GOOD)
    lister.list_page_sync(PageRequest(), stats)
    assert [key_of(seen) for seen in server.seen] == ["OLDKEY", "NEWKEY"]
    assert server.seen[1].headers["x-amz-security-token"] == "token of NEWKEY"
    assert not stats.faults


def test_expired_credentials_are_looked_up_anew_in_the_credentials_file(
    server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "credentials"
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    text = "[default]\naws_access_key_id = {}\naws_secret_access_key = s\naws_session_token = {}\n"
    file.write_text(text.format("OLDKEY", "old"))
    lister = ListClient(chained(server.url), QUICK)
    lister.list_page_sync(PageRequest(), RequestStats())
    file.write_text(text.format("NEWKEY", "new"))
    server.script(EXPIRED, GOOD)
    lister.list_page_sync(PageRequest(), RequestStats())
    assert [key_of(seen) for seen in server.seen] == ["OLDKEY", "NEWKEY"]


def test_expired_credentials_that_were_not_renewed_fail_at_once(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_environment(monkeypatch, "OLDKEY")
    server.script(EXPIRED)
    error = error_of(chained(server.url))
    assert isinstance(error, CredentialsRefused)
    assert "expired" in str(error)
    assert len(server.seen) == 1


def test_expired_credentials_that_are_gone_end_the_listing_as_its_errors_do(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_environment(monkeypatch, "OLDKEY")
    lister = ListClient(chained(server.url), QUICK)
    lister.list_page_sync(PageRequest(), RequestStats())
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    server.script(EXPIRED)
    with pytest.raises((CredentialsRefused, CredentialsMissing)):
        lister.list_page_sync(PageRequest(), RequestStats())


def test_credentials_that_one_request_renews_are_news_to_those_sent_before(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_environment(monkeypatch, "OLDKEY")
    server.script(EXPIRED)
    way = Transport(chained(server.url))
    before = [ErrorResponse(get(way, {}, bytearray())) for _ in range(2)]
    in_environment(monkeypatch, "NEWKEY")
    assert [way.adapt_to_error(each) for each in before] == [True, True]
    assert not way.adapt_to_error(ErrorResponse(get(way, {}, bytearray())))


def test_many_requests_on_their_way_take_up_the_renewed_credentials(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_environment(monkeypatch, "OLDKEY")
    lister, stats = ListClient(chained(server.url), QUICK), RequestStats()
    lister.list_page_sync(PageRequest(), stats)
    in_environment(monkeypatch, "NEWKEY")
    server.script(*[replace(EXPIRED, delay=0.1)] * 4, GOOD)
    with ThreadPoolExecutor(4) as pool:
        pages = [pool.submit(lister.list_page_sync, PageRequest(), stats) for _ in range(4)]
        assert all(page.result(timeout=10).objects.num_rows == 1 for page in pages)
    assert {key_of(seen) for seen in server.seen} == {"OLDKEY", "NEWKEY"}


def process_credentials(folder: Path, expiration: dt.datetime) -> Path:
    """An AWS configuration whose credentials are printed by a script, another key each time."""
    count, script, config = folder / "count", folder / "credentials.sh", folder / "config"
    count.write_text("0")
    script.write_text(
        f"n=$(($(cat {count}) + 1)); echo $n > {count}\n"
        'echo "{\\"Version\\": 1, \\"AccessKeyId\\": \\"KEY$n\\", \\"SecretAccessKey\\": \\"s\\", '
        f'\\"SessionToken\\": \\"token\\", \\"Expiration\\": \\"{expiration.isoformat()}\\"}}"\n'
    )
    config.write_text(f"[default]\ncredential_process = /bin/sh {script}\n")
    return config


def test_credentials_about_to_expire_are_refreshed_between_requests(
    server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    soon = dt.datetime.now(dt.UTC) + dt.timedelta(minutes=5)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(process_credentials(tmp_path, soon)))
    lister = ListClient(chained(server.url), QUICK)
    for _ in range(3):
        lister.list_page_sync(PageRequest(), RequestStats())
    assert len({key_of(seen) for seen in server.seen}) == 3


def test_credentials_that_last_are_not_refreshed(
    server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = dt.datetime.now(dt.UTC) + dt.timedelta(days=1)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(process_credentials(tmp_path, late)))
    lister = ListClient(chained(server.url), QUICK)
    for _ in range(3):
        lister.list_page_sync(PageRequest(), RequestStats())
    assert {key_of(seen) for seen in server.seen} == {"KEY1"}


def test_credentials_refreshed_to_expired_ones_end_the_listing_as_its_errors_do(
    server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    past = dt.datetime.now(dt.UTC) - dt.timedelta(hours=1)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(process_credentials(tmp_path, past)))
    error = error_of(chained(server.url))
    assert isinstance(error, CredentialsMissing)
    assert "expired" in str(error)
    assert not server.seen


# Connections kept alive


def test_pages_one_after_the_other_use_one_connection(
    server: ScriptedServer, connected: list[HTTPConnection]
) -> None:
    lister = ListClient(to(server.url), QUICK)
    for _ in range(10):
        lister.list_page_sync(PageRequest(), RequestStats())
    assert len(server.seen) == 10
    assert len(connected) == 1


@pytest.mark.usefixtures("trusted")
def test_pages_one_after_the_other_use_one_connection_over_tls(
    tls_server: ScriptedServer, connected: list[HTTPConnection]
) -> None:
    lister = ListClient(to(tls_server.url), QUICK)
    for _ in range(5):
        lister.list_page_sync(PageRequest(), RequestStats())
    assert len(connected) == 1


def test_error_responses_keep_their_connection(
    server: ScriptedServer, connected: list[HTTPConnection]
) -> None:
    server.script(*[Answer(503, error_document("SlowDown"))] * 2, GOOD)
    list_once(to(server.url))
    assert len(connected) == 1


def test_a_connection_that_was_closed_while_idle_is_not_used_again(
    server: ScriptedServer, connected: list[HTTPConnection]
) -> None:
    server.script(Answer(raw=_http(BODY)))
    lister, stats = ListClient(to(server.url), QUICK), RequestStats()
    for _ in range(3):
        lister.list_page_sync(PageRequest(), stats)
        until(lambda: not connected[-1].is_connected)
    assert len(connected) == 3
    assert not stats.faults


def test_a_connection_closed_after_a_response_counts_no_fault(
    server: ScriptedServer, connected: list[HTTPConnection]
) -> None:
    server.script(Answer(raw=_http(BODY)), GOOD)
    lister, stats = ListClient(to(server.url), QUICK), RequestStats()
    lister.list_page_sync(PageRequest(), stats)
    until(lambda: not connected[-1].is_connected)
    lister.list_page_sync(PageRequest(), stats)
    assert not stats.faults


def test_a_server_that_closes_every_connection_is_listed_all_the_same(
    server: ScriptedServer, connected: list[HTTPConnection]
) -> None:
    server.script(replace(GOOD, headers={"Connection": "close"}))
    lister, stats = ListClient(to(server.url), QUICK), RequestStats()
    for _ in range(3):
        lister.list_page_sync(PageRequest(), stats)
    assert len(connected) == 3
    assert not stats.faults


def test_a_server_of_http_1_0_is_listed_all_the_same(server: ScriptedServer) -> None:
    server.script(Answer(raw=b"HTTP/1.0 200 OK\r\n\r\n" + BODY))
    lister, stats = ListClient(to(server.url), QUICK), RequestStats()
    for _ in range(2):
        assert lister.list_page_sync(PageRequest(), stats).objects.num_rows == 1
    assert not stats.faults


def test_a_connection_kept_alive_is_closed_with_the_listing(
    server: ScriptedServer, connected: list[HTTPConnection]
) -> None:
    lister = ListClient(to(server.url), QUICK)
    lister.list_page_sync(PageRequest(), RequestStats())
    assert not connected[0].is_closed
    lister.close()
    assert connected[0].is_closed


# Connections on which something is left


class Talkative:
    """A server that sends something behind each of its answers, whether or not it was asked for.

    Attributes:
        url: Where it listens.
        connections: How many connections were made.
    """

    def __init__(self, behind: bytes, tls: ssl.SSLContext | None = None) -> None:
        self.connections = 0
        talkative = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                talkative.connections += 1
                client = tls.wrap_socket(self.request, server_side=True) if tls else self.request
                while _head(client):
                    client.sendall(_http(BODY))
                    time.sleep(0.02)  # so that it does not come together with the answer
                    client.sendall(behind)

        self._server = _QuietServer(("127.0.0.1", 0), Handler)
        self.url = f"{'https' if tls else 'http'}://localhost:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


STALE = _http(render([Listed("of another request")]))


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("is_tls", [False, True])
@pytest.mark.parametrize("behind", [STALE, b"\0"])
def test_a_connection_on_which_something_waits_is_never_used_again(
    behind: bytes, is_tls: bool, tls: ssl.SSLContext, connected: list[HTTPConnection]
) -> None:
    with Talkative(behind, tls if is_tls else None) as talkative:
        lister, stats = ListClient(to(talkative.url), QUICK), RequestStats()
        for count in range(1, 4):
            page = lister.list_page_sync(PageRequest(), stats)
            assert page.objects.column("key").to_pylist() == ["k"]
            assert len(connected) == count
            assert select.select([connected[-1].sock], [], [], 10)[0]
        lister.close()
    assert not stats.faults


@pytest.mark.parametrize("is_chunked", [False, True])
def test_a_response_followed_by_unsolicited_bytes_ends_its_connection(
    is_chunked: bool, connected: list[HTTPConnection], server: ScriptedServer
) -> None:
    answer = chunked(BODY) if is_chunked else _http(BODY)
    server.script(Answer(raw=answer + STALE), GOOD)
    lister = ListClient(to(server.url), QUICK)
    for _ in range(2):
        assert lister.list_page_sync(PageRequest(), RequestStats()).last_key == "k"
    assert len(connected) == 2


def test_the_connection_of_a_discarded_response_is_not_reused(
    server: ScriptedServer, connected: list[HTTPConnection]
) -> None:
    way = Transport(to(server.url))
    response = get(way, {}, bytearray())
    way.discard(response)
    assert connected[0].is_closed
    get(way, {}, bytearray())
    assert len(connected) == 2
    way.discard(response)  # once more does no harm
    get(way, {}, bytearray())
    assert len(connected) == 2


def test_a_request_under_way_on_a_discarded_connection_ends_as_a_reset(
    server: ScriptedServer,
) -> None:
    server.script(GOOD, replace(GOOD, delay=10))
    way = Transport(to(server.url))
    response = get(way, {}, bytearray())
    with ThreadPoolExecutor(1) as pool:
        second = pool.submit(get, way, {}, bytearray())
        until(lambda: len(server.seen) == 2)
        way.discard(response)
        assert classify(second.exception(timeout=5) or Exception()) is TransientError.RESET


# Bodies


def chunked(*pieces: bytes, is_ended: bool = True) -> bytes:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    rendered = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    return head + rendered + (b"0\r\n\r\n" if is_ended else b"")


@pytest.mark.parametrize(
    "raw",
    [
        chunked(BODY),
        chunked(*(BODY[place : place + 7] for place in range(0, len(BODY), 7))),
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + BODY,
        b"HTTP/1.1 200 OK\r\n\r\n" + BODY,
        b"HTTP/1.1 100 Continue\r\n\r\n" + _http(BODY),
    ],
)
def test_a_body_is_read_however_it_is_framed(raw: bytes, server: ScriptedServer) -> None:
    server.script(Answer(raw=raw))
    body = bytearray(b"what was there before" * 99)
    response = get(Transport(to(server.url)), {}, body)
    assert response.body is body
    assert body == BODY


def encoded(coding: str, body: bytes) -> Answer:
    return Answer(200, body, {"Content-Encoding": coding})


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("gzip", gzip.compress(BODY)),
        ("x-gzip", gzip.compress(BODY)),
        ("deflate", zlib.compress(BODY)),
        ("identity", BODY),
        ("aws-chunked", BODY),
        ("deflate, GZIP", gzip.compress(zlib.compress(BODY))),
    ],
)
def test_a_body_that_a_proxy_has_compressed_is_read(
    coding: str, body: bytes, server: ScriptedServer
) -> None:
    server.script(encoded(coding, body))
    assert list_once(to(server.url)).last_key == "k"


def test_an_encoding_that_is_not_known_is_rejected_by_name_at_once(server: ScriptedServer) -> None:
    server.script(encoded("br", b"\x1b\x00"))
    error = error_of(to(server.url))
    assert type(error) is RequestRejected
    assert "'br'" in str(error)
    assert len(server.seen) == 1


@pytest.mark.parametrize(
    "body",
    [gzip.compress(BODY)[:-9], b"no gzip", gzip.compress(bytes(2**26)), gzip.compress(b"")],
    ids=["cut off", "no gzip", "a bomb", "empty"],
)
def test_a_compressed_body_that_is_damaged_or_a_bomb_is_malformed(
    body: bytes, server: ScriptedServer
) -> None:
    server.script(encoded("gzip", body))
    stats = RequestStats()
    error_of(to(server.url), stats)
    assert stats.faults == {TransientError.MALFORMED: 1}


@pytest.mark.parametrize("length", ["9" * 5000, "-1", "1e3", "0x10", "5, 6", "٣"])
def test_an_absurd_length_is_no_length(length: str, server: ScriptedServer) -> None:
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n".encode()
    server.script(Answer(raw=head + BODY))
    error = error_of(to(server.url))
    assert type(error) is RequestRejected
    assert "length" in str(error)
    assert len(server.seen) == 2


def test_the_memory_of_a_body_is_used_again_and_keeps_no_rest(server: ScriptedServer) -> None:
    bodies = [b"a" * 3000, b"b" * 10, b"", b"c" * 500]
    server.script(*(Answer(200, each) for each in bodies))
    way, body = Transport(to(server.url)), bytearray()
    for each in bodies:
        response = get(way, {}, body)
        assert response.body is body
        assert body == each


def test_a_body_announced_too_large_is_rejected_before_it_is_read(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http1_parser, "MAX_RESPONSE_BYTES", 1000)
    server.script(Answer(200, b"x" * 1001))
    body = bytearray()
    with pytest.raises(MalformedResponse, match="1,000 bytes"):
        get(Transport(to(server.url)), {}, body)
    assert len(body) == 0


def test_a_body_of_exactly_the_allowed_size_is_read(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http1_parser, "MAX_RESPONSE_BYTES", 1000)
    way, body = Transport(to(server.url)), bytearray()
    for answer in (Answer(200, b"x" * 1000), Answer(raw=chunked(b"x" * 1000))):
        server.script(answer)
        assert len(get(way, {}, body).body) == 1000


@pytest.mark.parametrize("head", [chunked(is_ended=False), b"HTTP/1.1 200 OK\r\n\r\n"])
def test_a_body_without_an_end_is_rejected_soon(
    head: bytes, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http1_parser, "MAX_RESPONSE_BYTES", 1000)
    piece = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    server.script(Answer(raw=head + piece * 40))
    body = bytearray()
    with pytest.raises(MalformedResponse, match="1,000 bytes"):
        get(Transport(to(server.url)), {}, body)
    assert len(body) <= 1000 + http1_parser._MORE_BYTES


@pytest.mark.parametrize(
    "cut",
    [
        Answer(200, BODY, sent=100),
        Answer(200, BODY, sent=0),
        Answer(raw=chunked(BODY[:100], is_ended=False)),
        Answer(raw=chunked(BODY, is_ended=False)),
        Answer(raw=chunked()[:-5] + b"zz\r\n"),
    ],
)
def test_a_body_truncated_is_a_reset_and_its_connection_is_not_used_again(
    cut: Answer, server: ScriptedServer, connected: list[HTTPConnection]
) -> None:
    server.script(cut, GOOD)
    stats = RequestStats()
    assert list_once(to(server.url), stats).objects.num_rows == 1
    assert stats.faults == {TransientError.RESET: 1}
    assert len(connected) == 2
    assert connected[0].is_closed


@pytest.mark.parametrize(
    ("rest", "fault"),
    [(b"\r\n" + BODY[:100], TransientError.MALFORMED), (b"Content-Le", TransientError.RESET)],
)
def test_a_truncated_response_without_a_length_is_requested_again(
    rest: bytes, fault: TransientError, server: ScriptedServer
) -> None:
    server.script(Answer(raw=b"HTTP/1.1 200 OK\r\n" + rest), GOOD)
    stats = RequestStats()
    assert list_once(to(server.url), stats).objects.num_rows == 1
    assert stats.faults == {fault: 1}


# Cancellation


def cancelled(lister: ListClient, is_ready: Callable[[], bool]) -> float:
    """Cancel a request once it is ready for that, and say how many seconds it lived on."""
    with ThreadPoolExecutor(1) as pool:
        page = pool.submit(lister.list_page_sync, PageRequest(), RequestStats())
        until(is_ready)
        since = time.monotonic()
        lister.cancel()
        assert isinstance(page.exception(timeout=20), Cancelled)
    return time.monotonic() - since


SLOW = replace(GOOD, delay=20)


def test_a_cancellation_ends_a_request_that_waits_for_its_response(server: ScriptedServer) -> None:
    server.script(SLOW)
    assert cancelled(ListClient(to(server.url)), lambda: bool(server.seen)) < 1


@pytest.mark.usefixtures("trusted")
def test_a_cancellation_ends_a_request_over_tls(tls_server: ScriptedServer) -> None:
    tls_server.script(SLOW)
    assert cancelled(ListClient(to(tls_server.url)), lambda: bool(tls_server.seen)) < 1


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("is_tls", [False, True])
def test_a_cancellation_ends_a_request_through_a_tunnel(
    is_tls: bool, proxies: pytest.MonkeyPatch, tls: ssl.SSLContext, tls_server: ScriptedServer
) -> None:
    tls_server.script(SLOW)
    with ConnectProxy(tls if is_tls else None) as proxy:
        proxies.setenv("HTTPS_PROXY", proxy.url)
        assert cancelled(ListClient(to(tls_server.url)), lambda: bool(tls_server.seen)) < 1


def test_a_cancellation_ends_a_body_that_does_not_come(server: ScriptedServer) -> None:
    """Though the server closes the connection after it, so that it is no longer urllib3's."""
    held = threading.Event()
    started = threading.Event()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            _head(self.request)
            self.request.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n<?xml")
            started.set()
            held.wait(20)

    with _QuietServer(("127.0.0.1", 0), Handler) as slow:
        thread = threading.Thread(target=slow.serve_forever, args=(0.02,))
        thread.start()
        try:
            lister = ListClient(to(f"http://127.0.0.1:{slow.server_address[1]}"))
            assert cancelled(lister, started.is_set) < 1
        finally:
            held.set()
            slow.shutdown()
            thread.join()
    assert not server.seen


def test_a_cancellation_while_connecting_sends_nothing(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    connecting, go_on = threading.Event(), threading.Event()
    connect = HTTPConnection.connect

    def hesitant(self: HTTPConnection) -> None:
        connecting.set()
        assert go_on.wait(10)
        connect(self)

    monkeypatch.setattr(HTTPConnection, "connect", hesitant)
    lister = ListClient(to(server.url))
    with ThreadPoolExecutor(1) as pool:
        page = pool.submit(lister.list_page_sync, PageRequest(), RequestStats())
        assert connecting.wait(10)
        lister.cancel()
        go_on.set()
        since = time.monotonic()
        assert isinstance(page.exception(timeout=10), Cancelled)
    assert time.monotonic() - since < 1
    assert not server.seen
