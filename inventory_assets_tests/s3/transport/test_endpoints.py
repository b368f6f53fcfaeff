"""The host, path and scope of signature of a request."""

import socket
import socketserver
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from inventory_assets.s3.errors import RequestRejected
from inventory_assets.s3.http.transport import Transport
from inventory_assets.s3.list_client import ListClient
from inventory_assets.s3.page_request import PageRequest
from inventory_assets.s3.request_stats import RequestStats
from inventory_assets_tests.fakes.scripted_server import ScriptedServer
from inventory_assets_tests.s3.transport.requests import BODY, QUICK, error_of, list_once, to
from inventory_assets_tests.s3.transport.servers import OneAnswer, http_response

pytestmark = pytest.mark.usefixtures("no_aws_environment")


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
    with OneAnswer(socket.AF_INET6, "::1", http_response(BODY)) as answering:
        list_once(to(f"http://[::1]:{answering.port}"))
    assert f"host: [::1]:{answering.port}" in answering.heads[0].decode().lower()


def test_a_bucket_with_another_signature_algorithm_is_rejected(server: ScriptedServer) -> None:
    transport = Transport(to(server.url))
    lister = ListClient(to(server.url), QUICK, transport=transport)
    events = transport._boto.client.meta.events
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
