"""Requests through a proxy, and errors of the proxy."""

import ssl

import pytest

from inventory_assets.s3.errors import RequestRejected, RetriesExhausted, TlsFailure, TransientError
from inventory_assets.s3.http.response import ErrorResponse
from inventory_assets.s3.http.transport import Transport
from inventory_assets.s3.request_stats import RequestStats
from inventory_assets_tests.fakes.scripted_server import Answer, ScriptedServer
from inventory_assets_tests.s3.transport.requests import (
    BASIC,
    GOOD,
    error_of,
    get,
    list_once,
    signed_names,
    to,
)
from inventory_assets_tests.s3.transport.servers import PASSWORD, ConnectProxy, with_password

pytestmark = pytest.mark.usefixtures("no_aws_environment")


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
